"""Does a generator keep the promises of `gadkit.Generator`?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gadkit.interfaces.assembler import BLOCK
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.spec import VideoSpec
from gadkit.testing import nets, probes
from gadkit.testing.inputs import labels_of
from gadkit.testing.probes import close, noise_of, untouched
from gadkit.testing.promises import IN_AUTOCAST, LAYOUT, SAME, promise, works
from gadkit.testing.scheduled import check_scheduled

#: Frames that are made, at most, in looking for what lies outside of a declared context.
_LONGEST = 64
_PLACES = "use no frame number and no code at a fixed place, such as the first; only an assembler knows the time"


def check_generator(cls: type[Generator], **settings: Any) -> None:
    """Checks a generator class, built with `settings`, against `gadkit.Generator`.

    At two sizes, without classes and with them: videos of the promised shape, range and type in float32, float64 and
    bf16 autocast, of as many frames as there are codes; each a function of its own codes and label, and each frame of
    the codes that `context` declares; first parameters that the seed alone decides, and a state that holds all that
    training changes; gradients for every parameter and for the codes.

    Raises:
        AssertionError: A broken promise.
    """
    nets.on_videos(cls, settings, partial(_check_on, cls, settings))


def _check_on(
    cls: type[Generator], settings: Mapping[str, Any], build: Callable[[int], Generator], video: VideoSpec, name: str
) -> None:
    """The promises on videos of one shape."""
    net, same, other = nets.initialised(build, name)
    z, moving, context = net.latent_dim, net.motion_dim, net.context
    promise(
        z > 0 and 0 <= moving <= z and (context == "fixed" or (isinstance(context, int) and context >= 0)),
        f"{name} sets latent_dim > 0, motion_dim in [0, latent_dim] and context to a number or 'fixed'",
        f"latent_dim is {z}, motion_dim {moving}, context {context!r}",
        "set them in __init__ or on the class",
    )
    net.eval()
    frames, shape = video.frames, (video.channels, video.height, video.width)
    for batch, length in ((2, frames),) if context == "fixed" else ((2, frames), (1, frames), (3, frames + 3)):
        codes, labels = noise_of(batch).normal("codes", z, torch.arange(length)), labels_of(video, batch)
        with (
            untouched(name, codes, labels),
            works(
                f"{name} makes {length} frames of {length} codes",
                "make as many frames as there are codes, or set `context` to 'fixed'",
            ),
        ):
            out = net(codes, labels)
        probes.pixels(out, (batch, length, *shape), name, codes.dtype)
        close(net(codes, labels), out, 0.0, f"{name} gives the same video for the same codes in eval mode", mend=SAME)
    codes, labels = noise_of(2).normal("codes", z, torch.arange(frames)), labels_of(video, 2)

    def render(net: Generator, codes: Tensor = codes, labels: Tensor | None = labels) -> Tensor:
        video: Tensor = net(codes, labels)
        return video

    def render_rows(rows: slice) -> Tensor:
        return render(net, codes[rows], None if labels is None else labels[rows])

    with torch.no_grad():
        whole = render(net)
        strewn = codes.transpose(0, 1).contiguous().transpose(0, 1)
        promised = f"{name}'s video does not depend on the codes' layout in memory"
        with works(promised, LAYOUT):
            close(render(net, strewn), whole, 1e-4, promised, mend=LAYOUT)
        nets.alone(whole, render_rows, 1e-4, f"{name}'s video does not depend on the videos beside it")
        if context != "fixed":
            _check_context(net, video, int(context), name)
        if labels is not None:
            nets.uses_labels(net, lambda net, labels: render(net, labels=labels), 2, video.classes, name)
        else:
            nets.keeps_type(net, lambda net, dtype: render(net, codes.to(dtype)), name)
        nets.remembers_nothing(net, lambda: render(net), name)
        _check_range(build(1).eval(), codes, labels, (2, frames, *shape), name)
    promised = f"{name} gives the same video with gradients recorded and without"
    close(render(net), whole, 1e-5, promised, mend="ask for no torch.is_grad_enabled()")
    nets.points_uphill(lambda codes: render(net, codes), codes, name, "codes")
    probes.round_trip(net, other.eval(), render, name)
    check_scheduled(cls, settings, (video,), render)
    with torch.autocast("cpu", torch.bfloat16), works(f"{name} works in bf16 autocast", IN_AUTOCAST):
        in_autocast = render(net)
    probes.pixels(in_autocast, (2, frames, *shape), f"{name} in bf16 autocast")
    net.train()
    codes.requires_grad_()
    handed = codes * 1  # no leaf, as those of an assembler
    with untouched(name, handed, drawing=True):
        made = render(net, handed)
    probes.gradients(net, made.square().sum(), name)
    promise(
        codes.grad is not None and bool(codes.grad.isfinite().all()) and bool(codes.grad.any()),
        f"{name} is differentiable in the codes",
        "their gradient is missing, zero or not finite",
        "keep the codes on the graph: no detach, no rounding",
    )
    nets.still_saved(net, same, render, name)


def _check_range(net: Generator, codes: Tensor, labels: Tensor | None, shape: tuple[int, ...], name: str) -> None:
    """The range is held by what the net is, not by how small its first weights are: training makes them larger."""
    for parameter in net.parameters():
        parameter.mul_(2)
    probes.pixels(net(10 * codes, labels), shape, f"{name} with parameters twice as large (training moves them)")


def _check_context(net: Generator, video: VideoSpec, context: int, name: str) -> None:
    """A frame depends on the codes within `context` of its own, and not on its position or on how many there are.

    Tried with as many codes as there are in a block of a long video.
    """
    length = max(video.frames, min(BLOCK + 2 * context, _LONGEST))
    codes, labels = noise_of(1).normal("context", net.latent_dim, torch.arange(length)), labels_of(video, 1)
    whole = net(codes, labels)
    for place in (length // 2, length - 1):
        changed = codes.clone()
        changed[:, place] += 1
        moved = (net(changed, labels) - whole).abs().amax(dim=(0, 2, 3, 4))
        far = (torch.arange(length) - place).abs() > context
        promise(
            bool((moved[far] <= 1e-5).all()),
            f"{name} declares context {context}: a frame depends on no code further away",
            f"a change of code {place} moved the frames {torch.nonzero(far & (moved > 1e-5)).flatten().tolist()}",
            "declare the true context, or 'fixed'",
        )
        promise(
            bool(moved[place] > 0),
            f"{name}'s frame depends on its own code",
            f"a change of code {place} left frame {place} as it was",
            "use the codes",
        )
    first = net(codes[:, : video.frames], labels)[:, : max(0, video.frames - context)]
    promised = f"{name}'s frame depends on the codes around it, not on how many there are"
    close(first, whole[:, : first.shape[1]], 1e-4, promised, mend="treat every number of codes in the same way")
    later = net(codes[:, 1:], labels)
    if later.shape[1] > context:
        promise_text = f"{name}'s frame depends on the codes around it, not on its number in the block"
        close(later[:, context:], whole[:, 1 + context :], 1e-4, promise_text, mend=_PLACES)
