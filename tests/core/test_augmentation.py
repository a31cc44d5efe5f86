"""Augmentation in the critic and in a game: where it acts, what it is drawn from, how an adaptive strength moves."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import SETTINGS, config, same_tensors, small
from torch import Tensor, nn

import gadkit
from gadkit import Augmentation, ConfigError, Discriminator, Key, Noise, VideoSpec
from gadkit.checkpoints.store import read_tensors
from gadkit.engine import Augmenter, BoundCritic, Engine
from gadkit.runs.folder import Run
from gadkit.runs.reporter import Reporter

SHAPE = (2, 3, 4, 4)  # N, C, H, W
#: A strength that grows in nearly every step of a short run.
ADAPTIVE = {"augmentation.target": -0.5, "augmentation.ramp": 40.0}


class Tint(Augmentation):
    """x + strength * u * (x + 1), with a u of each clip's own; notes what it is called with."""

    calls: list[tuple[int, list[int], float, Tensor]] = []

    def __init__(self, *, strength: float = 1.0, target: float | None = None, ramp: float = 40.0) -> None:
        self.strength, self.target, self.ramp = strength, target, ramp

    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        self.calls.append((noise.key.value, noise.samples.tolist(), float(strength), video.detach().clone()))
        return video + strength * factors(noise) * (video + 1)


def factors(noise: Noise) -> Tensor:
    return noise.uniform("tint", 1).view(-1, 1, 1, 1, 1)


class Square(Discriminator):
    """D(x) = w |x|^2 / 2, whose gradient is w x; counts its clips."""

    def __init__(self) -> None:
        super().__init__(VideoSpec(height=4, width=4, frames=2))
        self.weight = nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
        self.judged = 0

    def features(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return video.flatten(1)

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        self.judged += 1
        return self.weight * video.square().flatten(1).sum(1, keepdim=True) / 2


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine("cpu", "fp64")


@pytest.fixture(autouse=True)
def forget() -> None:
    Tint.calls = []


def clips(batch: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, *SHAPE, generator=generator, dtype=torch.float64) * 2 - 1


def noise(batch: int = 4) -> Noise:
    return Noise(Key.of(1), torch.arange(batch), dtype=torch.float64)


def bound(engine: Engine, discriminator: Discriminator, **settings: Any) -> BoundCritic:
    augmenter = Augmenter(Tint(**settings), engine, 4)
    augmenter.begin()
    return BoundCritic(discriminator, augment=augmenter.bind(noise()))


# --- in the critic ---------------------------------------------------------------------------------------------------


def test_gradients_are_taken_at_the_clips_as_they_were(engine):
    """D(Ax) with A affine: its gradient at x is A' w Ax, and a penalty's own gradient that of its closed form."""
    net, real = Square(), clips().requires_grad_()
    critic = bound(engine, net, strength=0.5)
    (slope,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)
    u = 0.5 * factors(noise().fold("augmentation"))
    seen = real + u * (real + 1)
    torch.testing.assert_close(slope, (1 + u) * net.weight * seen, rtol=1e-12, atol=0)
    (moved,) = torch.autograd.grad(slope.square().sum(), net.weight)
    expected = 2 * net.weight * ((1 + u) * seen).square().sum()
    torch.testing.assert_close(moved, expected, rtol=1e-12, atol=0)


def test_each_clip_is_changed_and_judged_once(engine):
    net, real, fake = Square(), clips(), clips(seed=1)
    critic = bound(engine, net)
    for _ in range(2):
        critic(real), critic.heads(fake), critic(real)
    assert net.judged == len(Tint.calls) == 2
    again = critic.anew()
    assert torch.equal(again(real), critic(real))
    assert net.judged == 3


def test_a_critic_is_one_function(engine):
    """A penalty by finite differences judges a clip and the clip moved: with other draws they would be worlds apart."""
    critic = bound(engine, Square())
    real, along = clips().requires_grad_(), clips(seed=2)
    (slope,) = torch.autograd.grad(critic(real).sum(), real)
    measured = (critic(real.detach() + 1e-6 * along) - critic(real.detach() - 1e-6 * along)) / 2e-6
    torch.testing.assert_close(measured.detach(), (slope * along).flatten(1).sum(1), rtol=1e-6, atol=1e-8)


def test_without_an_augmentation_nothing_happens(engine):
    augmenter = Augmenter(None, engine, 4)
    augmenter.begin()
    assert augmenter.bind(noise()) is None
    augmenter.see({"": torch.ones(4, 1)}, {"": torch.zeros(4, 1)})
    augmenter.end()
    augmenter.load_state_dict(augmenter.state_dict())
    assert augmenter.state_dict() == {}
    assert float(augmenter.strength) == 0


def test_an_augmentation_of_the_wrong_shape_is_named(engine):
    class Crops(Tint):
        def __call__(self, video, noise, strength):
            return video[..., 1:]

    augmenter = Augmenter(Crops(), engine, 4)
    augmenter.begin()
    with pytest.raises(
        ConfigError, match=r"augmentation: its clips are torch\.float64 \(4, 2, 3, 4, 3\), expected .*4\)"
    ):
        BoundCritic(Square(), augment=augmenter.bind(noise()))(clips())


# --- an adaptive strength --------------------------------------------------------------------------------------------


def logits(share: float, count: int = 10) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Pairs of which the discriminator tells a share apart, on two heads."""
    real = torch.where(torch.arange(count) < share * count, 1.0, -1.0).double().unsqueeze(1)
    return {"a": real, "b": real.expand(count, 3)}, {"a": real * 0, "b": real.expand(count, 3) * 0}


def follow(shares: list[float], target: float, step: float, most: float = 1.0) -> list[float]:
    """The strength after each step, in plain numbers."""
    mean, strength, found = target, 0.0, []
    for share in shares:
        mean += (2 * share - 1 - mean) / 4
        strength += step * ((mean > target) - (mean < target))
        strength = min(max(strength, 0.0), most)
        found.append(strength)
    return found


@pytest.mark.parametrize("most", [1.0, 0.3])
def test_it_rises_where_the_discriminator_separates_and_falls_where_not(engine, most):
    shares = [1.0] * 12 + [0.9, 0.2] * 2 + [0.1] * 16 + [1.0] * 8
    augmenter = Augmenter(Tint(strength=most, target=0.6, ramp=40.0), engine, 4)
    found = []
    for share in shares:
        augmenter.begin()
        augmenter.see(*logits(share))
        augmenter.end()
        found.append(float(augmenter.strength))
    assert found == pytest.approx(follow(shares, 0.6, 4 / 40.0, most), abs=1e-12)
    assert found[:2] == pytest.approx([0.1, 0.2])
    assert max(found) == most
    assert found[-8] == 0.0
    assert found[-1] > 0.0


def test_signs_are_of_differences(engine):
    """What is added to all logits, which a relativistic loss leaves open, changes nothing; ties count as none."""
    for shift in (-100.0, 0.0, 100.0):
        augmenter = Augmenter(Tint(target=0.0, ramp=4.0), engine, 1)
        augmenter.begin()
        real, fake = torch.tensor([[2.0], [1.0], [0.0]]).double(), torch.tensor([[1.0], [1.0], [1.0]]).double()
        augmenter.see({"": real + shift}, {"": fake + shift})
        augmenter.end()
        assert float(augmenter.state_dict()["mean"]) == 0.0
        assert float(augmenter.strength) == 0.0


def test_micro_batches_are_one_batch(engine):
    real, fake = clips(12).flatten(1)[:, :1], clips(12, seed=1).flatten(1)[:, :1]
    ends = []
    for pieces in (1, 2, 3):
        augmenter = Augmenter(Tint(target=0.1, ramp=40.0), engine, 12)
        augmenter.begin()
        for rows in torch.arange(12).chunk(pieces):
            augmenter.see({"": real[rows]}, {"": fake[rows]})
        augmenter.end()
        ends.append([float(value) for value in augmenter.state_dict().values()])
    assert ends[0] == ends[1] == ends[2]
    assert ends[0][1] != 0.1


def test_logits_that_overflowed_leave_a_number(engine):
    augmenter = Augmenter(Tint(target=0.5), engine, 4)
    augmenter.begin()
    augmenter.see({"": torch.tensor([[math.inf], [math.nan], [1.0]])}, {"": torch.tensor([[math.inf], [0.0], [0.0]])})
    augmenter.end()
    assert all(bool(value.isfinite()) for value in augmenter.state_dict().values())


def test_a_strength_that_is_set_follows_its_schedule(engine):
    tint = Tint(strength=0.25)
    augmenter = Augmenter(tint, engine, 4)
    for value in (0.25, 0.75):
        tint.strength = value
        augmenter.begin()
        augmenter.see(*logits(1.0))
        augmenter.end()
        assert float(augmenter.strength) == value
    tint.strength = 1.5
    with pytest.raises(ConfigError, match=r"augmentation\.strength: found 1\.5"):
        augmenter.begin()


def test_its_state_is_all_of_it(engine):
    def steps(augmenter: Augmenter, shares: list[float]) -> list[float]:
        for share in shares:
            augmenter.begin()
            augmenter.see(*logits(share))
            augmenter.end()
        return [float(value) for value in augmenter.state_dict().values()]

    first, second = (Augmenter(Tint(target=0.6), engine, 4) for _ in range(2))
    steps(first, [1.0, 1.0, 1.0, 0.1])
    second.load_state_dict(first.state_dict())
    assert steps(first, [0.9, 0.7]) == steps(second, [0.9, 0.7])
    assert steps(first, [1.0])[0] > 0


# --- in a game -------------------------------------------------------------------------------------------------------


def end(run: Path) -> dict[str, Tensor]:
    return read_tensors(Run(run).find_checkpoint(), "training.safetensors")


def nets(run: Path) -> dict[str, Tensor]:
    return {name: value for name, value in end(run).items() if name.startswith("nets.")}


def test_a_strength_of_0_is_no_augmentation_bit_for_bit(tmp_path):
    choices = {"loss": "rpgan", "penalty": "r1r2", "steps": 3}
    small(tmp_path / "none", **choices)
    for name, strength in (("zero", 0.0), ("one", 1.0)):
        small(
            tmp_path / name,
            augmentation="diffaugment",
            set=SETTINGS | {"augmentation.strength": strength},
            **choices,
        )
    assert same_tensors(nets(tmp_path / "none"), nets(tmp_path / "zero"))
    assert not same_tensors(nets(tmp_path / "none"), nets(tmp_path / "one"))


@pytest.mark.parametrize("fresh", [False, True])
def test_both_players_meet_one_game(tmp_path, fresh):
    """The draws are a function of (step, draw): the same for both players, others for the next step."""
    small(tmp_path / "run", augmentation=Tint, penalty="none", loss="rpgan", set=SETTINGS | {"direction.fresh": fresh})
    trained = [call for call in Tint.calls if len(call[1]) == 4][-8:]  # memory was measured with two clips before
    keys = {(key, tuple(samples)) for key, samples, _, _ in trained}
    assert len(keys) == (4 if fresh else 2)  # in two steps
    per_step = [{tuple(samples) for _, samples, _, _ in part} for part in (trained[:4], trained[4:])]
    assert not per_step[0] & per_step[1]
    # The discriminator's step judges real and generated clips, and the generator's does.
    assert all(trained[i][1] == trained[i + 1][1] for i in range(0, 8, 2))


def test_a_penalty_in_full_precision_sees_the_same_change(tmp_path):
    """In fp16 it judges the clips once more, outside autocast."""
    small(tmp_path / "run", augmentation=Tint, penalty="r1", precision="fp16", steps=1)
    *_, real, fake, again, own = [call for call in Tint.calls if len(call[1]) == 4]
    assert real[:2] == fake[:2] == again[:2] == own[:2]
    assert torch.equal(real[3], again[3])
    assert not torch.equal(real[3], fake[3])


def test_clips_alone_are_changed_not_samples(tmp_path):
    small(tmp_path / "run", augmentation=Tint)
    Tint.calls = []
    model = gadkit.load(tmp_path / "run", device="cpu")
    model.sample(num=1, refine=1)
    assert Tint.calls == []
    assert "augmentation" not in model.document


def test_it_is_logged_and_chosen_by_name(tmp_path):
    small(tmp_path / "run", augmentation="diffaugment", set=SETTINGS | {"augmentation.strength": 0.5})
    assert Run(tmp_path / "run").read_log()[-1]["augmentation/strength"] == 0.5
    assert config(tmp_path / "run")["augmentation"]["use"] == "gadkit:diffaugment"
    small(tmp_path / "none", augmentation="none")
    assert "augmentation/strength" not in Run(tmp_path / "none").read_log()[-1]
    assert config(tmp_path / "none")["augmentation"] == {"use": "none"}


def test_a_schedule_moves_it(tmp_path):
    strengths = {"augmentation.strength": {"start": 0.0, "end": 0.5, "steps": 2}}
    small(tmp_path / "run", augmentation="diffaugment", steps=3, set=SETTINGS | strengths | {"run.log_every": 1})
    assert [line["augmentation/strength"] for line in Run(tmp_path / "run").read_log()] == [0.0, 0.25, 0.5]


class StopAfter(Reporter):
    """Asks for an early end once a step was made."""

    def __init__(self, step: int) -> None:
        self.step, self.stop = step, threading.Event()

    def advanced(self, step: int) -> None:
        if step == self.step:
            self.stop.set()


def test_a_stopped_run_goes_on_exactly(tmp_path):
    settings = SETTINGS | ADAPTIVE | {"run.log_every": 1}
    choices = {"augmentation": "diffaugment", "loss": "rpgan", "penalty": "r1", "steps": 8, "set": settings}
    small(tmp_path / "unbroken", **choices)
    watcher = StopAfter(4)
    assert small(tmp_path / "stopped", reporter=watcher, stop=watcher.stop, **choices).reason == "stopped"
    gadkit.train(resume=tmp_path / "stopped")
    assert same_tensors(end(tmp_path / "unbroken"), end(tmp_path / "stopped"))
    one, other = (
        [line["augmentation/strength"] for line in Run(tmp_path / name).read_log()] for name in ("unbroken", "stopped")
    )
    assert one == other
    assert len(set(one[4:])) > 1  # it moves after the stop
    assert one[4] > 0  # and did before


def test_a_run_from_before_may_begin_to_augment(tmp_path):
    small(tmp_path / "run", steps=2)
    more = {"augmentation": "diffaugment", "set": {"augmentation.target": 0.5}, "allow_changes": True}
    gadkit.train(resume=tmp_path / "run", steps=4, **more)
    assert "augmentation/strength" in Run(tmp_path / "run").read_log()[-1]
    with pytest.raises(ConfigError, match=r"augmentation\.use"):
        gadkit.train(resume=tmp_path / "run", steps=5, augmentation="none")


@pytest.mark.parametrize("penalty", ["r1r2", "approx-r1r2"])
def test_micro_batches_change_nothing(tmp_path, penalty):
    choices = {"augmentation": "diffaugment", "loss": "rpgan", "penalty": penalty, "precision": "fp64", "steps": 4}
    settings = SETTINGS | ADAPTIVE | {"trainer.norm_group": 2}
    small(tmp_path / "whole", set=settings, **choices)
    small(tmp_path / "cut", set=settings, accumulate=2, **choices)
    one, other = end(tmp_path / "whole"), end(tmp_path / "cut")
    names = [name for name in one if name.startswith(("nets.", "training.augmentation"))]
    assert any("augmentation" in name for name in names)
    assert max(float((one[name].double() - other[name].double()).abs().max()) for name in names) < 1e-9


@pytest.mark.parametrize("direction", ["competitive", "extragradient"])
def test_directions_differentiate_through_it(tmp_path, direction):
    """Twice and on one graph, or at two points of one step."""
    choices = {"loss": "minimax", "penalty": "none", "direction": direction}
    for name in ("none", "diffaugment"):
        small(tmp_path / name, augmentation=name, **choices)
    found = nets(tmp_path / "diffaugment")
    assert all(bool(value.isfinite().all()) for value in found.values())
    assert not same_tensors(found, nets(tmp_path / "none"))
