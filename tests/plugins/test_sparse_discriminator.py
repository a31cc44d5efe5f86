"""The discriminator of a few frames: where they lie, and that their distances matter."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor

from gadkit import ConfigError, Key, Noise, VideoSpec
from gadkit_plugins.residual.sparse import SparseDiscriminator

TINY = {"width": 8, "max_width": 16, "depth": 1}


def net_of(length: int = 16, size: int = 16, classes: int = 0, **settings: int) -> SparseDiscriminator:
    torch.manual_seed(0)
    return SparseDiscriminator(VideoSpec(height=size, width=size, frames=length, classes=classes), **TINY, **settings)


def drawn(net: SparseDiscriminator, count: int = 4000) -> Tensor:
    return net.times(Noise(Key.of(5), torch.arange(count)))


def evenly(counts: Counter[object], kinds: int, limit: float) -> bool:
    """Chi squared against equal shares: `limit` is its quantile of .999 for `kinds` - 1 degrees of freedom."""
    expected = counts.total() / kinds
    return len(counts) == kinds and sum((count - expected) ** 2 / expected for count in counts.values()) < limit


@pytest.mark.parametrize(("frames", "span", "length"), [(3, 32, 16), (3, 5, 40), (2, 1, 8), (5, 4, 9), (6, 32, 6)])
def test_times_are_distinct_ascending_and_within_the_span(frames: int, span: int, length: int) -> None:
    times = drawn(net_of(length, frames=frames, max_span=span))
    assert times.shape == (4000, frames)
    assert times.dtype == torch.int64
    assert bool((times.diff(dim=1) > 0).all())
    assert int(times.min()) == 0
    assert int(times.max()) == length - 1
    spans = times[:, -1] - times[:, 0]
    assert int(spans.min()) == frames - 1
    assert int(spans.max()) == min(span, length - 1)


def test_spans_starts_and_places_are_equally_likely() -> None:
    times = drawn(net_of(8, frames=3, max_span=5)).tolist()
    assert evenly(Counter(c - a for a, _, c in times), 4, 16.3)
    assert evenly(Counter(a for a, _, c in times if c - a == 4), 4, 16.3)
    assert evenly(Counter(b - a for a, b, c in times if c - a == 5), 4, 16.3)
    pairs = [(b - a, c - a) for a, b, c, d in drawn(net_of(7, frames=4, max_span=6)).tolist() if d - a == 5]
    assert evenly(Counter(pairs), 6, 20.5)


def test_logits_depend_on_the_distances_and_not_on_where_they_begin() -> None:
    net = net_of()
    video = torch.randn(2, 3, 3, 16, 16)
    times = torch.tensor([[0, 1, 2], [0, 1, 2]])
    logits = net(video, times=times)
    torch.testing.assert_close(net(video), logits)
    torch.testing.assert_close(net(video, times=times + 7), logits)
    for other in ([0, 1, 3], [0, 2, 3], [0, 7, 15]):
        moved = net(video, times=torch.tensor([other, [0, 1, 2]]))
        assert float((moved[0] - logits[0]).detach().abs()) > 1e-3
        torch.testing.assert_close(moved[1], logits[1])


def test_every_distance_has_an_embedding_of_its_own() -> None:
    net = net_of(40)
    far = torch.arange(1, 32)
    times = torch.stack((torch.zeros_like(far), far, far + 1), dim=1)
    embedded = net.distances(times, torch.float32).detach()
    between = torch.cdist(embedded, embedded) + torch.eye(len(far)) * 9
    assert float(between.min()) > 1e-2
    # the distances are added to the logit at the scale of its linear map
    assert 0.3 < float(embedded.square().mean() / net.head.last.weight.detach().square().mean()) < 3


def test_frames_are_seen_together_in_their_order() -> None:
    net = net_of(size=32)
    with torch.no_grad():
        for stage in [*net.alone.stages, *net.together.stages]:
            for block in stage.blocks:
                torch.nn.init.normal_(block.narrow.weight, 0.0, 0.2)
    video = torch.randn(2, 3, 3, 32, 32)
    logits = net(video)
    for order in ([1, 0, 2], [2, 1, 0]):
        assert not torch.allclose(net(video[:, order]), logits, atol=1e-4)
    torch.testing.assert_close(net(video[1:]), logits[1:])
    layout = video.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    torch.testing.assert_close(net(layout), logits)


@pytest.mark.parametrize(("size", "alone"), [(16, 0), (32, 0), (64, 1), (128, 2)])
def test_frames_meet_at_sixteen_pixels_a_side(size: int, alone: int) -> None:
    """With the default patch of 2, blocks begin at half the size."""
    net = net_of(size=size)
    assert len(net.alone.stages) == alone
    assert len(net.alone.stages) + len(net.together.stages) == {16: 2, 32: 3, 64: 4, 128: 5}[size]
    assert net.join.in_channels == 3 * net.join.out_channels


def test_distances_and_labels_both_add_their_products() -> None:
    net = net_of(classes=3)
    video, labels, times = torch.randn(2, 3, 3, 16, 16), torch.tensor([2, 1]), torch.tensor([[0, 4, 9], [1, 2, 8]])
    features = net.features(video)
    vectors = net.head.last.weight + net.head.embedding.weight[labels] + net.distances(times, torch.float32)
    expected = (features * vectors).sum(dim=1, keepdim=True) + net.head.last.bias
    torch.testing.assert_close(net(video, labels, times), expected)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"frames": 20}, r"discriminator\.frames: found 20, .* 16 frames of a clip"),
        ({"frames": 5, "max_span": 3}, r"discriminator\.max_span: found 3, .* use 4 or more"),
    ],
)
def test_impossible_settings_are_one_sentence(settings: dict[str, int], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        net_of(**settings)


def test_another_number_of_frames_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"discriminator\.frames: found clips of 4 frames, .* looks at 3"):
        net_of()(torch.randn(1, 4, 3, 16, 16))
