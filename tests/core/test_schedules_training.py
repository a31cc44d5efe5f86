"""Runs in which settings change: what the components see, what the weights become, and what goes on exactly."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path
from typing import Annotated

import pytest
import torch
from pydantic import Field
from small_runs import SETTINGS, config, own_registry, same_tensors, small
from synthetic import Squares

import gadkit
from gadkit import ConfigError, Loss, PluginError, Scheduled
from gadkit.checkpoints.store import read_tensors
from gadkit.engine import BoundPlayer, Clips
from gadkit.runs.folder import Run
from gadkit.runs.reporter import Reporter
from gadkit.testing import check_scheduled
from gadkit.video.decode import open_video
from gadkit_plugins.dcgan.generator import Generator
from gadkit_plugins.minimax.penalties import R1
from gadkit_plugins.minimax.trainer import MinimaxTraining

COSINE = {"start": 2e-3, "end": 5e-4, "shape": "cosine"}
#: Rates, a decay rate and a weight that change over 6 steps, or over 4 of them.
CHANGING = {
    "trainer.generator_lr": COSINE,
    "trainer.discriminator_lr": {"start": 1e-3, "end": 4e-3, "shape": "exponential"},
    "trainer.generator_betas": [0.0, {"start": 0.9, "end": 0.99, "steps": 4}],
    "trainer.discriminator_betas": [{"start": 0.5, "end": 0.0, "after": 2}, 0.9],
    "penalty.gamma": {"start": 2, "end": 0.2, "steps": 3},
}


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with own_registry():
        yield


def changing(out, **choices):
    """A small run of 6 steps with `CHANGING`."""
    settings = SETTINGS | CHANGING | choices.pop("set", {})
    return small(out, **({"penalty": "r1", "steps": 6, "log_every": 1, "set": settings} | choices))


def end(run="run", name="training.safetensors"):
    return read_tensors(Run(Path(run)).find_checkpoint(), name)


def logged(run="run"):
    return [line for line in Run(Path(run)).read_log() if "event" not in line]


def stopping(step):
    """Choices with which a run stops after a step."""
    stop = threading.Event()

    class Stopper(Reporter):
        def advanced(self, done):
            if done == step:
                stop.set()

    return {"reporter": Stopper(), "stop": stop}


# --- what a step is -------------------------------------------------------------------------------------------------


def test_the_weights_are_those_of_adam_with_the_numbers_of_each_step(monkeypatch):
    """Adam by its formula (Kingma & Ba 2015, algorithm 1) on the gradients of the run, with numbers written out."""
    seen = {"_generator_loss": [], "_discriminator_loss": []}
    starts, ends = {}, {}
    update = BoundPlayer.update

    def record(self, gradients):
        name = self.loss.__name__
        starts.setdefault(name, [parameter.detach().clone() for parameter in self.parameters])
        seen[name].append([gradient.clone() for gradient in gradients])
        made = update(self, gradients)
        ends[name] = [parameter.detach().clone() for parameter in self.parameters]
        return made

    monkeypatch.setattr(BoundPlayer, "update", record)
    changing("run", precision="fp64")
    waves = [(1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]
    numbers = {
        "_generator_loss": [
            (5e-4 + 1.5e-3 * waves[step], 0.0, (0.9, 0.9225, 0.945, 0.9675, 0.99, 0.99)[step]) for step in range(6)
        ],
        "_discriminator_loss": [
            (1e-3 * 4 ** (step / 6), (0.5, 0.5, 0.5, 0.375, 0.25, 0.125)[step], 0.9) for step in range(6)
        ],
    }
    for name, steps in seen.items():
        parameters, firsts = starts[name], [torch.zeros_like(parameter) for parameter in starts[name]]
        seconds = [first.clone() for first in firsts]
        for step, gradients in enumerate(steps):
            rate, one, two = numbers[name][step]
            for parameter, first, second, gradient in zip(parameters, firsts, seconds, gradients, strict=True):
                first.mul_(one).add_(gradient, alpha=1 - one)
                second.mul_(two).addcmul_(gradient, gradient, value=1 - two)
                size = (second / (1 - two ** (step + 1))).sqrt() + 1e-8
                parameter.sub_(rate * first / (1 - one ** (step + 1)) / size)
        assert len(steps) == 6
        for parameter, found in zip(parameters, ends[name], strict=True):
            assert torch.allclose(parameter, found, rtol=1e-10, atol=1e-13), name


def test_a_penalty_has_the_weight_of_each_step(monkeypatch):
    seen = []
    call = R1.__call__

    def look(self, *arguments):
        seen.append(self.gamma)
        return call(self, *arguments)

    monkeypatch.setattr(R1, "__call__", look)
    changing("run")
    assert seen[-6:] == pytest.approx([2.0, 1.4, 0.8, 0.2, 0.2, 0.2])


def test_a_schedule_that_stays_is_the_number():
    settings = {"trainer.generator_lr": 1e-3, "trainer.generator_betas": [0.0, 0.9], "penalty.gamma": 0.7}
    still = {
        "trainer.generator_lr": {"start": 1e-3, "end": 1e-3, "shape": "exponential"},
        "trainer.generator_betas": [0.0, {"start": 0.9, "end": 0.9, "shape": "cosine"}],
        "penalty.gamma": {"start": 0.7, "end": 0.7},
    }
    small("plain", penalty="r1", steps=4, set=SETTINGS | settings)
    small("still", penalty="r1", steps=4, set=SETTINGS | still)
    assert same_tensors(end("plain"), end("still"))


def test_the_log_has_what_changes_and_nothing_else():
    changing("run")
    lines = logged()
    assert {name for name in lines[0] if name.startswith("setting/")} == {
        "setting/trainer.generator_lr",
        "setting/trainer.discriminator_lr",
        "setting/trainer.generator_betas.1",
        "setting/trainer.discriminator_betas.0",
        "setting/penalty.gamma",
    }
    assert [line["setting/penalty.gamma"] for line in lines] == pytest.approx([1.4, 0.8, 0.2, 0.2, 0.2, 0.2])
    assert lines[-1]["setting/trainer.generator_lr"] == 5e-4
    assert lines[2]["setting/trainer.generator_lr"] == pytest.approx(1.25e-3)
    small("plain")
    assert not [name for name in logged("plain")[0] if name.startswith("setting/")]


# --- components of a third party -------------------------------------------------------------------------------------


class Tempered(Loss):
    """A loss that notes what it is told at each step.

    Args:
        heat: Times the logits.
        band: Two numbers.
    """

    seen = ()

    def __init__(
        self,
        *,
        heat: Annotated[Scheduled, Field(gt=0)] = 1.0,
        band: tuple[Scheduled, Annotated[Scheduled, Field(ge=0)]] = (0.0, 1.0),
    ) -> None:
        assert isinstance(heat, float)
        self.heat, self.band = heat, band

    def discriminator(self, real, fake):
        type(self).seen += ((self.heat, self.band),)
        return (self.heat * (fake - real)).mean() + real.square().mean() + fake.square().mean()

    def generator(self, fake, real):
        return -self.heat * fake.mean()


def test_any_component_is_told(monkeypatch):
    monkeypatch.setattr(Tempered, "seen", ())
    settings = {"loss.heat": {"start": 4, "end": 1, "steps": 2}, "loss.band": [{"start": -1, "end": 1, "steps": 4}, 2]}
    small("run", loss=Tempered, steps=4, set=SETTINGS | settings)
    assert Tempered.seen[-4:] == ((4.0, (-1.0, 2.0)), (2.5, (-0.5, 2.0)), (1.0, (0.0, 2.0)), (1.0, (0.5, 2.0)))
    assert config("run")["loss"] | {"use": ""} == {
        "use": "",
        "heat": {"start": 4.0, "end": 1.0, "steps": 2},
        "band": [{"start": -1.0, "end": 1.0, "steps": 4}, 2.0],
    }


class Renamed(Tempered):
    """Keeps its setting under another name."""

    def __init__(self, *, heat: Scheduled = 1.0) -> None:
        super().__init__()
        self.warmth = heat
        del self.heat


class Fixed(Tempered):
    """Keeps its setting where nobody can set it."""

    @property
    def heat(self):
        return 2.0

    def __init__(self, *, heat: Scheduled = 1.0) -> None:
        self.band = (0.0, 1.0)


@pytest.mark.parametrize("loss", [Renamed, Fixed])
def test_a_component_that_could_not_follow_is_refused_before_the_run(loss):
    with pytest.raises(PluginError, match=r"loss '.*' does not keep its setting heat as it is in an attribute"):
        small("run", loss=loss, set=SETTINGS | {"loss.heat": {"start": 2, "end": 1}})
    assert not Path("run").exists()


class Glowing(Generator):
    """A generator with a brightness.

    Args:
        glow: Added to every pixel's value before it is cut.
    """

    def __init__(self, video, *, glow: Scheduled = 0.0) -> None:
        super().__init__(video, width=8, latent_dim=8, motion_dim=4)
        self.glow = glow

    def forward(self, codes, labels=None):
        return (super().forward(codes, labels) + self.glow).clamp(-1, 1)


def test_models_and_their_files_have_the_value_of_their_step():
    settings = {"discriminator.width": 8, "generator.glow": {"start": -30, "end": 3}, "run.samples": 2}
    small("run", generator=Glowing, steps=6, checkpoint_every=1, keep=10, sample_every=6, ema=10.0, set=settings)
    run = Run(Path("run"))
    glows = [
        json.loads((run.checkpoint_path(n) / "config.json").read_text())["generator"]["settings"] for n in (0, 2, 6)
    ]
    assert [each["glow"] for each in glows] == pytest.approx([-30.0, -19.0, 3.0])
    assert (gadkit.load("run", generator=Glowing, device="cpu").sample(num=1) == 255).all()
    frame = open_video(run.samples_path(6)).frames
    assert next(iter(frame)).min() > 240  # of the averaged net, which is another object than the one that is trained


class Forgetful(Tempered):
    """Works out at the beginning what it should read in each step."""

    def __init__(self, *, heat: Annotated[Scheduled, Field(gt=0)] = 1.0) -> None:
        super().__init__(heat=heat)
        self.doubled = 2 * heat

    def generator(self, fake, real):
        return -self.doubled * fake.mean()


def test_the_kit_finds_components_that_do_not_follow():
    logits = torch.tensor([[1.0], [2.0]])

    def judge(loss):
        return torch.stack((loss.discriminator(logits, -logits), loss.generator(logits, None)))

    check_scheduled(Tempered, {"heat": 2.0}, (), judge)
    with pytest.raises(
        AssertionError, match=r"Forgetful with its attribute heat set to .* does what one built with it"
    ):
        check_scheduled(Forgetful, {}, (), judge)
    with pytest.raises(AssertionError, match="Renamed keeps heat, which may change during a run, as it is in an attr"):
        check_scheduled(Renamed, {})
    for trainer in {entry.load() for entry in gadkit.registry.get_registry().entries("trainer")}:
        check_scheduled(trainer, {})


# --- going on --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_stopped_and_resumed_run_equals_the_unbroken_one_bit_for_bit(step):
    changing("unbroken")
    assert changing("run", **stopping(step)).reason == "stopped"
    gadkit.train(resume="run", dataset=Squares)
    for name in ("training.safetensors", "model.safetensors"):
        assert same_tensors(end("unbroken", name), end("run", name))
    clocks = ("seconds", "waited")
    lines = [
        [{k: v for k, v in line.items() if k not in clocks} for line in logged(run)] for run in ("unbroken", "run")
    ]
    assert lines[0] == lines[1]


def test_more_steps_make_another_run_where_a_setting_changes_over_all_of_them():
    changing("run", **stopping(2))
    written = config("run")
    more = {"resume": "run", "dataset": Squares, "steps": 8}
    with pytest.raises(ConfigError) as caught:
        gadkit.train(**more)
    assert "run.steps: found 8, but run was trained with 6, over which " in str(caught.value)
    for name in ("discriminator_betas", "discriminator_lr", "generator_lr"):
        assert f"trainer.{name}" in str(caught.value)
    assert "penalty.gamma" not in str(caught.value)
    assert "generator_betas" not in str(caught.value).replace("discriminator", "")
    assert config("run") == written
    gadkit.train(allow_changes=True, **more)
    (event,) = [line for line in Run(Path("run")).read_log() if line.get("event") == "changed"]
    assert event["text"] == "from here on with run.steps 6 → 8."
    assert logged()[-1]["setting/trainer.generator_lr"] == 5e-4
    assert logged()[3]["setting/trainer.generator_lr"] == pytest.approx(1.25e-3)


def test_more_steps_are_the_same_run_where_the_schedules_have_steps_of_their_own():
    own = {key: value for key, value in CHANGING.items() if key in ("penalty.gamma", "trainer.generator_betas")}
    choices = {"penalty": "r1", "log_every": 1, "set": SETTINGS | own}
    small("unbroken", steps=8, **choices)
    small("run", steps=6, **choices)
    gadkit.train(resume="run", dataset=Squares, steps=8)
    assert same_tensors(end("unbroken"), end("run"))


def test_saying_the_steps_that_a_schedule_had_makes_more_of_them_the_same_run():
    choices = {"penalty": "r1", "log_every": 1}
    small("run", steps=6, set=SETTINGS | {"penalty.gamma": {"start": 2, "end": 1, "after": 2}}, **choices)
    spelled = {"penalty.gamma": {"start": 2, "end": 1, "after": 2, "steps": 4}}
    gadkit.train(resume="run", dataset=Squares, steps=8, set=spelled)
    small("unbroken", steps=8, set=SETTINGS | spelled, **choices)
    assert same_tensors(end("unbroken"), end("run"))
    gadkit.train(resume="run", dataset=Squares, steps=6, set={"penalty.gamma": {"start": 2, "end": 1, "after": 2}})


def test_another_schedule_is_another_run():
    changing("run", **stopping(2))
    with pytest.raises(
        ConfigError, match=r"penalty\.gamma: found \{'start': 2\.0, 'end': 0\.3, 'steps': 3\}, but run was"
    ):
        gadkit.train(resume="run", dataset=Squares, set={"penalty.gamma": {"start": 2, "end": 0.3, "steps": 3}})
    with pytest.raises(ConfigError, match=r"penalty\.gamma: found 2\.0, but run was trained with \{'start': 2\.0"):
        gadkit.train(resume="run", dataset=Squares, set={"penalty.gamma": 2})


def test_going_back_multiplies_the_rate_of_the_step(monkeypatch):
    now, seen = {}, {}
    advance, batch, update = MinimaxTraining.advance, Clips.batch, BoundPlayer.update

    def follow(self, step):
        now.update(step=step, attempt=self._session.attempt.number)
        advance(self, step)

    def poisoned(self, *arguments):
        frames, labels = batch(self, *arguments)
        if now.get("step") == 12 and now["attempt"] < 2:
            frames[0, 0, 0, 0, 0] = float("nan")
        return frames, labels

    def look(self, gradients):
        if self.loss.__name__ == "_generator_loss":
            (group,) = self.optimiser.param_groups
            seen[now["attempt"], now["step"]] = (group["lr"], group["betas"])
        return update(self, gradients)

    monkeypatch.setattr(MinimaxTraining, "advance", follow)
    monkeypatch.setattr(Clips, "batch", poisoned)
    monkeypatch.setattr(BoundPlayer, "update", look)
    settings = {
        "trainer.generator_lr": {"start": 0.01, "end": 0.02},
        "trainer.generator_betas": [0.0, {"start": 0.9, "end": 0.99}],
        "run.rollback_rate": 0.25,
    }
    small("run", steps=20, log_every=4, checkpoint_every=4, set=SETTINGS | settings)
    for (attempt, step), (rate, betas) in seen.items():
        factor = 0.25 if attempt == 2 else 1.0
        assert rate == pytest.approx(factor * (0.01 + 0.01 * step / 20), rel=1e-12)
        assert betas == pytest.approx((0.0, 0.9 + 0.09 * step / 20))
    assert {attempt for attempt, _ in seen} == {0, 1, 2}
    assert max(step for _, step in seen) == 19
