"""Does an assembler keep the promises of `gadkit.VideoAssembler`?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, Noise, SplitNoise, seeded
from gadkit.testing import nets, probes
from gadkit.testing.inputs import CLASSES, FRAMES, labels_of
from gadkit.testing.probes import close, noise_of, untouched
from gadkit.testing.promises import SAME, promise, works
from gadkit.testing.scheduled import check_scheduled
from gadkit.testing.surroundings import unshared

#: The size of a code.
_Z = 6
_CONTENT = "make codes with self.with_content(noise, motion), the motion being (B, N, self.moving)"
_GOES_ON = (
    "let codes depend on times alone, or return as state all that later codes depend on: keep nothing in self, change "
    "no state that was handed over, and count times from 0, not from the first that is asked for"
)


def check_assembler(cls: type[VideoAssembler], **settings: Any) -> None:
    """Checks an assembler class, built with `settings`, against `gadkit.VideoAssembler`.

    With a content that stays and without one, with classes and without them: codes of the promised shape and type, a
    function of a video's own noise, label and times, and of nothing that an instance remembers; a content that is drawn
    for the purpose `content`; the same codes in one call and in two; videos that begin with the shorter ones; first
    parameters that the seed alone decides, a state that holds all that training changes, and gradients for parameters
    and noise.

    Raises:
        AssertionError: A broken promise.
    """
    with unshared(cls):
        for moving, classes in ((0, 0), (2, 0), (2, CLASSES)):
            _check_on(cls, settings, moving, VideoSpec(height=8, width=8, frames=FRAMES, classes=classes))


def _check_on(cls: type[VideoAssembler], settings: dict[str, Any], moving: int, video: VideoSpec) -> None:
    """The promises with one division of a code."""
    name = cls.__name__

    def build(seed: int) -> VideoAssembler:
        with seeded(Key.of(seed)):
            return cls(video, _Z, moving, **settings)

    net, same, other = nets.initialised(build, name)
    noise, labels = noise_of(3), labels_of(video, 3)
    for times in (torch.arange(9), torch.arange(9) * 0.37 + 2, torch.tensor([[0.0, 3.5, 400.0]])):
        _check_codes(net, noise, times.expand(3, times.shape[-1]).clone(), labels, name)
    _check_codes(net, noise, torch.tensor([[0, 1, 1, 4], [2, 3, 5, 5], [0, 7, 8, 9]]), labels, name)
    times = torch.arange(12, dtype=torch.float64).expand(3, -1)
    whole, _ = net.codes(noise, times, labels)
    promised = f"{name} gives the same codes in one call and in two"
    with works(promised, _GOES_ON):
        first, state = net.codes(noise, times[:, :5], labels)
        second, _ = net.codes(noise, times[:, 5:], labels, state)
    close(torch.cat((first, second), 1), whole, 1e-5, promised, mend=_GOES_ON)
    with torch.no_grad():
        _check_between(net, noise, labels, name)
        net.codes(Noise(noise.key.fold("another"), noise.samples), times, labels)
        promised = f"{name} goes on from a state as often as it is asked to, whatever was made in between"
        with works(promised, _GOES_ON):
            third, _ = net.codes(noise, times[:, 5:], labels, state)
            close(third, second, 0.0, promised, mend=_GOES_ON)
    probes.prefixes(net, noise, video, labels, _Z, moving, name)

    def draw(
        net: VideoAssembler, noise: Noise = noise, times: Tensor = times, labels: Tensor | None = labels
    ) -> Tensor:
        return net.codes(noise, times, labels)[0]

    if not video.classes:
        nets.keeps_type(
            net, lambda net, dtype: draw(net, Noise(noise.key, noise.samples, dtype=dtype)), f"{name}, by its codes,"
        )
    probes.round_trip(net, other, draw, name)
    check_scheduled(cls, settings, (video, _Z, moving), draw)
    recorded = probes.RecordedNoise(noise.key, noise.samples)
    net.train()
    with untouched(name, times, labels, drawing=True):
        codes, _ = net.codes(recorded, times, labels)
    probes.gradients(net, codes.square().sum(), name)
    promise(
        bool(recorded.draws) and any(draw.grad is not None and bool(draw.grad.any()) for draw in recorded.draws),
        f"{name}'s codes are differentiable in the noise that it draws from `noise`",
        "no draw of its noise has a gradient" if recorded.draws else "it drew no normals or uniforms from `noise`",
        "draw from the argument `noise`, and compute codes without detach or no_grad",
    )
    nets.still_saved(net, same, draw, name)


def _check_codes(net: VideoAssembler, noise: Noise, times: Tensor, labels: Tensor | None, name: str) -> None:
    """The codes at some times: what they are, and what they depend on."""
    with untouched(name, times, labels):
        codes, _ = net.codes(noise, times, labels)
    probes.tensor(
        codes, (3, times.shape[1], _Z), f"{name}.codes", noise.dtype, layout="(B, N, Z), a code for every time"
    )
    close(net.codes(noise, times, labels)[0], codes, 0.0, f"{name} gives the same codes for the same noise", mend=SAME)

    def rows(rows: slice) -> Tensor:
        alone = Noise(noise.key, noise.samples[rows])
        return net.codes(alone, times[rows], None if labels is None else labels[rows])[0]

    if net.motion_dim:
        still = _Z - net.motion_dim
        fixed = codes[:, :, :still]
        promised = f"{name} holds all but the last motion_dim entries of a code"
        close(fixed, fixed[:, :1].expand_as(fixed), 0.0, promised, mend=_CONTENT)
        mixed = SplitNoise(noise, Noise(noise.key.fold("another motion"), noise.samples))
        close(
            net.codes(mixed, times, labels)[0][:, :, :still],
            fixed,
            0.0,
            f"{name} draws its content for the purpose `content`, so that it can be held while the motion is another",
            mend=_CONTENT,
        )
    nets.alone(codes, rows, 1e-5, f"{name}'s codes of a video do not depend on the videos beside it")


def _check_between(net: VideoAssembler, noise: Noise, labels: Tensor | None, name: str) -> None:
    """At times between two frames, codes are what `continuous` says."""
    at = torch.arange(6, dtype=torch.float64).expand(3, -1)
    there, between = net.codes(noise, at, labels)[0], net.codes(noise, at + 0.5, labels)[0]
    changed = not torch.allclose(there, between, atol=1e-6)
    promise(
        changed == net.continuous,
        f"{name}.continuous says whether a time between two frames has a code of its own, or that of the frame before "
        f"it: it says {net.continuous}",
        "half a frame later, the codes are " + ("others" if changed else "the same"),
        "set `continuous` to what holds, or take times.floor() where codes belong to frames",
    )
