"""Assemblers that break one promise each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gadkit import Generator, Noise, VideoAssembler, VideoSpec
from gadkit_plugins.assemblers.independent import Independent
from gadkit_plugins.assemblers.walk import Walk
from planted.table import planter

plant = planter("assembler")

Codes = tuple[Tensor, Any]


class Recurrent(VideoAssembler):
    """Sound: a state that decays from frame to frame, moved by fresh noise through a small map and a label's shade."""

    def __init__(self, video: VideoSpec, latent_dim: int, motion_dim: int) -> None:
        super().__init__(video, latent_dim, motion_dim)
        self.map = nn.Linear(self.moving, self.moving)
        self.shade = nn.Embedding(max(video.classes, 1), self.moving)

    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> Codes:
        at = times.floor().to(torch.int64)
        number, memory = state if state is not None else (0, torch.zeros(len(noise), self.moving).to(self.map.weight))
        made, last = [memory], int(at.max())
        if last >= number:
            moves = self.map(noise.normal("motion", self.moving, torch.arange(number, last + 1)))
            for move in (moves + self.tint(noise, labels).unsqueeze(1)).unbind(1):
                made.append(0.9 * made[-1] + move)
        motion = torch.stack(made, 1)[torch.arange(len(at)).unsqueeze(1), at - number + 1]
        return self.with_content(noise, motion), (last + 1, made[-1])

    def tint(self, noise: Noise, labels: Tensor | None) -> Tensor:
        return self.shade(torch.zeros(len(noise), dtype=torch.int64) if labels is None else labels)


@plant("codes relative to the first time asked for", "in one call and in two", "count times from 0")
class ForgetsTime(Walk):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> Codes:
        return super().codes(noise, times - times[:, :1], labels, state)


@plant("a content that moves", "holds all but the last motion_dim entries", "self.with_content(noise, motion)")
class MovesContent(Independent):
    @property
    def moving(self) -> int:
        return self.latent_dim


@plant("a content of its own", "draws its content for the purpose `content`", "self.with_content(noise, motion)")
class DrawsItsContent(Independent):
    def with_content(self, noise: Noise, motion: Tensor) -> Tensor:
        still = self.latent_dim - self.moving
        content = noise.normal("own content", still) if still else motion[:, 0, :0]
        return torch.cat((content.unsqueeze(1).expand(-1, motion.shape[1], -1), motion), dim=2)


@plant("depends on batch neighbours", "do not depend on the videos beside it", "compute nothing over the batch")
class LooksAside(Walk):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> Codes:
        codes, state = super().codes(noise, times, labels, state)
        return codes - codes.mean(dim=0), state


@plant("noise detached", "differentiable in the noise", "without detach or no_grad")
class DetachesNoise(Walk):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> Codes:
        codes, state = super().codes(noise, times, labels, state)
        return codes.detach(), state


@plant("seed of its own for the noise", "differentiable in the noise", "draw from the argument `noise`")
class IgnoresNoise(Walk):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> Codes:
        own = Noise(noise.key.fold("own"), noise.samples, dtype=noise.dtype)
        still = self.latent_dim - self.moving
        codes, state = super().codes(own, times, labels, state)
        content = noise.normal("content", still).detach() if self.motion_dim else codes[:, 0, :0]
        return torch.cat(
            (content.unsqueeze(1).expand(-1, codes.shape[1], -1), codes[:, :, content.shape[1] :]), 2
        ), state


@plant("prefix broken: the length matters", "a longer video begins with the shorter one", "never of the length")
class DependsOnLength(Independent):
    def stream(
        self, generator: Generator, noise: Noise, length: int, labels: Tensor | None = None, start: int = 0
    ) -> Iterator[Tensor]:
        return super().stream(generator, noise.fold(length), length, labels, start)


@plant("a later start is another video", "from a later frame on is the rest", "leave `stream` to the base class")
class DependsOnStart(Independent):
    def stream(
        self, generator: Generator, noise: Noise, length: int, labels: Tensor | None = None, start: int = 0
    ) -> Iterator[Tensor]:
        return super().stream(generator, noise.fold(start) if start else noise, length, labels, start)


@plant("length ignored", "yields the frames that it was asked for", "cut its last block")
class WholeBlocks(Independent):
    def stream(
        self, generator: Generator, noise: Noise, length: int, labels: Tensor | None = None, start: int = 0
    ) -> Iterator[Tensor]:
        more = 0 if generator.context == "fixed" else -length % 16
        return super().stream(generator, noise, length + more, labels, start)


@plant("one code too few", ".codes has the shape (3, 9, 6)", "a code for every time")
class OneTooFew(Walk):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> Codes:
        codes, state = super().codes(noise, times, labels, state)
        return codes[:, 1:], state


@plant("float64 kept out", "gives float64 for float64", "without `.float()`")
class CastsToSingle(Walk):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> Codes:
        codes, state = super().codes(noise, times, labels, state)
        return codes.float(), state


@plant("in-place change of the times", "leaves its inputs as they are", "work on a copy")
class RoundsTimes(Independent):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> Codes:
        at = times.floor_() if times.is_floating_point() else times
        return super().codes(noise, at, labels, state)


@plant("hidden global randomness", "PyTorch's global generator", "draw from the noise or the codes")
class DrawsGlobally(Walk):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> Codes:
        codes, state = super().codes(noise, times, labels, state)
        return codes + torch.randn(()), state


@plant("continuous, it says", ".continuous says", "set `continuous` to what holds")
class ClaimsContinuity(Independent):
    continuous = True


@plant("not continuous, it says", ".continuous says", "take times.floor()")
class DeniesContinuity(Walk):
    continuous = False


@plant("a state kept in self", "goes on from a state as often as it is asked to", "keep nothing in self")
class KeepsStateInSelf(Recurrent):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> Codes:
        codes, self._state = super().codes(noise, times, labels, None if state is None else self._state)
        return codes, "kept"


@plant("a state changed in place", "goes on from a state as often as it is asked to", "change no state that was handed")
class ChangesState(Recurrent):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> Codes:
        codes, new = super().codes(noise, times, labels, state)
        if state is not None:
            with torch.no_grad():
                state[1].copy_(new[1])
        return codes, new


@plant("parameters without gradient", "takes part in its output", "use it, drop it, or set requires_grad to False")
class IdleParameter(Recurrent):
    def __init__(self, video: VideoSpec, latent_dim: int, motion_dim: int) -> None:
        super().__init__(video, latent_dim, motion_dim)
        self.idle = nn.Linear(2, 2)


@plant("state not saved", "the same after its state was saved and loaded", "register_buffer")
class HidesState(Recurrent):
    def __init__(self, video: VideoSpec, latent_dim: int, motion_dim: int) -> None:
        super().__init__(video, latent_dim, motion_dim)
        self.hidden = torch.randn(self.moving)

    def tint(self, noise: Noise, labels: Tensor | None) -> Tensor:
        return super().tint(noise, labels) + self.hidden.to(self.map.weight)


@plant("initialisation from its own generator", "which the run seeds for it", "leave out `generator=`")
class SeededByItself(Recurrent):
    def __init__(self, video: VideoSpec, latent_dim: int, motion_dim: int) -> None:
        super().__init__(video, latent_dim, motion_dim)
        nn.init.normal_(self.map.weight, generator=torch.Generator().manual_seed(7))


@plant("the first video's times for all", "do not depend on the videos beside it", "each row's own label and times")
class TimesOfTheFirst(Walk):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> Codes:
        return super().codes(noise, times[:1].expand_as(times), labels, state)


@plant("prefix broken in long videos alone", "a longer video begins with the shorter one", "never of the length")
class DependsOnLongLengths(Independent):
    def stream(
        self, generator: Generator, noise: Noise, length: int, labels: Tensor | None = None, start: int = 0
    ) -> Iterator[Tensor]:
        return super().stream(generator, noise if length < 100 else noise.fold("long"), length, labels, start)
