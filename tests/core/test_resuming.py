"""`--resume auto`: one command line that begins a run, goes on with it, and refuses to make another of it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from small_runs import SETTINGS, config, files_of, folder_of_clips, own_registry, same_tensors

import gadkit
from gadkit import ConfigError, RunError
from gadkit.checkpoints.store import read_tensors
from gadkit.runs.folder import BEST, Run
from gadkit.runs.reporter import Reporter


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with own_registry():
        yield


@pytest.fixture
def clips(tmp_path):
    return folder_of_clips(tmp_path / "clips")


@pytest.fixture
def train(clips):
    """`gadkit.train`, small, of the run `run` from wherever it stands; what it told is kept."""

    def make(out="run", **choices):
        base = {"data": clips, "resolution": 16, "frames": 8, "batch_size": 4, "device": "cpu", "precision": "fp32"}
        base |= {"recipe": "dcgan", "steps": 6, "log_every": 1, "checkpoint_every": 2, "set": SETTINGS}
        told = Told()
        gadkit.train(out=out, **(base | {"resume": "auto", "reporter": told} | choices))
        return told

    return make


class Told(Reporter):
    """Keeps what a run tells."""

    def __init__(self):
        self.warnings, self.facts, self.steps = [], {}, []

    def plan(self, plan):
        self.warnings += plan.warnings
        self.facts |= dict(plan.facts)

    def advanced(self, step):
        self.steps.append(step)


def checkpoints(run="run"):
    return [path.name for path in Run(Path(run)).checkpoints()]


def end(run="run"):
    return read_tensors(Run(Path(run)).find_checkpoint(), "training.safetensors")


def logged(run="run"):
    return [line["step"] for line in Run(Path(run)).read_log() if "event" not in line]


def damage(step, run="run"):
    """Flips one bit of a checkpoint; the file."""
    path = Run(Path(run)).checkpoint_path(step) / "training.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    return path


# --- one command line ------------------------------------------------------------------------------------------------


def test_the_same_call_begins_goes_on_and_is_done(train):
    assert train(steps=3).steps == [1, 2, 3]
    told = train()
    assert told.steps == [4, 5, 6]
    assert told.facts["going on"] == "run, from step 3"
    assert told.facts["changed"] == "run.steps 3 → 6"
    assert logged() == [1, 2, 3, 4, 5, 6]
    before = files_of(Path("run/checkpoints"))
    told = train()
    assert (told.steps, told.warnings) == ([], [])
    assert files_of(Path("run/checkpoints")) == before
    train("unbroken")
    assert same_tensors(end(), end("unbroken"))


def test_auto_needs_to_know_which_run():
    with pytest.raises(ConfigError, match=r"resume: found 'auto', .* --out FOLDER"):
        gadkit.train(resume="auto")


def test_auto_does_not_take_a_folder_of_something_else(train):
    Path("run").mkdir()
    Path("run/notes.txt").write_text("mine")
    with pytest.raises(RunError, match="exists and is not empty"):
        train()
    assert files_of(Path("run")) == {"notes.txt": b"mine"}


def test_a_configuration_that_says_the_same_is_none_that_changed(train):
    train(steps=4)
    shutil.copy("run/config.toml", "mine.toml")
    told = train(recipe=None, config="mine.toml", set={}, steps=6)
    assert told.steps == [5, 6]
    assert told.warnings == []


# --- what may change -------------------------------------------------------------------------------------------------


def test_what_a_run_writes_and_how_long_it_goes_on_may_change(train):
    train(steps=4)
    told = train(steps=7, log_every=2, checkpoint_every=5, keep=1, sample_every=3, max_time=3600.0)
    assert told.warnings == []
    assert logged() == [1, 2, 3, 4, 6, 7]
    assert checkpoints() == ["step-000007"]
    train("unbroken", steps=7)
    assert same_tensors(end(), end("unbroken"))


REFUSED = {
    "loss.use": {"loss": "hinge"},
    "seed": {"seed": 3},
    "trainer.batch_size": {"batch_size": 8},
    "trainer.generator_lr": {"generator_lr": 1e-3},
    "precision": {"precision": "bf16"},
    "clips.flip": {"flip": True},
    "penalty.gamma": {"set": SETTINGS | {"penalty.gamma": 0.25}},
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_would_make_another_run_of_it_is_refused_or_recorded(train, key):
    train(steps=2)
    section, _, name = key.partition(".")
    old = config("run")[section][name] if name else config("run")[section]
    before = files_of(Path("run"))
    with pytest.raises(ConfigError) as error:
        train(**REFUSED[key])
    sentence = str(error.value)
    assert re.match(rf"{key}: found \S+, but run was trained with {old!r}, and .* not be that run any more; ", sentence)
    assert "--allow-changes" in sentence
    assert files_of(Path("run")) == before

    told = train(**REFUSED[key], allow_changes=True)
    assert told.steps == [3, 4, 5, 6]
    assert any(warning.startswith(f"{key} {old} → ") for warning in told.warnings)
    (event,) = [line for line in Run(Path("run")).read_log() if line.get("event") == "changed"]
    assert event["step"] == 2
    assert f"{key} {old} → " in event["text"]
    assert train(**REFUSED[key]).steps == []  # from now on it is the run's own


def test_every_change_is_listed(train):
    train(steps=2)
    with pytest.raises(ConfigError, match=r"^seed: found 3, .*loss\.use gadkit:nonsaturating → gadkit:hinge"):
        train(seed=3, loss="hinge")


@pytest.mark.parametrize(
    ("key", "choices"),
    [
        ("generator.width", {"set": SETTINGS | {"generator.width": 16}}),
        ("discriminator.use", {"discriminator": "dcgan-frame"}),
        ("video.frames", {"frames": 4}),
    ],
)
def test_what_the_checkpoints_do_not_fit_is_refused_always(train, key, choices):
    train(steps=2)
    for allowed in (False, True):
        with pytest.raises(ConfigError, match=rf"^{key}: found .*fit nothing else.*--init-from run"):
            train(**choices, allow_changes=allowed)


# --- data ------------------------------------------------------------------------------------------------------------


def test_data_that_moved_are_the_same(train, tmp_path, clips):
    train(steps=3)
    told = train(data=shutil.move(clips, tmp_path / "elsewhere"))
    assert told.steps == [4, 5, 6]
    assert told.warnings == []
    assert config("run")["data"]["path"] == str(tmp_path / "elsewhere")


def test_data_that_changed_are_others(train, clips):
    train(steps=3)
    folder_of_clips(clips, count=5)
    with pytest.raises(ConfigError, match=r"^data: found '5 videos \(\w{8}\)', but run was trained with '4 videos"):
        train()
    told = train(allow_changes=True)
    assert told.steps == [4, 5, 6]
    assert any(line.startswith("data 4 videos") for line in told.warnings)


# --- damage ----------------------------------------------------------------------------------------------------------


def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(train):
    train(steps=5)
    assert checkpoints() == ["step-000002", "step-000004", "step-000005"]
    damage(5)
    path = damage(4)
    told = train()
    assert told.steps == [3, 4, 5, 6]
    for step in (4, 5):
        (warning,) = [line for line in told.warnings if f"step-{step:06d}/" in line]
        assert "SHA-256" in warning
        assert f"It was moved to step-{step:06d}.damaged, and the checkpoint before it is taken." in warning
    assert (path.parent.with_name("step-000004.damaged") / path.name).is_file()
    assert logged() == [1, 2, 3, 4, 5, 6]
    train("unbroken")
    assert same_tensors(end(), end("unbroken"))


def test_where_every_checkpoint_is_damaged_the_run_is_left_as_it_is(train):
    train(steps=3)
    for path in Run(Path("run")).checkpoints():
        damage(int(path.name[5:]))
    before = files_of(Path("run"))
    for _ in range(2):  # a run that is requeued must not begin again in silence either
        with pytest.raises(
            RunError, match=r"^run: none of its checkpoints is whole: .*step-000003.*--config run/config"
        ):
            train()
        assert files_of(Path("run")) == before


def test_lines_after_the_checkpoint_are_dropped_and_a_torn_one_is_harmless(train):
    train(steps=4)
    with Path("run/log.jsonl").open("a") as file:
        file.write(json.dumps({"step": 5, "seconds": 1.0, "loss/generator": 9.0}) + "\n")
        file.write('{"step": 6, "seconds": 2.0, "loss/gen')
    train()
    lines = [json.loads(line) for line in Path("run/log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert all(line.get("loss/generator") != 9.0 for line in lines)


# --- which checkpoints stay ------------------------------------------------------------------------------------------


def test_the_newest_every_so_many_and_the_best_stay(train):
    settings = SETTINGS | {"run.best": "loss/discriminator", "run.best_is": "highest"}
    train(steps=5, checkpoint_every=1, keep=2, keep_every=3, set=settings)
    train(steps=9, checkpoint_every=1, keep=2, keep_every=3, set=settings)
    values = {line["step"]: line["loss/discriminator"] for line in Run(Path("run")).read_log()}
    best = max(values, key=values.__getitem__)
    assert best == 1  # it has not learned anything yet
    assert checkpoints() == [f"step-{step:06d}" for step in sorted({best, 3, 6, 8, 9})]
    assert json.loads(Path("run", BEST).read_text()) == {
        "step": best,
        "metric": "loss/discriminator",
        "value": values[best],
        "logged": best,
    }
    found = [gadkit.load("run", checkpoint=name, device="cpu").sample(num=2) for name in ("best", str(best), "latest")]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_another_value_to_tell_the_best_by_begins_anew(train):
    train(steps=4, set=SETTINGS | {"run.best": "loss/discriminator"})
    train(steps=6, set=SETTINGS | {"run.best": "accuracy"})
    found = json.loads(Path("run", BEST).read_text())
    assert found["metric"] == "accuracy"
    assert found["logged"] > 4
