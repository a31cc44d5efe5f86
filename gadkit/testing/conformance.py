"""The conformance kit: does a component keep the promises of its interface?

One function a kind. Each builds the component as a run would, on the CPU and small, and raises `AssertionError` at the
first broken promise: what was promised, what happened, how to mend it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gadkit.errors import ConfigError
from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.discriminator import Discriminator, logit_count
from gadkit.interfaces.generator import Generator
from gadkit.interfaces.loss import Loss
from gadkit.interfaces.penalty import Penalty
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, Noise, seeded
from gadkit.testing import probes
from gadkit.testing.augmentations import check_augmentation
from gadkit.testing.directions import check_direction
from gadkit.testing.probes import close, noise_of, promise, untouched
from gadkit.testing.refiners import check_refiner
from gadkit.testing.scheduled import check_scheduled

#: Heights and widths tried in turn; a component may refuse some with `ConfigError`, and is checked on the first two
#: that it takes.
_SIZES = ((32, 32), (28, 28), (64, 64), (32, 48), (128, 128), (256, 256))
_FRAMES = 6
_CLASSES = 3


def _videos(build: Callable[[VideoSpec], Any], name: str) -> list[VideoSpec]:
    """The specs to check a component on: a size that it takes without classes, and another one with classes."""
    taken: list[tuple[int, int]] = []
    refusals: list[str] = []
    for height, width in _SIZES:
        try:
            build(VideoSpec(height=height, width=width, frames=_FRAMES))
        except ConfigError as error:
            refusals.append(str(error))
        else:
            taken.append((height, width))
        if len(taken) == 2:
            break
    promise(
        bool(taken),
        f"{name} can be built for one of the usual sizes",
        f"it refused all of {_SIZES} with {_FRAMES} frames, the first time with: {refusals[:1]}",
        "accept at least one of them, or pass settings with which it does",
    )
    (height, width), (other_height, other_width) = taken[0], taken[-1]
    return [
        VideoSpec(height=height, width=width, frames=_FRAMES),
        VideoSpec(height=other_height, width=other_width, frames=_FRAMES + 1, classes=_CLASSES),
    ]


def _labels(video: VideoSpec, batch: int) -> Tensor | None:
    return torch.arange(batch) % video.classes if video.classes else None


def _pixels(video: VideoSpec, batch: int, frames: int, seed: int = 0) -> Tensor:
    """Random clips in [-1, 1), channels last in memory as the trainer hands them over."""
    size = frames * video.height * video.width * video.channels
    flat = noise_of(batch, seed=seed).uniform("pixels", size) * 2 - 1
    return flat.view(batch, frames, video.height, video.width, video.channels).permute(0, 1, 4, 2, 3)


def check_generator(cls: type[Generator], **settings: Any) -> None:
    """Checks a generator class, built with `settings`, against `gadkit.Generator`.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__

    def build(video: VideoSpec, seed: int = 0) -> Generator:
        with seeded(Key.of(seed)):
            return cls(video, **settings)

    for video in _videos(build, name):
        net = build(video)
        z, moving, context = net.latent_dim, net.motion_dim, net.context
        promise(
            z > 0 and 0 <= moving <= z and (context == "fixed" or (isinstance(context, int) and context >= 0)),
            f"{name} sets latent_dim > 0, motion_dim in [0, latent_dim] and context to a number or 'fixed'",
            f"latent_dim is {z}, motion_dim {moving}, context {context!r}",
            "set them in __init__ or on the class",
        )
        probes.same_state(net, build(video), name)
        net.eval()
        frames = video.frames
        for batch, length in ((2, frames),) if context == "fixed" else ((2, frames), (1, frames), (3, frames + 3)):
            codes, labels = noise_of(batch).normal("codes", z, torch.arange(length)), _labels(video, batch)
            with untouched(name, codes):
                out = net(codes, labels)
            expected = (batch, length, video.channels, video.height, video.width)
            probes.pixels(out, expected, name)
            close(net(codes, labels), out, 0.0, f"{name} gives the same video for the same codes in eval mode")
        codes, labels = noise_of(2).normal("codes", z, torch.arange(frames)), _labels(video, 2)
        if context != "fixed":
            _check_context(net, codes, labels, int(context), name)

        def render(net: Generator, codes: Tensor = codes, labels: Tensor | None = labels) -> Tensor:
            video: Tensor = net(codes, labels)
            return video

        probes.round_trip(net, build(video, seed=1).eval(), render, name)
        check_scheduled(cls, settings, (video,), render)
        with torch.autocast("cpu", torch.bfloat16):
            probes.pixels(net(codes, labels), (2, frames, *expected[2:]), f"{name} in bf16 autocast")
        net.train()
        codes.requires_grad_()
        probes.gradients(net, net(codes, labels).square().sum(), name)
        promise(
            codes.grad is not None and bool(codes.grad.isfinite().all()) and bool(codes.grad.any()),
            f"{name} is differentiable in the codes",
            "their gradient is missing, zero or not finite",
            "keep the codes on the graph: no detach, no rounding",
        )


def _check_context(net: Generator, codes: Tensor, labels: Tensor | None, context: int, name: str) -> None:
    """A frame depends on the codes within `context` of its own, and not on its position."""
    whole = net(codes, labels)
    middle = codes.shape[1] // 2
    changed = codes.detach().clone()
    changed[:, middle] += 1
    moved = (net(changed, labels) - whole).abs().amax(dim=(0, 2, 3, 4))
    far = (torch.arange(codes.shape[1]) - middle).abs() > context
    promise(
        bool((moved[far] <= 1e-5).all()),
        f"{name} declares context {context}: a frame depends on no code further away",
        f"a change of code {middle} moved the frames {torch.nonzero(far & (moved > 1e-5)).flatten().tolist()}",
        "declare the true context, or 'fixed'",
    )
    promise(
        bool(moved[middle] > 0),
        f"{name}'s frame depends on its own code",
        f"a change of code {middle} left frame {middle} as it was",
        "use the codes",
    )
    later = net(codes[:, 1:], labels)
    if later.shape[1] > context:
        promise_text = f"{name}'s frame depends on the codes around it, not on its number in the block"
        close(later[:, context:], whole[:, 1 + context :], 1e-4, promise_text)


def check_assembler(cls: type[VideoAssembler], **settings: Any) -> None:
    """Checks an assembler class, built with `settings`, against `gadkit.VideoAssembler`.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__
    z = 6
    for moving, classes in ((0, 0), (2, 0), (2, _CLASSES)):
        video = VideoSpec(height=8, width=8, frames=_FRAMES, classes=classes)

        def build(seed: int = 0, video: VideoSpec = video, moving: int = moving) -> VideoAssembler:
            with seeded(Key.of(seed)):
                return cls(video, z, moving, **settings)

        net = build()
        probes.same_state(net, build(), name)
        noise, labels = noise_of(3), _labels(video, 3)
        for times in (torch.arange(9), torch.arange(9) * 0.37 + 2, torch.tensor([[0.0, 3.5, 400.0]])):
            times = times.expand(3, times.shape[-1])
            with untouched(name, times):
                codes, _ = net.codes(noise, times, labels)
            probes.tensor(codes, (3, times.shape[1], z), f"{name}.codes")
            close(net.codes(noise, times, labels)[0], codes, 0.0, f"{name} gives the same codes for the same noise")
            if moving:
                fixed = codes[:, :, : z - moving]
                close(fixed, fixed[:, :1].expand_as(fixed), 0.0, f"{name} holds all but the last motion_dim entries")
            alone = Noise(noise.key, noise.samples[2:])
            one, _ = net.codes(alone, times[2:], None if labels is None else labels[2:])
            close(one, codes[2:], 1e-5, f"{name}'s codes of a video do not depend on the videos beside it")
        times = torch.arange(12, dtype=torch.float64).expand(3, -1)
        whole, _ = net.codes(noise, times, labels)
        first, state = net.codes(noise, times[:, :5], labels)
        second, _ = net.codes(noise, times[:, 5:], labels, state)
        close(torch.cat((first, second), 1), whole, 1e-5, f"{name} gives the same codes in one call and in two")
        probes.prefixes(net, noise, video, labels, z, moving, name)

        def draw(
            net: VideoAssembler, noise: Noise = noise, times: Tensor = times, labels: Tensor | None = labels
        ) -> Tensor:
            return net.codes(noise, times, labels)[0]

        probes.round_trip(net, build(seed=1), draw, name)
        check_scheduled(cls, settings, (video, z, moving), draw)
        recorded = probes.RecordedNoise(noise.key, noise.samples)
        probes.gradients(net, net.codes(recorded, times, labels)[0].square().sum(), name)
        promise(
            bool(recorded.draws) and any(draw.grad is not None and bool(draw.grad.any()) for draw in recorded.draws),
            f"{name}'s codes are differentiable in the noise that it draws from `noise`",
            "no draw of its noise has a gradient" if recorded.draws else "it drew no normals or uniforms from `noise`",
            "draw from the argument `noise`, and compute codes without detach or no_grad",
        )


def check_discriminator(cls: type[Discriminator], **settings: Any) -> None:
    """Checks a discriminator class, built with `settings`, against `gadkit.Discriminator`.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__

    def build(video: VideoSpec, seed: int = 0) -> Discriminator:
        with seeded(Key.of(seed)):
            return cls(video, **settings)

    for video in _videos(build, name):
        net = build(video)
        probes.same_state(net, build(video), name)
        net.eval()
        labels = _labels(video, 3)
        times = probes.times(net, video, name)
        frames = video.frames if times is None else times.shape[1]
        clips = _pixels(video, 3, frames)

        def judge(
            net: nn.Module, clips: Tensor = clips, labels: Tensor | None = labels, times: Tensor | None = times
        ) -> dict[str, Tensor]:
            logits = net(clips, labels, times)
            return dict(logits) if isinstance(logits, Mapping) else {"": logits}

        with untouched(name, clips):
            heads = judge(net)
        promise(
            set(net.head_weights) <= set(heads),
            f"{name}.head_weights names heads that forward returns",
            f"it names {sorted(net.head_weights)}, forward returns {sorted(heads)}",
            "give both the same names",
        )
        again, plain = judge(net), judge(net, clips.contiguous())
        for head, logits in heads.items():
            probes.tensor(logits, (3, logit_count(net, head)), f"{name}'s logits {head!r}")
            close(again[head], logits, 0.0, f"{name} gives the same logits for the same clips in eval mode")
            close(plain[head], logits, 1e-3, f"{name}'s logits do not depend on the clips' layout in memory")
        features = net.features(clips, labels, times)
        probes.tensor(features, (3, features.shape[-1]), f"{name}.features")

        def all_logits(net: nn.Module, judge: Callable[[nn.Module], dict[str, Tensor]] = judge) -> Tensor:
            return torch.cat([*judge(net).values()], 1)

        probes.round_trip(net, build(video, seed=1).eval(), all_logits, name)
        check_scheduled(cls, settings, (video,), all_logits)
        with torch.autocast("cpu", torch.bfloat16):
            for head, logits in judge(net).items():
                probes.tensor(logits, (3, logit_count(net, head)), f"{name}'s logits {head!r} in bf16 autocast")
        net.train()
        probes.gradients(net, all_logits(net).square().sum(), name)
        net.zero_grad()
        wanted = clips.clone().requires_grad_()
        total = torch.cat([*judge(net, wanted).values()], 1).sum()
        (slope,) = torch.autograd.grad(total, wanted, create_graph=True)
        promise(
            slope.requires_grad and bool(slope.any()),
            f"{name}'s gradient with respect to the clip can be differentiated again",
            "it is zero, or does not depend on the parameters",
            "use differentiable operations from the clip to the logits",
        )
        probes.gradients(net, slope.square().sum(), f"{name} (of the squared input gradient)", every=False)


def check_loss(cls: type[Loss], **settings: Any) -> None:
    """Checks a loss class, built with `settings`, against `gadkit.Loss`.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__
    loss = cls(**settings)

    def both(real: Tensor, fake: Tensor, loss: Loss = loss) -> tuple[Tensor, Tensor]:
        return loss.discriminator(real, fake), loss.generator(fake, real if loss.generator_needs_real else None)

    for k in (loss.logits,) if loss.logits else (1, 3):
        # here the discriminator is wrong: real clips lie below 0 and generated ones above
        base = noise_of(4).uniform("logits", 2 * k) * 0.8 + 0.1
        check_scheduled(cls, settings, (), lambda loss: torch.stack(both(base[:, k:], base[:, :k], loss)))  # noqa: B023
        for dtype, scale in ((torch.float32, 1.0), (torch.float64, 1.0), (torch.float32, 1e4), (torch.float32, -1e4)):
            real = (-base[:, :k] * scale).to(dtype).requires_grad_()
            fake = (base[:, k:] * scale).to(dtype).requires_grad_()
            with untouched(name, real, fake):
                values = both(real, fake)
            for player, value in zip(("discriminator", "generator"), values, strict=True):
                probes.tensor(value, (), f"{name}.{player} at logits of size {abs(scale):g}", dtype)
            slopes = [torch.autograd.grad(value, (real, fake), allow_unused=True) for value in values]
            (d_real, d_fake), (g_real, g_fake) = slopes
            for slope in (d_real, d_fake, g_fake):
                promise(
                    slope is not None and bool(slope.isfinite().all()),
                    f"{name} has finite gradients for every finite logit",
                    f"at logits of size {abs(scale):g} one is missing or not finite",
                    "write it with softplus or logsigmoid instead of log and exp",
                )
            if scale == 1:
                promise(
                    bool(d_real.sum() < 0 < d_fake.sum() and g_fake.sum() < 0),
                    f"{name}: larger logits are more real, so D's loss falls with D(real) and rises with D(fake), and "
                    "G's falls with D(fake)",
                    f"slopes are {float(d_real.sum()):.3g}, {float(d_fake.sum()):.3g} and {float(g_fake.sum()):.3g}",
                    "turn the sign of the one that is wrong; both losses are minimised",
                )
            if loss.zero_sum:
                close(
                    g_fake, -d_fake, 1e-6, f"{name}.zero_sum: the generator's gradient is the discriminator's, negated"
                )
                if g_real is not None:
                    close(g_real, -d_real, 1e-6, f"{name}.zero_sum: as for generated clips, so for real ones")
            halves = [both(real[i : i + 2], fake[i : i + 2]) for i in (0, 2)]
            for index in range(2):
                mean = (halves[0][index] + halves[1][index]) / 2
                close(mean, values[index], 1e-4, f"{name} is a mean over samples", relative=True)


def check_penalty(cls: type[Penalty], **settings: Any) -> None:
    """Checks a penalty class, built with `settings`, against `gadkit.Penalty`.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__
    penalty = cls(**settings)
    video = VideoSpec(height=6, width=5, frames=3, classes=_CLASSES)
    twice = penalty.double_backward
    samples = torch.arange(4)
    real, fake = (_pixels(video, 4, 3, seed).double() for seed in (1, 2))
    net = probes.SmoothCritic(video, once=not twice).double()

    def value(rows: slice = slice(None), dtype: torch.dtype = torch.float64, penalty: Penalty = penalty) -> Tensor:
        x, y = (clips[rows].detach().to(dtype).requires_grad_(twice) for clips in (real, fake))
        noise = Noise(Key.of(3), samples[rows], dtype=dtype)
        with untouched(name, x, y):
            return penalty(probes.Bound(net, samples[rows] % video.classes), x, y, noise)

    try:
        whole = value()
    except RuntimeError as error:
        promise(
            twice,
            f"{name} says in double_backward whether it differentiates the discriminator's gradient: it says that it "
            "does not, so clips require no gradient and the discriminator may be compiled",
            f"it failed with {error!r}",
            "set double_backward to True, or use no autograd.grad",
        )
        raise
    probes.tensor(whole, (), name, torch.float64)
    check_scheduled(cls, settings, (), lambda penalty: value(penalty=penalty))
    close(value(), whole, 0.0, f"{name} is a function of the clips and the noise")
    halves = (value(slice(0, 2)) + value(slice(2, 4))) / 2
    close(halves, whole, 1e-6, f"{name} is a mean over samples, whose draws do not depend on the batch", relative=True)
    parameters = list(net.parameters())
    slopes = torch.autograd.grad(whole, parameters, materialize_grads=True)
    promise(
        all(bool(slope.isfinite().all()) for slope in slopes) and any(bool(slope.any()) for slope in slopes),
        f"{name} has a finite gradient with respect to the discriminator's parameters",
        "it is zero or not finite",
        "differentiate with create_graph=True, and detach nothing that depends on the discriminator",
    )
    along = [torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(1)) for p in parameters]
    slope = sum(float((g * v).sum()) for g, v in zip(slopes, along, strict=True))
    ends = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            for parameter, direction in zip(parameters, along, strict=True):
                parameter.add_(direction, alpha=step)
        ends.append(float(value().detach()))
    measured = (ends[0] - ends[1]) / 2e-5
    close(torch.tensor(slope), torch.tensor(measured), 1e-4, f"{name}'s gradient is that of its value", relative=True)
    net.float()
    with torch.autocast("cpu", torch.bfloat16):
        probes.tensor(value(dtype=torch.float32), (), f"{name} in bf16 autocast", torch.float32)


#: The check of each kind that has one.
CHECKS: dict[str, Callable[..., None]] = {
    "generator": check_generator,
    "assembler": check_assembler,
    "discriminator": check_discriminator,
    "loss": check_loss,
    "penalty": check_penalty,
    "augmentation": check_augmentation,
    "direction": check_direction,
    "refiner": check_refiner,
}
