"""Video assemblers: how frames become a video of any length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gadkit.errors import ConfigError
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Noise

#: Frames rendered at once. It is a part of what a seed means: convolution libraries choose
#: their algorithm by the batch, so another number could change the last bit of a pixel.
BLOCK = 16


class VideoAssembler(nn.Module, ABC):
    """Gives every frame of a video its code, and renders codes to video block by block.

    A module: its parameters, where it has any, are trained with the generator's. A subclass takes the spec, the
    generator's `latent_dim` and `motion_dim`, and its settings as keyword-only arguments. It writes `codes`; this
    class renders.

    Attributes:
        continuous: Whether codes at times between two frames are as good as those at frames, so that videos can be
            made slower or at another rate; otherwise such a time has the code of the frame before it.
    """

    continuous: bool = False

    def __init__(self, video: VideoSpec, latent_dim: int, motion_dim: int) -> None:
        super().__init__()
        self.video = video
        self.latent_dim = latent_dim
        self.motion_dim = motion_dim

    @property
    def moving(self) -> int:
        """How many entries at the end of a code may change over time: `motion_dim`, or all where that is 0."""
        return self.motion_dim or self.latent_dim

    def with_content(self, noise: Noise, motion: Tensor) -> Tensor:
        """Codes `(B, N, Z)`: what does not change over time, standard normal, and `motion` `(B, N, moving)` after it.

        Every assembler draws its content here, for the purpose `content`, so that the content of a video can be held
        while its motion is drawn anew, whatever the assembler.

        Args:
            noise: Draws for the B videos.
            motion: `(B, N, moving)`.

        Returns:
            `(B, N, Z)`.
        """
        still = self.latent_dim - self.moving
        if not still:
            return motion
        content = noise.normal("content", still)
        return torch.cat((content.unsqueeze(1).expand(-1, motion.shape[1], -1), motion), dim=2)

    @abstractmethod
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        """The codes at certain times; differentiable in the noise and in the assembler's parameters.

        Args:
            noise: Draws for the B videos; every draw a function of the video and of a frame number.
            times: `(B, N)` on the CPU, in frames, real-valued, not decreasing along N.
            labels: int64 `(B,)`, or `None`.
            state: What the call for the preceding times returned; `None` at the start of a video.

        Returns:
            Codes `(B, N, Z)` in the noise's type, and the state to go on from; `None` where a code does not depend on
            those before it.
        """

    def stream(
        self, generator: Generator, noise: Noise, length: int, labels: Tensor | None = None, start: int = 0
    ) -> Iterator[Tensor]:
        """Renders videos in blocks of one fixed size, so that memory does not grow with the length.

        A longer video begins with exactly the frames of a shorter one: the last block is rendered whole and cut. A
        later start gives exactly the frames that a video from 0 on has there: blocks lie where they lay, the one that
        holds the start is rendered whole and cut, and none before it is rendered. Codes without a state are not even
        computed there.

        Args:
            generator: Turns codes into frames.
            noise: Draws for the B videos.
            length: Frames, at least 1.
            labels: int64 `(B,)`, or `None`.
            start: The number of the first frame, at least 0.

        Yields:
            `(B, n, C, H, W)` in [-1, 1], n at most `BLOCK`.

        Raises:
            ConfigError: The generator makes only its training length, and the last frame lies behind it.
        """
        context = generator.context
        end = start + length
        if context == "fixed":
            frames = generator.video.frames
            if end > frames:
                found, most = f"{length}", f"at most {frames}"
                if start:
                    found, most = f"{length} from frame {start} on", f"frames before frame {frames}"
                raise ConfigError(
                    f"length: found {found}, but {type(generator).__name__} makes videos of exactly {frames} frames; "
                    f"ask for {most}, or train a generator without a fixed length."
                )
            codes, _ = self.draw_codes(noise, 0, frames, labels, None)
            yield generator(codes, labels)[:, start:end]
            return
        state = None
        window: Tensor | None = None  # the codes of the block and `context` on each side of it
        first, block = start // BLOCK, 0
        while block * BLOCK < end:
            reached = block * BLOCK + context if block else 0  # codes are drawn in the same pieces, wherever one starts
            upto = (block + 1) * BLOCK + context
            codes, state = self.draw_codes(noise, reached, upto - reached, labels, state)
            if window is None:  # before the first frame stands the first code
                window = codes[:, :1].expand(-1, context, -1)
            window = torch.cat((window, codes), dim=1)[:, -(BLOCK + 2 * context) :]
            if block >= first:
                here = block * BLOCK
                yield generator(window, labels)[:, context : context + BLOCK][:, max(0, start - here) : end - here]
            block += 1
            if state is None and block < first:  # nothing has to be stepped through but what the window needs
                block = max(block, first - -(-2 * context // BLOCK))

    def clip(
        self,
        generator: Generator,
        noise: Noise,
        times: Tensor | None = None,
        labels: Tensor | None = None,
        forward: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> Tensor:
        """The first frames of videos as one graph, for trainers: what `stream` gives of a clip of the training length.

        Args:
            generator: Turns codes into frames.
            noise: Draws for the B videos.
            times: int64 `(B, N)` on the CPU, ascending frame numbers in [0, video.frames): the frames that are wanted;
                `None` for all. The others are not made, unless the generator needs their codes.
            labels: int64 `(B,)`, or `None`.
            forward: Makes the context of the generator's pass, such as autocast; codes are computed outside it.

        Returns:
            `(B, N, C, H, W)` in [-1, 1].
        """
        frames = self.video.frames
        context = 0 if generator.context == "fixed" else generator.context
        whole = torch.arange(frames + context).expand(len(noise), -1)
        alone = generator.context == 0
        wanted = times if alone and times is not None else whole
        codes, _ = self.codes(noise, wanted, labels)
        if context:  # before the first frame stands the first code
            codes = torch.cat((codes[:, :1].expand(-1, context, -1), codes), dim=1)
        with forward():
            video: Tensor = generator(codes, labels)
        if context:
            video = video[:, context : context + frames]
        if alone or times is None:
            return video
        return video[torch.arange(len(video), device=video.device).unsqueeze(1), times.to(video.device)]

    def draw_codes(self, noise: Noise, start: int, count: int, labels: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """The codes of `count` frames from `start` on; as in training, never in the autocast type of the rendering.

        Args:
            noise: As for `codes`.
            start: The number of the first frame.
            count: How many frames.
            labels: As for `codes`.
            state: The same.
        """
        times = torch.arange(start, start + count, dtype=torch.float64).expand(len(noise), count)
        if not torch.is_autocast_enabled(noise.device.type):
            # Leaving even a context that is switched off empties the cache of casts that all threads share, and a
            # training beside this one would round its gradients in another way.
            return self.codes(noise, times, labels, state)
        with torch.autocast(noise.device.type, enabled=False):
            return self.codes(noise, times, labels, state)
