"""The minimax trainer: what a step is does not depend on how it is cut, interrupted or spread."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from synthetic import Squares

import gadkit
from gadkit.runs.folder import Run
from gadkit.runs.reporter import Reporter

SMALL = {
    "generator.width": 8,
    "generator.latent_dim": 12,
    "generator.motion_dim": 4,
    "run.samples": 2,
    "run.log_every": 2,
}


def small(out, **choices):
    """A training of a few seconds on 16×16 squares."""
    settings = SMALL | choices.pop("set", {})
    choices.setdefault("discriminator", "dcgan-clip")
    if choices["discriminator"] in {"dcgan-clip", "dcgan-frame"}:
        settings.setdefault("discriminator.width", 8)
    fixed = {"dataset": Squares, "generator": "dcgan", "resolution": 16, "frames": 8, "device": "cpu"}
    base = {"steps": 3, "batch_size": 8, "precision": "fp64"}
    return gadkit.train(out=out, set=settings, **(fixed | base | choices))


def weights(path, name="training.safetensors"):
    return load_file(Run(Path(path)).find_checkpoint() / name)


def furthest(a, b):
    assert a.keys() == b.keys()
    return max(float((a[key].double() - b[key].double()).abs().max()) for key in a if a[key].numel())


def logged(path):
    return [{k: v for k, v in line.items() if k not in ("seconds", "waited")} for line in Run(Path(path)).read_log()]


class StopAfter(Reporter):
    """Asks for an early end once a step was made."""

    def __init__(self, step):
        self.step, self.stop = step, threading.Event()

    def advanced(self, step):
        if step == self.step:
            self.stop.set()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("penalty", ["r1r2", "approx-r1r2"])
def test_a_stopped_and_resumed_run_equals_the_unbroken_run_bit_for_bit(tmp_path, precision, penalty):
    choices = {"precision": precision, "penalty": penalty, "steps": 7, "ema": 50.0}
    small(tmp_path / "unbroken", **choices)
    watcher = StopAfter(3)
    first = small(tmp_path / "stopped", reporter=watcher, stop=watcher.stop, **choices)
    assert first.reason == "stopped"
    assert Run(tmp_path / "stopped").find_checkpoint().name == "step-000003"
    gadkit.train(resume=tmp_path / "stopped")
    for name in ("training.safetensors", "model.safetensors"):
        one, other = weights(tmp_path / "unbroken", name), weights(tmp_path / "stopped", name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name
    end = [gadkit.load(tmp_path / side, device="cpu").sample(num=2) for side in ("unbroken", "stopped")]
    assert torch.equal(end[0], end[1])


def test_a_run_can_be_continued_for_longer_and_its_log_has_no_doubles(tmp_path):
    small(tmp_path / "a", steps=4)
    with (tmp_path / "a" / "log.jsonl").open("a") as file:
        file.write(json.dumps({"step": 6, "seconds": 1.0}) + "\n")  # a line of a crashed continuation
    gadkit.train(resume=tmp_path / "a", steps=6)
    small(tmp_path / "b", steps=6)
    assert [line["step"] for line in logged(tmp_path / "a")] == [2, 4, 6]
    assert furthest(weights(tmp_path / "a"), weights(tmp_path / "b")) == 0


@pytest.mark.parametrize("discriminator", ["dcgan-clip", "dcgan-frame"])
@pytest.mark.parametrize("penalty", ["wgan-gp", "r1r2", "approx-r1r2"])
def test_accumulation_changes_nothing(tmp_path, discriminator, penalty):
    choices = {
        "discriminator": discriminator,
        "penalty": penalty,
        "set": {"trainer.norm_group": 2, "discriminator.norm": "batch"},
    }
    small(tmp_path / "whole", accumulate=1, **choices)
    small(tmp_path / "cut", accumulate=4, **choices)
    assert furthest(weights(tmp_path / "whole"), weights(tmp_path / "cut")) < 1e-9


def test_sharing_fakes_keeps_the_maths_of_making_them_twice(tmp_path):
    # Micro-batches make the videos twice, one pass keeps them: with one clip a statistics group both are the same step.
    small(tmp_path / "kept", set={"trainer.norm_group": 1}, accumulate=1)
    small(tmp_path / "twice", set={"trainer.norm_group": 1}, accumulate=8)
    assert furthest(weights(tmp_path / "kept"), weights(tmp_path / "twice")) < 1e-9


def test_a_fresh_batch_for_the_generator_is_another_step(tmp_path):
    small(tmp_path / "shared")
    small(tmp_path / "fresh", set={"direction.fresh": True})
    assert furthest(weights(tmp_path / "shared"), weights(tmp_path / "fresh")) > 1e-6


def test_the_discriminator_makes_as_many_steps_as_asked(tmp_path):
    small(tmp_path / "run", discriminator_steps=3, steps=2)
    state = json.loads((Run(tmp_path / "run").find_checkpoint() / "state.json").read_text())
    tensors = weights(tmp_path / "run")

    def count(player):
        return {float(tensors[entry["step"]["$tensor"]]) for entry in state["training"][player]["optimiser"]}

    assert count("discriminator") == {6.0}
    assert count("generator") == {2.0}


def test_the_average_is_an_exponential_one(tmp_path):
    small(tmp_path / "raw", steps=3, set={"trainer.ema": 0.0})
    raw, average = weights(tmp_path / "raw"), weights(tmp_path / "raw", "model.safetensors")
    assert all(torch.equal(raw[f"nets.{key}"], average[key]) for key in average if key.startswith("generator."))
    # Each single-step run gives the weights after one step; half-life min(4, .05·8) = .4 clips in the first step.
    small(tmp_path / "averaged", steps=1, set={"trainer.ema": 4.0})
    small(tmp_path / "one", steps=1, set={"trainer.ema": 0.0})
    start = small_initial()
    key = "generator.layers.0.weight" if "generator.layers.0.weight" in average else next(iter(average))
    after = weights(tmp_path / "one", "model.safetensors")[key]
    expected = start[key.removeprefix("generator.")].double() * 0.5 ** (8 / 0.4)
    expected = expected + after * (1 - 0.5 ** (8 / 0.4))
    torch.testing.assert_close(weights(tmp_path / "averaged", "model.safetensors")[key], expected, rtol=0, atol=1e-12)


def small_initial():
    """The generator's weights before the first step."""
    from gadkit import Key, VideoSpec
    from gadkit.randomness import seeded
    from gadkit.registry import get_registry

    cls = get_registry().find("generator", "dcgan").load()
    with seeded(Key.of(0, "train").fold("init", "generator")):
        video = VideoSpec(height=16, width=16, frames=8, fps=10.0)
        return cls(video, width=8, latent_dim=12, motion_dim=4).state_dict()


def test_labels_reach_both_players(tmp_path):
    small(tmp_path / "run", labels="own", penalty="r1r2", steps=2)
    model = gadkit.load(tmp_path / "run", device="cpu")
    assert model.classes == ("even", "odd")
    one, two = model.sample(labels=["even"], seed=3), model.sample(labels=[1], seed=3)
    assert not torch.equal(one, two)
    assert torch.equal(model.sample(num=2)[1:], model.sample(first=1))


def test_nothing_reads_the_device_between_logged_steps(tmp_path, monkeypatch):
    reads = []
    item, tolist = torch.Tensor.item, torch.Tensor.tolist
    steps = []

    class Watch(Reporter):
        def advanced(self, step):
            steps.append((step, len(reads)))

    def count(self, original):
        if threading.current_thread() is threading.main_thread() and self.requires_grad | self.is_floating_point():
            reads.append(self)
        return original(self)

    monkeypatch.setattr(torch.Tensor, "item", lambda self: count(self, item))
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: count(self, tolist))
    small(tmp_path / "run", steps=6, penalty="r1r2", reporter=Watch(), set={"run.log_every": 100})
    assert len({total for _, total in steps}) == 1


TWO = Path(__file__).with_name("two_processes.py")


def test_two_processes_equal_one(tmp_path):
    """Every loss, every penalty, with and without batch normalisation: ten float64 steps agree to 1e-9."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GADKIT_CACHE": str(tmp_path / "cache")}
    one = subprocess.Popen([sys.executable, str(TWO), str(tmp_path / "one")], env=environment)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*launch, str(TWO), str(tmp_path / "two")], env=environment, check=True, timeout=280)
    assert one.wait(timeout=280) == 0
    cases = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(cases) >= 13
    for case in cases:
        apart = furthest(weights(tmp_path / "one" / case), weights(tmp_path / "two" / case))
        assert apart < 1e-9, f"{case}: {apart}"
        losses = [[line["loss/discriminator"] for line in logged(tmp_path / side / case)] for side in ("one", "two")]
        assert losses[0] == pytest.approx(losses[1], abs=1e-9)


LOSSES = ["minimax", "nonsaturating", "hinge", "lsgan", "wasserstein", "rpgan"]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_penalty_goes_with_every_loss_and_with_labels(tmp_path, loss):
    for penalty in ("r1", "r1r2", "approx-r1r2", "wgan-gp"):
        small(tmp_path / penalty, loss=loss, penalty=penalty, labels="own", steps=1, batch_size=4)
        assert all(tensor.isfinite().all() for tensor in weights(tmp_path / penalty).values())
        assert logged(tmp_path / penalty)[-1]["penalty"] > 0


def colour(path, step):
    """The distance of the mean colour of generated videos from that of the data, in levels."""
    model = gadkit.load(path, checkpoint=str(step), device="cpu")
    made = model.sample(num=16, length=8).double().mean(dim=(0, 1, 3, 4))
    data = Squares(None)
    frames = [frame for source in data.sources() for frame in data.open(source).frames]
    return float((made - torch.tensor(np.stack(frames)).double().mean(dim=(0, 1, 2))).abs().mean())


@pytest.mark.parametrize(
    ("loss", "penalty", "rate", "steps"),
    [("nonsaturating", "r1", 2e-3, 120), ("rpgan", "r1r2", 2e-3, 120), ("hinge", "wgan-gp", 1e-3, 240)],
)
def test_training_brings_the_videos_closer_to_the_data(tmp_path, loss, penalty, rate, steps):
    settings = {"trainer.generator_lr": rate, "trainer.discriminator_lr": rate, "trainer.ema": 50.0}
    choices = {"loss": loss, "penalty": penalty, "precision": "fp32"}
    small(tmp_path / "first", steps=1, set=dict(settings), **choices)
    small(tmp_path / "run", steps=steps, set=dict(settings), **choices)
    before, after = colour(tmp_path / "first", 1), colour(tmp_path / "run", steps)
    assert after < 0.5 * before, (before, after)
