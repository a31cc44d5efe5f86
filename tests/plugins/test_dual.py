"""MoCoGAN's pair of discriminators: the published layers, exactly; short clips; any size; frames; labels; the step."""

from __future__ import annotations

import copy
import importlib.util
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gadkit import ConfigError, VideoSpec
from gadkit.engine import GroupedBatchNorm, group_batchnorm
from gadkit_plugins.mocogan.dual import DualDiscriminator

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def spec(height: int = 16, width: int | None = None, frames: int = 6, classes: int = 0) -> VideoSpec:
    return VideoSpec(height=height, width=width or height, frames=frames, classes=classes)


def small(video: VideoSpec, **settings: object) -> DualDiscriminator:
    torch.manual_seed(0)
    return DualDiscriminator(video, width=4, clip_width=6, **{"norm": "none", **settings})


def clips(video: VideoSpec, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = batch, video.frames, video.channels, video.height, video.width
    return torch.rand(shape, generator=generator) * 2 - 1


def published(conv: type[nn.Module], norm: type[nn.Module], how: tuple[object, ...]) -> nn.Sequential:
    """Four layers of the paper's discriminators, for 64x64."""
    layers: list[nn.Module] = [conv(3, 64, *how, bias=False), nn.LeakyReLU(0.2)]
    for before, after in ((64, 128), (128, 256)):
        layers += [conv(before, after, *how, bias=False), norm(after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, conv(256, 1, *how, bias=False))


@pytest.mark.parametrize("train", [False, True])
def test_at_64_both_nets_are_the_published_ones(train: bool) -> None:
    torch.manual_seed(0)
    video = spec(64, frames=16)
    net = DualDiscriminator(video).double().train(train)
    image = published(nn.Conv2d, nn.BatchNorm2d, (4, 2, 1)).double().train(train)
    clip = published(nn.Conv3d, nn.BatchNorm3d, (4, (1, 2, 2), (0, 1, 1))).double().train(train)
    for reference, own in ((image, net.image), (clip, net.clip)):
        values, names = list(own.state_dict().values()), list(reference.state_dict())
        reference.load_state_dict(dict(zip(names, values, strict=True)))
    given = clips(video).double()
    found = net(given)
    frames = given[:, [1, 5, 9, 13]].flatten(0, 1)
    assert net.logits == {"image": 4 * 16, "clip": 4 * 16}
    torch.testing.assert_close(found["image"], image(frames).reshape(2, -1), rtol=0, atol=1e-12)
    torch.testing.assert_close(found["clip"], clip(given.transpose(1, 2)).reshape(2, -1), rtol=0, atol=1e-12)


def test_published_initialisation() -> None:
    torch.manual_seed(0)
    for module in DualDiscriminator(spec(64, frames=16)).modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
            assert module.bias is None
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            assert float(module.weight.detach().mean()) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("size", [32, 128])
def test_without_norm_signals_keep_their_size(size: int) -> None:
    torch.manual_seed(0)
    net = DualDiscriminator(spec(size, frames=8), width=16, clip_width=16, norm="none")
    for logits in net(torch.randn(4, 8, 3, size, size)).values():
        assert 0.1 < float(logits.detach().square().mean().sqrt()) < 5


def test_norm_is_in_all_hidden_layers_but_the_first() -> None:
    net = DualDiscriminator(spec(64, frames=16))
    for half, kind in ((net.image, nn.BatchNorm2d), (net.clip, nn.BatchNorm3d)):
        assert [layer.num_features for layer in half.modules() if isinstance(layer, kind)] == [128, 256]
    without = [type(module) for module in DualDiscriminator(spec(64, frames=16), norm="none").modules()]
    assert nn.BatchNorm2d not in without
    assert nn.BatchNorm3d not in without


def slope(net: DualDiscriminator, video: VideoSpec, head: str) -> Tensor:
    """How far the pixels of a clip move a head's logits at all, `(N, C, H, W)`."""
    given = clips(video, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(net(given)[head].square().sum(), given)
    return gradient[0].abs()


@pytest.mark.parametrize("frames", [4, 5, 6, 7, 9, 12, 13, 16, 20])
def test_clips_of_any_length_are_spanned_whole(frames: int) -> None:
    video = spec(64, frames=frames)
    net = small(video)
    spans = [layer.kernel_size[0] for layer in net.clip.modules() if isinstance(layer, nn.Conv3d)]
    assert len(spans) == 4
    assert max(spans) <= 4
    if frames >= 13:
        assert spans == [4, 4, 4, 4]
        assert net.logits["clip"] == (frames - 12) * 16
    else:
        assert sum(span - 1 for span in spans) == frames - 1  # one patch in time, which sees every frame
        assert max(spans) - min(spans) <= 1
        assert net.logits["clip"] == 16
    assert bool(slope(net, video, "clip").flatten(1).sum(dim=1).gt(0).all())


@pytest.mark.parametrize(
    ("frames", "length"),
    [(frames, length) for length in (4, 7, 16) for frames in (0, 1, 2, 3, 4, 5, 7, 12, 16) if frames <= length],
)
def test_the_image_net_sees_evenly_spaced_frames_and_no_others(frames: int, length: int) -> None:
    video = spec(frames=length)
    net = small(video, frames=frames)
    seen = slope(net, video, "image").flatten(1).sum(dim=1).nonzero().flatten().tolist()
    assert len(seen) == (frames or length)
    assert len({later - one for one, later in pairwise(seen)}) <= 1
    assert abs(seen[0] - (length - 1 - seen[-1])) <= 1  # as far from the beginning as from the end
    if len(seen) > 1:
        assert seen[1] - seen[0] >= length // len(seen)  # no closer together than they have to stand
    assert net.logits["image"] == len(seen) * 16


def test_images_are_judged_each_on_its_own() -> None:
    video = spec(frames=4, classes=2)
    net = small(video, frames=0)
    given, labels = clips(video), torch.tensor([0, 1])
    changed = given.clone()
    changed[:, 2] += 0.5
    before, after = (net(x, labels)["image"].reshape(2, 4, -1) for x in (given, changed))
    assert [bool(torch.equal(before[:, t], after[:, t])) for t in range(4)] == [True, True, False, True]


@pytest.mark.parametrize("size", [(12, 12), (28, 28), (30, 45), (32, 64), (64, 96), (48, 31)])
def test_sizes(size: tuple[int, int]) -> None:
    """Any size from 12 on, whether it divides or not, and no pixel unseen."""
    video = spec(*size, frames=4)
    net = small(video, frames=1)
    for head, logits in net(clips(video)).items():
        assert logits.shape == (2, net.logits[head])
    for head in ("image", "clip"):
        assert bool(slope(net, video, head).sum(dim=(0, 1)).gt(0).all())


@pytest.mark.parametrize(("side", "layers"), [(32, 3), (64, 4), (128, 5), (256, 6)])
def test_powers_of_two_end_in_four_by_four_patches(side: int, layers: int) -> None:
    net = DualDiscriminator(spec(side, frames=4), width=8, clip_width=16, max_width=64, frames=1)
    assert net.logits == {"image": 16, "clip": 16}
    for half, kind, width in ((net.image, nn.Conv2d, 8), (net.clip, nn.Conv3d, 16)):
        found = [layer.out_channels for layer in half.modules() if isinstance(layer, kind)]
        assert found == [*[min(width * 2**layer, 64) for layer in range(layers - 1)], 1]


@pytest.mark.parametrize(
    ("video", "settings", "words"),
    [
        (spec(8), {}, ["8x8", "12"]),
        (spec(64, 11), {}, ["64x11", "12"]),
        (spec(frames=3), {}, ["found 3", "at least 4", "dcgan-frame"]),
        (spec(frames=6), {"frames": 7}, ["discriminator.frames", "found 7", "6 frames"]),
    ],
)
def test_what_it_cannot_look_at_it_refuses(video: VideoSpec, settings: dict[str, int], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        DualDiscriminator(video, **settings)
    assert all(word in str(caught.value) for word in words)


def test_clips_that_do_not_fit_the_net_are_refused() -> None:
    net = small(spec(64, frames=16))
    with pytest.raises(ConfigError, match=r"found a clip of 12 frames.*needs 13"):
        net(clips(spec(64, frames=12)))
    wide = small(spec(frames=8), frames=8)
    with pytest.raises(ConfigError, match=r"found a clip of 7 frames.*needs 8"):
        wide(clips(spec(frames=7)))
    with pytest.raises(ConfigError, match="2 classes"):
        small(spec(classes=2))(clips(spec()))


def test_labels_are_projected_on_the_mean_features_of_each_head() -> None:
    """Another label moves all patches of a frame or clip alike: by the embeddings' difference, on the features."""
    video = spec(32, frames=6, classes=3)
    net = small(video, frames=2)
    given, labels = clips(video), torch.tensor([0, 1])
    one, other = net(given, labels), net(given, torch.tensor([2, 2]))
    width = net.image.last.in_channels
    features = net.features(given).split([width, net.clip.last.in_channels], dim=1)
    for half, head, feature, shown in zip((net.image, net.clip), ("image", "clip"), features, (2, 1), strict=True):
        moved = (one[head] - other[head]).view(2, shown, 16)
        torch.testing.assert_close(moved, moved[:, :, :1].expand_as(moved), rtol=1e-4, atol=1e-6)
        expected = (feature * (half.embedding.weight[labels] - half.embedding.weight[2])).sum(dim=1)
        assert bool(expected.all())
        torch.testing.assert_close(moved[:, :, 0].mean(dim=1), expected, rtol=1e-4, atol=1e-6)


def test_features_are_the_means_of_both_trunks() -> None:
    video = spec(32, frames=6)
    net = small(video, frames=2)
    given = clips(video)
    images = net.image.trunk(given[:, net.looked_at(6)].flatten(0, 1)).mean(dim=(2, 3)).view(2, 2, -1).mean(dim=1)
    whole = net.clip.trunk(given.transpose(1, 2)).mean(dim=(2, 3, 4))
    torch.testing.assert_close(net.features(given), torch.cat((images, whole), dim=1))


def test_the_image_heads_weight() -> None:
    assert small(spec(), image_weight=0.25).head_weights == {"image": 0.25, "clip": 1.0}


def test_statistics_are_taken_over_groups_of_whole_clips() -> None:
    """However a batch is cut: the frames of a clip stand together, so a group of clips is a group of images too."""
    video = spec(32, frames=6)
    net = small(video, norm="batch", frames=2).double()
    given = clips(video, 4).double()
    halves = [net(part) for part in given.chunk(2)]
    group_batchnorm(net)
    for layer in net.modules():
        if isinstance(layer, GroupedBatchNorm):
            layer.groups = 2
    whole = net(given)
    for head, logits in whole.items():
        torch.testing.assert_close(logits, torch.cat([half[head] for half in halves]), rtol=0, atol=1e-12)


def test_weights_are_laid_out_for_speed_and_stay_so() -> None:
    net = copy.deepcopy(DualDiscriminator(spec(32), width=8, clip_width=8)).to(torch.float64)
    for half, layout in ((net.image, torch.channels_last), (net.clip, torch.channels_last_3d)):
        weights = [p for p in half.parameters() if p.dim() > 1]
        assert weights
        assert all(weight.is_contiguous(memory_format=layout) for weight in weights)


def test_a_training_step_equals_the_plain_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Independent nets, a GRU cell in a loop, plain Adam: `compare` ends the program where 1e-9 is passed."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    file = importlib.util.spec_from_file_location("mocogan_step", BENCHMARKS / "mocogan_step.py")
    assert file is not None
    assert file.loader is not None
    script = importlib.util.module_from_spec(file)
    monkeypatch.setitem(sys.modules, file.name, script)
    file.loader.exec_module(script)
    script.compare(32, 2, 3)
    assert "3 steps" in capsys.readouterr().out
