"""The DCGAN networks: the published layers, exactly; any size; labels; layout; frames."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gadkit import ConfigError, Key, Noise, VideoSpec
from gadkit.testing import check_discriminator, check_generator
from gadkit_plugins.dcgan.article import ArticleDiscriminator, ArticleGenerator
from gadkit_plugins.dcgan.clip import ClipDiscriminator
from gadkit_plugins.dcgan.frame import FrameDiscriminator
from gadkit_plugins.dcgan.generator import Generator
from gadkit_plugins.dcgan.layout import halvings


def spec(height: int = 16, width: int | None = None, frames: int = 4, classes: int = 0, channels: int = 3) -> VideoSpec:
    return VideoSpec(height=height, width=width or height, frames=frames, classes=classes, channels=channels)


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def pixels(*shape: int, seed: int = 0) -> Tensor:
    """Clips in the shape `(B, N, C, H, W)`, channels last in memory."""
    b, n, c, h, w = shape
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(b, n, h, w, c, generator=generator) * 2 - 1).permute(0, 1, 4, 2, 3)


def published_generator() -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after, stride, padding in ((100, 512, 1, 0), (512, 256, 2, 1), (256, 128, 2, 1), (128, 64, 2, 1)):
        layers += [nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())


def published_discriminator() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for before, after in ((64, 128), (128, 256), (256, 512)):
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(512, 1, 4, 1, 0, bias=False))


def copy_in_order(source: nn.Module, target: nn.Module) -> None:
    """Loads a state by position: fails unless both have the same tensors in the same order."""
    values, names = list(source.state_dict().values()), list(target.state_dict())
    target.load_state_dict(dict(zip(names, values, strict=True)))


@pytest.mark.parametrize("train", [False, True])
def test_generator_at_64_is_the_published_network(train: bool) -> None:
    torch.manual_seed(0)
    reference = published_generator().double().train(train)
    net = Generator(spec(64), latent_dim=100, motion_dim=0).double().train(train)
    copy_in_order(reference, net)
    assert parameters(net) == parameters(reference) == 3_576_704
    codes = torch.randn(2, 3, 100, dtype=torch.float64)
    expected = reference(codes.reshape(6, 100, 1, 1)).reshape(2, 3, 3, 64, 64)
    torch.testing.assert_close(net(codes), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("train", [False, True])
def test_frame_discriminator_at_64_is_the_published_network(train: bool) -> None:
    torch.manual_seed(0)
    reference = published_discriminator().train(train)
    net = FrameDiscriminator(spec(64), frames=2).train(train)
    copy_in_order(reference, net)
    assert parameters(net) == parameters(reference) == 2_765_568
    video = pixels(3, 2, 3, 64, 64)
    torch.testing.assert_close(net(video), reference(video.flatten(0, 1)).reshape(3, 2), rtol=1e-5, atol=1e-5)


def test_published_initialisation() -> None:
    torch.manual_seed(0)
    for net in (Generator(spec(64)), FrameDiscriminator(spec(64))):
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                assert abs(float(module.weight.detach().mean())) < 2e-3
                assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
            elif isinstance(module, nn.BatchNorm2d):
                assert float(module.weight.detach().mean()) == pytest.approx(1.0, abs=0.01)
                assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.4)
                assert not module.bias.any()


def test_without_norm_signals_keep_their_size() -> None:
    torch.manual_seed(0)
    net = Generator(spec(128), norm="none")
    scale = []
    for layer in net.layers:
        layer.register_forward_hook(lambda module, _, out: scale.append(float(out.detach().square().mean().sqrt())))
    net(torch.randn(8, 2, 128))
    assert all(0.4 < size < 2.5 for size in scale[:-1]), scale  # an untamed network shrinks by 2^-6 or grows by 2^6
    for judge in (FrameDiscriminator(spec(128), norm="none"), ClipDiscriminator(spec(128))):
        logits = judge(torch.randn(16, 4, 3, 128, 128))
        assert 0.1 < float(logits.detach().square().mean().sqrt()) < 5


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (32, 32), (128, 128), (64, 96), (48, 80), (16, 64)])
def test_sizes(size: tuple[int, int]) -> None:
    video = spec(*size)
    out = Generator(video, width=4, max_width=8)(torch.randn(2, 4, 128))
    assert out.shape == (2, 4, 3, *size)
    assert FrameDiscriminator(video, width=4, max_width=8, frames=0)(out).shape == (2, 4)
    assert ClipDiscriminator(video, width=4, max_width=8)(out).shape == (2, 1)


def test_powers_of_two_have_base_four() -> None:
    for n in range(1, 8):
        assert halvings(spec(4 * 2**n)) == (n, 4, 4)
    assert halvings(spec(64, 96)) == (4, 4, 6)
    assert halvings(spec(48)) == (4, 3, 3)  # of two ways to make a size, the deeper network


@pytest.mark.parametrize("size", [(4, 4), (60, 60), (100, 64), (65, 64), (1024, 1024), (16, 512)])
def test_impossible_sizes_name_possible_ones(size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError) as caught:
        Generator(spec(*size))
    message = str(caught.value)
    assert f"found {size[0]}x{size[1]}" in message
    suggestions = [part.strip(".") for part in message.split("use ")[1].split(" or ")]
    for suggestion in suggestions:
        halvings(spec(*map(int, suggestion.split("x"))))
    with pytest.raises(ConfigError):
        ClipDiscriminator(spec(*size))


def test_nearest_sizes_are_near() -> None:
    with pytest.raises(ConfigError, match=r"found 62x62 .* use 64x64 or 56x56\."):
        Generator(spec(62))
    with pytest.raises(ConfigError, match=r"found 60x100 .* or 64x96\."):
        Generator(spec(60, 100))


def test_a_frame_is_a_function_of_its_own_code() -> None:
    net = Generator(spec(), width=4).eval()
    codes = torch.randn(2, 5, 128)
    shuffled = net(codes[:, [4, 2, 0, 1, 3]])
    torch.testing.assert_close(shuffled, net(codes)[:, [4, 2, 0, 1, 3]])
    torch.testing.assert_close(net(codes[1:, 3:4]), net(codes)[1:, 3:4])


def test_labels_reach_every_network() -> None:
    torch.manual_seed(0)
    video = spec(classes=3)
    for net in (Generator(video, width=4), ArticleGenerator(video)):
        codes = torch.randn(1, 2, net.latent_dim).expand(2, -1, -1)
        frames = net.eval()(codes, torch.tensor([0, 2]))
        assert not torch.allclose(frames[0], frames[1])
        with pytest.raises(ConfigError, match="3 classes"):
            net(codes)
    clip = pixels(1, 4, 3, 16, 16).expand(2, -1, -1, -1, -1)
    for judge in (FrameDiscriminator(video), ClipDiscriminator(video), ArticleDiscriminator(video)):
        logits = judge.eval()(clip, torch.tensor([0, 2]))
        # the projection: a logit is the unconditional one plus <embedding, features>
        features = judge.features(clip, torch.tensor([0, 2]))
        difference = ((judge.embedding.weight[0] - judge.embedding.weight[2]) * features[0]).sum()
        torch.testing.assert_close((logits[0] - logits[1]).mean(), difference, rtol=1e-4, atol=1e-5)
        with pytest.raises(ConfigError, match="3 classes"):
            judge(clip)


def test_frame_discriminators_judge_frames_alone() -> None:
    video = pixels(2, 4, 3, 16, 16)
    for net in (FrameDiscriminator(spec(), frames=0), ArticleDiscriminator(spec(), frames=0)):
        assert net.logits == 4
        logits = net.eval()(video)
        for frame in range(4):
            torch.testing.assert_close(net(video[:, frame : frame + 1]), logits[:, frame : frame + 1])


def test_times_are_distinct_uniform_and_a_function_of_the_noise() -> None:
    net = FrameDiscriminator(spec(frames=6), frames=2)
    noise = Noise(Key.of(0), torch.arange(6000))
    times = net.times(noise)
    assert times is not None
    assert times.shape == (6000, 2)
    assert (times[:, 0] < times[:, 1]).all()
    pairs = torch.bincount(times[:, 0] * 6 + times[:, 1], minlength=36).double()
    counts = pairs[pairs > 0]
    assert len(counts) == 15
    assert float(((counts - 400) ** 2 / 400).sum()) < 36.1  # chi-squared, 14 degrees of freedom, p = .001
    assert torch.equal(times[70:75], net.times(Noise(Key.of(0), torch.arange(70, 75))))
    assert FrameDiscriminator(spec(frames=6), frames=0).times(noise) is None
    assert FrameDiscriminator(spec(frames=6), frames=6).times(noise) is None
    with pytest.raises(ConfigError, match="a clip has 6 frames"):
        FrameDiscriminator(spec(frames=6), frames=7)


@pytest.mark.parametrize("frames", [4, 5, 16, 33])
@pytest.mark.parametrize("factorised", [False, True])
def test_clip_discriminator_sees_every_frame(frames: int, factorised: bool) -> None:
    torch.manual_seed(0)
    net = ClipDiscriminator(spec(32, frames=frames), width=4, factorised=factorised)
    video = pixels(1, frames, 3, 32, 32).requires_grad_()
    logits = net(video)
    assert logits.shape == (1, 1)
    (slope,) = torch.autograd.grad(logits.sum(), video)
    assert (slope.abs().amax(dim=(0, 2, 3, 4)) > 0)[: frames - 1].all()
    order = torch.arange(frames - 1, -1, -1)
    assert not torch.allclose(net(video[:, order]), logits)  # it sees motion, not a bag of frames


def test_clip_discriminator_refuses_short_clips() -> None:
    with pytest.raises(ConfigError, match="at least 4 frames"):
        ClipDiscriminator(spec(frames=3))
    with pytest.raises(ConfigError, match="at least 16 frames"):
        ClipDiscriminator(spec(64, frames=16), width=4)(pixels(1, 8, 3, 64, 64))


def test_channels_last_clips_are_not_copied() -> None:
    """The layout that the trainer hands over is the one that the first convolution wants."""
    seen: list[Tensor] = []
    video = pixels(2, 4, 3, 16, 16)
    for net, wanted in (
        (FrameDiscriminator(spec()), torch.channels_last),
        (ClipDiscriminator(spec()), torch.channels_last_3d),
    ):
        assert net.memory_format is wanted
        net.trunk[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        net.to(memory_format=wanted)(video)
        assert seen[-1].data_ptr() == video.data_ptr()
        assert seen[-1].is_contiguous(memory_format=wanted)
    net = Generator(spec(), width=4)
    frames = net.to(memory_format=net.memory_format)(torch.randn(2, 4, 128))
    assert frames.permute(0, 1, 3, 4, 2).is_contiguous()


def test_the_article_networks_parameter_counts() -> None:
    dense = (100 * 128 + 128) + (128 * 1024 + 1024) + (1024 * 7 * 7 * 256 + 7 * 7 * 256)
    convolutions = (256 * 128 * 16 + 128) + (128 * 256 * 16 + 256) + (256 * 3 * 16 + 3)
    assert parameters(ArticleGenerator(spec(28))) == dense + convolutions == 14_063_875
    trunk = (3 * 256 * 16 + 256) + (256 * 512 * 16 + 512)
    assert parameters(ArticleDiscriminator(spec(28))) == trunk + (512 * 7 * 7 + 1) + 2 == 2_135_299


def test_the_article_networks_pad_as_keras_does() -> None:
    """The last convolution is Keras' "same": its 4x4 kernel begins one pixel before each output and ends two after."""
    net = ArticleGenerator(spec(8)).eval()
    pad, convolution = net.layers[-3], net.layers[-2]
    maps = torch.zeros(1, 256, 8, 8)
    maps[0, 0, 3, 5] = 1
    with torch.no_grad():
        out = convolution(pad(maps))[0, 0]
    assert out.shape == (8, 8)
    # output (i, j) sees input (i - 1 + a, j - 1 + b) through weight (a, b): the impulse spreads over the flipped kernel
    expected = torch.zeros(8, 8)
    for a in range(4):
        for b in range(4):
            expected[3 + 1 - a, 5 + 1 - b] = convolution.weight.detach()[0, 0, a, b]
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-6)
    out = net(torch.randn(2, 3, 100))
    assert out.shape == (2, 3, 3, 8, 8)


def test_the_article_networks_begin_as_keras_does() -> None:
    torch.manual_seed(0)
    net = ArticleGenerator(spec(28))
    first = net.layers[0]
    bound = (6 / (100 + 128)) ** 0.5
    assert float(first.weight.detach().abs().max()) == pytest.approx(bound, rel=1e-2)
    assert not first.bias.any()
    assert [m.negative_slope for m in net.layers if isinstance(m, nn.LeakyReLU)] == [0.3] * 5
    judge = ArticleDiscriminator(spec(28))
    assert [m.negative_slope for m in judge.trunk if isinstance(m, nn.LeakyReLU)] == [0.3] * 2


def test_the_article_networks_other_sizes() -> None:
    video = spec(64, 32)
    assert ArticleGenerator(video)(torch.randn(1, 1, 100)).shape == (1, 1, 3, 64, 32)
    with pytest.raises(ConfigError, match="multiples of 4, at least 8; use 28x32"):
        ArticleGenerator(spec(29, 31))


def test_motion_dim_fits_the_code() -> None:
    with pytest.raises(ConfigError, match=r"generator\.motion_dim: found 65"):
        Generator(spec(), latent_dim=64, motion_dim=65)


@pytest.mark.parametrize("settings", [{"norm": "none"}, {"width": 8, "latent_dim": 16, "motion_dim": 0}])
def test_generator_settings_conform(settings: dict[str, object]) -> None:
    check_generator(Generator, **settings)


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (FrameDiscriminator, {"norm": "none", "frames": 3, "width": 8}),
        (FrameDiscriminator, {"frames": 0, "width": 8}),
        (ClipDiscriminator, {"factorised": True, "width": 8}),
        (ClipDiscriminator, {"norm": "batch", "width": 8}),
    ],
)
def test_discriminator_settings_conform(cls: type, settings: dict[str, object]) -> None:
    check_discriminator(cls, **settings)
