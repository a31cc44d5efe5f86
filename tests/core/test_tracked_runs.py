"""Runs with trackers: chosen, told in order and in a thread of their own, kept on resuming, and harmless."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
import time
import tomllib
from pathlib import Path

import pytest
from small_runs import SETTINGS, config, own_registry, small
from synthetic import Squares

import gadkit
from gadkit import PluginError, RunError, Tracker, hookimpl
from gadkit.runs import telling
from gadkit.runs.folder import Run
from gadkit.runs.rollback import GIVEN_UP
from gadkit.runs.telling import Telling
from gadkit_plugins.minimax.trainer import MinimaxTraining

OFTEN = {"steps": 4, "log_every": 1, "checkpoint_every": 2}


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Notes.told = []
    with own_registry():
        yield


@dataclasses.dataclass(kw_only=True)
class Notes(Tracker):
    """Notes what it is told.

    Args:
        mark: Stands in every note.
    """

    mark: str = "a"

    told = []

    def note(self, *what):
        self.told.append((self.mark, *what, threading.current_thread()))

    @hookimpl
    def gadkit_run_started(self, folder, config, step):
        self.note("started", step, config)

    @hookimpl
    def gadkit_step_logged(self, step, values):
        self.note("logged", step, values)

    @hookimpl
    def gadkit_event_logged(self, step, event, text):
        self.note(event, step, text)

    @hookimpl
    def gadkit_samples_written(self, step, path):
        self.note("samples", step, path.is_file())

    @hookimpl
    def gadkit_run_ended(self, step, reason):
        self.note(reason, step, None)


def told(*names):
    return [(name, step) for _, name, step, *_ in Notes.told if not names or name in names]


def test_a_class_of_ones_own_is_told_everything_in_order_in_one_thread():
    small("run", tracker=Notes, set=SETTINGS | {"tracker.Notes.mark": "b", "run.sample_every": 2}, **OFTEN)
    assert told("started", "logged", "finished") == [
        ("started", 0),
        *(("logged", n) for n in (1, 2, 3, 4)),
        ("finished", 4),
    ]
    assert told("samples") == [("samples", 2), ("samples", 4)]
    assert Notes.told[-1][1] == "finished"
    assert {note[0] for note in Notes.told} == {"b"}
    (thread,) = {note[-1] for note in Notes.told}
    assert thread is not threading.main_thread()
    assert not thread.is_alive()
    assert Notes.told[0][3] == config("run")
    assert config("run")["tracker"] == {f"python:{__name__}.Notes": {"mark": "b"}}


def test_the_run_is_the_same_with_and_without():
    small("with", tracker=[Notes, "csv"], **OFTEN)
    small("without", **OFTEN)
    one, two = (Run(Path(name)).find_checkpoint() for name in ("with", "without"))
    for name in ("model.safetensors", "training.safetensors"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_the_environment_says_who_provides_them():
    small("run", tracker=["csv", Notes])
    found = json.loads(Path("run/environment.json").read_text())["trackers"]
    assert found["csv"] == {"use": "gadkit:csv", "distribution": "gadkit", "version": gadkit.__version__}
    assert found[f"python:{__name__}.Notes"]["use"] == f"python:{__name__}.Notes"


def test_a_run_that_goes_on_keeps_its_trackers_unless_told_otherwise():
    small("run", tracker="csv", set=SETTINGS | {"tracker.csv.file": "a.csv"})
    gadkit.train(resume="run", dataset=Squares, steps=4)
    assert config("run")["tracker"] == {"csv": {"file": "a.csv"}}
    assert [line.split(",")[0] for line in Path("run/a.csv").read_text().splitlines()] == ["step", "2", "4"]
    gadkit.train(resume="run", dataset=Squares, steps=6, tracker=[Notes, "csv"])
    assert told("started", "finished") == [("started", 4), ("finished", 6)]
    assert config("run")["tracker"] == {"csv": {"file": "a.csv"}, f"python:{__name__}.Notes": {"mark": "a"}}
    gadkit.train(resume="run", dataset=Squares, steps=8, tracker="none")
    assert "tracker" not in config("run")
    assert told("finished") == [("finished", 6)]


class Plans(gadkit.Reporter):
    def plan(self, plan):
        self.found = plan


def test_other_trackers_make_no_other_run_and_are_told():
    small("run", tracker="csv")
    reporter = Plans()
    gadkit.train(resume="run", dataset=Squares, steps=4, tracker=Notes, reporter=reporter)
    told = dict(reporter.found.facts)
    assert told["trackers"] == f"python:{__name__}.Notes"
    changed = [text for name, text in reporter.found.facts if name == "changed"]
    assert any("tracker.csv" in text for text in changed)
    assert not reporter.found.warnings


def test_a_run_whose_tracker_is_gone_is_still_read_and_goes_on_without_it():
    small("run", tracker=Notes)
    with own_registry():
        gadkit.load("run", device="cpu").sample(length=2)
        with pytest.raises(PluginError, match="is a class that a Python program passed"):
            gadkit.train(resume="run", dataset=Squares, steps=4)
        gadkit.train(resume="run", dataset=Squares, steps=4, tracker="none")
    assert Run(Path("run")).find_checkpoint().name == "step-000004"


def poison(monkeypatch, *steps):
    """A logged value is not a number, once at each of the steps."""
    waiting, read, advance = list(steps), MinimaxTraining.read, MinimaxTraining.advance

    def follow(self, step):
        self.now = step + 1
        advance(self, step)

    def poisoned(self):
        values = read(self)
        if self.now in waiting:
            waiting.remove(self.now)
            values |= {"loss/generator": float("nan")}
        return values

    monkeypatch.setattr(MinimaxTraining, "advance", follow)
    monkeypatch.setattr(MinimaxTraining, "read", poisoned)


def test_they_are_told_that_a_run_went_back(monkeypatch):
    poison(monkeypatch, 4)
    small("run", tracker=[Notes, "csv"], **OFTEN)
    kept = told("started", "logged", "rollback", "finished")
    assert kept == [
        ("started", 0),
        *(("logged", n) for n in (1, 2, 3)),
        ("rollback", 2),
        ("logged", 3),
        ("logged", 4),
        ("finished", 4),
    ]
    log = [line for line in Run(Path("run")).read_log() if "event" not in line]
    rows = [line.split(",") for line in Path("run/metrics.csv").read_text().splitlines()]
    assert [(int(row[0]), float(row[1])) for row in rows[1:]] == [(line["step"], line[rows[0][1]]) for line in log]


def test_they_are_told_that_a_run_was_given_up(monkeypatch):
    poison(monkeypatch, 4, 4)
    with pytest.raises(RunError, match="stopped"):
        small("run", tracker=[Notes, "csv"], set=SETTINGS | {"run.rollbacks": 1}, **OFTEN)
    assert told("rollback", GIVEN_UP, "failed") == [("rollback", 2), (GIVEN_UP, 2), ("failed", 2)]
    assert [line.split(",")[0] for line in Path("run/metrics.csv").read_text().splitlines()] == ["step", "1", "2"]


def test_a_dry_run_builds_them_and_tells_them_nothing():
    small("run", tracker=Notes, dry_run=True)
    assert Notes.told == []
    assert not Path("run").exists()


class Unbuildable(Tracker):
    """Cannot be built."""

    def __init__(self):
        raise OSError("no such\nserver")

    @hookimpl
    def gadkit_run_ended(self):
        pass


class Mistaken(Tracker):
    """Misses a hook by a letter."""

    @hookimpl
    def gadkit_step_loged(self, step):
        pass


class Curious(Tracker):
    """Asks for what there is not."""

    @hookimpl
    def gadkit_step_logged(self, loss):
        pass


class Bare(Tracker):
    """Forgot the decorator."""

    def gadkit_step_logged(self, step):
        pass


class Silent(Tracker):
    """Has no hook."""


@pytest.mark.parametrize(
    ("tracker", "said"),
    [
        (Unbuildable, r"tracker '.*Unbuildable' cannot be built with its settings \(OSError: no such server\)"),
        (Mistaken, r"tracker '.*Mistaken' cannot be used: .*unknown hook 'gadkit_step_loged'.*'gadkit_step_logged'"),
        (Curious, r"tracker '.*Curious' cannot be used: .*loss"),
        (Bare, r"tracker '.*Bare' cannot be used: its function 'gadkit_step_logged' is not decorated"),
        (Silent, r"tracker '.*Silent' cannot be used: it implements no hook"),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_data_are_opened(monkeypatch, tracker, said):
    monkeypatch.setattr("gadkit.runs.training.open_data", lambda *arguments: 1 / 0)
    with pytest.raises(PluginError, match=said) as found:
        gadkit.train(out="run", recipe="demo", tracker=tracker)
    assert "\n" not in str(found.value)
    assert not Path("run").exists()


class Failing(Notes):
    """Fails at its second line."""

    @hookimpl
    def gadkit_step_logged(self, step, values):
        if step == 2:
            raise SystemExit("no connection")


def test_one_that_raises_is_left_out_and_the_others_and_the_next_run_are_not(caplog):
    for name in ("run", "next"):
        with caplog.at_level(logging.WARNING):
            small(name, tracker=[Failing, "csv"], **OFTEN)
        assert len(Path(f"{name}/metrics.csv").read_text().splitlines()) == 5
        (warning,) = [record.message for record in caplog.records if "Failing" in record.message]
        assert "raised SystemExit: no connection" in warning
        caplog.clear()
    assert told("finished") == []


class Stuck(Tracker):
    """Does not return until it is let go."""

    let_go = threading.Event()

    @hookimpl
    def gadkit_step_logged(self):
        self.let_go.wait(60)


def test_one_that_never_returns_ends_no_run(monkeypatch, caplog):
    monkeypatch.setattr(telling, "_WAITING", 3)
    monkeypatch.setattr(telling, "_STUCK", 0.05)
    with caplog.at_level(logging.WARNING):
        small("run", tracker=Stuck, steps=12, log_every=1)
    Stuck.let_go.set()
    assert Run(Path("run")).find_checkpoint().name == "step-000012"
    (warning,) = [record.message for record in caplog.records]
    assert "has not returned for 0.05 seconds" in warning


def test_one_that_never_ends_ends_no_run(monkeypatch, caplog):
    monkeypatch.setattr(telling, "_ENDING", 0.05)
    monkeypatch.setattr(Stuck, "let_go", threading.Event())
    with caplog.at_level(logging.WARNING):
        small("run", tracker=Stuck, log_every=1)
    left = [thread for thread in threading.enumerate() if thread.name == "gadkit-trackers"]
    assert left
    assert all(thread.daemon for thread in left)  # or the program would wait for them
    Stuck.let_go.set()
    (warning,) = [record.message for record in caplog.records]
    assert "did not end within 0.05 seconds" in warning


class Slow:
    """Stands in for a registry whose trackers take their time."""

    def __init__(self):
        self.let_go, self.done = threading.Event(), []

    def notify(self, name, **values):
        self.let_go.wait(60)
        time.sleep(0.001)
        self.done.append((name, values["step"]))


def test_telling_waits_for_nobody_and_ends_when_all_is_told(tmp_path):
    registry = Slow()
    telling = Telling(registry, tmp_path)
    for step in range(200):
        telling.tell("gadkit_step_logged", step=step)
    assert registry.done == []  # not one of them has returned
    registry.let_go.set()
    telling.end()
    assert registry.done == [("gadkit_step_logged", step) for step in range(200)]
    telling.tell("gadkit_step_logged", step=200)
    assert len(registry.done) == 200


def test_the_configuration_is_rerun_with_its_trackers():
    small("run", tracker="csv")
    gadkit.train(config="run/config.toml", dataset=Squares, out="again")
    assert Path("again/metrics.csv").read_text() == Path("run/metrics.csv").read_text()
    assert tomllib.loads(Path("again/config.toml").read_text())["tracker"] == {"csv": {"file": "metrics.csv"}}
