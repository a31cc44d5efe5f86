"""The residual networks: their blocks and beginnings, their sizes, frames and labels."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from gadkit import ConfigError, Key, Noise, VideoSpec
from gadkit.testing import check_discriminator, check_generator
from gadkit_plugins.residual.blocks import Block
from gadkit_plugins.residual.bounds import WAY_BACK, isru
from gadkit_plugins.residual.clip import ResidualClipDiscriminator
from gadkit_plugins.residual.frame import ResidualFrameDiscriminator
from gadkit_plugins.residual.generator import ResidualGenerator
from gadkit_plugins.residual.layout import resolutions
from gadkit_plugins.residual.sparse import SparseDiscriminator

DISCRIMINATORS = (ResidualClipDiscriminator, ResidualFrameDiscriminator, SparseDiscriminator)
TINY = {"width": 8, "max_width": 16, "depth": 1}


def spec(height: int = 16, width: int | None = None, frames: int = 4, classes: int = 0) -> VideoSpec:
    return VideoSpec(height=height, width=width or height, frames=frames, classes=classes)


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def wakened(net: nn.Module) -> nn.Module:
    """The net with blocks that do something, as they do after a few steps."""
    torch.manual_seed(1)
    with torch.no_grad():
        for block in blocks(net):
            nn.init.normal_(block.narrow.weight, 0.0, block.narrow.in_channels**-0.5)
    return net


def blocks(net: nn.Module) -> list[Block]:
    return [module for module in net.modules() if isinstance(module, Block)]


def frames_of(net: nn.Module, video: VideoSpec) -> int:
    return 3 if isinstance(net, SparseDiscriminator) else video.frames


@pytest.mark.parametrize(("base", "count"), [(128, 912_064), (192, 1_792_032), (256, 2_954_624), (384, 6_127_680)])
def test_r3gan_generators_have_the_published_sizes(base: int, count: int) -> None:
    """.91, 1.79, 2.95 and 6.13 million parameters, added up by hand from the widths."""
    net = ResidualGenerator(spec(64), latent_dim=64, patch=1, width=base // 2, max_width=base)

    def block(c: int) -> int:
        return c * 2 * c + 2 * c + 2 * c * 16 * 9 + 2 * c + 2 * c * c

    expected = 64 * base + base * 16 + 2 * (4 * block(base) + block(base // 2)) + base * base // 2 + base // 2 * 3
    assert parameters(net) == expected == count


def test_a_block_is_what_its_formula_says() -> None:
    torch.manual_seed(0)
    block = wakened(nn.Sequential(Block(8, 16, 4)))[0].double()
    nn.init.normal_(block.widen.bias)
    nn.init.normal_(block.mix.bias)
    x = torch.randn(6, 8, 5, 7, dtype=torch.float64)

    def f(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.2 * x)

    inner = f(torch.einsum("oi,nihw->nohw", block.widen.weight[:, :, 0, 0], x) + block.widen.bias[:, None, None])
    columns = nn.functional.unfold(inner, 3, padding=1).view(6, 4, 4 * 9, 35)
    mixed = torch.einsum("gok,ngkp->ngop", block.mix.weight.view(4, 4, 36), columns).reshape(6, 16, 5, 7)
    inner = f(mixed + block.mix.bias[:, None, None])
    expected = x + torch.einsum("oi,nihw->nohw", block.narrow.weight[:, :, 0, 0], inner)
    torch.testing.assert_close(block(x, 3), expected, rtol=0, atol=1e-12)


def test_a_temporal_block_convolves_each_place_over_the_frames_of_its_clip() -> None:
    torch.manual_seed(0)
    block = Block(4, 8, 2, temporal=True).double()
    nn.init.normal_(block.narrow.weight)
    x = torch.randn(2 * 5, 4, 3, 6, dtype=torch.float64)  # two clips of five frames
    for layout in (torch.contiguous_format, torch.channels_last):
        out = block(x.contiguous(memory_format=layout), 5).view(2, 5, 4, 3, 6)
        for clip, high, wide in ((0, 0, 0), (1, 2, 4), (0, 1, 5)):
            line = x.view(2, 5, 4, 3, 6)[clip, :, :, high, wide].T[None]  # (1, C, T)
            inner = nn.functional.leaky_relu(
                nn.functional.conv1d(line, block.widen.weight[..., 0], block.widen.bias), 0.2
            )
            inner = nn.functional.conv1d(inner, block.mix.weight[..., 0], block.mix.bias, padding=1, groups=2)
            inner = nn.functional.conv1d(nn.functional.leaky_relu(inner, 0.2), block.narrow.weight[..., 0])
            torch.testing.assert_close(out[clip, :, :, high, wide], (line + inner)[0].T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cls", [ResidualGenerator, *DISCRIMINATORS])
def test_every_block_begins_as_the_identity_at_the_published_scale(cls: type) -> None:
    torch.manual_seed(0)
    net = cls(spec(64), depth=3, **({} if cls in DISCRIMINATORS[1:] else {"temporal": 2}))
    found = blocks(net)
    levels = 4  # 32, 16, 8, 4
    assert len(found) == 3 * levels + (0 if cls in DISCRIMINATORS[1:] else 2)
    for block in found:
        assert not block.narrow.weight.any()
        assert not block.widen.bias.any()
        assert not block.mix.bias.any()
        for layer, fan_in in ((block.widen, block.widen.in_channels), (block.mix, block.mix.weight[0].numel())):
            expected = (2 / 1.04) ** 0.5 * len(found) ** -0.25 / fan_in**0.5
            assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=0.15)
        x = torch.randn(4, block.widen.in_channels, 3, 3)
        assert torch.equal(block(x, 2), x)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_signals_begin_with_one_size_through_the_generator(patch: int) -> None:
    torch.manual_seed(0)
    net = ResidualGenerator(spec(64), patch=patch)
    sizes: list[float] = []
    for module in [*net.stages, net.colours]:
        module.register_forward_hook(lambda module, _, out: sizes.append(float(out.detach().square().mean())))
    with torch.no_grad():
        net(torch.randn(8, 4, 128))
    assert 0.5 < sizes[0] < 2
    # linear interpolation between independent base pixels leaves 2/3 of their mean square for each side, and no less
    assert all(4 / 9 / 1.3 < size / sizes[0] < 1.3 for size in sizes), sizes


def test_colours_are_bounded_by_the_inverse_square_root_unit() -> None:
    x = torch.linspace(-6, 6, 25, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(isru(x), torch.sin(torch.atan(x)))
    torch.testing.assert_close(torch.autograd.grad(isru(x).sum(), x)[0], torch.cos(torch.atan(x)) ** 3)
    assert torch.autograd.gradgradcheck(isru, x)


def test_only_a_gradient_that_leads_back_from_beyond_the_bounds_has_a_least_slope() -> None:
    x = torch.tensor([-50.0, -50.0, -1.0, -1.0, 1.0, 1.0, 50.0, 50.0], requires_grad=True)
    wanted = torch.tensor([1.0, -1.0] * 4)  # what a descent does to each: lower it, raise it
    (gradient,) = torch.autograd.grad(isru(x), x, wanted)
    near, far = 2**-1.5, 2501**-1.5
    expected = torch.tensor([far, -WAY_BACK, near, -near, near, -near, WAY_BACK, -far])
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("bound", "learns"), [("isru", True), ("tanh", False)])
def test_a_generator_that_overshot_into_black_learns_on(bound: Literal["isru", "tanh"], learns: bool) -> None:
    torch.manual_seed(0)
    net = ResidualGenerator(spec(16), bound=bound)
    net.colours.register_forward_hook(lambda module, _, out: out / 10 - 16)
    with torch.autocast("cpu", torch.bfloat16):
        video = net(torch.randn(2, 4, 128))
    assert video.dtype == torch.bfloat16
    assert (video < -0.99).all()
    too_dark = -video.float().sum()
    gradients = torch.autograd.grad(too_dark, [*net.parameters()], allow_unused=True)
    assert any(bool(each.any()) for each in gradients if each is not None) is learns


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("cls", DISCRIMINATORS)
def test_signals_begin_with_one_size_through_the_discriminators(cls: type, patch: int) -> None:
    """For clips that the filters leave as they are: one colour a clip."""
    torch.manual_seed(0)
    net = cls(spec(32), patch=patch)
    sizes: list[float] = []
    trunks = [net.alone, net.together] if cls is SparseDiscriminator else [net.trunk]
    for stage in [stage for trunk in trunks for stage in trunk.stages]:
        stage.register_forward_hook(
            lambda module, _, out: sizes.append(float(out.detach()[:, :, 1:-1, 1:-1].square().mean()))
        )
    video = torch.randn(24, 1, 3, 1, 1).expand(-1, frames_of(net, net.video), -1, 32, 32)
    with torch.no_grad():
        logits, features = net(video), net.features(video)
    assert 0.4 < sizes[0] < 2.5  # what 3 colours make of few channels varies with the draw
    assert all(0.5 < size / sizes[0] < 2 for size in sizes), sizes
    assert 0.3 < float(features.square().mean()) < 3
    assert 0.1 < float(logits.square().mean()) < 10


@pytest.mark.parametrize("size", [(32, 32), (28, 28), (48, 48), (64, 96), (256, 128), (16, 64), (8, 8)])
def test_sizes(size: tuple[int, int]) -> None:
    video = spec(*size)
    out = ResidualGenerator(video, temporal=1, **TINY)(torch.randn(1, 4, 128)).detach()
    assert out.shape == (1, 4, 3, *size)
    assert ResidualClipDiscriminator(video, **TINY)(out).shape == (1, 1)
    assert ResidualFrameDiscriminator(video, frames=0, **TINY)(out).shape == (1, 4)
    assert SparseDiscriminator(video, **TINY)(out[:, :3]).shape == (1, 1)


@pytest.mark.parametrize("size", [(4, 4), (60, 60), (100, 64), (65, 64), (1024, 1024), (16, 512)])
def test_impossible_sizes_name_the_nearest_that_are_not(size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError) as caught:
        ResidualGenerator(spec(*size))
    message = str(caught.value)
    assert f"found {size[0]}x{size[1]}" in message
    for suggestion in message.split("use ")[1].strip(".").split(" or "):
        resolutions(spec(*map(int, suggestion.split("x"))))
    for cls in DISCRIMINATORS:
        with pytest.raises(ConfigError):
            cls(spec(*size))


def test_nearest_sizes_are_near() -> None:
    with pytest.raises(ConfigError, match=r"found 62x62 .* use 64x64 or 56x56\."):
        resolutions(spec(62))
    assert resolutions(spec(64, 96)) == [(64, 96), (32, 48), (16, 24), (8, 12), (4, 6)]
    assert resolutions(spec(28)) == [(28, 28), (14, 14), (7, 7)]


@pytest.mark.parametrize(
    ("cls", "settings", "sentence"),
    [
        (ResidualGenerator, {"motion_dim": 200}, r"generator\.motion_dim: found 200, .* 128"),
        (ResidualGenerator, {"group_channels": 24}, r"generator\.group_channels: found 24, .* a divisor of 128"),
        (ResidualClipDiscriminator, {"group_channels": 12}, r"discriminator\.group_channels: found 12"),
        (ResidualGenerator, {"patch": 4, "size": 8}, r"generator\.patch: found 4, .* only 1 time; use 2 or less"),
        (ResidualFrameDiscriminator, {"frames": 5}, r"discriminator\.frames: found 5, .* 4 frames"),
        (ResidualClipDiscriminator, {"length": 1}, "frames: found 1, .* residual-frame"),
    ],
)
def test_impossible_settings_are_one_sentence(cls: type, settings: dict[str, int], sentence: str) -> None:
    size, length = settings.pop("size", 16), settings.pop("length", 4)
    with pytest.raises(ConfigError, match=sentence) as caught:
        cls(spec(size, frames=length), **settings)
    assert str(caught.value).count(". ") == 0


def test_frames_of_the_generator_see_as_many_neighbours_as_it_says() -> None:
    """Exactly that: the furthest code within `context` is seen, the next one is not."""
    video = spec(32)
    for temporal, context in ((0, 0), (1, 1), (2, 2), (9, 3)):
        net = wakened(ResidualGenerator(video, temporal=temporal, **TINY))
        assert net.context == context
        codes = torch.randn(1, 11, 128)
        moved = codes.clone()
        moved[:, 5] += 1
        reach = (net(moved) - net(codes)).detach().abs().amax(dim=(0, 2, 3, 4))
        assert [bool(change > 0) for change in reach] == [abs(frame - 5) <= context for frame in range(11)]


def test_a_clip_is_judged_by_its_order_at_any_length() -> None:
    net = wakened(ResidualClipDiscriminator(spec(32, frames=8), **TINY))
    video = torch.randn(2, 9, 3, 32, 32)
    for frames in (8, 2, 5, 9):
        clip = video[:, :frames]
        assert not torch.allclose(net(clip), net(clip.flip(1)), atol=1e-4)
    still = wakened(ResidualFrameDiscriminator(spec(32, frames=8), frames=0, **TINY))
    torch.testing.assert_close(still(video[:, :8]).flip(1), still(video[:, :8].flip(1)))


def test_frames_to_look_at_are_drawn_evenly() -> None:
    net = ResidualFrameDiscriminator(spec(frames=6), frames=2, **TINY)
    drawn = net.times(Noise(Key.of(3), torch.arange(3000)))
    assert drawn is not None
    counts = torch.zeros(6, 6)
    for first, second in drawn.tolist():
        counts[first, second] += 1
    pairs = counts[torch.ones(6, 6).triu(1).bool()]
    assert counts.sum() == pairs.sum()  # ascending, never twice
    assert float(((pairs - 200).square() / 200).sum()) < 36  # chi squared, 14 degrees of freedom: p = .001
    assert ResidualFrameDiscriminator(spec(frames=6), frames=0, **TINY).times(Noise(Key.of(3), torch.arange(3))) is None


@pytest.mark.parametrize("cls", [ResidualGenerator, *DISCRIMINATORS])
def test_labels_reach_every_network(cls: type) -> None:
    torch.manual_seed(0)
    video = spec(classes=3)
    net = cls(video, **TINY)
    frames = frames_of(net, video)
    given = torch.randn(1, 4, 128) if cls is ResidualGenerator else torch.randn(1, frames, 3, 16, 16)
    answers = [net(given, torch.tensor([label])).detach() for label in range(3)]
    assert not any(torch.allclose(answers[a], answers[b], atol=1e-4) for a, b in ((0, 1), (0, 2), (1, 2)))
    with pytest.raises(ConfigError, match=r"labels: found none, .* from 0 to 2"):
        net(given)


def test_the_label_adds_its_product_with_the_features() -> None:
    net = wakened(ResidualClipDiscriminator(spec(classes=3), **TINY))
    clips, labels = torch.randn(2, 4, 3, 16, 16), torch.tensor([2, 0])
    features, head = net.features(clips), net.head
    expected = features @ head.last.weight[0] + head.last.bias + (features * head.embedding.weight[labels]).sum(1)
    torch.testing.assert_close(net(clips, labels)[:, 0], expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"patch": 1, "temporal": 2, "checkpointing": True},
        {"group_channels": 0, "expansion": 1, "motion_dim": 0},
        {"bound": "tanh"},
    ],
)
def test_generator_settings_conform(settings: dict[str, object]) -> None:
    check_generator(ResidualGenerator, **TINY, **settings)


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (ResidualClipDiscriminator, {"patch": 1, "temporal": 1, "checkpointing": True}),
        (ResidualClipDiscriminator, {"patch": 4, "group_channels": 0, "temporal": 9}),
        (ResidualFrameDiscriminator, {"patch": 1, "frames": 0, "expansion": 1}),
        (SparseDiscriminator, {"patch": 1, "frames": 2, "checkpointing": True}),
        (SparseDiscriminator, {"frames": 5, "max_span": 4}),
    ],
)
def test_discriminator_settings_conform(cls: type, settings: dict[str, object]) -> None:
    check_discriminator(cls, **TINY, **settings)
