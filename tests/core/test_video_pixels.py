"""Pixel values go to [-1, 1] and back without loss."""

import pytest
import torch

from gadkit.video.pixels import to_float, to_uint8

LEVELS = torch.arange(256, dtype=torch.uint8)
FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", FLOATS)
def test_all_levels_return(dtype):
    frames = LEVELS.view(1, 2, 8, 16, 1).repeat(1, 1, 1, 1, 3)
    video = to_float(frames, dtype)
    assert video.dtype == dtype
    assert torch.equal(to_uint8(video), frames.permute(0, 1, 4, 2, 3))


@pytest.mark.parametrize("dtype", FLOATS)
def test_values_are_rounded_once_and_stay_in_range(dtype):
    values = to_float(LEVELS.view(1, 1, 16, 16, 1), dtype).reshape(-1)
    exact = (torch.arange(256, dtype=torch.float64) - 127.5) / 127.5
    assert torch.equal(values, exact.to(dtype))
    assert values[0] == -1
    assert values[255] == 1


def test_result_is_a_view_of_channels_last_memory():
    frames = torch.randint(0, 256, (2, 3, 4, 5, 3), dtype=torch.uint8)
    video = to_float(frames)
    assert video.shape == (2, 3, 3, 4, 5)
    assert video.permute(0, 1, 3, 4, 2).is_contiguous()
    assert torch.allclose(video[1, 2, 0, 3, 4], frames[1, 2, 3, 4, 0] / 127.5 - 1)


def test_bytes_are_rounded_and_clamped_and_the_input_is_left_alone():
    video = torch.tensor([-9.0, -1.001, (100.4 - 127.5) / 127.5, (100.6 - 127.5) / 127.5, 1.5])
    before = video.clone()
    assert to_uint8(video).tolist() == [0, 0, 100, 101, 255]
    assert torch.equal(video, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_not_rounded_twice(dtype):
    video = torch.linspace(-1, 1, 5001).to(dtype)
    assert torch.equal(to_uint8(video), (127.5 * video.double() + 127.5).round().to(torch.uint8))
