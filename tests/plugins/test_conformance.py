"""Every registered component keeps its interface's promises, and the kit catches those that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gadkit import Direction, Game, Loss, Noise, Penalty, Score, VideoSpec
from gadkit.registry import Entry, get_registry
from gadkit.testing import (
    CHECKS,
    check_assembler,
    check_augmentation,
    check_direction,
    check_discriminator,
    check_generator,
    check_loss,
    check_penalty,
    check_refiner,
)
from gadkit_plugins.assemblers.independent import Independent
from gadkit_plugins.assemblers.walk import Walk
from gadkit_plugins.augmentation.diffaugment import DiffAugment
from gadkit_plugins.dcgan.clip import ClipDiscriminator
from gadkit_plugins.dcgan.frame import FrameDiscriminator
from gadkit_plugins.dcgan.generator import Generator
from gadkit_plugins.gad.proximal import Proximal
from gadkit_plugins.minimax.losses import Hinge, Minimax, NonSaturating, RelativisticPairing
from gadkit_plugins.minimax.penalties import R1, ApproximateR1R2


def registered() -> list[Any]:
    return [
        pytest.param(kind, entry, id=f"{kind}-{entry.qualified}")
        for kind in CHECKS
        for entry in get_registry().entries(kind)
    ]


@pytest.mark.parametrize(("kind", "entry"), registered())
def test_registered_components_conform(kind: str, entry: Entry) -> None:
    CHECKS[kind](entry.load())


def test_the_bundled_components_are_registered() -> None:
    names = {kind: {entry.component.name for entry in get_registry().entries(kind)} for kind in CHECKS}
    assert names["generator"] >= {"dcgan", "dcgan-article"}
    assert names["discriminator"] >= {"dcgan-frame", "dcgan-clip", "dcgan-article"}
    assert names["assembler"] >= {"independent", "walk"}
    assert names["loss"] >= {"minimax", "nonsaturating", "hinge", "lsgan", "wasserstein", "rpgan"}
    assert names["penalty"] >= {"r1", "r1r2", "approx-r1r2", "wgan-gp"}
    assert names["augmentation"] >= {"diffaugment"}
    assert names["direction"] >= {"alternating", "simultaneous", "optimistic", "extragradient", "competitive"}
    assert names["refiner"] >= {"proximal", "flow"}


# Planted faults: each breaks one promise of a component that otherwise keeps them all.


class Small(Generator):
    """A generator that conforms."""

    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video, width=4, max_width=8, latent_dim=8, motion_dim=2, norm="none")


class OutOfRange(Small):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes, labels) + 1


class WrongLayout(Small):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes, labels).transpose(1, 2)


class MixesFrames(Small):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes.cumsum(1), labels)


class CountsFrames(Small):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes + torch.arange(codes.shape[1])[:, None] / 10, labels)


class DrawsGlobally(Small):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes + torch.randn(codes.shape), labels)


class ChangesCodes(Small):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        if not codes.requires_grad:
            codes.mul_(2)
        return super().forward(codes, labels)


class DetachesCodes(Small):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes.detach(), labels)


class HasIdleParameter(Small):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.idle = nn.Parameter(torch.zeros(1))


class HidesState(Small):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.hidden = torch.randn(8)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes + self.hidden, labels)


class SeedsItself(Small):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        nn.init.normal_(self.layers[0].weight, generator=torch.Generator().manual_seed(_fresh()))


_count = 0


def _fresh() -> int:
    global _count
    _count += 1
    return _count


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        (OutOfRange, r"lies in \[-1, 1\]"),
        (WrongLayout, "has the shape"),
        (MixesFrames, "declares context 0"),
        (CountsFrames, "not on its number in the block"),
        (DrawsGlobally, "global generator"),
        (ChangesCodes, "leaves its inputs as they are"),
        (DetachesCodes, "differentiable in the codes"),
        (HasIdleParameter, r"no gradient for \['idle'\]"),
        (HidesState, "after its state was saved and loaded"),
        (SeedsItself, "built twice from one seed"),
    ],
)
def test_faulty_generators_are_caught(cls: type[Generator], found: str) -> None:
    check_generator(Small)
    with pytest.raises(AssertionError, match=found):
        check_generator(cls)


class ForgetsTime(Walk):
    """Codes relative to the first time asked for: a second block starts anew."""

    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        return super().codes(noise, times - times[:, :1], labels, state)


class MovesContent(Independent):
    @property
    def moving(self) -> int:
        return self.latent_dim


class DependsOnNeighbours(Walk):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        codes, state = super().codes(noise, times, labels, state)
        return codes - codes.mean(dim=0), state


class IgnoresNoise(Walk):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        codes, state = super().codes(noise, times, labels, state)
        return codes.detach(), state


class DependsOnLength(Independent):
    def stream(self, generator: Any, noise: Noise, length: int, labels: Tensor | None = None) -> Any:
        return super().stream(generator, noise.fold(length), length, labels)


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        (ForgetsTime, "same codes in one call and in two"),
        (MovesContent, "holds all but the last motion_dim entries"),
        (DependsOnNeighbours, "do not depend on the videos beside it|holds all but"),
        (IgnoresNoise, "differentiable in the noise"),
        (DependsOnLength, "longer video begins with the shorter one"),
    ],
)
def test_faulty_assemblers_are_caught(cls: type[Walk], found: str) -> None:
    with pytest.raises(AssertionError, match=found):
        check_assembler(cls)


class SmallClip(ClipDiscriminator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video, width=4, max_width=8)


class ForgetsLogits(SmallClip):
    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return super().forward(video, labels, times).squeeze(1)


class CannotBeDifferentiatedTwice(SmallClip):
    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        return super().forward(video.sign(), labels, times) + video.flatten(1).sum(1, keepdim=True)


class UnsortedTimes(FrameDiscriminator):
    def times(self, noise: Noise) -> Tensor | None:
        return torch.tensor([[3, 1]]).expand(len(noise), 2)


class SharedTimes(FrameDiscriminator):
    def times(self, noise: Noise) -> Tensor | None:
        return (noise.samples.sum() % 5).reshape(1, 1).expand(len(noise), 1)


class ReadsMemory(SmallClip):
    """Reads the clip in the order of memory, which is the trainer's business."""

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Tensor:
        flat = torch.as_strided(video, video.shape, torch.empty(video.shape).stride())
        return super().forward(flat, labels, times)


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        (ForgetsLogits, r"has the shape \(3, 1\)"),
        (CannotBeDifferentiatedTwice, "can be differentiated again|no gradient for"),
        (UnsortedTimes, "ascending frame numbers"),
        (SharedTimes, "function of its own noise"),
        (ReadsMemory, "layout in memory"),
    ],
)
def test_faulty_discriminators_are_caught(cls: type[ClipDiscriminator], found: str) -> None:
    check_discriminator(SmallClip)
    with pytest.raises(AssertionError, match=found):
        check_discriminator(cls)


class ArticleAsPrinted(Minimax):
    """The article's formulas, minimised literally."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return -super().discriminator(real, fake)


class Overflows(NonSaturating):
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return -torch.log(torch.sigmoid(real)).mean() - torch.log(1 - torch.sigmoid(fake)).mean()


class Sums(Hinge):
    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -fake.sum()


class ClaimsZeroSum(RelativisticPairing):
    zero_sum = True

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return 2 * super().generator(fake, real)


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        (ArticleAsPrinted, "larger logits are more real"),
        (Overflows, "is finite|finite gradients"),
        (Sums, "mean over samples"),
        (ClaimsZeroSum, "zero_sum"),
    ],
)
def test_faulty_losses_are_caught(cls: type[Loss], found: str) -> None:
    with pytest.raises(AssertionError, match=found):
        check_loss(cls)


class NoGraph(R1):
    def __call__(self, critic: Any, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return super().__call__(critic, real, fake, noise).detach().requires_grad_()


class HalfGraph(ApproximateR1R2):
    """Forgets that the logits of the clips themselves depend on the parameters."""

    def __call__(self, critic: Any, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return super().__call__(lambda x: critic(x).detach() if x is real else critic(x), real, fake, noise)


class DrawsByBatch(ApproximateR1R2):
    def __call__(self, critic: Any, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return super().__call__(critic, real, fake, noise.fold(len(real)))


class SumsOverSamples(R1):
    def __call__(self, critic: Any, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return super().__call__(critic, real, fake, noise) * len(real)


class SaysOnce(R1):
    double_backward = False


@pytest.mark.parametrize(
    ("cls", "found"),
    [
        (NoGraph, "finite gradient with respect to the discriminator's parameters"),
        (HalfGraph, "gradient is that of its value"),
        (DrawsByBatch, "whose draws do not depend on the batch"),
        (SumsOverSamples, "mean over samples"),
        (SaysOnce, "says in double_backward"),
    ],
)
def test_faulty_penalties_are_caught(cls: type[Penalty], found: str) -> None:
    with pytest.raises(AssertionError, match=found):
        check_penalty(cls)


class StandsStill(Direction):
    """More of them: `test_direction_conformance.py`."""

    def step(self, game: Game) -> None:
        game.discriminator.update(game.discriminator.gradient(0))


class ChangesAnyway(DiffAugment):
    """More of them: `test_augmentation_conformance.py`."""

    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        return super().__call__(video, noise, strength + 1)


class LosesType(Proximal):
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        return super().refine(score, start.double(), noise)


@pytest.mark.parametrize("check", list(CHECKS.values()), ids=list(CHECKS))
def test_messages_say_what_to_do(check: Callable[..., None]) -> None:
    faulty = {
        check_generator: OutOfRange,
        check_assembler: ForgetsTime,
        check_discriminator: ForgetsLogits,
        check_loss: Sums,
        check_penalty: NoGraph,
        check_augmentation: ChangesAnyway,
        check_direction: StandsStill,
        check_refiner: LosesType,
    }[check]
    with pytest.raises(AssertionError, match=r"(?s)^Promised: .+\. Found: .+\. To mend it: .+\.$"):
        check(faulty)
