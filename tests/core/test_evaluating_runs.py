"""Measuring while a run goes on: it changes no weight, is kept with the run, and survives what runs survive."""

from __future__ import annotations

import json
import threading

import pytest
import torch
from small_evaluations import (
    PROTOCOLS,
    document,
    plugin_file,
    quick,  # noqa: F401
    write_videos,
)
from small_runs import own_registry, same_tensors, small

import gadkit
from gadkit import ConfigError, DataError, GadkitError
from gadkit.checkpoints.store import read_tensors
from gadkit.evaluation.results import read_result
from gadkit.runs.folder import Run
from gadkit.runs.reporter import Reporter
from gadkit_plugins.minimax.trainer import MinimaxTraining

VALUE = "fvd[pooled]"


@pytest.fixture(autouse=True)
def _alone():
    with own_registry():
        yield


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Twelve videos, and a plugin file with a small network and protocol."""
    root = tmp_path_factory.mktemp("data")
    write_videos(root / "real", range(12))
    plugin_file(root)
    return root


@pytest.fixture
def train(root, tmp_path):
    """A training of six steps that is measured every other one; the run."""

    def command(name, **choices):
        base = {"dataset": None, "data": str(root / "real"), "frames": 4, "held_out": 0.5, "steps": 6, "ema": 10.0}
        base |= {"plugins": [root / "nets.py"], "log_every": 2, "checkpoint_every": 3, "eval_every": 2}
        base |= {"eval_protocol": "small"}
        small(tmp_path / name, **{key: value for key, value in (base | choices).items() if value is not ...})
        return Run(tmp_path / name)

    return command


class StopAfter(Reporter):
    """Asks for an early end once a step was made."""

    def __init__(self, step):
        self.step, self.stop = step, threading.Event()

    def advanced(self, step):
        if step == self.step:
            self.stop.set()


def curve(run, name=VALUE):
    return {line["step"]: line[name] for line in run.read_log() if name in line}


def timeless(run):
    return [
        {key: value for key, value in line.items() if key not in ("seconds", "waited", "evaluated")}
        for line in run.read_log()
    ]


def best(run):
    return json.loads((run.path / "best.json").read_text())


def steps(run):
    return [int(path.name.removeprefix("step-")) for path in run.checkpoints()]


def end(run, name="training.safetensors"):
    return read_tensors(run.find_checkpoint(), name)


def test_values_are_logged_and_the_best_checkpoint_is_kept(train):
    run = train("run", keep=1)
    values = curve(run)
    assert list(values) == [2, 4, 6]
    assert all(line["evaluated"] >= 0 for line in run.read_log() if VALUE in line)
    lowest = min(values, key=values.get)
    assert best(run) == {"step": lowest, "metric": VALUE, "value": values[lowest], "logged": lowest}
    assert steps(run) == sorted({lowest, 6})  # `keep` would have kept the last alone
    assert run.find_checkpoint("best").name == f"step-{lowest:06d}"


def test_the_best_is_kept_also_where_evaluations_fall_between_checkpoints(train, monkeypatch):
    from gadkit.evaluation.watching import Evaluator

    monkeypatch.setattr(Evaluator, "measure", lambda self, step, models: {VALUE: {2: 3.0, 4: 1.0}.get(step, 2.0)})
    run = train("run", checkpoint_every=100, keep=1)
    assert best(run) == {"step": 4, "metric": VALUE, "value": 1.0, "logged": 4}
    assert steps(run) == [4, 6]


def test_the_highest_is_best_of_what_should_be_high(train, root, monkeypatch):
    from gadkit.evaluation.watching import Evaluator

    name = "precision[pooled]"
    monkeypatch.setattr(Evaluator, "measure", lambda self, step, models: {name: {4: 0.9}.get(step, 0.2), "x": 0.0})
    run = train("run", eval_metric=["prdc"])
    assert best(run) == {"step": 4, "metric": name, "value": 0.9, "logged": 4}


@pytest.mark.parametrize("live", [False, True])
def test_a_run_that_is_measured_has_the_same_weights_as_one_that_is_not(train, monkeypatch, live):
    """Also where what is measured are the nets in training, and not averages of theirs."""
    if live:
        nets = property(lambda self: {name: self._session.parts[name] for name in ("generator", "assembler")})
        monkeypatch.setattr(MinimaxTraining, "models", nets.setter(lambda self, models: None), raising=False)
    one, other = train("measured", checkpoint_every=6), train("plain", checkpoint_every=6, eval_every=...)
    for name in ("training.safetensors", "model.safetensors"):
        assert same_tensors(end(one, name), end(other, name)), name
    assert not (other.path / "evaluations").exists()
    assert not curve(other)


def test_the_number_in_the_log_is_that_of_an_evaluation_afterwards(train, root):
    run = train("run", keep=9)
    values = curve(run)
    told = read_result(run.path / "evaluations" / "training-small.json")
    assert (told.step, told.values[VALUE].value) == (6, values[6])
    for step in sorted({2, 4, 6} & set(steps(run))):
        result = gadkit.evaluate(run.path, protocol="small", checkpoint=step, device="cpu", plugins=[root / "nets.py"])
        assert result.values[VALUE].value == values[step]
        assert result.step == step
    manifests = [dict(each.manifest) for each in (result, told)]
    assert document(told)["clips"] == document(result)["clips"]
    contents = [manifest.pop("generated") for manifest in manifests]
    assert manifests[0] == manifests[1]
    assert {key: contents[0][key] for key in ("clips", "kind", "step")} == {"clips": 16, "kind": "model", "step": 6}


def test_a_quick_look_afterwards_gives_the_number_in_the_log(root, tmp_path):
    videos = write_videos(tmp_path / "long", range(4), length=17)
    small(tmp_path / "run", dataset=None, data=str(videos), frames=4, eval_every=2, set={"evaluation.clips": 16})
    run = Run(tmp_path / "run")
    result = gadkit.evaluate(run.path, protocol="quick", clips=16, real_clips=16, device="cpu")
    assert curve(run, "fvd[random-r3d]") == {2: result.values["fvd[random-r3d]"].value}


@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_a_stopped_and_resumed_run_equals_the_unbroken_one_with_its_values_and_best(train, at):
    unbroken = train(f"unbroken{at}")
    watcher = StopAfter(at)
    stopped = train(f"stopped{at}", reporter=watcher, stop=watcher.stop)
    assert steps(stopped)[-1] == at
    gadkit.train(resume=stopped.path)
    assert same_tensors(end(unbroken), end(stopped))
    assert curve(unbroken) == curve(stopped)
    assert best(unbroken) == best(stopped)
    told = [read_result(run.path / "evaluations" / "training-small.json") for run in (unbroken, stopped)]
    assert [each.values for each in told] == [told[0].values] * 2


def test_a_run_that_goes_back_has_the_values_of_the_try_that_held(train, monkeypatch):
    advance = MinimaxTraining.advance

    def poisoned(self, step):
        advance(self, step)
        if step + 1 == 5 and not self._session.attempt.number:
            with torch.no_grad():
                next(self.nets["generator"].parameters()).fill_(float("nan"))

    monkeypatch.setattr(MinimaxTraining, "advance", poisoned)
    run = train("run")
    assert [line["event"] for line in run.read_log() if "event" in line] == ["rollback"]
    values = curve(run)
    assert list(values) == [2, 4, 6]
    assert best(run)["value"] == min(values.values())
    assert run.checkpoint_path(best(run)["step"]).is_dir()


def test_a_dry_run_checks_all_and_writes_nothing(train, tmp_path):
    run = train("run", dry_run=True)
    assert not run.path.exists()
    with pytest.raises(GadkitError, match="no features 'nothing'"):
        train("other", dry_run=True, eval_features=["nothing"])


def test_a_protocol_longer_than_a_generator_of_a_fixed_length_is_refused_before_anything_is_made(train, monkeypatch):
    from gadkit_plugins.dcgan.generator import Generator

    monkeypatch.setattr(Generator, "context", "fixed")
    with pytest.raises(ConfigError) as caught:
        train("run", eval_protocol="quick")
    assert str(caught.value) == (
        "evaluation.protocol: quick takes 16 frames, but this generator makes 4; train on longer clips with --frames, "
        "or measure shorter ones with --set evaluation.frames=N."
    )


REFUSED = {
    "network": ({"eval_features": ["i3b"]}, "'i3b'. Did you mean 'i3d'"),
    "weights": ({"eval_features": ["i3d"], "eval_protocol": "gadkit"}, "gadkit weights install i3d"),
    "protocol": ({"eval_protocol": "qick"}, "no protocol 'qick'. Did you mean 'quick'"),
    "metric": ({"eval_metric": ["fdv"]}, "no metric 'fdv'. Did you mean 'fvd'"),
    "nan": ({"eval_features": ["nan"]}, "features 'nan': found numbers that are not finite"),
    "short": ({"eval_protocol": "quick"}, "shorter than 16 frames"),
    "training": ({"eval_metric": ["memorisation"], "eval_protocol": "quick"}, "--eval-protocol gadkit"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_measured_is_told_before_the_first_step_and_leaves_no_run(train, tmp_path, monkeypatch, what):
    choices, sentence = REFUSED[what]
    monkeypatch.setattr(MinimaxTraining, "advance", lambda self, step: pytest.fail("a step was made"))
    with pytest.raises(GadkitError) as caught:
        train("run", **choices)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()  # so that the same command can be given again


def test_too_few_real_clips_are_told_before_the_first_step(train, root, monkeypatch):
    monkeypatch.setattr(MinimaxTraining, "advance", lambda self, step: pytest.fail("a step was made"))
    (root / "small.toml").write_text(PROTOCOLS["small"] + 'fewer = "none"\n')
    try:
        with pytest.raises(DataError, match=r"^the held-out videos of real: found .*; give more videos"):
            train("run", held_out=0.2)
    finally:
        (root / "small.toml").write_text(PROTOCOLS["small"])
