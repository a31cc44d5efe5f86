"""Samples guided by the discriminator: latents are refined window by window before a video is rendered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from gadkit.engine.judging import judge, total
from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.discriminator import Discriminator
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.refiner import Refiner
from gadkit.randomness import Noise
from gadkit.registry import Registry
from gadkit.signature import settings_of, validate

#: The refiner of models that name none.
DEFAULT = "gadkit:proximal"


@dataclass(frozen=True)
class Refinement:
    """A refiner, and what tells it from others.

    Attributes:
        refiner: What moves the latents.
        use: Its qualified name.
        version: Of the package that it comes from.
        settings: All of its settings.
    """

    refiner: Refiner
    use: str
    version: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For manifests: plain values."""
        return {"use": self.use, "version": self.version, **self.settings}


def choose_refinement(
    registry: Registry, document: Mapping[str, Any] | None, refine: int | Mapping[str, Any] | None
) -> Refinement | None:
    """The refinement that somebody asked for, or that a model brings.

    Args:
        registry: Where refiners are looked up.
        document: What the model says of itself; settings of its `refiner` hold where that is the one that is used.
        refine: The number of steps; or settings by name, and under `use` the name of a refiner. By default, what the
            model says.

    Returns:
        `None` where no step is made.

    Raises:
        PluginError: The refiner cannot be found or loaded.
        ConfigError: A setting does not fit.
    """
    own = None if document is None else document.get("refiner")
    if refine is None and own is None:
        return None
    wanted: dict[str, Any] = {"steps": refine} if isinstance(refine, int) else dict(refine or {})
    if wanted.get("steps") == 0:
        return None
    default = registry.find("refiner", DEFAULT if own is None else own["use"])
    use = wanted.pop("use", None)
    entry = default if use is None else registry.find("refiner", use)
    brought = own["settings"] if own is not None and entry == default else {}
    cls = entry.load()
    settings = validate(cls, {**brought, **wanted}, "refiner", f"refiner {entry.name!r}")
    return Refinement(cls(**settings), entry.qualified, entry.version, settings) if settings["steps"] else None


def own_refinement(refiner: Refiner) -> Refinement | None:
    """A refiner that was built in Python; `None` where it makes no step."""
    cls = type(refiner)
    settings = {name: getattr(refiner, name) for name in settings_of(cls) if hasattr(refiner, name)}
    return Refinement(refiner, f"python:{cls.__module__}.{cls.__qualname__}", "", settings) if refiner.steps else None


@dataclass(frozen=True)
class _State:
    """How far the windows of some videos are.

    Attributes:
        window: The number of the next one.
        inner: What the assembler goes on from.
        drawn: Codes that the assembler gave and no window took, `(B, n, Z)`.
        shift: What was added to the content, `(B, 1, Z - moving)`.
        past: The last refined codes, as many as a frame depends on, `(B, context, Z)`; `None` before the first window.
        ready: Refined codes that were not asked for yet, `(B, n, Z)`.
    """

    window: int
    inner: Any
    drawn: Tensor
    shift: Tensor
    past: Tensor | None
    ready: Tensor


class RefinedAssembler(VideoAssembler):
    """An assembler's codes, refined in windows of the training length, which is what the discriminator can judge.

    Windows are aligned, from frame 0 on, and each is refined whole, however few of its frames are asked for, so that a
    longer video begins with the shorter one. In the first window the content and the motion move; the content then
    stays for the whole video, and in each later window the motion alone moves. A window is judged with the refined
    codes before it and the drawn ones after it where the generator looks so far.

    A discriminator that looks at a few frames of a clip is shown as many draws of them as a window has room for, the
    same at every step; the score is their mean.

    Args:
        assembler: Draws the codes.
        generator: Renders them.
        discriminator: Judges clips of the training length.
        refiner: Moves the latents.
        forward: Makes the context of a forward pass.

    Attributes:
        context: Codes on each side that a frame depends on.
    """

    def __init__(
        self,
        assembler: VideoAssembler,
        generator: Generator,
        discriminator: Discriminator,
        refiner: Refiner,
        forward: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        super().__init__(assembler.video, assembler.latent_dim, assembler.motion_dim)
        self._parts = (assembler, generator, discriminator)  # a tuple, for they are no parts of this module
        self._refiner = refiner
        self._context_of = forward
        self.context = 0 if generator.context == "fixed" else generator.context
        # cuDNN's recurrent layers have no backward pass outside training; PyTorch's own have
        self._fused = not any(
            isinstance(layer, nn.RNNBase) for net in (generator, discriminator) for layer in net.modules()
        )

    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        """Refined codes `(B, N, Z)` of the next N frames; see `gadkit.VideoAssembler.codes`.

        Args:
            noise: Draws for the B videos.
            times: The frames that follow those of the calls before, one after the other.
            labels: int64 `(B,)`, or `None`.
            state: What the call before returned.
        """
        wanted = times.shape[1]
        at = state or self._beginning(noise, labels)
        while at.ready.shape[1] < wanted:
            at = self._refine(noise, labels, at)
        return at.ready[:, :wanted], replace(at, ready=at.ready[:, wanted:])

    def _beginning(self, noise: Noise, labels: Tensor | None) -> _State:
        assembler = self._parts[0]
        frames = self.video.frames + self.context
        drawn, inner = assembler.draw_codes(noise, 0, frames, labels, None)
        still = self.latent_dim - self.moving
        return _State(0, inner, drawn, torch.zeros_like(drawn[:, :1, :still]), None, drawn[:, :0])

    def _refine(self, noise: Noise, labels: Tensor | None, at: _State) -> _State:
        """The next window."""
        assembler = self._parts[0]
        frames, still = self.video.frames, self.latent_dim - self.moving
        if at.window:
            start = at.window * frames + self.context
            more, inner = assembler.draw_codes(noise, start, frames, labels, at.inner)
            at = replace(at, inner=inner, drawn=torch.cat((at.drawn, more), dim=1))
        window = _Window(self, at, labels, noise.fold("judged", at.window))
        found = self._refiner.refine(window.score, window.start, noise.fold("refined", at.window))
        shift, motion = window.split(found)
        codes = torch.cat((at.drawn[:, :frames, :still] + shift, motion), dim=2)
        return replace(
            at,
            window=at.window + 1,
            drawn=at.drawn[:, frames:],
            shift=shift,
            past=torch.cat((window.before(codes), codes), dim=1)[:, frames:],
            ready=torch.cat((at.ready, codes), dim=1),
        )

    @contextmanager
    def _forward(self) -> Iterator[None]:
        with self._context_of(), nullcontext() if self._fused else torch.backends.cudnn.flags(enabled=False):
            yield

    def render(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        """Codes with their context on both sides to the frames in their middle."""
        context, generator = self.context, self._parts[1]
        with self._forward():
            video: Tensor = generator(codes, labels)[:, context : codes.shape[1] - context]
        return video

    def judged(self, video: Tensor, labels: Tensor | None, views: list[Tensor]) -> Tensor:
        """One number a clip, `(B,)`; the mean over `views` where there are any."""
        discriminator = self._parts[2]
        with self._forward():
            if not views:
                return total(discriminator, judge(discriminator, video, labels))
            rows = torch.arange(len(video), device=video.device).unsqueeze(1)
            scores = [total(discriminator, judge(discriminator, video[rows, t], labels, t)) for t in views]
            return torch.stack(scores).mean(dim=0)

    def views(self, noise: Noise) -> list[Tensor]:
        """The frames that a sparse discriminator is shown, int64 `(B, N)` each; none where it looks at all."""
        discriminator = self._parts[2]
        found: list[Tensor] = []
        while len(found) < 1 or len(found) < math.ceil(self.video.frames / max(1, found[0].shape[1])):
            times = discriminator.times(Noise(noise.key.fold("times", len(found)), noise.samples))
            if times is None:
                return []
            found.append(times.to(noise.device))
        return found


class _Window:
    """The latents of one window as a refiner sees them: one row of numbers a video."""

    def __init__(self, assembler: RefinedAssembler, at: _State, labels: Tensor | None, noise: Noise) -> None:
        self._assembler, self._at, self._labels = assembler, at, labels
        frames = assembler.video.frames
        self._still = assembler.latent_dim - assembler.moving
        self._frames = frames
        motion = at.drawn[:, :frames, self._still :].flatten(1)
        self._free = self._still if at.window == 0 else 0  # entries of the content that may move
        self.start = torch.cat((at.drawn[:, 0, : self._free], motion), dim=1)
        self._views = assembler.views(noise)

    def split(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The shift of the content `(B, 1, still)` and the motion `(B, frames, moving)`."""
        content, motion = latents[:, : self._free], latents[:, self._free :]
        shift = (content - self.start[:, : self._free]).unsqueeze(1) if self._free else self._at.shift
        return shift, motion.view(len(latents), self._frames, -1)

    def before(self, codes: Tensor) -> Tensor:
        """The codes before the window's, `(B, context, Z)`; before the first frame stands the first code."""
        past = self._at.past
        return codes[:, :1].expand(-1, self._assembler.context, -1) if past is None else past

    def score(self, latents: Tensor) -> Tensor:
        """What the discriminator says of the window; see `gadkit.Score`."""
        at, still = self._at, self._still
        shift, motion = self.split(latents)
        content = at.drawn[..., :still] + shift
        codes = torch.cat((content, torch.cat((motion, at.drawn[:, self._frames :, still:]), dim=1)), dim=2)
        video = self._assembler.render(torch.cat((self.before(codes), codes), dim=1), self._labels)
        return self._assembler.judged(video, self._labels, self._views)
