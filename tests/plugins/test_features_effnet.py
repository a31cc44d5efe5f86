"""EfficientNet-Lite0: against a plain network on the published names, and frame by frame."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from gadkit.weights import store
from gadkit_plugins.features.effnet_lite import EfficientNetLite0, convert

#: Where the weights lie that are installed on this machine, before the tests get a cache of their own.
INSTALLED = store.path(EfficientNetLite0.weights)
#: Kernel, stride, expansion, input and output of the 16 blocks, as the paper's table 1 has them.
BLOCKS = [
    *[(3, 1, 1, 32, 16), (3, 2, 6, 16, 24), (3, 1, 6, 24, 24), (5, 2, 6, 24, 40), (5, 1, 6, 40, 40)],
    *[(3, 2, 6, 40, 80), (3, 1, 6, 80, 80), (3, 1, 6, 80, 80), (5, 1, 6, 80, 112), (5, 1, 6, 112, 112)],
    *[(5, 1, 6, 112, 112), (5, 2, 6, 112, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192)],
    (3, 1, 6, 192, 320),
]


def checkpoint() -> dict[str, np.ndarray]:
    """A state as the published file has it, with other numbers."""
    rng = np.random.default_rng(7)
    arrays: dict[str, np.ndarray] = {}

    def layer(convolution: str, normalisation: str, *shape: int) -> None:
        scale = math.sqrt(6 / math.prod(shape[1:]))
        arrays[f"{convolution}.weight"] = rng.uniform(-scale, scale, shape).astype(np.float32)
        moments = {"weight": (0.8, 1.2), "bias": (-0.2, 0.4), "running_mean": (-0.2, 0.2), "running_var": (0.5, 1.5)}
        for name, (low, high) in moments.items():
            arrays[f"{normalisation}.{name}"] = rng.uniform(low, high, shape[0]).astype(np.float32)
        arrays[f"{normalisation}.num_batches_tracked"] = np.array(0)

    layer("_conv_stem", "_bn0", 32, 3, 3, 3)
    for index, (kernel, _, expansion, channels, out) in enumerate(BLOCKS):
        wide, name = channels * expansion, f"_blocks.{index}."
        if expansion > 1:
            layer(f"{name}_expand_conv", f"{name}_bn0", wide, channels, 1, 1)
        layer(f"{name}_depthwise_conv", f"{name}_bn1", wide, 1, kernel, kernel)
        layer(f"{name}_project_conv", f"{name}_bn2", out, wide, 1, 1)
    layer("_conv_head", "_bn1", 1280, 320, 1, 1)
    arrays["_fc.weight"] = rng.uniform(-0.03, 0.03, (1000, 1280)).astype(np.float32)
    arrays["_fc.bias"] = rng.uniform(-1, 1, 1000).astype(np.float32)
    return arrays


def plain(arrays: dict[str, np.ndarray], frames: torch.Tensor) -> torch.Tensor:
    """The pooled features of uint8 frames `(N, 3, 224, 224)` in float64, layer by layer, from the published names."""
    tensors = {name: torch.from_numpy(value).double() for name, value in arrays.items() if value.ndim}
    mean, std = (torch.tensor(value).double().view(3, 1, 1) for value in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))

    def layer(x: torch.Tensor, convolution: str, norm: str, stride: int = 1, groups: int = 1, clip: bool = True):
        weight = tensors[f"{convolution}.weight"]
        outputs = -(-x.shape[-1] // stride)
        total = max((outputs - 1) * stride + weight.shape[-1] - x.shape[-1], 0)
        x = F.pad(x, [total // 2, total - total // 2] * 2)
        x = F.conv2d(x, weight, stride=stride, groups=groups)
        moments = [tensors[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        x = F.batch_norm(x, *moments, eps=1e-3)
        return x.clamp(0, 6) if clip else x

    x = layer((frames.double() / 255 - mean) / std, "_conv_stem", "_bn0", stride=2)
    for index, (_, stride, expansion, channels, out) in enumerate(BLOCKS):
        name, before = f"_blocks.{index}.", x
        if expansion > 1:
            x = layer(x, f"{name}_expand_conv", f"{name}_bn0")
        x = layer(x, f"{name}_depthwise_conv", f"{name}_bn1", stride=stride, groups=x.shape[1])
        x = layer(x, f"{name}_project_conv", f"{name}_bn2", clip=False)
        if stride == 1 and channels == out:
            x = x + before
    return layer(x, "_conv_head", "_bn1").mean(dim=(2, 3))


@pytest.fixture(scope="module")
def net() -> EfficientNetLite0:
    net = EfficientNetLite0()
    net.load_state_dict(convert(checkpoint()))
    return net.eval().requires_grad_(False)


def clips(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_it_is_a_plain_network_on_the_published_names(net: EfficientNetLite0) -> None:
    video = clips(1, 2, 3, 224, 224)
    expected = plain(checkpoint(), video[0])
    found = net(video)
    assert found.shape == (1, 2, 1280)
    assert found.dtype == torch.float32
    assert expected.std() > 0.1
    torch.testing.assert_close(found[0].double(), expected, rtol=1e-4, atol=1e-4)
    scores = expected @ torch.from_numpy(checkpoint()["_fc.weight"]).double().T + torch.from_numpy(
        checkpoint()["_fc.bias"]
    )
    torch.testing.assert_close(net.logits(found)[0].double(), scores, rtol=1e-4, atol=1e-3)


def test_a_frame_does_not_feel_the_frames_beside_it(net: EfficientNetLite0) -> None:
    video = clips(2, 9, 3, 20, 28)  # 18 frames, more than are in the net at once
    together = net(video)
    alone = torch.stack([net(video[:1, 4:5])[0, 0], net(video[1:, 8:])[0, 0]])
    torch.testing.assert_close(alone, together[[0, 1], [4, 8]], rtol=1e-5, atol=1e-5)


def test_frames_are_stretched_bilinearly(net: EfficientNetLite0) -> None:
    video = clips(1, 1, 3, 20, 28)
    frames = F.interpolate(video[0].double(), (224, 224), mode="bilinear", align_corners=False)
    torch.testing.assert_close(net(video)[0].double(), plain(checkpoint(), frames), rtol=1e-4, atol=1e-4)


def test_a_missing_array_is_named() -> None:
    arrays = checkpoint()
    del arrays["_blocks.3._bn2.running_var"]
    with pytest.raises(KeyError, match=r"_blocks\.3\._bn2\.running_var"):
        convert(arrays)


def test_its_kind() -> None:
    assert EfficientNetLite0.of == "frame"
    assert EfficientNetLite0.frames == (1, None)
    assert not EfficientNetLite0.literature


@pytest.mark.skipif(INSTALLED is None, reason="needs `gadkit weights install effnet-lite0`")
def test_the_published_network_is_the_original() -> None:
    assert INSTALLED is not None
    net = EfficientNetLite0()
    net.load_state_dict(load_file(INSTALLED))
    y, x = torch.meshgrid(torch.arange(224), torch.arange(224), indexing="ij")
    disc = ((x - 112) ** 2 + (y - 112) ** 2 < 60**2).to(torch.uint8) * 255
    scores = net.logits(net(disc.expand(1, 1, 3, 224, 224)))[0, 0]
    # What efficientnet_lite_pytorch 0.1.0 gives, with the same file.
    assert scores.topk(3).indices.tolist() == [443, 551, 419]
    torch.testing.assert_close(scores[:4], torch.tensor([-0.85382, -0.63702, -1.64376, -0.34701]), rtol=0, atol=1e-4)
