"""What the kit finds in trainings, samples and evaluations alone: each class breaks one promise."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar
from unittest import SkipTest

import pytest
import torch
from small_runs import own_registry
from torch import Tensor

from gadkit import Loss, Noise, Score, Session
from gadkit.registry import get_registry
from gadkit.testing import Broken, conformance
from gadkit.testing.elsewhere import elsewhere
from gadkit_plugins.gad.proximal import Proximal
from gadkit_plugins.metrics.frechet import FrechetVideoDistance
from gadkit_plugins.minimax.losses import NonSaturating
from gadkit_plugins.minimax.trainer import MinimaxTrainer


def run(cls: type[Any], aspect: str, **settings: Any) -> None:
    (check,) = (check for check in conformance(cls, **settings) if check.aspect == aspect)
    check()


class Late(NonSaturating):
    """Not finite from some call on, which a look at single calls does not see."""

    calls = itertools.count()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        value = super().generator(fake, real)
        return value if next(self.calls) < 4 else value * torch.inf


class GoesOn(MinimaxTrainer):
    """Makes its steps whether or not somebody asks for an end."""

    def fit(self, session: Session) -> str:
        session.stop.clear()
        wait, session.stop.is_set = session.stop.is_set, lambda: False
        try:
            return super().fit(session)
        finally:
            session.stop.is_set = wait


class DrawsByPieces(MinimaxTrainer):
    """Its noise depends on how the batch is cut."""

    def fit(self, session: Session) -> str:
        session.root = session.root.fold("pieces", self.accumulate)
        return super().fit(session)


class Stays(Proximal):
    """Moves latents by less than a pixel shows."""

    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return start + 1e-9 * (super().refine(score, start, noise) - start)


class Wanders(Proximal):
    """Adds the number of its call to what it makes."""

    calls = 0

    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        self.calls += 1
        return super().refine(score, start, noise) + 0.05 * self.calls


class NoNumber(FrechetVideoDistance):
    """Not a number once there are more than ten rows."""

    def compute(self) -> dict[str, Tensor]:
        return {key: value * torch.nan for key, value in super().compute().items()}


class AnotherNumber(FrechetVideoDistance):
    """Another number every time."""

    best: ClassVar[Any] = FrechetVideoDistance.best
    calls = itertools.count(1)

    def compute(self) -> dict[str, Tensor]:
        return {key: value + next(self.calls) for key, value in super().compute().items()}


@pytest.mark.parametrize(
    ("cls", "aspect", "found"),
    [
        (Late, "training", "with losses, values and weights that are finite"),
        (GoesOn, "training", "ends after the step under way when it is asked to"),
        (DrawsByPieces, "contract", "of a batch in one piece and in two micro-batches"),
        (Stays, "sampling", "moves what a model samples"),
        (Wanders, "sampling", "a seed means one refined video, sampled once or twice"),
        (NoNumber, "measuring", "gives finite numbers"),
        (AnotherNumber, "measuring", "made again, gives the same numbers"),
    ],
)
def test_what_shows_in_use_alone_is_found(cls: type[Any], aspect: str, found: str) -> None:
    with pytest.raises(Broken) as caught:
        run(cls, aspect)
    assert found in caught.value.promised


@pytest.mark.parametrize(
    ("cls", "aspect"),
    [
        (MinimaxTrainer, "contract"),
        (Proximal, "sampling"),
        (FrechetVideoDistance, "measuring"),
        (NonSaturating, "training"),
    ],
)
def test_the_same_without_the_fault_is_sound(cls: type[Any], aspect: str) -> None:
    run(cls, aspect)


def test_the_training_of_a_loss_has_as_many_logits_as_it_asks_for() -> None:
    class TwoLogits(Loss):
        """The difference of two logits, without saturation."""

        logits = 2

        def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
            assert real.shape[1] == 2
            return torch.nn.functional.softplus(fake - real).mean()

        def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
            return torch.nn.functional.softplus(-fake).mean()

    run(TwoLogits, "training")


X = torch.ones(3, 4, device="meta")


@pytest.mark.parametrize(
    "pinned",
    [
        lambda: X + torch.zeros(4),
        lambda: X @ torch.zeros(4, 2, device="cpu"),
        lambda: X.cpu(),
        lambda: X.numpy(),
        lambda: X.tolist(),
        lambda: torch.zeros(3, 4).copy_(X),
        lambda: torch.nn.functional.embedding(torch.arange(2), X),
        lambda: torch.cat((X, torch.zeros(1, 4))),
    ],
)
def test_what_stays_on_the_cpu_is_found_without_an_accelerator(pinned: Any) -> None:
    with pytest.raises(AssertionError, match="computes where its inputs and its parameters lie"), elsewhere("It"):
        pinned()


def test_what_any_device_takes_is_no_fault() -> None:
    with elsewhere("It") as device:
        made = X[:, torch.arange(2)] + torch.tensor(2.0)
        made = made + torch.zeros(2).to(device) + made.new_ones(2)
        with torch.autocast(device.type, enabled=False):
            assert not torch.is_autocast_enabled(device.type)
            made = made.exp()
    assert made.device.type == "meta"


@pytest.mark.parametrize("read", [lambda: X.sum().item(), lambda: X if X.any() else None, lambda: X[X > 0], X.unique])
def test_what_reads_numbers_cannot_be_followed(read: Any) -> None:
    with pytest.raises(SkipTest, match="reads numbers on the host"), elsewhere("It"):
        read()


def test_checks_that_are_listed_outlive_the_registry_that_they_were_listed_from() -> None:
    checks = conformance("hinge", kind="loss")
    with own_registry():
        for check in checks:
            if check.aspect == "training":
                check()
                return
    raise AssertionError("a loss has no training")


def test_checks_leave_no_trace(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GADKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    before = torch.get_rng_state()
    for check in conformance("hinge"):
        if check.kind == "loss":
            check()
    assert torch.equal(torch.get_rng_state(), before)
    assert not list(tmp_path.iterdir())
    assert get_registry().find("loss", "hinge")
