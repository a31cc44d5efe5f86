"""Other speeds and later starts: frames at the times that were asked for, to the last bit where they are the same."""

import pytest
import torch
from small_shown import ASSEMBLERS, MOVING, STILL, Recurrent, every_assembler, every_context, make, motion
from test_refining import STRONG
from test_refining import model as judged

from gadkit import ConfigError, Noise
from gadkit.interfaces.assembler import BLOCK
from gadkit.randomness import Key
from gadkit.runs.sampling import ShapedAssembler, WindowedGenerator

# --- speed -----------------------------------------------------------------------------------------------------------

CONTINUOUS = [name for name in ASSEMBLERS if isinstance(name, str) and make(name).assembler.continuous]


@pytest.mark.parametrize("assembler", CONTINUOUS)
def test_every_fourth_frame_of_a_quarter_of_the_speed_is_a_frame(assembler):
    model = make(assembler)
    noise = Noise(Key.of(0), torch.tensor([5]), dtype=torch.float64)
    model.assembler.double()
    slow, _ = ShapedAssembler(model.assembler, speed=0.25).draw_codes(noise, 0, 37, None, None)
    fast, _ = model.assembler.draw_codes(noise, 0, 10, None, None)
    torch.testing.assert_close(slow[:, ::4], fast, rtol=0, atol=1e-12)
    between, _ = model.assembler.codes(noise, torch.tensor([[0.25, 7.75]], dtype=torch.float64))
    torch.testing.assert_close(slow[:, [1, 31]], between, rtol=0, atol=1e-12)


@pytest.mark.parametrize("assembler", CONTINUOUS)
@every_context
def test_slow_videos_have_the_frames_of_the_others_and_those_between(assembler, context):
    model = make(assembler, context)
    slow, fast = model.sample(2, 37, speed=0.25), model.sample(2, 10)
    torch.testing.assert_close(slow[:, ::4].int(), fast.int(), rtol=0, atol=1)
    steps = motion(slow).int().diff(dim=1).abs()
    assert steps.float().mean() < 0.5 * motion(fast).int().diff(dim=1).abs().float().mean()
    assert not torch.equal(slow[:, 2::4], slow[:, :-1:4])  # frames between are no copies
    double = model.sample(2, 5, speed=2.0)
    torch.testing.assert_close(double.int(), fast[:, ::2].int(), rtol=0, atol=1)


@pytest.mark.parametrize("context", [0, 2])
def test_slow_videos_keep_the_promises_of_the_others(context):
    model = make("walk", context)
    whole = model.sample(2, 50, speed=0.3, seed=2)
    assert torch.equal(torch.cat(list(model.stream(50, 2, chunk=7, speed=0.3, seed=2)), dim=1), whole)
    for length in (1, 16, 33):
        assert torch.equal(model.sample(2, length, speed=0.3, seed=2), whole[:, :length])
    assert torch.equal(model.sample(1, 50, speed=0.3, seed=2, first=1), whole[1:])
    assert torch.equal(model.sample(2, 9, speed=0.3, seed=2, start=41), whole[:, 41:])


def test_between_two_frames_a_generator_sees_codes_one_frame_apart():
    model = make("walk", context=2, classes=2)
    noise, labels = Noise(Key.of(0, "sample"), torch.tensor([0, 1])), torch.tensor([0, 1])
    times = torch.tensor([1.25, 2.25, 3.25, 4.25, 5.25], dtype=torch.float64).expand(2, -1)
    with torch.no_grad():
        expected = model.generator(model.assembler.codes(noise, times)[0], labels)[:, 2]
        slow = ShapedAssembler(model.assembler, speed=0.25, reach=2)
        around = slow.draw_codes(noise, 0, 20, None, None)[0]
        made = WindowedGenerator(model.generator)(around, labels)
    assert around.shape == (2, 20, 5 * (STILL + MOVING))
    assert made.shape == (2, 20, 3, STILL + MOVING, 2)
    torch.testing.assert_close(made[:, 13], expected)
    before = around[0, 1].unflatten(0, (5, -1))
    assert torch.equal(before[0], before[1])  # before frame 0 stands the first code
    assert torch.equal(before[0], around[0, 0].unflatten(0, (5, -1))[2])


# --- a later start ---------------------------------------------------------------------------------------------------


@every_assembler
@every_context
def test_a_later_start_gives_the_frames_that_are_there(assembler, context):
    model = make(assembler, context)
    whole = model.sample(2, 120, seed=7)
    for start, length in ((0, 5), (1, 16), (15, 1), (16, 16), (17, 24), (50, 5), (96, 24), (119, 1)):
        made = model.sample(2, length, seed=7, start=start)
        assert torch.equal(made, whole[:, start : start + length]), (start, length)
    pieces = list(model.stream(70, 2, seed=7, start=50, chunk=9))
    assert torch.equal(torch.cat(pieces, dim=1), whole[:, 50:])
    assert [piece.shape[1] for piece in pieces] == [9] * 7 + [7]


@pytest.mark.parametrize("context", [0, 2, BLOCK + 3])
def test_a_jump_computes_no_more_than_it_needs(context, monkeypatch):
    far = 10**6 + 5
    for assembler, stepped in (("walk", False), (Recurrent, True)):
        model = make(assembler, context)
        asked = []
        codes = type(model.assembler).codes

        def counted(self, noise, times, labels=None, state=None, codes=codes, asked=asked):
            asked.append(times.shape[1])
            return codes(self, noise, times, labels, state)

        monkeypatch.setattr(type(model.assembler), "codes", counted)
        start = 16 * 40 + 3 if stepped else far
        model.sample(1, 10, start=start)
        assert model.generator.frames == BLOCK + 2 * context  # one block is rendered
        if stepped:
            assert sum(asked) == 16 * 41 + context
        else:
            assert sum(asked) <= 2 * BLOCK + 4 * context + 2 * BLOCK


def test_a_later_start_of_a_generator_of_one_length():
    model = make("independent", context="fixed")
    whole = model.sample(2, seed=1)
    for start, length in ((0, 8), (3, 5), (7, 1), (2, 3)):
        assert torch.equal(model.sample(2, length, seed=1, start=start), whole[:, start : start + length])
    assert torch.equal(model.sample(2, seed=1, start=5), whole[:, 5:])  # what is left
    with pytest.raises(ConfigError, match="found 3 from frame 6 on, but Shown makes videos of exactly 8 frames"):
        model.sample(1, 3, start=6)
    with pytest.raises(ConfigError, match="ask for frames before frame 8"):
        model.sample(1, start=8)


@pytest.mark.parametrize("kind", [{}, {"context": 2}, {"looks": 2}], ids=str)
def test_a_later_start_of_refined_videos(kind):
    made = judged(**kind)
    whole = made.sample(2, 40, refine=STRONG)
    for start, length in ((1, 3), (16, 8), (21, 19)):
        assert torch.equal(made.sample(2, length, refine=STRONG, start=start), whole[:, start : start + length])
