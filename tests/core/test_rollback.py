"""A run whose numbers are no longer finite notices, goes back, tries again, and says what went bad."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from small_runs import SETTINGS, own_registry, same_tensors, small
from synthetic import Squares

import gadkit
from gadkit import RunError
from gadkit.checkpoints.store import read_tensors
from gadkit.engine import BoundPlayer, Clips
from gadkit.runs.attempt import Attempt, attempt_at, was_abandoned
from gadkit.runs.folder import Run
from gadkit.runs.state import read_state
from gadkit.sections import RunSettings
from gadkit_plugins.minimax.trainer import MinimaxTraining

NAN = float("nan")


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with own_registry():
        yield


@pytest.fixture
def step_of_run(monkeypatch):
    """The number of the step under way, from 1."""
    now = {"step": 0, "attempt": 0}
    advance = MinimaxTraining.advance

    def follow(self, step):
        now["step"], now["attempt"] = step + 1, self._session.attempt.number
        advance(self, step)

    monkeypatch.setattr(MinimaxTraining, "advance", follow)
    return now


def events(run="run", name="rollback"):
    return [line for line in Run(Path(run)).read_log() if line.get("event") == name]


def end(run="run"):
    return read_tensors(Run(Path(run)).find_checkpoint(), "training.safetensors")


def poison_batch(monkeypatch, now, when):
    """One pixel of a batch of real clips is not a number, at the steps and attempts that `when` chooses."""
    batch = Clips.batch

    def poisoned(self, *arguments):
        frames, labels = batch(self, *arguments)
        if when(now):
            frames[0, 0, 0, 0, 0] = NAN
        return frames, labels

    monkeypatch.setattr(Clips, "batch", poisoned)


def poison_gradient(monkeypatch, now, when, place=3):
    """One entry of one gradient of the generator's is infinite."""
    gradient = BoundPlayer.gradient

    def poisoned(self, draw, *, again=False):
        found = gradient(self, draw, again=again)
        if when(now) and self.loss.__name__ == "_generator_loss":
            found[place][(0,) * found[place].dim()] = float("inf")
        return found

    monkeypatch.setattr(BoundPlayer, "gradient", poisoned)


def poison_weight(monkeypatch, now, when):
    """One weight of the discriminator is not a number after a step."""
    advance = MinimaxTraining.advance

    def poisoned(self, step):
        advance(self, step)
        if when(now):
            with torch.no_grad():
                weight = next(self.nets["discriminator"].parameters())
                weight[(0,) * weight.dim()] = NAN

    monkeypatch.setattr(MinimaxTraining, "advance", poisoned)


POISONS = {
    "batch": (poison_batch, r"the value loss/discriminator was not finite in step 13"),
    "gradient": (poison_gradient, r"the gradient of generator\.\S+ was not finite in step 13"),
    "weight": (poison_weight, r"discriminator\.\S+ was not finite in step 13"),
}
OFTEN = {"steps": 30, "log_every": 10, "checkpoint_every": 4, "set": SETTINGS}


@pytest.mark.parametrize("what", POISONS)
def test_it_goes_back_and_ends_well(step_of_run, monkeypatch, what):
    poison, sentence = POISONS[what]
    poison(monkeypatch, step_of_run, lambda now: now == {"step": 13, "attempt": 0})
    outcome = small("run", **OFTEN)
    assert outcome.reason == "finished"
    (event,) = events()
    assert re.match(sentence, event["text"])
    assert "going back to the checkpoint of step 12 with other random numbers (try 1 of 3)." in event["text"]
    assert (event["step"], event["trouble"]) == (12, 13)
    assert event["attempt"]["number"] == 1
    assert event["attempt"]["rate"] == 1.0
    values = [line["step"] for line in Run(Path("run")).read_log() if "event" not in line]
    assert values == [10, 20, 30]
    assert all(tensor.isfinite().all() for tensor in end().values() if tensor.is_floating_point())


def test_trouble_is_noticed_within_ten_steps_and_no_bad_checkpoint_is_written(step_of_run, monkeypatch):
    poison_weight(monkeypatch, step_of_run, lambda now: now["step"] == 11 and not now["attempt"])
    seen = []

    class Watch(gadkit.Reporter):
        def warned(self, step, sentence):
            seen.append(step_of_run["step"])

    small("run", steps=40, log_every=1000, checkpoint_every=1000, sample_every=1000, reporter=Watch())
    assert seen == [20]
    (event,) = events()
    assert event["step"] == 0  # there was no other checkpoint yet than that of the beginning


def test_the_next_attempt_sees_other_numbers_and_the_same_ones_each_time(step_of_run, monkeypatch, tmp_path):
    poison_batch(monkeypatch, step_of_run, lambda now: now["step"] == 6 and not now["attempt"])
    quick = OFTEN | {"steps": 12}
    small("one", **quick)
    small("other", **quick)
    assert same_tensors(end("one"), end("other"))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    small("healthy", **quick)
    assert not same_tensors(end("one"), end("healthy"))


def test_rates_are_lowered_from_the_second_time_on(step_of_run, monkeypatch):
    seen = set()
    advance = MinimaxTraining.advance

    def look(self, step):
        seen.add((self._session.attempt.number, self.game.generator.optimiser.param_groups[0]["lr"]))
        advance(self, step)

    monkeypatch.setattr(MinimaxTraining, "advance", look)
    poison_batch(monkeypatch, step_of_run, lambda now: now["step"] == 13 and now["attempt"] < 3)
    small("run", generator_lr=0.008, **(OFTEN | {"set": SETTINGS | {"run.rollback_rate": 0.25}}))
    assert seen == {(0, 0.008), (1, 0.008), (2, 0.002), (3, 0.0005)}
    assert [event["step"] for event in events()] == [12, 12, 8]  # the third time it goes back further
    state = read_state(Run(Path("run")).find_checkpoint())
    assert state["attempt"] == {"number": 3, "rate": 0.0625, "tries": 0, "trouble": 0}


def test_it_gives_up_with_a_diagnosis_and_a_whole_checkpoint(step_of_run, monkeypatch, tmp_path):
    poison_gradient(monkeypatch, step_of_run, lambda now: now["step"] == 13)
    with pytest.raises(RunError) as caught:
        small("run", **OFTEN)
    sentence = str(caught.value)
    assert sentence.startswith("run: stopped after 3 tries from a checkpoint, because the gradient of generator.")
    assert "lower the learning rates (--generator-lr" in sentence
    assert sentence.endswith("The checkpoint of step 12 is whole.")
    (event,) = events(name="given up")
    assert event["step"] == 12
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    gadkit.train(resume="run", dataset=Squares)
    assert Run(Path("run")).find_checkpoint().name == "step-000030"


def test_without_rollbacks_it_stops_at_once(step_of_run, monkeypatch):
    poison_weight(monkeypatch, step_of_run, lambda now: now["step"] == 13)
    with pytest.raises(RunError, match=r"run: stopped, because discriminator\.\S+ was not finite in step 13"):
        small("run", **(OFTEN | {"set": SETTINGS | {"run.rollbacks": 0}}))
    assert events() == []


def test_a_dry_run_that_is_sick_says_so(step_of_run, monkeypatch):
    poison_batch(monkeypatch, step_of_run, lambda now: True)
    with pytest.raises(RunError, match="this training: stopped, because the value loss/discriminator was not finite"):
        small("run", dry_run=True)


# --- attempts ---------------------------------------------------------------------------------------------------------


def test_tries_are_counted_until_a_checkpoint_beyond_the_trouble():
    settings = RunSettings(rollbacks=2, rollback_rate=0.5)
    first = Attempt().next(13, settings)
    assert first == Attempt(number=1, tries=1, trouble=13)
    assert first.after(12) == first
    assert first.after(16) == Attempt(number=1)
    second = first.next(13, settings)
    assert second == Attempt(number=2, rate=0.5, tries=2, trouble=13)
    assert second.next(15, settings) is None
    assert second.after(16).next(40, settings) == Attempt(number=3, rate=0.5, tries=1, trouble=40)


def test_a_run_that_was_killed_while_going_back_goes_on_where_it_went_back_to():
    later = Attempt(number=1, tries=1, trouble=13)
    log = [{"step": 4}, {"step": 8, "event": "rollback", "attempt": later.to_dict()}]
    assert was_abandoned(12, Attempt(), log)
    assert not was_abandoned(8, Attempt(), log)
    assert not was_abandoned(12, later, log)
    assert attempt_at(8, Attempt(), log) == later
    assert attempt_at(4, Attempt(), log) == Attempt()
