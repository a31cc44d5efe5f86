"""Does a component compute where its inputs lie: on a device without an accelerator, and on each that is there?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gadkit.engine.devices import lay_out
from gadkit.errors import DataError
from gadkit.evaluation.networks import with_weights
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, Noise, seeded
from gadkit.testing.elsewhere import accelerators, elsewhere, stays
from gadkit.testing.games import SmallGame
from gadkit.testing.inputs import labels_of, pixels_of
from gadkit.testing.promises import promise
from gadkit.testing.small import FRAMES, LATENT, MOTION, first_fit
from gadkit.testing.subjects import Trial
from gadkit.testing.watched import GeneralSum, ZeroSum

_BATCH = 3
#: How far numbers of an accelerator in fp32 may lie from the CPU's, as a share of the largest: TF32 has 10 bits.
_NEAR = 2e-2
_VIDEO = VideoSpec(height=8, width=8, frames=FRAMES, fps=10.0, classes=2)

Results = dict[str, Tensor]


def check_placement(trial: Trial) -> None:
    """Checks a component on other devices than the CPU.

    Without an accelerator its tensors are followed on PyTorch's device `meta`, which shows those that stay on the CPU.
    On each accelerator of this machine it computes in fp32, near what it computes on the CPU, and in bf16 autocast,
    finite numbers.

    Raises:
        AssertionError: A broken promise.
        unittest.SkipTest: It reads numbers on the host, and there is no accelerator.
    """
    use = _USES[trial.kind]
    for device in accelerators():
        expected = use(trial, torch.device("cpu"), False)
        found = use(trial, device, False)
        for what, value in found.items():
            _near(value, expected[what], f"{trial.name}'s {what} on {device.type}")
        if trial.kind in _AUTOCAST:
            for what, value in use(trial, device, True).items():
                promise(
                    bool(value.isfinite().all()),
                    f"{trial.name}'s {what} on {device.type} is finite in bf16 autocast",
                    "it holds nan or inf",
                    "compute what needs the range, such as sums of squares, in float32",
                )
    with elsewhere(trial.name) as device:
        use(trial, device, False)


def _near(found: Tensor, expected: Tensor, what: str) -> None:
    there, here = found.detach().cpu().double(), expected.detach().double()
    off = float((there - here).abs().max()) / (float(here.abs().max()) or 1.0)
    promise(
        off <= _NEAR,
        f"{what} is what it is on the CPU",
        f"they differ by {off:.2g} of the largest number, more than {_NEAR:g}",
        "look for numbers that are drawn on the device, or not initialised",
    )


def _placed(net: nn.Module, device: torch.device) -> nn.Module:
    """A net on a device, as a run places it."""
    net.to(device)
    lay_out(net)
    return net


def _cast(device: torch.device, autocast: bool) -> Any:
    return torch.autocast(device.type, torch.bfloat16) if autocast else nullcontext()


def _noise(device: torch.device, count: int = _BATCH) -> Noise:
    """Noise as a trainer hands it over: drawn on the CPU, wanted on the device."""
    return Noise(Key.of(0, "devices"), torch.arange(5, 5 + count), device=device)


def _labels(video: VideoSpec, device: torch.device) -> Tensor | None:
    labels = labels_of(video, _BATCH)
    return None if labels is None else labels.to(device)


def _clips(video: VideoSpec, device: torch.device, seed: int = 0, frames: int | None = None) -> Tensor:
    return pixels_of(video, _BATCH, video.frames if frames is None else frames, seed).to(device)


def _slopes(value: Tensor, net: nn.Module, device: torch.device, what: str) -> Tensor:
    """The size of the gradient of a scalar, after a look at where it lies."""
    wanted = [parameter for parameter in net.parameters() if parameter.requires_grad]
    slopes = torch.autograd.grad(value, wanted, allow_unused=True) if wanted and value.requires_grad else ()
    there = [slope for slope in slopes if slope is not None]
    stays(there, device, f"{what}'s gradient")
    return sum((slope.float().square().sum() for slope in there), torch.zeros((), device=device)).sqrt()


def _generator(trial: Trial, device: torch.device, autocast: bool) -> Results:
    with seeded(Key.of(0)):
        video, net = first_fit(lambda video: trial.load()(video, **trial.settings))
    _placed(net, device)
    codes = _noise(device).normal("codes", net.latent_dim, torch.arange(video.frames))
    with _cast(device, autocast):
        film = net(codes, _labels(video, device))
    stays(film, device, f"{trial.name}'s video")
    return {"video": film, "gradient": _slopes(film.float().square().mean(), net, device, trial.name)}


def _assembler(trial: Trial, device: torch.device, autocast: bool) -> Results:
    with seeded(Key.of(0)):
        net = trial.load()(_VIDEO, LATENT, MOTION, **trial.settings)
    _placed(net, device)
    times = torch.arange(7, dtype=torch.float64).expand(_BATCH, -1)
    noise, labels = _noise(device), _labels(_VIDEO, device)
    first, state = net.codes(noise, times[:, :4], labels)
    second, _ = net.codes(noise, times[:, 4:], labels, state)
    codes = torch.cat((first, second), 1)
    stays(codes, device, f"{trial.name}'s codes")
    return {"codes": codes, "gradient": _slopes(codes.float().square().mean(), net, device, trial.name)}


def _discriminator(trial: Trial, device: torch.device, autocast: bool) -> Results:
    with seeded(Key.of(0)):
        video, net = first_fit(lambda video: trial.load()(video, **trial.settings))
    _placed(net, device)
    times = net.times(Noise(Key.of(0, "devices"), torch.arange(_BATCH)))
    clips = _clips(video, device, frames=None if times is None else times.shape[1]).requires_grad_()
    times = None if times is None else times.to(device)
    labels = _labels(video, device)
    with _cast(device, autocast):
        found = net(clips, labels, times)
        features = net.features(clips, labels, times)
    heads = dict(found) if isinstance(found, Mapping) else {"": found}
    stays([*heads.values(), features], device, f"{trial.name}'s logits")
    logits = torch.cat([each.float() for each in heads.values()], 1)
    (slope,) = torch.autograd.grad(logits.sum(), clips, create_graph=True)
    return {
        "logits": logits,
        "gradient": _slopes(logits.square().mean() + slope.float().square().mean(), net, device, trial.name),
    }


def _loss(trial: Trial, device: torch.device, autocast: bool) -> Results:
    loss = trial.load()(**trial.settings)
    size = (_BATCH, loss.logits or 1)
    real, fake = (
        _noise(device).normal(side, math.prod(size[1:])).view(size).requires_grad_() for side in ("real", "fake")
    )
    values = {
        "loss of the discriminator": loss.discriminator(real, fake),
        "loss of the generator": loss.generator(fake, real if loss.generator_needs_real else None),
    }
    stays(values, device, f"{trial.name}'s value")
    for value in values.values():
        stays(torch.autograd.grad(value, fake)[0], device, f"{trial.name}'s gradient")
    return values


def _penalty(trial: Trial, device: torch.device, autocast: bool) -> Results:
    from gadkit.testing.probes import Bound, SmoothCritic

    penalty = trial.load()(**trial.settings)
    twice = penalty.double_backward
    net = _placed(SmoothCritic(_VIDEO, once=not twice), device)
    assert isinstance(net, SmoothCritic)
    real, fake = (_clips(_VIDEO, device, seed).requires_grad_(twice) for seed in (1, 2))
    labels = _labels(_VIDEO, device)
    assert labels is not None
    with _cast(device, autocast):
        value = penalty(Bound(net, labels), real, fake, _noise(device))
    stays(value, device, f"{trial.name}'s value")
    return {"value": value, "gradient": _slopes(value, net, device, trial.name)}


def _augmentation(trial: Trial, device: torch.device, autocast: bool) -> Results:
    augmentation = trial.load()(**trial.settings)
    clips = _clips(_VIDEO, device).requires_grad_()
    seen = augmentation(clips, _noise(device), torch.tensor(0.7, device=device))
    stays(seen, device, f"what {trial.name} makes of clips")
    (slope,) = torch.autograd.grad(seen.square().mean(), clips)
    return {"clips": seen, "gradient": slope}


def _direction(trial: Trial, device: torch.device, autocast: bool) -> Results:
    """Two steps on the CPU, and two more on the device from the state that those left."""
    build = trial.load()
    game, direction = _game(torch.device("cpu"), build(**trial.settings).needs_zero_sum), build(**trial.settings)
    for step in range(2):
        game.begin(step)
        direction.step(game)
    there, resumed = _game(device, game.zero_sum), build(**trial.settings)
    resumed.load_state_dict(direction.state_dict())
    for step in range(2, 4):
        there.begin(step)
        resumed.step(there)
    parameters = [*there.generator.parameters, *there.discriminator.parameters]
    stays(parameters, device, f"what {trial.name} moves")
    return {"parameters": torch.cat([parameter.detach().flatten() for parameter in parameters])}


def _game(device: torch.device, zero_sum: bool) -> SmallGame:
    """A linear generator against a layer of tanh, in float32."""
    draw = Noise(Key.of(3), torch.arange(4), device=device)
    made, hidden, out = (
        nn.Parameter(draw.normal(name, size).to(device)) for name, size in (("made", 3), ("hidden", 4), ("out", 2))
    )

    def batch(step: int, draw: int) -> tuple[Tensor, Tensor]:
        noise = _noise(device, 6).fold(step, draw)
        return noise.normal("real", 3).view(6, 1, 3, 1, 1), noise.normal("latent", 4)

    return SmallGame(
        generator=[made],
        discriminator=[hidden, out],
        batch=batch,
        make=lambda latents: (latents @ made).view(-1, 1, 3, 1, 1),
        judge=lambda clips: (torch.tanh(clips.flatten(1) @ hidden[:3]) @ out).sum(1, keepdim=True),
        loss=ZeroSum() if zero_sum else GeneralSum(),
        optimiser=lambda parameters: torch.optim.Adam(parameters, lr=0.01, betas=(0.5, 0.9)),
    )


def _refiner(trial: Trial, device: torch.device, autocast: bool) -> Results:
    refiner = trial.load()(**trial.settings)
    noise = _noise(device)
    slant = noise.normal("slant", 5)[0]
    refined = refiner.refine(lambda latents: (torch.tanh(latents) * slant).sum(1), noise.normal("start", 5), noise)
    stays(refined, device, f"{trial.name}'s latents")
    return {"latents": refined}


def _features(trial: Trial, device: torch.device, autocast: bool) -> Results:
    net = trial.load()(**trial.settings).eval().requires_grad_(False)
    if net.weights is not None and device.type != "meta":
        try:
            net = with_weights(net)
        except DataError:  # whose numbers would be of no use
            return {}
    _placed(net, device)
    fewest, most = net.frames
    frames = fewest if most is not None else max(fewest, 4)
    clips = ((_clips(VideoSpec(height=32, width=32, frames=frames), device) + 1) * 127.5).to(torch.uint8)
    with torch.no_grad():
        rows = net(clips)
    stays(rows, device, f"{trial.name}'s vectors")
    return {"vectors": rows}


_USES: dict[str, Callable[[Trial, torch.device, bool], Results]] = {
    "generator": _generator,
    "assembler": _assembler,
    "discriminator": _discriminator,
    "loss": _loss,
    "penalty": _penalty,
    "augmentation": _augmentation,
    "direction": _direction,
    "refiner": _refiner,
    "features": _features,
}
#: The kinds whose passes a run makes inside autocast.
_AUTOCAST = ("generator", "discriminator", "penalty")
