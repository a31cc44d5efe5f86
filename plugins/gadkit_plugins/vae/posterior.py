"""The posterior of an assembler's draws: a normal distribution of every number that it asks its noise for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gadkit import ConfigError, Generator, Key, Noise, VideoAssembler, VideoSpec

#: What a draw is for: the parts by which the noise was folded, and the purpose.
Path = tuple[str | int, ...]

#: Clips whose codes are made to learn what they depend on: which places that are may be drawn, too.
_TRIED = 64


@dataclass(frozen=True)
class Group:
    """The normals that an assembler draws for one purpose while it makes the codes of a clip.

    Attributes:
        path: What they are for.
        places: Where they are drawn, int64 `(P,)`, ascending, on the CPU; a draw without a place is at 0.
        size: S, how many a place.
    """

    path: Path
    places: Tensor
    size: int

    @property
    def name(self) -> str:
        """The purpose in words, `"content"`; below folds `"inner/content"`."""
        return "/".join(map(str, self.path))

    @property
    def numbers(self) -> int:
        """P * S."""
        return len(self.places) * self.size


@dataclass(frozen=True)
class _Drawn:
    """One call for normals: what for, at which places, int64 `(V, N)`, and the numbers, a leaf `(V, ..., size)`."""

    path: Path
    places: Tensor
    numbers: Tensor


class _Recorder(Noise):
    """Noise that notes which normals are drawn from it."""

    def __init__(self, noise: Noise, path: Path = (), found: list[_Drawn] | None = None) -> None:
        super().__init__(noise.key, noise.samples, device=noise.device, dtype=noise.dtype)
        self._path = path
        self.found: list[_Drawn] = [] if found is None else found

    def fold(self, *parts: str | int) -> _Recorder:
        """See `Noise.fold`."""
        return _Recorder(super().fold(*parts), (*self._path, *parts), self.found)

    def normal(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        """See `Noise.normal`."""
        numbers = super().normal(purpose, size, at).requires_grad_()
        places = torch.zeros(1, dtype=torch.int64) if at is None else at.cpu()
        self.found.append(_Drawn((*self._path, purpose), places.expand(len(self), -1), numbers))
        return numbers


def for_clips(net: nn.Module, video: VideoSpec, count: int) -> tuple[Noise, Tensor | None]:
    """Noise and labels for clips, where a net is and in its type: to learn what it does with them."""
    like, samples = next(net.parameters(), torch.zeros(())), torch.arange(count)
    noise = Noise(Key.of(0, "vae"), samples, device=like.device, dtype=like.dtype)
    return noise, (samples % video.classes).to(like.device) if video.classes else None


def groups_of(assembler: VideoAssembler, generator: Generator) -> list[Group]:
    """Which normals the codes of a clip of the training length depend on, learned by making those of a few.

    An assembler may draw more than it uses, such as the inputs of a whole block of frames: places that no code of any
    of them depends on are left out, of a purpose of which any place is used.

    Args:
        assembler: Draws.
        generator: Whose context says how many codes a clip takes.

    Raises:
        ConfigError: It draws none, so that there is nothing to infer.
    """
    noise, labels = for_clips(assembler, assembler.video, _TRIED)
    recorder = _Recorder(noise)
    context = 0 if generator.context == "fixed" else generator.context
    times = torch.arange(assembler.video.frames + context).expand(_TRIED, -1)
    with torch.enable_grad():
        codes, _ = assembler.codes(recorder, times, labels)
    if not recorder.found:
        raise ConfigError(
            f"assembler: {type(assembler).__name__} draws no normals from its noise, and these are what trainer 'vae' "
            "infers from a clip; choose another --assembler or --trainer."
        )
    leaves = [drawn.numbers for drawn in recorder.found]
    slopes = torch.autograd.grad(codes.square().sum(), leaves, materialize_grads=True)
    drawn: dict[Path, set[int]] = {}
    used: dict[Path, set[int]] = {}
    sizes: dict[Path, int] = {}
    for each, slope in zip(recorder.found, slopes, strict=True):
        reached = slope.view(*each.places.shape, -1).any(dim=2).cpu()
        drawn.setdefault(each.path, set()).update(each.places.flatten().tolist())
        used.setdefault(each.path, set()).update(each.places[reached].tolist())
        sizes[each.path] = max(sizes.get(each.path, 0), each.numbers.shape[-1])
    return [
        Group(path, torch.tensor(sorted(used[path] or drawn[path]), dtype=torch.int64), size)
        for path, size in sizes.items()
    ]


@dataclass
class Divergence:
    """The Kullback-Leibler divergence of a group's posterior from its prior.

    Attributes:
        name: The group's.
        nats: `(B, P, S)`, of every number on its own.
        asked: bool `(B, P)` on the same device: which places took part; `None` for all.
    """

    name: str
    nats: Tensor
    asked: Tensor | None

    @property
    def total(self) -> Tensor:
        """Of a clip, `(B,)`: the sum over everything that took part."""
        nats = self.nats if self.asked is None else self.nats * self.asked.unsqueeze(-1)
        return nats.sum(dim=(1, 2))


@dataclass
class Latent:
    """The posterior of one group: independent normals.

    Attributes:
        group: Which draws.
        mean: `(B, P, S)`.
        log_variance: `(B, P, S)`, natural logarithm.
        asked: bool `(B, P)` on the CPU: which places were drawn so far.
    """

    group: Group
    mean: Tensor
    log_variance: Tensor
    asked: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.deviation = (0.5 * self.log_variance).exp()
        self.asked = torch.zeros(self.mean.shape[:2], dtype=torch.bool)

    def take(self, drawn: Tensor, at: Tensor | None) -> Tensor:
        """Draws of the prior turned into draws of the posterior, mean + deviation * draw.

        Args:
            drawn: Standard normals, `(B, N, size)`; `(B, size)` where `at` is `None`.
            at: int64 `(B, N)` or `(N,)`, their places.

        Returns:
            The same shape; what stands at other places, or is wider than the group, as it was drawn.
        """
        if at is None:
            return self.take(drawn.unsqueeze(1), torch.zeros(1, dtype=torch.int64)).squeeze(1)
        size, places = drawn.shape[2], self.group.places
        if size > self.group.size:
            return drawn
        at = at.cpu().expand(len(drawn), -1).contiguous()
        index = torch.searchsorted(places, at).clamp(max=len(places) - 1)
        known = places[index] == at
        rows, columns = known.nonzero(as_tuple=True)
        self.asked[rows, index[rows, columns]] = True
        mean, deviation = self.mean[..., :size], self.deviation[..., :size]
        if at.shape[1] != len(places) or not bool((index == torch.arange(len(places))).all()):
            row, index = torch.arange(len(at)).unsqueeze(1), index.to(mean.device)
            mean, deviation = mean[row, index], deviation[row, index]
        inferred = mean + deviation * drawn
        return inferred if bool(known.all()) else torch.where(known.to(drawn.device).unsqueeze(-1), inferred, drawn)

    def divergence(self) -> Divergence:
        """KL(N(mean, variance) || N(0, 1)) = (mean^2 + variance - 1 - log variance) / 2 (Kingma & Welling 2014, B)."""
        nats = 0.5 * (self.mean.square() + self.log_variance.expm1() - self.log_variance)
        asked = None if bool(self.asked.all()) else self.asked.to(nats.device)
        return Divergence(self.group.name, nats, asked)


class Posterior:
    """q(draws | clip) of B clips: what the encoder says.

    Args:
        latents: Of each group.
    """

    def __init__(self, latents: Sequence[Latent]) -> None:
        self.latents: Mapping[Path, Latent] = {latent.group.path: latent for latent in latents}

    def noise(self, prior: Noise) -> PosteriorNoise:
        """Noise whose normals come from the posterior: mean + deviation * what `prior` draws there."""
        return PosteriorNoise(prior, self)

    def divergences(self) -> list[Divergence]:
        """Of the draws that were asked for."""
        return [latent.divergence() for latent in self.latents.values()]


class PosteriorNoise(Noise):
    """Noise whose normals come from a posterior, reparameterised, so that its parameters have a gradient.

    Uniforms, integers and normals that the posterior says nothing of are the prior's. The same draw is the same
    number however often it is asked for, and counts once.

    Args:
        prior: Draws for the B clips, of which the posterior is.
        posterior: Of the same clips.
        path: By which parts this was folded.
    """

    def __init__(self, prior: Noise, posterior: Posterior, path: Path = ()) -> None:
        super().__init__(prior.key, prior.samples, device=prior.device, dtype=prior.dtype)
        self._posterior = posterior
        self._path = path

    def fold(self, *parts: str | int) -> PosteriorNoise:
        """See `Noise.fold`."""
        return PosteriorNoise(super().fold(*parts), self._posterior, (*self._path, *parts))

    def normal(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        """See `Noise.normal`."""
        drawn = super().normal(purpose, size, at)
        latent = self._posterior.latents.get((*self._path, purpose))
        return drawn if latent is None else latent.take(drawn, at)
