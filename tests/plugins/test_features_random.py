"""The fixed random network: the same everywhere, sensitive to motion, and worse for worse clips."""

from __future__ import annotations

import importlib.util
import math
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gadkit import DataError, Key, Noise, load_features
from gadkit.weights.state import digest
from gadkit_plugins.data.synthetic.bouncing_shapes import BouncingShapes
from gadkit_plugins.features.random_r3d import STEM, WIDTHS, RandomR3D, draw
from gadkit_plugins.metrics.frechet import FrechetVideoDistance

DIGEST = "b806e7d0d52efde815ef0c653ac98b04df0ce48e38f84d50f69fbf5629a0b360"
#: Which of a vector's entries tell of change over time.
MOVING = torch.cat([torch.tensor([False] * 2 * width + [True] * width) for width in WIDTHS])


@pytest.fixture(scope="module")
def net() -> RandomR3D:
    found = load_features("random-r3d", device="cpu")
    assert isinstance(found, RandomR3D)
    return found


def noisy(count: int, frames: int = 6, height: int = 64, width: int = 64) -> Tensor:
    """Clips of noise whose coarseness differs from clip to clip, uint8 `(count, frames, 3, height, width)`."""
    clips = []
    for number in range(count):
        side = 8 << (number % 4)
        drawn = Noise(Key.of(0, "clips", number), torch.arange(frames)).uniform("pixels", 3 * side * side)
        small = (drawn * 255).view(frames, 3, side, side)
        clips.append(functional.interpolate(small, (height, width), mode="bilinear"))
    return torch.stack(clips).to(torch.uint8)


def shapes(first: int, count: int, frames: int = 16) -> Tensor:
    """Clips of shapes that fly, uint8 `(count, frames, 3, 64, 64)`."""
    dataset = BouncingShapes(shapes=4, length=frames)
    videos = [np.stack(list(dataset.open(source).frames)) for source in islice(dataset.sources(), first, first + count)]
    return torch.from_numpy(np.stack(videos)).permute(0, 1, 4, 2, 3).contiguous()


@pytest.fixture(scope="module")
def damages() -> ModuleType:
    """The damages of the benchmark."""
    file = Path(__file__).parents[2] / "benchmarks" / "damages.py"
    spec = importlib.util.spec_from_file_location("damages", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_weights_are_the_same_to_the_last_bit_everywhere() -> None:
    assert digest(RandomR3D().state_dict()) == DIGEST
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(7)
        with torch.device("meta"):  # where new tensors lie by default
            assert digest(draw()) == DIGEST
    finally:
        torch.set_default_dtype(default)


def test_kernels_have_norm_one_and_are_blind_to_what_they_should_not_see() -> None:
    weights = draw()
    for name, kernels in weights.items():
        assert kernels.dtype == torch.float32
        torch.testing.assert_close(kernels.flatten(1).norm(dim=1), torch.ones(len(kernels)), rtol=1e-6, atol=0)
        if name != "stem":
            assert kernels.sum((1, 2, 3, 4)).abs().max() < 1e-5
    light, detail, motion = weights["stem"].split(list(STEM.values()))
    assert detail.sum((3, 4)).abs().max() < 1e-6
    assert motion.sum(2).abs().max() < 1e-6
    assert light.sum((3, 4)).abs().max() > 0.1
    assert weights["block2_time"][: WIDTHS[2] // 2].sum(2).abs().max() < 1e-6


def test_vectors_equal_a_plain_implementation_in_float64(net: RandomR3D) -> None:
    weights = {name: value.double() for name, value in draw().items()}

    def long(x: Tensor) -> Tensor:
        return functional.pad(x, (0, 0, 0, 0, 1, 1), mode="replicate")

    def activated(x: Tensor) -> Tensor:
        return functional.relu(x) / math.sqrt(0.5 - 0.5 / math.pi)

    for frames in (2, 5, 8):
        clips = noisy(2, frames)
        x = functional.conv3d(long((clips.double().transpose(1, 2) - 127.5) / 64), weights["stem"])
        rows = []
        for number in range(len(WIDTHS)):
            if number:
                window = (1 if number == 1 or x.shape[2] == 1 else 2, 2, 2)
                x = functional.avg_pool3d(x, window, ceil_mode=True, count_include_pad=False)
                skipped = functional.conv3d(x, weights[f"block{number}_skip"])
                x = functional.conv3d(activated(skipped), weights[f"block{number}_space"], padding=(0, 1, 1))
                x = functional.conv3d(long(activated(x)), weights[f"block{number}_time"])
                x = (x + skipped) / math.sqrt(2)
            x = activated(x)
            rows += [
                x.mean((2, 3, 4)),
                x.mean(2).flatten(2).std(2, correction=0),
                x.std(2, correction=0).mean((2, 3)),
            ]
        expected = (1 + 10 * torch.cat(rows, 1)).log()
        torch.testing.assert_close(net(clips).double(), expected, rtol=1e-4, atol=1e-5)


def test_responses_have_variance_one_without_looking_at_data(net: RandomR3D) -> None:
    drawn = Noise(Key.of(0, "white"), torch.arange(2)).normal("pixels", 16 * 3 * 64 * 64)
    clips = (127.5 + 40 * drawn).clamp(0, 255).to(torch.uint8).view(2, 16, 3, 64, 64)
    means = (net(clips).expm1() / 10)[:, : WIDTHS[0]] * 64 / 40
    # a rectified normal has the mean 1 / sqrt(2 pi), times the gain sqrt(2 / (1 - 1 / pi))
    torch.testing.assert_close(means.mean(), torch.tensor(1 / math.sqrt(math.pi - 1)), rtol=0.02, atol=0)


def test_a_clip_is_looked_at_by_itself(net: RandomR3D) -> None:
    clips = noisy(5)
    rows = net(clips)
    assert rows.dtype == torch.float32
    assert rows.shape == (5, net.dim)
    assert torch.equal(net(clips.flip(0)).flip(0), rows)
    assert torch.equal(torch.cat([net(clips[:3]), net(clips[3:])]), rows)
    assert net(clips[:0]).shape == (0, net.dim)


@pytest.mark.parametrize(("frames", "height", "width"), [(2, 16, 16), (3, 17, 40), (19, 96, 64), (4, 200, 128)])
def test_any_size_and_length_is_taken(net: RandomR3D, frames: int, height: int, width: int) -> None:
    rows = net(noisy(3, frames, height, width))
    assert rows.shape == (3, net.dim)
    assert rows.isfinite().all()


def test_a_larger_picture_of_the_same_is_nearly_the_same(net: RandomR3D) -> None:
    clips = noisy(4)
    coarse = clips[[0, 1]]
    large = functional.interpolate(coarse.flatten(0, 1).float(), scale_factor=3, mode="bilinear")
    again = net(large.round().to(torch.uint8).unflatten(0, (2, -1)))
    rows = net(coarse)
    assert (again - rows).norm() < 0.25 * (rows[0] - rows[1]).norm()


def test_what_is_finer_than_it_sees_is_averaged(net: RandomR3D) -> None:
    fine = Noise(Key.of(0, "fine"), torch.arange(1)).uniform("pixels", 2 * 3 * 192 * 192) * 256
    fine = fine.to(torch.uint8).view(2, 3, 192, 192)
    averaged = functional.avg_pool2d(fine.float(), 3).round().to(torch.uint8)
    rows, expected, aliased = (net(clip[None]) for clip in (fine, averaged, fine[..., 1::3, 1::3]))
    assert (rows - expected).norm() < 0.3 * (rows - aliased).norm()


def test_a_frozen_clip_moves_at_no_depth(net: RandomR3D) -> None:
    clips = shapes(0, 4)
    held, moving = net(clips[:, :1].expand_as(clips)), net(clips)
    assert held[:, MOVING].max() < 1e-3
    assert (moving[:, MOVING] > 1e-2).float().mean() > 0.9
    assert (held[:, ~MOVING] > 0).float().mean() > 0.7


def test_a_grey_clip_without_change_gives_only_the_light_a_response(net: RandomR3D) -> None:
    means = net(torch.full((1, 4, 3, 64, 64), 200, dtype=torch.uint8))[0, : WIDTHS[0]]
    assert means[: STEM["light"]].max() > 0.1
    assert means[STEM["light"] :].max() < 1e-3


def test_the_ladder_of_damage_is_climbed(net: RandomR3D, damages: ModuleType) -> None:
    reference, others = net(shapes(0, 32)), shapes(32, 32)
    names = ["blur ½", "blur ¼", "noise σ32", "random", "frozen", "shuffled"]
    rungs = {"real": others} | {name: damages.damaged(name, others, torch.arange(32), 0) for name in names}
    found = {}
    for name, clips in rungs.items():
        assert clips.shape == others.shape
        metric = FrechetVideoDistance()
        metric.update(reference, real=True)
        metric.update(net(clips), real=False)
        found[name] = float(metric.compute()["fvd"])
    order = [found[name] for name in ("real", "blur ½", "blur ¼", "noise σ32", "random")]
    assert order == sorted(order), found
    assert min(found[name] for name in names) > 1.5 * found["real"], found


def test_it_says_that_it_is_comparable_with_nothing(net: RandomR3D) -> None:
    assert net.literature == ""
    assert net.weights is None
    assert not net.labels


@pytest.mark.parametrize(
    "video",
    [
        torch.zeros(2, 4, 3, 64, 64),
        torch.zeros(2, 1, 3, 64, 64, dtype=torch.uint8),
        torch.zeros(2, 4, 4, 64, 64, dtype=torch.uint8),
        torch.zeros(4, 3, 64, 64, dtype=torch.uint8),
    ],
    ids=["float", "one frame", "four channels", "no batch"],
)
def test_other_clips_are_refused_in_a_sentence(net: RandomR3D, video: Tensor) -> None:
    with pytest.raises(DataError, match=r"random-r3d: found clips of .*, expected torch.uint8 \(B, T, 3, H, W\)"):
        net(video)
