"""What the checks of the conformance kit are made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gadkit.errors import ConfigError
from gadkit.interfaces.assembler import BLOCK, VideoAssembler
from gadkit.interfaces.discriminator import Discriminator
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, Noise
from gadkit.testing.promises import SAVED, promise, works
from gadkit.testing.surroundings import surroundings


def noise_of(batch: int, *, seed: int = 0) -> Noise:
    """Noise for `batch` videos, numbered from 5 on."""
    return Noise(Key.of(seed, "conformance"), torch.arange(5, 5 + batch))


def close(
    found: Tensor,
    expected: Tensor,
    tolerance: float,
    promised: str,
    *,
    relative: bool = False,
    mend: str,
) -> None:
    """Two tensors agree up to `tolerance`, absolute, or relative to the largest expected number."""
    promise(
        found.shape == expected.shape,
        promised,
        f"they have the shapes {tuple(found.shape)} and {tuple(expected.shape)}",
        mend,
    )
    scale = max(float(expected.detach().abs().max()), 1e-12) if relative else 1.0
    difference = float((found.detach().double() - expected.detach().double()).abs().max()) / scale
    promise(
        difference <= tolerance,
        promised,
        f"they differ by up to {difference:.3g}, more than {tolerance:g}",
        mend,
    )


@contextmanager
def untouched(name: str, *inputs: Tensor | None, drawing: bool = False) -> Iterator[None]:
    """The block neither changes its inputs nor what the process shares, nor draws from a global generator.

    In training, PyTorch's may be drawn from (`drawing`), which the run seeds for every step.
    """
    given = [tensor for tensor in inputs if tensor is not None]
    before, state = [tensor.detach().clone() for tensor in given], torch.get_rng_state()
    with surroundings(name):
        yield
    promise(
        all(torch.equal(old, new) for old, new in zip(before, given, strict=True)),
        f"{name} leaves its inputs as they are",
        "it changed one in place",
        "work on a copy, and use no in-place operation on what was handed over",
    )
    promise(
        drawing or torch.equal(state, torch.get_rng_state()),
        f"{name} draws no number from PyTorch's global generator",
        "the generator's state changed",
        "draw from the noise or the codes that it is given, and let dropout rest in eval mode",
    )


def tensor(
    found: Tensor, shape: tuple[int, ...], name: str, dtype: torch.dtype | None = None, *, layout: str = "a scalar"
) -> None:
    """A finite floating-point tensor of a certain shape, which `layout` explains."""
    promise(
        isinstance(found, Tensor),
        f"{name} is a tensor",
        f"it is {type(found).__name__}",
        f"return {layout}",
    )
    promise(
        tuple(found.shape) == shape,
        f"{name} has the shape {shape}",
        f"it is {tuple(found.shape)}",
        f"return {layout}",
    )
    promise(
        found.is_floating_point() and dtype in (None, found.dtype),
        f"{name} is {dtype or 'floating point'}",
        f"it is {found.dtype}",
        "make tensors in the type of the inputs (`dtype=x.dtype`), and cast nothing",
    )
    promise(
        bool(found.isfinite().all()),
        f"{name} is finite",
        "it holds nan or inf",
        "look for a division by zero, a log of zero or an overflow",
    )


def pixels(found: Tensor, shape: tuple[int, ...], name: str, dtype: torch.dtype | None = None) -> None:
    """A video in [-1, 1] of a certain shape."""
    tensor(found, shape, f"{name}'s video", dtype, layout="(B, T, C, H, W), a frame for every code")
    low, high = float(found.detach().min()), float(found.detach().max())
    promise(
        low >= -1 and high <= 1,
        f"{name}'s video lies in [-1, 1]",
        f"it lies in [{low:.3g}, {high:.3g}]",
        "end with tanh, or clamp",
    )


def same_state(one: nn.Module, two: nn.Module, name: str) -> None:
    """Two modules built from one seed have the same parameters, all of them tensors."""
    first, second = one.state_dict(), two.state_dict()
    promise(
        all(isinstance(value, Tensor) for value in first.values()),
        f"{name}'s state_dict holds tensors alone, because checkpoints are safetensors",
        f"not so {[key for key, value in first.items() if not isinstance(value, Tensor)]}",
        "make them buffers or settings",
    )
    promise(
        first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first),
        f"{name} built twice from one seed has the same parameters",
        "they differ",
        "initialise from PyTorch's global generator, which is seeded for it, and from nothing else",
    )


def has_setting(cls: type[Any], name: str, use: str, mend: str) -> None:
    """A class has a setting of a certain name, which `use` sets."""
    parameter = inspect.signature(cls.__init__).parameters.get(name)
    promise(
        parameter is not None and parameter.kind is inspect.Parameter.KEYWORD_ONLY,
        f"{cls.__name__} has the setting `{name}`, which `{use}` sets",
        "its __init__ has no keyword-only argument of that name",
        mend,
    )


def round_trip(net: nn.Module, other: nn.Module, use: Callable[[Any], Tensor], name: str) -> None:
    """`other`, built from another seed, does what `net` does once it has its state."""
    before = use(net)
    other.load_state_dict(net.state_dict())
    close(use(other), before, 1e-6, f"{name} is the same after its state was saved and loaded", mend=SAVED)


def gradients(net: nn.Module, value: Tensor, name: str, *, every: bool = True) -> None:
    """Backward from a scalar leaves every parameter with a finite gradient (some, where not `every`)."""
    parameters = dict(net.named_parameters())
    if not parameters and not value.requires_grad:
        return
    value.backward()
    missing = [key for key, parameter in parameters.items() if parameter.requires_grad and parameter.grad is None]
    promise(
        not missing or (not every and len(missing) < len(parameters)),
        f"every parameter of {name} takes part in its output",
        f"no gradient for {missing}",
        "use it, drop it, or set requires_grad to False",
    )
    broken = [key for key, p in parameters.items() if p.grad is not None and not bool(p.grad.isfinite().all())]
    promise(
        not broken,
        f"{name} has finite gradients",
        f"nan or inf for {broken}",
        "look for a square root or a norm at zero",
    )


def times(net: Discriminator, video: VideoSpec, name: str) -> Tensor | None:
    """The frames that a discriminator asks for, for three clips."""
    noise = noise_of(3)
    found = net.times(noise)
    if found is None:
        return None
    promise(
        found.dtype == torch.int64
        and found.dim() == 2
        and len(found) == 3
        and bool((found.diff(dim=1) > 0).all())
        and bool(((found >= 0) & (found < video.frames)).all()),
        f"{name}.times gives int64 (B, N), ascending frame numbers in [0, {video.frames})",
        f"{found.dtype} {tuple(found.shape)}: {found.tolist()}",
        "sort distinct frame numbers along the last dimension",
    )
    alone = net.times(Noise(noise.key, noise.samples[1:2]))
    promise(
        alone is not None and torch.equal(alone, found[1:2]),
        f"{name}.times of a clip is a function of its own noise",
        "it changed when the clip stood alone",
        "draw with the methods of `noise`",
    )
    return found


class TinyGenerator(Generator):
    """One linear map a frame, blurred over `context` frames on each side; or of a fixed length."""

    def __init__(self, video: VideoSpec, latent_dim: int, motion_dim: int, context: int | str) -> None:
        super().__init__(video)
        self.latent_dim, self.motion_dim = latent_dim, motion_dim
        self.context = context  # type: ignore[assignment]
        size = latent_dim, video.channels * video.height * video.width
        self.weight = Noise(Key.of(7), torch.arange(latent_dim)).normal("weight", size[1]) / latent_dim**0.5

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        frames = codes.shape[1]
        if self.context == "fixed":
            assert frames == self.video.frames
            codes = codes.cumsum(1)
        else:
            reach = int(self.context)
            padded = nn.functional.pad(codes.transpose(1, 2), (reach, reach), mode="replicate").transpose(1, 2)
            codes = torch.stack([padded[:, i : i + frames] for i in range(2 * reach + 1)]).mean(0)
        return torch.tanh(codes @ self.weight).view(
            len(codes), frames, self.video.channels, self.video.height, self.video.width
        )


def prefixes(
    net: VideoAssembler, noise: Noise, video: VideoSpec, labels: Tensor | None, z: int, moving: int, name: str
) -> None:
    """A longer video begins with the shorter one in uint8, for generators of every sort of context."""

    def render(context: int | str, length: int, start: int = 0) -> Tensor:
        generator = TinyGenerator(video, z, moving, context)
        with torch.no_grad():
            later = {"start": start} if start else {}
            film = torch.cat([*net.stream(generator, noise, length, labels, **later)], dim=1)
        promise(
            film.shape[1] == length,
            f"{name}.stream yields the frames that it was asked for",
            f"{film.shape[1]} in place of {length}",
            "leave `stream` to the base class, or cut its last block",
        )
        return ((film + 1) * 127.5).round().to(torch.uint8)

    for context, longest in ((0, 37), (2, 37), ("fixed", video.frames)):
        film = render(context, longest)
        for length in (1, 5, 16, 17, 33):
            if length < longest:
                promise(
                    torch.equal(render(context, length), film[:, :length]),
                    f"with {name}, a longer video begins with the shorter one, frame for frame",
                    f"the first {length} of {longest} frames differ (a generator with context {context!r})",
                    "make every code a function of its own time and of those before it, never of the length",
                )
        begun = longest // 2
        promised = f"with {name}, a video from a later frame on is the rest of the whole video"
        mend = "leave `stream` to the base class, and let a state be None only where no earlier code matters"
        with works(promised, mend):
            rest = render(context, longest - begun, begun)
        promise(
            torch.equal(rest, film[:, begun:]),
            promised,
            f"the frames from {begun} on differ (a generator with context {context!r})",
            mend,
        )
    if type(net).stream is not VideoAssembler.stream:  # it may do anything, also beyond the lengths above
        promise(
            torch.equal(render(0, 8 * BLOCK + 1)[:, : BLOCK + 1], render(0, BLOCK + 1)),
            f"with {name}, a longer video begins with the shorter one, frame for frame",
            f"the first {BLOCK + 1} of {8 * BLOCK + 1} frames differ",
            "make every code a function of its own time and of those before it, never of the length",
        )
    try:
        render("fixed", video.frames + 1)
    except ConfigError:
        return
    promise(
        False,
        f"{name}.stream refuses more frames than a generator of fixed length makes",
        f"it went on after {video.frames} frames",
        "leave `stream` to the base class",
    )


class RecordedNoise(Noise):
    """Noise whose real-valued draws are leaves that collect gradients."""

    def __init__(self, key: Key, samples: Tensor, draws: list[Tensor] | None = None) -> None:
        super().__init__(key, samples)
        self.draws: list[Tensor] = [] if draws is None else draws

    def _record(self, draw: Tensor) -> Tensor:
        self.draws.append(draw.requires_grad_())
        return draw

    def fold(self, *parts: str | int) -> RecordedNoise:
        return RecordedNoise(self.key.fold(*parts), self.samples, self.draws)

    def normal(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        return self._record(super().normal(purpose, size, at))

    def uniform(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        return self._record(super().uniform(purpose, size, at))


class _Once(torch.autograd.Function):
    """The identity, whose gradient cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        same: Tensor = _Constant.apply(slope)  # type: ignore[no-untyped-call]
        return same


class _Constant(torch.autograd.Function):
    """The identity, which cannot be differentiated. PyTorch's `once_differentiable` lets `autograd.grad` pass by it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        raise RuntimeError("a gradient was differentiated that cannot be")


def once(x: Tensor) -> Tensor:
    """The identity, whose gradient cannot be differentiated: what nets are that have no second derivative."""
    same: Tensor = _Once.apply(x)  # type: ignore[no-untyped-call]
    return same


class SmoothCritic(nn.Module):
    """A small critic with curvature and labels: one hidden layer of tanh, and a projection.

    Args:
        video: What it looks at.
        once: Whether a second differentiation is an error.
    """

    def __init__(self, video: VideoSpec, *, once: bool) -> None:
        super().__init__()
        size = video.frames * video.channels * video.height * video.width
        draw = Noise(Key.of(11), torch.arange(8))
        self.hidden = nn.Parameter(draw.normal("hidden", size) / size**0.5)
        self.out = nn.Parameter(draw.normal("out", 1).squeeze(1))
        self.embedding = nn.Parameter(draw.normal("embedding", video.classes).T.contiguous())
        self.once = once

    def forward(self, video: Tensor, labels: Tensor) -> Tensor:
        """Clips `(B, N, C, H, W)` to one number each, `(B,)`, at least float32."""
        x = once(video) if self.once else video
        hidden = torch.tanh(x.flatten(1) @ self.hidden.T)
        total = (hidden * (self.out + self.embedding[labels])).sum(1)
        return total.float() if total.dtype == torch.bfloat16 else total


class Bound:
    """A critic with its labels bound, which judges each tensor once (see `gadkit.Critic`)."""

    def __init__(self, net: SmoothCritic, labels: Tensor) -> None:
        self.net, self.labels = net, labels
        self.known: list[tuple[Tensor, Tensor]] = []

    def __call__(self, video: Tensor) -> Tensor:
        for known, logits in self.known:
            if known is video:
                return logits
        self.known.append((video, self.net(video, self.labels)))
        return self.known[-1][1]
