"""A run's folder: made once, found again, and never with half a file in it."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gadkit.errors import RunError
from gadkit.runs.attempt import Attempt, rewound
from gadkit.runs.background import Background
from gadkit.runs.folder import Run, check_new, step_of
from gadkit.sections import RunSettings


@pytest.fixture
def run(tmp_path):
    """A run with the checkpoints of steps 5, 10 and 1000000, and what looks like others."""
    made = Run.create(tmp_path / "run", "net")
    for name in ("step-000005", "step-000010", "step-1000000", ".step-000020.partial", "step-30", "step-x", "notes"):
        (made.path / "checkpoints" / name).mkdir(parents=True)
    made.write_text("config.toml", "seed = 1\n")
    return made


def full(*arguments, **named):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_runs_without_a_name_are_numbered_after_the_highest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Run.create(None, "dcgan").path == Path("runs/00001-dcgan")
    (tmp_path / "runs" / "00041-other").mkdir()
    (tmp_path / "runs" / "99-no-number").mkdir()
    assert Run.create(None, "mocogan").path == Path("runs/00042-mocogan")
    assert (tmp_path / "runs" / "00042-mocogan").is_dir()


def test_runs_that_start_at_once_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Run.create(None, "net").path, range(24)))
    assert len(set(made)) == 24


def test_a_new_run_takes_an_empty_folder_and_no_other(tmp_path):
    (tmp_path / "empty").mkdir()
    assert Run.create(tmp_path / "empty", "").path == tmp_path / "empty"
    assert Run.create(tmp_path / "a" / "b" / "c", "").path.is_dir()
    (tmp_path / "file").write_text("")
    (tmp_path / "empty" / "x").write_text("")
    for path, sentence in (
        (tmp_path / "empty", "exists and is not empty"),
        (tmp_path / "file", "is a file, expected a folder"),
        (tmp_path / "file" / "x" / "y", "is a file; choose another"),
    ):
        for refuse in (check_new, lambda path: Run.create(path, "")):
            with pytest.raises(RunError, match=sentence) as caught:
                refuse(path)
            assert str(caught.value).startswith(f"{path}: ")
    check_new(tmp_path / "not" / "there")
    assert not (tmp_path / "not").exists()


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(RunError, match=r"cannot be made \(No space left on device\).*--out"):
        Run.create(tmp_path / "run", "")


def test_what_is_opened_is_a_run(run, tmp_path):
    assert Run.open(run.path).path == run.path
    (tmp_path / "bare").mkdir()
    for path, found in ((tmp_path / "bare", "a folder without config.toml"), (tmp_path / "no", "no folder")):
        with pytest.raises(RunError, match=f"found {found}, expected a run"):
            Run.open(path)


def test_checkpoints_are_the_whole_ones_in_order(run):
    assert [path.name for path in run.checkpoints()] == ["step-000005", "step-000010", "step-1000000"]
    assert [step_of(path) for path in run.checkpoints()] == [5, 10, 1000000]
    assert run.checkpoint_path(10) in run.checkpoints()
    assert run.checkpoint_path(1000000) in run.checkpoints()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("latest", 1000000),
        ("10", 10),
        ("000010", 10),
        ("step-000010", 10),
        ("1000000", 1000000),
        ("step-1000000", 1000000),
    ],
)
def test_a_checkpoint_by_name(run, name, found):
    assert step_of(run.find_checkpoint(name)) == found


@pytest.mark.parametrize("name", ["11", "newest", "step-10", "../step-000005", ""])
def test_a_name_that_is_none_lists_what_there_is(run, name):
    with pytest.raises(RunError, match="step-000005, step-000010, step-1000000; name one of these, or latest"):
        run.find_checkpoint(name)


def test_no_checkpoint_yet(tmp_path):
    with pytest.raises(RunError, match="has no checkpoint yet; train it further with `gadkit train --resume"):
        Run.create(tmp_path / "run", "").find_checkpoint()


def test_pruning_keeps_the_newest(run):
    run.prune(RunSettings(keep=2))
    assert [path.name for path in run.checkpoints()] == ["step-000010", "step-1000000"]
    run.prune(RunSettings(keep=5))
    assert len(run.checkpoints()) == 2
    assert (run.path / "checkpoints" / "notes").is_dir()


def test_the_log_is_read_as_it_was_written(run):
    lines = [(1, {"loss": 0.5}), (2, {"loss": -1e-30, "name": "ü"}), (10, {})]
    for step, values in lines:
        run.log(step, values)
    assert run.read_log() == [{"step": step, **values} for step, values in lines]
    assert len((run.path / "log.jsonl").read_text().splitlines()) == 3


def test_a_line_that_was_cut_off_is_left_out_and_overwritten(run):
    run.log(1, {"loss": 1.0})
    run.log(2, {"loss": 2.0})
    path = run.path / "log.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert [line["step"] for line in run.read_log()] == [1]
    run.write_log(rewound(run.read_log(), 5, Attempt()))
    run.log(2, {"loss": 3.0})
    assert run.read_log() == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 3.0}]


def test_rewinding_drops_what_will_be_done_again(run):
    for step in range(1, 8):
        run.log(step, {})
    run.write_log(rewound(run.read_log(), 4, Attempt()))
    assert [line["step"] for line in run.read_log()] == [1, 2, 3, 4]
    run.write_log(rewound(run.read_log(), 0, Attempt()))
    assert run.read_log() == []


def test_a_file_is_written_whole_or_not_at_all(run, monkeypatch):
    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(f"gadkit.runs.folder.os.{name}", full)
            with pytest.raises(
                RunError, match=r"config\.toml: cannot be written \(No space left on device\)"
            ) as caught:
                run.write_text("config.toml", "seed = 2\n")
        assert f"gadkit train --resume {run.path}" in str(caught.value)
        assert (run.path / "config.toml").read_text() == "seed = 1\n"
        assert not list(run.path.glob(".*"))
    run.write_text("config.toml", "seed = 2\n")
    assert (run.path / "config.toml").read_text() == "seed = 2\n"


def test_a_log_that_cannot_be_written_says_so(run, monkeypatch):
    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(RunError, match=r"log\.jsonl: cannot be written \(No space left on device\); free some space"):
        run.log(1, {})


def test_a_log_is_one_json_object_a_line_even_when_read_by_others(run):
    run.log(3, {"text": "two\nlines"})
    (line,) = (run.path / "log.jsonl").read_text().splitlines()
    assert json.loads(line) == {"step": 3, "text": "two\nlines"}


# --- work in the background ------------------------------------------------------------------------------------------


def broken():
    raise RunError("the disk is full.")


def wait_for(background):
    """Waits until the first job is done, without asking what came of it."""
    while not background._jobs[0].done():
        time.sleep(0.001)


def test_jobs_run_in_order_in_a_thread_of_their_own():
    done = []
    with Background() as background:
        for number in range(20):
            background.submit(lambda number=number: done.append((number, threading.current_thread())))
    assert [number for number, _ in done] == list(range(20))
    assert threading.current_thread() not in {thread for _, thread in done}


@pytest.mark.parametrize("ask", ["check", "wait", "submit"])
def test_a_failed_job_is_told_at_the_next_call(ask):
    with Background() as background:
        background.submit(broken)
        wait_for(background)
        with pytest.raises(RunError, match="the disk is full"):
            background.submit(lambda: None) if ask == "submit" else getattr(background, ask)()


def test_a_failed_job_is_told_at_the_end_and_those_after_it_still_run():
    done = []
    background = Background()
    background.submit(broken)
    background._pool.submit(lambda: done.append(1))
    with pytest.raises(RunError, match="the disk is full"), background:
        pass
    assert done == [1]


def test_another_error_is_not_hidden_by_a_jobs():
    background = Background()
    background.submit(broken)
    with pytest.raises(KeyError), background:
        raise KeyError("first")


def test_checking_waits_for_nothing_and_a_full_line_does():
    gate = threading.Event()
    with Background(waiting=2) as background:
        for _ in range(3):
            background.submit(gate.wait)
        background.check()
        late = threading.Thread(target=background.submit, args=(gate.wait,))
        late.start()
        late.join(0.2)
        assert late.is_alive()  # it waits for its place
        gate.set()
        late.join(10)
        assert not late.is_alive()
