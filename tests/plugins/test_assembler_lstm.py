"""The recurrent assembler against cells written out by hand and PyTorch's own."""

from __future__ import annotations

import math

import pytest
import torch
from long_assemblers import LABELLED, LATENT, MOVING, VIDEO, check_second_derivatives, in_pieces, make, motion, noise
from torch import Tensor, nn

from gadkit import ConfigError, Noise
from gadkit_plugins.assemblers.lstm import Lstm

CELLS = ("lstm", "gru")
TIMES = torch.arange(20, dtype=torch.float64).expand(2, -1)


def inputs(net: Lstm, draws: Noise, frames: int, labels: Tensor | None) -> Tensor:
    """What the cell is given at every frame, `(frames, B, inputs)`."""
    fresh = draws.normal("motion", net.moving, torch.arange(frames)).transpose(0, 1)
    if labels is None:
        return fresh
    vectors = net.label.embedding.weight[labels]
    return torch.stack([torch.cat((each, vectors), dim=1) for each in fresh])


def beginning(net: Lstm, draws: Noise) -> list[Tensor]:
    drawn = draws.normal("initial", net.moving)
    return [drawn @ part.weight.T + part.bias for part in net.initial]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def by_hand(net: Lstm, cell: str, x: list[float], h: list[float], c: list[float]) -> tuple[list[float], list[float]]:
    """One step of one video in plain numbers, from the formulas."""
    size = len(h)
    w, b = net.cell.project.weight.tolist(), net.cell.project.bias.tolist()
    u, v = net.cell.recur.weight.tolist(), net.cell.recur.bias.tolist()

    def given(row: int) -> float:
        return sum(weight * entry for weight, entry in zip(w[row], x, strict=True)) + b[row]

    def own(row: int) -> float:
        return sum(weight * entry for weight, entry in zip(u[row], h, strict=True)) + v[row]

    new_h, new_c = [], []
    for i in range(size):
        rows = [i + size * gate for gate in range(4)]
        if cell == "gru":
            reset, update = (sigmoid(given(row) + own(row)) for row in rows[:2])
            candidate = math.tanh(given(rows[2]) + reset * own(rows[2]))
            new_h.append((1 - update) * candidate + update * h[i])
        else:
            enter, forget, candidate, out = (given(row) + own(row) for row in rows)
            new_c.append(sigmoid(forget) * c[i] + sigmoid(enter) * math.tanh(candidate))
            new_h.append(sigmoid(out) * math.tanh(new_c[i]))
    return new_h, new_c


@pytest.mark.parametrize("labels", [None, torch.tensor([2, 1])], ids=["plain", "labelled"])
@pytest.mark.parametrize("cell", CELLS)
def test_codes_are_those_of_a_cell_by_hand(cell: str, labels: Tensor | None) -> None:
    net = make("lstm", VIDEO if labels is None else LABELLED, cell=cell).double()
    x, start = inputs(net, noise(), 20, labels), beginning(net, noise())
    expected = torch.empty(2, 20, MOVING, dtype=torch.float64)
    for video in range(2):
        h, c = start[0][video].tolist(), start[-1][video].tolist()
        for frame in range(20):
            h, c = by_hand(net, cell, x[frame, video].tolist(), h, c)
            for entry in range(MOVING):
                row = zip(net.out.weight[entry].tolist(), h, strict=True)
                expected[video, frame, entry] = sum(a * b for a, b in row) + net.out.bias[entry].item()
    found = motion(net, TIMES, labels=labels)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert found.std().item() > 0.5


@pytest.mark.parametrize("cell", CELLS)
def test_codes_are_those_of_pytorchs_cell(cell: str) -> None:
    """With as many hidden entries as entries that move, the code is the hidden state over its spread."""
    net = make("lstm", cell=cell, hidden=0).double()
    kind = {"lstm": nn.LSTMCell, "gru": nn.GRUCell}[cell]
    peer = kind(MOVING, MOVING, dtype=torch.float64)
    own = (net.cell.project.weight, net.cell.recur.weight, net.cell.project.bias, net.cell.recur.bias)
    peer.load_state_dict(dict(zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh"), own, strict=True)))
    state = beginning(net, noise())
    for frame, x in enumerate(inputs(net, noise(), 20, None)):
        after = peer(x, tuple(state)) if cell == "lstm" else peer(x, state[0])
        state = list(after) if cell == "lstm" else [after]
        expected = state[0] / net.cell.spreads[0]
        torch.testing.assert_close(motion(net, [frame])[:, 0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_the_course_does_not_depend_on_how_calls_cut_it(cell: str) -> None:
    """In float32, bit for bit, so that not even a chaotic cell takes two courses; the recurrence is made chaotic."""
    net, draws = make("lstm", cell=cell, hidden=0), noise(dtype=torch.float32)
    net.cell.recur.weight.data.mul_(20)
    times = torch.arange(70, dtype=torch.float64).expand(2, -1)
    whole = in_pieces(net, [times], draws)
    for size in (1, 3, 16, 33):
        assert torch.equal(in_pieces(net, times.split(size, dim=1), draws), whole)
    again = in_pieces(net, [times[:, :31], times[:, 30:]], draws)
    assert torch.equal(again[:, 31:], whole[:, 30:])  # frame 30 is asked for twice
    assert torch.equal(in_pieces(net, [times[:, [3, 11, 64]], times[:, [69]]], draws), whole[:, [3, 11, 64, 69]])


def test_a_time_between_frames_has_the_code_of_the_frame_before_it() -> None:
    net = make("lstm")
    assert not net.continuous
    assert torch.equal(motion(net, [0, 3.0, 3.5, 3.999, 4.0]), motion(net, [0, 3, 3, 3, 4]))
    assert not torch.equal(motion(net, [3.999]), motion(net, [4.0]))


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_videos_may_have_times_of_their_own(name: str) -> None:
    net = make(name).double()
    first = torch.tensor([[0.0, 2.0, 2.5], [4.0, 9.0, 30.0]], dtype=torch.float64)
    second = torch.tensor([[2.0, 50.0], [31.0, 31.0]], dtype=torch.float64)
    together = in_pieces(net, [first, second], noise())
    for row in range(2):
        times = torch.cat((first, second), dim=1)[row : row + 1]
        alone = torch.cat([net.codes(noise(1, row), time)[0] for time in times.split(1, dim=1)], dim=1)
        torch.testing.assert_close(together[row : row + 1], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_going_back_is_refused(name: str) -> None:
    net = make(name)
    _, state = net.codes(noise(), torch.tensor([[5.0], [5.0]]))
    for times, start in (([[4.0], [6.0]], state), ([[7.0, 6.0], [7.0, 8.0]], state), ([[-1.0], [0.0]], None)):
        with pytest.raises(ValueError, match="times: found"):
            net.codes(noise(), torch.tensor(times), state=start)


@pytest.mark.parametrize("name", ["lstm", "transformer", "motion-codes"])
def test_labels_matter_and_are_missed(name: str) -> None:
    net = make(name, LABELLED)
    one, other = (motion(net, [0, 5], labels=torch.tensor([0, label])) for label in (1, 2))
    assert torch.equal(one[0], other[0])
    assert not torch.allclose(one[1], other[1], atol=1e-3)
    with pytest.raises(ConfigError, match=r"labels: found none, but the assembler was built for 3 classes.*\[0, 3\)"):
        motion(net, [0, 5])


@pytest.mark.parametrize("cell", CELLS)
def test_second_derivatives(cell: str) -> None:
    check_second_derivatives(make("lstm", cell=cell, hidden=3).double(), range(5))


@pytest.mark.parametrize("hidden", [0, 128])
@pytest.mark.parametrize("cell", CELLS)
def test_motion_begins_with_unit_variance_from_the_first_frame_on(cell: str, hidden: int) -> None:
    torch.manual_seed(0)
    net = Lstm(VIDEO, 32, 0, cell=cell, hidden=hidden)
    drawn = motion(net, range(100), noise(200, dtype=torch.float32)).detach()
    assert drawn.shape == (200, 100, 32)
    for frames in (slice(0, 1), slice(1, 16), slice(80, 100)):
        assert float(drawn[:, frames].square().mean()) == pytest.approx(1, abs=0.12)


def test_content_holds_and_moving_may_be_all() -> None:
    codes, _ = make("lstm").codes(noise(), TIMES)
    assert codes.shape == (2, 20, LATENT)
    assert torch.equal(codes[:, :, : LATENT - MOVING], noise().normal("content", 3).unsqueeze(1).expand(-1, 20, -1))
    assert make("lstm", moving=0).codes(noise(), TIMES)[0].std(1).all()
