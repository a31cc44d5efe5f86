"""The nets and the assembler of the documentation are what their pages say of them."""

import pytest
import torch
from documented import documented

from gadkit import ConfigError, Key, Noise, VideoSpec

CLIP = VideoSpec(height=16, width=16, frames=5)


@pytest.fixture
def page(request, tmp_path, monkeypatch):
    with documented(monkeypatch, tmp_path, request.param):
        yield


@pytest.mark.parametrize("page", ["generator"], indirect=True)
def test_where_the_mask_is_0_the_video_stands_still_and_where_it_is_1_it_is_the_foreground(page):
    from vgan import TwoStreams

    net = TwoStreams(CLIP, latent_dim=6, width=4).eval()
    codes = Noise(Key.of(1), torch.arange(2)).normal("codes", 6, torch.arange(5))
    last = net.moving[-1]
    with torch.no_grad():
        assert float(net(codes).diff(dim=1).abs().max()) > 0
        last.weight[:, -1], last.bias[-1] = 0, -100
        still = net(codes)
        assert float(still.diff(dim=1).abs().max()) == 0
        last.bias[-1] = 100
        assert not torch.equal(net(codes), still)
        net.still[-1].bias += 1  # the background is behind it
        hidden = net(codes)
        net.still[-1].bias -= 1
        assert torch.equal(net(codes), hidden)


@pytest.mark.parametrize("page", ["generator"], indirect=True)
def test_a_size_that_two_streams_cannot_make_is_refused_in_a_sentence(page):
    from vgan import TwoStreams

    for height, width in ((28, 28), (16, 32), (8, 8)):
        with pytest.raises(ConfigError, match=f"found {height}x{width}, but vgan makes squares"):
            TwoStreams(VideoSpec(height=height, width=width, frames=5))


@pytest.mark.parametrize("page", ["assembler"], indirect=True)
def test_motion_has_the_covariance_of_the_squared_exponential_kernel(page):
    from gp import GaussianProcess

    count, scale = 4000, 5.0
    net = GaussianProcess(CLIP, 6, 2, scale=scale, waves=16)
    times = torch.tensor([0.0, 1.5, 5.0, 12.0, 300.0], dtype=torch.float64).expand(count, -1)
    codes, _ = net.codes(Noise(Key.of(7), torch.arange(count), dtype=torch.float64), times)
    motion = codes[:, :, -2:]
    found = torch.einsum("bsi,bti->st", motion, motion) / (2 * count)
    expected = torch.exp(-((times[0][:, None] - times[0]) ** 2) / (2 * scale**2))
    assert float((found - expected).abs().max()) < 0.06
    assert float(codes[:, :, :-2].std(dim=1).max()) == 0  # content stands still


@pytest.mark.parametrize("page", ["discriminator"], indirect=True)
def test_a_patch_sees_the_frames_beside_it_and_a_first_layer_without_shift_does_not(page):
    from shift import ShiftedPatches

    net = ShiftedPatches(CLIP, width=8, layers=2).double().eval()
    assert net.logits == 5 * 4 * 4
    video = torch.rand(1, 5, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    video.requires_grad_()
    logits = net(video).view(5, 16)
    (slope,) = torch.autograd.grad(logits[2].sum(), video)
    # two shifts, before the second convolution and before the last: two frames to each side
    assert [bool(slope[0, frame].any()) for frame in range(5)] == [True] * 5
    (slope,) = torch.autograd.grad(net(video).view(5, 16)[0].sum(), video)
    assert [bool(slope[0, frame].any()) for frame in range(5)] == [True, True, True, False, False]


@pytest.mark.parametrize("page", ["discriminator"], indirect=True)
def test_shifted_channels_are_those_of_the_neighbouring_frames(page):
    from shift import shifted

    maps = torch.arange(3.0).repeat_interleave(8).view(3, 8, 1, 1) + 1  # each frame holds its number, from 1 on
    assert shifted(maps, 3)[:, :, 0, 0].tolist() == [[2, 0, *[1] * 6], [3, 1, *[2] * 6], [0, 2, *[3] * 6]]
