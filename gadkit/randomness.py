"""Random numbers as a function of what they are for.

Every draw in gadkit is a pure function of a key (seed, purpose, ...) and of a place (which sample, which
frame). Nothing depends on what was drawn before, so a resumed run, another number of processes, or another chunk
size sees the same numbers.

The function is Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", SC'11),
vectorised in integer tensor operations: integers and uniforms are the same on every device. Normals are Box and
Muller's in float64, so they agree between devices to the last bit of float32 in all but a few cases.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_MASK = 0xFFFFFFFF


@dataclass(frozen=True)
class Key:
    """A 64-bit Philox key that names what draws are for.

    `Key.of(seed, "train")` starts a chain; `key.fold("noise", 3)` gives the key of a part. Equal chains give equal
    keys on every machine and in every version.
    """

    value: int

    @classmethod
    def of(cls, seed: int, *purpose: str | int) -> Key:
        """The key of `purpose` under `seed` (any integer)."""
        return cls(0).fold(seed, *purpose)

    def fold(self, *parts: str | int) -> Key:
        """The key of a part of what this key is for."""
        digest = hashlib.blake2b(self.value.to_bytes(8, "little"), digest_size=8, person=b"gadkit.key")
        for part in parts:
            encoded = f"i{part}" if isinstance(part, int) else f"s{part}"
            data = encoded.encode()
            digest.update(len(data).to_bytes(4, "little") + data)
        return Key(int.from_bytes(digest.digest(), "little"))

    @property
    def seed(self) -> int:
        """A seed for generators of other libraries, in [0, 2^63)."""
        return self.value >> 1


def _multiply(constant: int, x: Tensor) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of `constant * x` for 32-bit unsigned numbers held in int64, without overflow."""
    low = x * (constant & 0xFFFF)
    high = x * (constant >> 16) + (low >> 16)
    return high >> 16, ((high & 0xFFFF) << 16) | (low & 0xFFFF)


def philox4x32(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]) -> tuple[Tensor, ...]:
    """Philox4x32-10: four 32-bit words from a 128-bit counter and a 64-bit key.

    Args:
        counter: Four int64 tensors that broadcast together, values in [0, 2^32).
        key: Two words in [0, 2^32).

    Returns:
        Four int64 tensors, values in [0, 2^32).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = _multiply(_M0, c0)
        high1, low1 = _multiply(_M1, c2)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return c0, c1, c2, c3


def bits(key: Key, samples: Tensor, at: Tensor, size: int) -> Tensor:
    """`size` 32-bit words for every place.

    Args:
        key: What the words are for.
        samples: int64 of any shape: the first coordinate, 64 bits.
        at: int64, broadcasts with `samples`: the second coordinate, 32 bits (a frame, an epoch); may be negative.
        size: Words a place.

    Returns:
        int64 `(*shape, size)`, values in [0, 2^32), on the device of `samples`.
    """
    samples, at = torch.broadcast_tensors(samples, at)
    samples, at = samples.unsqueeze(-1), at.unsqueeze(-1)
    block = torch.arange((size + 3) // 4, device=samples.device)
    block, low, high, place = torch.broadcast_tensors(block, samples & _MASK, (samples >> 32) & _MASK, at & _MASK)
    words = philox4x32((block, place, low, high), (key.value & _MASK, key.value >> 32))
    return torch.stack(words, dim=-1).flatten(-2)[..., :size]


def uniform(key: Key, samples: Tensor, at: Tensor, size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniforms in [0, 1) with 24 bits, `(*shape, size)`: the same numbers in float32 and float64, on every device.

    Args:
        key: What the numbers are for.
        samples: int64 of any shape: the first coordinate.
        at: int64, broadcasts with `samples`: the second coordinate.
        size: Numbers a place.
        dtype: Of the result.

    Returns:
        `(*shape, size)`, on the device of `samples`.
    """
    return (bits(key, samples, at, size) >> 8).to(dtype) * 2.0**-24


def normal(key: Key, samples: Tensor, at: Tensor, size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normals `(*shape, size)` by Box and Muller's transform, computed in float64 and rounded to `dtype`.

    On a device without float64 they are computed on the CPU and moved. Arguments and shapes are as for `uniform`.
    """
    device = samples.device
    if device.type == "mps":
        return normal(key, samples.cpu(), at.cpu(), size, dtype).to(device)
    half = (size + 1) // 2
    words = bits(key, samples, at, 2 * half).to(torch.float64)
    radius = torch.sqrt(-2.0 * torch.log((words[..., 0::2] + 0.5) * 2.0**-32))
    angle = (2.0 * math.pi * 2.0**-32) * words[..., 1::2]
    pairs = torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1)
    return pairs.flatten(-2)[..., :size].to(dtype)


def integers(key: Key, samples: Tensor, at: Tensor, high: Tensor | int) -> Tensor:
    """Integers in [0, high) for every place, int64; `high` (at most 2^31) may be a tensor that broadcasts.

    By multiplication and shift (Lemire 2019): biased by less than high / 2^32.

    Args:
        key: What the numbers are for.
        samples: int64 of any shape: the first coordinate.
        at: int64, broadcasts with `samples`: the second coordinate.
        high: Past the largest number.

    Returns:
        int64, of the shape that `samples`, `at` and `high` broadcast to.
    """
    return (bits(key, samples, at, 1).squeeze(-1) * high) >> 32


def permutation(key: Key, size: int) -> Tensor:
    """A permutation of `range(size)`, int64 on the CPU: the order of 64-bit draws.

    Args:
        key: What it is for.
        size: How many numbers.
    """
    words = bits(key, torch.arange(size), torch.zeros((), dtype=torch.int64), 2)
    return torch.argsort((words[:, 0] << 31) | (words[:, 1] >> 1), stable=True)


@contextmanager
def seeded(key: Key) -> Iterator[None]:
    """Runs a block with PyTorch's global CPU generator seeded by `key`, and puts its state back after it.

    For code that cannot be told where its numbers come from, such as the initialisation of a third party's layers.

    Args:
        key: What the block's numbers are for.

    Yields:
        Nothing.
    """
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(key.seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


class Noise:
    """The random numbers of a batch: a key, and for each sample the number that identifies it.

    An assembler draws its codes' noise from it, a penalty its mixing weights, a discriminator the frames that it
    looks at. The draws of a sample do not depend on which samples stand beside it, nor on the order of the calls.

    Args:
        key: What the draws are for.
        samples: int64 `(B,)`: the global number of each sample or video.
        device: Where results are wanted; by default where `samples` is. Numbers are drawn where `samples` is.
        dtype: Floating type of the results.
    """

    def __init__(
        self,
        key: Key,
        samples: Tensor,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.key = key
        self.samples = samples
        self.device = torch.device(device) if device is not None else samples.device
        self.dtype = dtype

    def __len__(self) -> int:
        return len(self.samples)

    def fold(self, *parts: str | int) -> Noise:
        """The noise of the same samples for another purpose.

        Args:
            *parts: The purpose, as for `Key.fold`.
        """
        return Noise(self.key.fold(*parts), self.samples, device=self.device, dtype=self.dtype)

    def _places(self, at: Tensor | None) -> tuple[Tensor, Tensor]:
        if at is None:
            return self.samples, torch.zeros((), dtype=torch.int64, device=self.samples.device)
        return self.samples.unsqueeze(1), at.to(self.samples.device)

    def normal(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        """Standard normals.

        Args:
            purpose: What they are for; another purpose gives other numbers.
            size: How many a place.
            at: int64 `(B, N)` or `(N,)`: places within each sample, such as frames; `None` for one draw a sample.

        Returns:
            `(B, size)`, or `(B, N, size)` with `at`.
        """
        samples, at = self._places(at)
        return normal(self.key.fold(purpose), samples, at, size, self.dtype).to(self.device)

    def uniform(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        """Uniforms in [0, 1); arguments and shapes as for `normal`."""
        samples, at = self._places(at)
        return uniform(self.key.fold(purpose), samples, at, size, self.dtype).to(self.device)

    def integers(self, purpose: str, high: int, at: Tensor | None = None) -> Tensor:
        """Integers in [0, high), int64 `(B,)`, or `(B, N)` with `at`.

        Args:
            purpose: As for `normal`.
            high: Past the largest number.
            at: As for `normal`.

        Returns:
            int64 `(B,)`, or `(B, N)` with `at`.
        """
        samples, at = self._places(at)
        return integers(self.key.fold(purpose), samples, at, high).to(self.device)


class _Borrowed(Noise):
    """Noise whose draws are another's, in all that a subclass does not change."""

    def __init__(self, noise: Noise) -> None:
        super().__init__(noise.key, noise.samples, device=noise.device, dtype=noise.dtype)
        self._noise = noise

    def _lender(self, purpose: str) -> Noise:
        """Whose draws these are."""
        return self._noise

    def normal(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        """See `Noise.normal`."""
        return self._lender(purpose).normal(purpose, size, at)

    def uniform(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        """See `Noise.uniform`."""
        return self._lender(purpose).uniform(purpose, size, at)

    def integers(self, purpose: str, high: int, at: Tensor | None = None) -> Tensor:
        """See `Noise.integers`."""
        return self._lender(purpose).integers(purpose, high, at)


class ScaledNoise(_Borrowed):
    """Noise whose normals are multiplied by one number; uniforms and integers are as they were.

    With a factor below 1 draws lie nearer to the mean, around which training saw most of them: the truncation trick
    (Brock et al. 2019, arXiv:1809.11096), by shrinking, as Karras et al. 2019 do it (arXiv:1812.04948, appendix B),
    and not by drawing anew what lies too far out.

    Args:
        noise: What is scaled.
        factor: What normals are multiplied by.
    """

    def __init__(self, noise: Noise, factor: float) -> None:
        super().__init__(noise)
        self.factor = factor

    def fold(self, *parts: str | int) -> ScaledNoise:
        """See `Noise.fold`."""
        return ScaledNoise(self._noise.fold(*parts), self.factor)

    def normal(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        """Normals of standard deviation `factor`; see `Noise.normal`."""
        return self.factor * self._noise.normal(purpose, size, at)


class ArcNoise(_Borrowed):
    """Noise on the great circle from one to another: every normal is cos(a) z1 + sin(a) z2, a = share * pi/2.

    cos^2 + sin^2 = 1, so each is standard normal all the way, as a generator expects it, which it would not be on the
    straight line between the two. At the ends the draws are those of one noise, bit for bit. Uniforms, integers and
    the key, which no circle joins, are those of the nearer end.

    Args:
        one: Where the arc begins.
        other: Where it ends: noise of as many samples, of another key or of other samples.
        share: How far along it, in [0, 1].
    """

    def __init__(self, one: Noise, other: Noise, share: float) -> None:
        super().__init__(one if share < 0.5 else other)
        self.ends, self.share = (one, other), share

    def fold(self, *parts: str | int) -> ArcNoise:
        """See `Noise.fold`."""
        one, other = (end.fold(*parts) for end in self.ends)
        return ArcNoise(one, other, self.share)

    def normal(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        """See `Noise.normal`."""
        if self.share in (0, 1):  # in floating point the cosine of pi/2 is not quite 0
            return self._noise.normal(purpose, size, at)
        angle = self.share * math.pi / 2
        one, other = (end.normal(purpose, size, at) for end in self.ends)
        return math.cos(angle) * one + math.sin(angle) * other


class SplitNoise(_Borrowed):
    """The content of one noise with everything else of another.

    What is drawn for the purpose `content`, as `gadkit.VideoAssembler.with_content` does it for every assembler, is
    the first one's; all other draws, and the key, are the second one's.

    Args:
        content: Where content is drawn from.
        motion: Where the rest is drawn from: noise of as many samples.
    """

    def __init__(self, content: Noise, motion: Noise) -> None:
        super().__init__(motion)
        self.content = content

    def fold(self, *parts: str | int) -> SplitNoise:
        """See `Noise.fold`."""
        return SplitNoise(self.content.fold(*parts), self._noise.fold(*parts))

    def _lender(self, purpose: str) -> Noise:
        return self.content if purpose == "content" else self._noise
