"""The residual networks' convolutions, resampling and checkpoints: exact, with gradients of gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import grad, gradcheck, gradgradcheck

from gadkit import VideoSpec
from gadkit_plugins.residual.blocks import Block
from gadkit_plugins.residual.clip import ResidualClipDiscriminator
from gadkit_plugins.residual.convolution import Convolution, Transposed
from gadkit_plugins.residual.generator import ResidualGenerator
from gadkit_plugins.residual.resampling import Resample, doubling, halved_in_time, halving

SHAPES = [
    {"kernel_size": 1},
    {"kernel_size": 3, "padding": 1, "groups": 2},
    {"kernel_size": (3, 1), "padding": (1, 0)},
    {"kernel_size": 4, "stride": 2, "padding": 1, "bias": False},
]


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_convolutions_are_those_of_torch_to_the_second_derivative(shape: dict[str, object]) -> None:
    torch.manual_seed(0)
    net = Convolution(4, 6, **shape).double()
    reference = nn.Conv2d(4, 6, **shape).double()
    reference.load_state_dict(net.state_dict())
    x = draw(3, 4, 6, 8).requires_grad_()
    found = []
    for layer in (net, reference):
        out = layer(x)
        weights = list(layer.parameters())
        first = grad((out**3).sum(), [x, *weights], create_graph=True)
        second = grad(sum((slope**2).sum() for slope in first), [x, *weights])
        found.append([out, *first, *second])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_convolutions_have_the_derivatives_of_finite_differences(shape: dict[str, object]) -> None:
    torch.manual_seed(0)
    net = Convolution(2, 2, **shape).double()
    weights = [weight.detach().clone().requires_grad_() for weight in net.parameters()]
    names = [name for name, _ in net.named_parameters()]

    def run(x: Tensor, *weights: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(net, dict(zip(names, weights, strict=True)), (x,))
        return out

    inputs = (draw(2, 2, 4, 4).requires_grad_(), *weights)
    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs)


def test_one_derivative_does_not_ask_for_the_others() -> None:
    """A frozen network takes no gradient for its weights, and data none for themselves."""
    net = Convolution(2, 2, 1)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    x = torch.randn(1, 2, 3, 3, requires_grad=True)
    out = net(x)
    assert out.grad_fn is not None
    (slope,) = grad(out.sum(), x, create_graph=True)
    assert not slope.requires_grad  # linear in x, and no weight asks
    net.weight.requires_grad_(True)
    (slope,) = grad(net(x.detach()).sum(), net.weight)
    assert slope.shape == net.weight.shape


def test_convolutions_take_the_autocast_type_in_every_derivative() -> None:
    torch.manual_seed(0)
    net = Convolution(16, 16, 3, padding=1, groups=2)
    x = torch.randn(4, 16, 8, 8, requires_grad=True)
    slopes = []
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = net(x)
        assert out.dtype == (torch.bfloat16 if enabled else torch.float32)
        (at_x,) = grad(out.float().square().sum(), x, create_graph=True)
        slopes.append([at_x, *grad(at_x.square().sum(), [net.weight, net.bias])])
    for half, full in zip(*slopes, strict=True):
        assert half.dtype == torch.float32
        assert float((half - full).detach().norm() / full.detach().norm()) < 0.02


@pytest.mark.parametrize("stride", [2, 4])
def test_a_transposed_convolution_is_torchs(stride: int) -> None:
    torch.manual_seed(0)
    net = Transposed(5, 3, stride).double()
    x = draw(2, 5, 3, 4)
    expected = nn.functional.conv_transpose2d(x, net.weight, stride=stride, padding=stride // 2)
    torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-12)
    assert net(x).shape == (2, 3, 3 * stride, 4 * stride)


def filtered(x: Tensor, taps: Tensor) -> Tensor:
    """Along both sides, by an explicit convolution of one channel at a time; `x` is padded already."""
    kernel = (taps[:, None] * taps)[None, None]
    return torch.stack([nn.functional.conv2d(each[:, None], kernel)[:, 0] for each in x.unbind(1)], dim=1)


def test_resampling_is_a_convolution_with_1_2_1() -> None:
    torch.manual_seed(0)
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    x = draw(2, 3, 6, 8)
    half = Resample(3, 3, halving(6), halving(8)).double()
    edge = nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    torch.testing.assert_close(half(x), filtered(edge, taps / 4)[:, :, ::2, ::2], rtol=0, atol=1e-12)
    twice = Resample(3, 3, doubling(6), doubling(8)).double()
    # zeros between the pixels, of which one more than there are stands at the far ends
    more = nn.functional.pad(x, (0, 1, 0, 1), mode="replicate")
    sparse = torch.zeros(2, 3, 14, 18, dtype=torch.float64)
    sparse[:, :, ::2, ::2] = more
    sparse = nn.functional.pad(sparse, (1, 0, 1, 0))
    torch.testing.assert_close(twice(x), filtered(sparse, taps / 2)[:, :, :12, :16], rtol=0, atol=1e-12)


def test_resampling_leaves_what_is_even_and_changes_the_width() -> None:
    torch.manual_seed(0)
    for size in (3, 4, 5, 7, 16):
        assert torch.equal(halving(size).sum(1), torch.ones((size + 1) // 2))
        assert torch.equal(doubling(size).sum(1), torch.ones(2 * size))
    x = torch.randn(2, 4, 6, 8)
    for matrices in ((halving(6), halving(8)), (doubling(6), doubling(8))):
        net = Resample(4, 7, *matrices)
        plain = Resample(4, 4, *matrices)
        assert net.change is not None
        torch.testing.assert_close(net(x), net.change(plain(x)))  # in whichever order it does the two
        assert set(net.state_dict()) == {"change.weight"}


@pytest.mark.parametrize("frames", [1, 2, 5, 6])
def test_time_is_halved_as_sides_are(frames: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, frames, 3, 2, 2)
    expected = [(x[:, max(i - 1, 0)] + 2 * x[:, i] + x[:, min(i + 1, frames - 1)]) / 4 for i in range(0, frames, 2)]
    found = halved_in_time(x.flatten(0, 1), frames).unflatten(0, (2, -1))
    torch.testing.assert_close(found, torch.stack(expected, dim=1))


def test_checkpointing_changes_no_bit() -> None:
    """Neither of the outputs, nor of gradients, nor of the gradients of a gradient penalty."""
    video = VideoSpec(height=16, width=16, frames=4)
    small = {"width": 8, "max_width": 16, "temporal": 2}
    for cls, given in (
        (ResidualGenerator, torch.randn(2, 4, 128)),
        (ResidualClipDiscriminator, torch.randn(2, 4, 3, 16, 16)),
    ):
        found: list[list[Tensor]] = []
        for checkpointing in (False, True):
            torch.manual_seed(0)
            net = cls(video, checkpointing=checkpointing, **small)
            for module in net.modules():
                if isinstance(module, Block):
                    nn.init.normal_(module.narrow.weight, 0.0, 0.1)
            x = given.clone().requires_grad_()
            out = net(x)
            first = grad(out.square().sum(), [x, *net.parameters()], retain_graph=True)
            (slope,) = grad(out.sum(), x, create_graph=True)
            net.zero_grad()
            (slope.square().sum() + out.mean()).backward()
            second = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
            assert len(second) > len(first) // 2
            found.append([out.detach(), *first, slope.detach(), *second])
        assert all(torch.equal(plain, anew) for plain, anew in zip(*found, strict=True))


def test_checkpointing_keeps_less() -> None:
    """The tensors that the backward pass holds on to, in bytes."""
    kept = []
    for checkpointing in (False, True):
        net = ResidualGenerator(VideoSpec(height=32, width=32, frames=4), checkpointing=checkpointing, patch=1)
        held: dict[int, int] = {}

        def pack(tensor: Tensor, held: dict[int, int] = held) -> Tensor:
            held[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = net(torch.randn(2, 4, 128))
        assert out.requires_grad
        kept.append(sum(held.values()))
    assert kept[1] < kept[0] / 2
