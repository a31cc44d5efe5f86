"""What a discriminator sees of clips: an augmentation with its strength, set or adaptive, in any trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gadkit.engine.devices import Engine
from gadkit.errors import ConfigError
from gadkit.interfaces.augmentation import Augmentation
from gadkit.randomness import Noise

#: An adaptive strength follows a running mean of what it is driven by, to which a step adds this share: four steps, as
#: many as Karras et al. 2020 average over (section 3).
_SHARE = 0.25


class Augmenter:
    """Binds an augmentation to noise, and moves its strength where that is adaptive.

    The trainer calls `begin` and `end` around a step, hands `bind(noise)` to every `BoundCritic`, and shows the logits
    of the discriminator's own steps to `see`. Without an augmentation all of this does nothing.

    An adaptive strength is driven by r = E[sign(D(x) - D(y))] over pairs of a real and a generated clip: 2 times the
    share of pairs that the discriminator tells apart, less 1. It takes differences, because a relativistic loss leaves
    open what is added to all logits; E[sign(D(x))], which Karras et al. 2020 take (equation 1), is then nothing. After
    each step, with m the running mean of r, beginning at the target,

        m += (r - m) / 4,    strength += sign(m - target) batch_size / ramp,

    held between 0 and what is set. It begins at 0. All processes compute the same numbers, and so do micro-batches:
    signs are added up before anything is divided.

    Args:
        augmentation: What changes the clips; `None` leaves them as they are.
        engine: Device, processes and precision.
        batch_size: Clips a step, over all processes.

    Attributes:
        strength: The strength of the step, a scalar on the device in the type of the clips.

    Raises:
        ConfigError: The augmentation's attributes are out of range.
    """

    def __init__(self, augmentation: Augmentation | None, engine: Engine, batch_size: int) -> None:
        self._augmentation = augmentation
        self._engine = engine
        self._batch_size = batch_size
        target = None if augmentation is None else augmentation.target
        if target is not None and not -1 < target < 1:
            raise ConfigError(f"augmentation.target: found {target}, expected a number between -1 and 1.")
        if augmentation is not None and target is not None and not augmentation.ramp > 0:
            raise ConfigError(f"augmentation.ramp: found {augmentation.ramp}, expected a number above 0.")
        self._target = target
        self.strength = torch.zeros((), device=engine.device, dtype=engine.dtype)
        self._mean = torch.full_like(self.strength, target or 0.0)
        self._signs = torch.zeros_like(self.strength)
        self._pairs = 0

    def begin(self) -> None:
        """Before a step: takes over what is set, which a schedule may have changed."""
        if self._augmentation is None:
            return
        most = self._augmentation.strength
        if not 0 <= most <= 1:
            raise ConfigError(f"augmentation.strength: found {most}, expected a number from 0 to 1.")
        if self._target is None:
            self.strength.fill_(most)
        else:
            self.strength.clamp_(max=most)
        self._signs.zero_()
        self._pairs = 0

    def bind(self, noise: Noise) -> Callable[[Tensor], Tensor] | None:
        """What changes clips, for `BoundCritic`; `None` without an augmentation.

        Args:
            noise: Of the batch. All that one binding judges is changed by the same draws, sample by sample.
        """
        if self._augmentation is None:
            return None
        return partial(self._augment, self._augmentation, _Drawn(noise.fold("augmentation")))

    def _augment(self, augmentation: Augmentation, noise: Noise, video: Tensor) -> Tensor:
        with self._engine.full_precision():
            seen = augmentation(video, noise, self.strength)
        if not isinstance(seen, Tensor) or seen.shape != video.shape or seen.dtype != video.dtype:
            found = f"{seen.dtype} {tuple(seen.shape)}" if isinstance(seen, Tensor) else f"type {type(seen).__name__}"
            raise ConfigError(
                f"augmentation: its clips are {found}, expected {video.dtype} {tuple(video.shape)}, as it was given "
                "them; mend the augmentation, or choose another one."
            )
        return seen

    @torch.no_grad()
    def see(self, real: Mapping[str, Tensor], fake: Mapping[str, Tensor]) -> None:
        """Takes the logits of a micro-batch of pairs, `(B, K)` by head, in a step of the discriminator's.

        Args:
            real: Of real clips, by head.
            fake: Of generated ones.
        """
        if self._target is None:
            return
        for head, logits in real.items():
            other = fake[head]  # what is no number, as where a step in fp16 overflows, is neither above nor below
            self._signs += (logits > other).sum() - (logits < other).sum()
            self._pairs += logits.numel()

    @torch.no_grad()
    def end(self) -> None:
        """After a step: moves an adaptive strength. All processes call it together."""
        if self._augmentation is None or self._target is None or not self._pairs:
            return
        share = self._engine.gather(self._signs).sum() / (self._pairs * self._engine.world)
        self._mean.lerp_(share, _SHARE)
        step = self._batch_size / self._augmentation.ramp
        self.strength.add_(torch.sign(self._mean - self._target), alpha=step).clamp_(0.0, self._augmentation.strength)

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on: an adaptive strength, and the mean that drives it."""
        return {} if self._target is None else {"strength": self.strength.clone(), "mean": self._mean.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state_dict` gave; what a run without an adaptive strength gave leaves all as it is.

        Args:
            state: As `state_dict` gave it.
        """
        if self._target is not None and state:
            self.strength.copy_(state["strength"])
            self._mean.copy_(state["mean"])


class _Drawn(Noise):
    """Noise that remembers its draws: what is asked for again costs nothing but a copy."""

    def __init__(self, noise: Noise) -> None:
        super().__init__(noise.key, noise.samples, device=noise.device, dtype=noise.dtype)
        self._known: dict[tuple[str, str, int], Tensor] = {}

    def _once(self, draw: Callable[..., Tensor], purpose: str, number: int, at: Tensor | None) -> Tensor:
        if at is not None:
            return draw(purpose, number, at)
        place = (draw.__name__, purpose, number)
        if place not in self._known:
            self._known[place] = draw(purpose, number)
        return self._known[place].clone()

    def normal(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        """See `Noise.normal`."""
        return self._once(super().normal, purpose, size, at)

    def uniform(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        """See `Noise.uniform`."""
        return self._once(super().uniform, purpose, size, at)

    def integers(self, purpose: str, high: int, at: Tensor | None = None) -> Tensor:
        """See `Noise.integers`."""
        return self._once(super().integers, purpose, high, at)
