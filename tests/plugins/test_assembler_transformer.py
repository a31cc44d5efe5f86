"""The transformer assembler against one that computes every frame at once, and keeps nothing."""

from __future__ import annotations

import pytest
import torch
from long_assemblers import (
    LABELLED,
    MOVING,
    VIDEO,
    Altered,
    check_second_derivatives,
    in_pieces,
    make,
    motion,
    noise,
)
from torch import Tensor
from torch.nn import functional as F

from gadkit import ConfigError, Noise
from gadkit_plugins.assemblers.transformer import Transformer


def turned(x: Tensor, frames: Tensor) -> Tensor:
    """Rotary positions as products of complex numbers, by absolute frame numbers."""
    half = x.shape[-1] // 2
    angles = frames.double()[:, None] * 10_000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    product = torch.complex(x[..., :half].double(), x[..., half:].double()) * torch.polar(
        torch.ones(()).double(), angles
    )
    return torch.cat((product.real, product.imag), dim=-1).to(x.dtype)


def at_once(net: Transformer, draws: Noise, last: int, first: int = 0, labels: Tensor | None = None) -> Tensor:
    """The motion from frame `first` to `last`, every layer over all frames at once, by PyTorch's own attention."""
    frames = torch.arange(first - net.reach, last + 1)
    behind = frames[:, None] - frames
    mask = (behind >= 0) & (behind < net.window)
    x = F.linear(
        draws.normal("motion", net.moving, frames).to(net.enter.weight.dtype), net.enter.weight, net.enter.bias
    )
    if labels is not None:
        x = x + net.label.embedding.weight[labels][:, None]
    for block in net.blocks:
        parts = block.look(block.before_attention(x)).unflatten(2, (3, net.heads, -1))
        q, k, v = (part.transpose(1, 2) for part in parts.unbind(2))
        seen = F.scaled_dot_product_attention(turned(q, frames), turned(k, frames), v, attn_mask=mask)
        x = x + block.join(seen.transpose(1, 2).flatten(2))
        x = x + block.narrow(F.gelu(block.wide(block.before_net(x))))
    return net.out(net.norm(x))[:, net.reach :]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("labels", [None, torch.tensor([2, 1])], ids=["plain", "labelled"])
@pytest.mark.parametrize("first", [0, 99_960])
def test_kept_keys_give_what_all_frames_at_once_give(
    first: int, labels: Tensor | None, dtype: torch.dtype, tolerance: float
) -> None:
    net = make("transformer", VIDEO if labels is None else LABELLED).to(dtype)
    draws, times = noise(dtype=dtype), torch.arange(first, first + 41, dtype=torch.float64).expand(2, -1)
    expected = at_once(net, draws, first + 40, first, labels)
    assert expected.std().item() > 0.5
    for size in (1, 2, 7, 16, 41):
        found = in_pieces(net, times.split(size, dim=1), draws, labels)[:, :, -MOVING:]
        torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    again = in_pieces(net, [times[:, :21], times[:, 20:]], draws, labels)[:, 21:, -MOVING:]
    torch.testing.assert_close(again, expected[:, 20:], rtol=0, atol=tolerance)


@pytest.mark.parametrize("window", [1, 2, 4])
def test_a_code_depends_on_the_frames_in_reach_and_on_no_other(window: int) -> None:
    """Each of the two layers looks back `window - 1` frames; a change moves the frames until there, and none after."""
    net = make("transformer", window=window).double()
    assert net.reach == 2 * (window - 1)
    moved = (motion(net, range(40), Altered(10)) - motion(net, range(40))).abs().amax(dim=(0, 2))
    for frame, by in enumerate(moved.tolist()):
        if 10 <= frame <= 10 + net.reach:
            assert by > 1e-6, frame
        else:
            assert by < 1e-12, frame
    first = motion(net, [0], Altered(-net.reach)) - motion(net, [0])  # frame 0 looks back like any other
    assert first.abs().max().item() > 1e-6
    assert torch.equal(motion(net, [0], Altered(-net.reach - 1)), motion(net, [0]))


class Counted(Noise):
    """Noise that counts the frames that are drawn."""

    drawn = 0

    def normal(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
        self.drawn += 0 if at is None else at.shape[-1]
        return super().normal(purpose, size, at)


def test_a_jump_costs_what_is_in_reach() -> None:
    net, draws = make("transformer").double(), noise()
    counted = Counted(draws.key, draws.samples, dtype=draws.dtype)
    times = torch.tensor([[0.0, 3.5, 400.0, 100_000.0]]).expand(2, -1)
    found = net.codes(counted, times)[0]
    assert counted.drawn <= 4 + 3 + 3 * net.reach
    for index, frame in enumerate((0, 3, 400, 100_000)):
        torch.testing.assert_close(found[:, index : index + 1, -MOVING:], motion(net, [frame]).detach())


def test_long_calls_are_computed_piece_by_piece() -> None:
    """More frames than are computed at once, with and without gaps between those that are asked for."""
    net = make("transformer", window=128).double()
    whole = motion(net, range(300))
    torch.testing.assert_close(whole, at_once(net, noise(), 299), rtol=0, atol=1e-12)
    some = [0, 127, 128, 140, 299]
    torch.testing.assert_close(motion(net, some), whole[:, some], rtol=0, atol=1e-12)
    late = torch.tensor([[0.0, 250.0], [1.0, 2.0]])  # the second video goes on from where the first has passed by
    _, state = net.codes(noise(), late)
    more, _ = net.codes(noise(), torch.tensor([[299.0], [2.0]]), state=state)
    torch.testing.assert_close(more[:, 0, -MOVING:], torch.stack((whole[0, 299], whole[1, 2])), rtol=0, atol=1e-12)


def test_second_derivatives() -> None:
    check_second_derivatives(make("transformer", width=4, heads=1, window=3).double(), range(3))


def test_motion_begins_smooth_with_unit_variance_and_one_law_at_every_frame() -> None:
    torch.manual_seed(0)
    drawn = motion(Transformer(VIDEO, 32, 0), range(60), noise(100, dtype=torch.float32)).detach()
    assert float(drawn.square().mean()) == pytest.approx(1, abs=0.1)
    for lag, least in ((1, 0.75), (4, 0.5)):
        for first in (0, 30):
            pairs = drawn[:, first : first + 8], drawn[:, first + lag : first + lag + 8]
            assert float((pairs[0] * pairs[1]).mean()) > least
    assert abs(float((drawn[:, :20] * drawn[:, 40:]).mean())) < 0.25


def test_widths_that_heads_do_not_divide_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"assembler\.width: found 10, but each of the 4 heads.*use 8"):
        Transformer(VIDEO, 4, 2, width=10)
