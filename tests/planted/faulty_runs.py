"""Components that break one promise each in a training, and trainers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gadkit import Footprint, Logits, Session, Training, VideoSpec
from gadkit.testing.small import SmallDiscriminator, SmallGenerator
from gadkit_plugins.gad.alternating import Alternating
from gadkit_plugins.minimax.losses import NonSaturating
from gadkit_plugins.minimax.trainer import MinimaxTrainer
from planted.table import planter

generator, discriminator, trainer = map(planter, ("generator", "discriminator", "trainer"))


@generator(
    "a schedule of its own, not resumed", "stopped after 5 steps and resumed", "never from a counter", aspect="training"
)
class WarmsUp(SmallGenerator):
    calls = 0

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        if not self.training:
            return super().forward(codes, labels)
        self.calls += 1
        return super().forward(codes * (1 + 1 / self.calls), labels)


@discriminator(
    "parameters with a gradient of zero", "every parameter of", "with a gradient that is not zero", aspect="training"
)
class Idles(SmallDiscriminator):
    def __init__(self, video: VideoSpec, *, logits: int = 1) -> None:
        super().__init__(video, logits=logits)
        self.idle = nn.Parameter(torch.ones(1))

    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Logits:
        return super().forward(video, labels, times) + 0 * self.idle


@planter("loss")("a gradient that is not its value's", "is that of its value", "detach nothing", aspect="gradients")
class HalfDetached(NonSaturating):
    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return super().generator((fake + fake.detach()) / 2, real)


@planter("direction")(
    "climbs in place of descending", "lowers the generator's loss", "turn the sign", aspect="gradients"
)
class Climbs(Alternating):
    def step(self, game: Any) -> None:
        for player in (game.discriminator, game.generator):
            player.update([-gradient for gradient in player.gradient(0)])


class _Changed:
    """A training as it is, but for what a subclass changes."""

    def __init__(self, training: Training) -> None:
        self._training = training

    def __getattr__(self, name: str) -> Any:
        return getattr(self._training, name)


class _WithoutState(_Changed):
    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        pass


class _WithObjects(_Changed):
    def state(self) -> dict[str, Any]:
        return {**self._training.state(), "kind": type(self)}


class _WithoutModels(_Changed):
    @property
    def models(self) -> Mapping[str, nn.Module]:
        return {"generator": self._training.models["generator"]}


class _WithoutValues(_Changed):
    def read(self) -> dict[str, float]:
        self._training.read()
        return {}


class _Handing:
    """A session that hands another training to the course than the trainer does."""

    def __init__(self, session: Session, changed: type[_Changed]) -> None:
        self._session, self._changed = session, changed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def course(self, training: Training) -> Any:
        return self._session.course(self._changed(training))


@trainer("no clips a step", "has batch_size, accumulate and group", "set them in __init__")
class NoBatch(MinimaxTrainer):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.batch_size = 0


@trainer("needs no assembler", "needs a generator and an assembler", "add them to `needs`")
class NeedsNoAssembler(MinimaxTrainer):
    needs = ("generator", "discriminator", "loss", "direction")


@trainer("does not say how it ended", "returns how that ended", "return course.ended")
class SaysNothing(MinimaxTrainer):
    def fit(self, session: Session) -> str:
        super().fit(session)
        return "done"


@trainer("an estimate that trains", "leaves every net as it was", "work on copies")
class EstimatesByTraining(MinimaxTrainer):
    def footprint(self, session: Session) -> Footprint:
        with torch.no_grad():
            next(session.generator.parameters()).mul_(1.1)
        return super().footprint(session)


@trainer("one model alone", "has the models `generator` and `assembler`", "hand over the nets themselves")
class OneModel(MinimaxTrainer):
    def fit(self, session: Session) -> str:
        return super().fit(_Handing(session, _WithoutModels))  # type: ignore[arg-type]


@trainer("a state of something else than numbers", "checkpoints are safetensors and JSON", "keep nothing else in it")
class StoresAnything(MinimaxTrainer):
    def fit(self, session: Session) -> str:
        return super().fit(_Handing(session, _WithObjects))  # type: ignore[arg-type]


@trainer("logs nothing", "logs values that are finite", "return means since the last call")
class LogsNothing(MinimaxTrainer):
    def fit(self, session: Session) -> str:
        return super().fit(_Handing(session, _WithoutValues))  # type: ignore[arg-type]


@trainer(
    "the optimisers' memory not saved",
    "stopped after 5 steps and resumed",
    "keep what the next step",
    aspect="training",
)
class ForgetsOptimisers(MinimaxTrainer):
    def fit(self, session: Session) -> str:
        return super().fit(_Handing(session, _WithoutState))  # type: ignore[arg-type]
