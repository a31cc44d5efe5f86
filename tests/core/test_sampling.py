"""Varied samples: what is held stays to the last bit, what changes is what was asked for, and the rest is refused."""

import math

import pytest
import torch
from small_shown import MOVING, STILL, Recurrent, content, every_assembler, make, motion
from test_refining import STRONG
from test_refining import model as judged

from gadkit import ConfigError, Refiner
from gadkit.registry import get_registry
from gadkit.runs.sampling import ShapedAssembler

# --- truncation ------------------------------------------------------------------------------------------------------


@every_assembler
def test_truncation_1_changes_no_bit(assembler):
    model = make(assembler)
    videos = model.videos(2, truncation=1.0, motion_truncation=1.0)
    assert torch.equal(torch.cat(list(videos.stream(20)), dim=1), model.sample(2, 20))
    assert isinstance(make(assembler).videos(truncation=0.5)._parts[1], ShapedAssembler)
    assert not isinstance(videos._parts[1], ShapedAssembler)


@every_assembler
def test_truncation_shrinks_the_content_and_leaves_the_motion(assembler):
    model = make(assembler)
    plain, half, none = (model.sample(3, 20, seed=4, truncation=psi) for psi in (1.0, 0.5, 0.0))
    centre = 127.5
    shown = centre + (content(plain).double() - centre) / 2
    torch.testing.assert_close(content(half).double(), shown, rtol=0, atol=1)
    assert torch.equal(motion(half), motion(plain))
    assert ((content(none).double() - centre).abs() < 1).all()  # every video has the mean content
    assert not torch.equal(content(plain), content(half))


def test_truncation_of_the_motion_leaves_the_content():
    model = make("walk")
    plain, half = model.sample(3, 20), model.sample(3, 20, motion_truncation=0.5)
    assert torch.equal(content(half), content(plain))
    torch.testing.assert_close(motion(half).double() - 127.5, (motion(plain).double() - 127.5) / 2, rtol=0, atol=1)
    still = model.sample(3, 20, motion_truncation=0.0)
    assert torch.equal(still, still[:, :1].expand_as(still))
    both = model.sample(3, 20, truncation=0.3, motion_truncation=0.5)
    assert torch.equal(motion(both), motion(half))
    assert torch.equal(content(both), content(model.sample(3, 20, truncation=0.3)))


@pytest.mark.parametrize("motion_dim", [0, STILL + MOVING])
def test_where_content_and_motion_are_one_truncation_shrinks_all(motion_dim):
    model = make("walk", motion_dim=motion_dim)
    plain, half = model.sample(2, 20), model.sample(2, 20, truncation=0.5)
    torch.testing.assert_close(half.double() - 127.5, (plain.double() - 127.5) / 2, rtol=0, atol=1)


class Looked(Refiner):
    """Moves nothing, and keeps what it was handed."""

    steps = 1

    def refine(self, score, start, noise):
        if not hasattr(self, "start"):  # of the first window, where the content moves too
            self.start, self.noise = start, noise
        return start


def test_refining_begins_at_what_was_truncated_with_noise_of_its_own():
    made = judged()
    handed = []
    for psi in (1.0, 0.5):
        refiner = Looked()
        made.sample(1, 4, refine=refiner, truncation=psi)
        handed.append((refiner.start, refiner.noise.normal("step", 4)))
    (plain, drawn), (truncated, again) = handed
    still = made.generator.latent_dim - made.generator.motion_dim
    torch.testing.assert_close(truncated[:, :still], plain[:, :still] / 2)
    assert torch.equal(truncated[:, still:], plain[:, still:])
    assert torch.equal(drawn, again)


# --- between two seeds -----------------------------------------------------------------------------------------------


@every_assembler
def test_an_interpolation_ends_at_the_videos_of_its_seeds(assembler):
    model = make(assembler)
    videos = model.sample(5, 20, seed=3, interpolate=8, first=2)
    assert torch.equal(videos[:1], model.sample(1, 20, seed=3, first=2))
    assert torch.equal(videos[4:], model.sample(1, 20, seed=8, first=2))
    assert not any(torch.equal(videos[i], videos[j]) for i in range(5) for j in range(i))
    fewer = model.sample(3, 20, seed=3, interpolate=8, first=2)
    assert torch.equal(fewer[1], videos[2])  # half of the way, whatever is made beside it
    one, other = (content(model.sample(1, 1, seed=seed, first=2)).double() - 127.5 for seed in (3, 8))
    angle = math.pi / 8
    expected = math.cos(angle) * one + math.sin(angle) * other
    torch.testing.assert_close(content(videos[1:2, :1]).double() - 127.5, expected, rtol=0, atol=1.5)


def test_what_is_between_two_seeds_does_not_depend_on_chunks_or_lengths():
    model = make(Recurrent, context=2)
    whole = model.sample(3, 50, interpolate=1, truncation=0.7)
    assert torch.equal(torch.cat(list(model.stream(50, 3, chunk=7, interpolate=1, truncation=0.7)), dim=1), whole)
    assert torch.equal(model.sample(3, 21, interpolate=1, truncation=0.7), whole[:, :21])
    videos = model.videos(3, interpolate=1, truncation=0.7)
    assert len(videos) == 3
    for number in range(3):
        assert torch.equal(torch.cat(list(videos[number].stream(50)), dim=1), whole[number : number + 1])


@pytest.mark.parametrize("use", ["proximal", "flow"])
def test_a_refined_interpolation_ends_at_refined_videos(use):
    refine = {"use": use, "steps": 2, "rate": 0.5}
    made = judged()
    videos = made.sample(3, 13, seed=1, refine=refine, interpolate=2)
    assert torch.equal(videos[:1], made.sample(1, 13, seed=1, refine=refine))
    assert torch.equal(videos[2:], made.sample(1, 13, seed=2, refine=refine))


# --- the same content, the same motion -------------------------------------------------------------------------------


@every_assembler
@pytest.mark.parametrize("context", [0, 2])
def test_the_same_content_with_the_motion_of_each_and_the_other_way_round(assembler, context):
    model = make(assembler, context)
    plain = model.sample(4, 20, seed=6, first=1)
    held, moved = (model.sample(4, 20, seed=6, first=1, same=what) for what in ("content", "motion"))
    for number in range(4):
        assert torch.equal(content(held[number]), content(plain[0]))
        assert torch.equal(motion(held[number]), motion(plain[number]))
        assert torch.equal(content(moved[number]), content(plain[number]))
        assert torch.equal(motion(moved[number]), motion(plain[0]))
    assert torch.equal(held[0], plain[0])
    assert torch.equal(moved[0], plain[0])
    assert not torch.equal(held[1], plain[1])


def test_one_half_can_be_interpolated_while_the_other_is_held():
    model = make("walk")
    one, other = model.sample(1, 9, seed=0), model.sample(1, 9, seed=1)
    morphed = model.sample(4, 9, seed=0, interpolate=1, same="motion")
    assert all(torch.equal(motion(video), motion(one[0])) for video in morphed)
    assert torch.equal(content(morphed[3]), content(other[0]))
    assert torch.equal(content(morphed), content(model.sample(4, 9, seed=0, interpolate=1)))


# --- classes ---------------------------------------------------------------------------------------------------------


def test_a_class_grid_has_a_row_for_each_video_and_a_column_for_each_class():
    model = make("walk", classes=3)
    videos = model.sample(2, 9, seed=5, first=4, class_grid=True)
    assert len(videos) == 6
    for row in range(2):
        for column in range(3):
            alone = model.sample(1, 9, seed=5, first=4 + row, labels=[column])
            assert torch.equal(videos[3 * row + column], alone[0])
    (grid,) = model.grid(2, 9, seed=5, first=4, class_grid=True)
    height, width = model.video.height, model.video.width
    assert grid.shape == (9, 2 * height, 3 * width, 3)
    cell = grid[:, height:, width : 2 * width].transpose(0, 3, 1, 2)
    assert torch.equal(torch.tensor(cell), videos[4])


def test_labels_choose_the_columns_and_their_order():
    model = make("walk", classes=3)
    whole = model.sample(2, 9, class_grid=True).unflatten(0, (2, 3))
    chosen = model.sample(2, 9, class_grid=True, labels=["class 2", 0]).unflatten(0, (2, 2))
    assert torch.equal(chosen, whole[:, [2, 0]])
    assert model.videos(2, class_grid=True, labels=["class 2", 0]).classes == [2, 0]


def test_rows_of_a_class_grid_may_be_interpolated_or_share_their_content():
    model = make("walk", classes=2)
    rows = model.sample(3, 9, class_grid=True, interpolate=1).unflatten(0, (3, 2))
    assert torch.equal(rows[2, 1], model.sample(1, 9, seed=1, labels=[1])[0])
    rows = model.sample(3, 9, class_grid=True, same="content").unflatten(0, (3, 2))
    assert torch.equal(rows[:, 1], model.sample(3, 9, same="content", labels=[1, 1, 1]))


def test_videos_that_share_their_content_share_their_class():
    model = make("walk", classes=3)
    for how in ({"same": "content"}, {"interpolate": 9}):
        assert torch.equal(
            model.sample(4, 9, first=1, **how), model.sample(4, 9, first=1, labels=["class 1"] * 4, **how)
        )
    turns = model.sample(4, 9, first=1, same="motion")
    assert torch.equal(turns, model.sample(4, 9, first=1, same="motion", labels=[1, 2, 0, 1]))
    given = model.sample(2, 9, interpolate=9, labels=[2, 0])
    assert torch.equal(given[1:], model.sample(1, 9, seed=9, labels=[0]))


# --- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "how", "sentence"),
    [
        ({}, {"truncation": -0.1}, "truncation: found -0.1, expected a number from 0 to 1"),
        ({}, {"truncation": 1.5}, "truncation: found 1.5"),
        ({}, {"truncation": math.nan}, "truncation: found nan"),
        ({}, {"motion_truncation": 2}, "motion_truncation: found 2"),
        ({"motion_dim": 0}, {"motion_truncation": 0.5}, "does not separate motion from content"),
        ({}, {"interpolate": 1, "num": 1}, "num: found 1, but an interpolation has two ends; ask for at least 2"),
        ({}, {"interpolate": 7, "seed": 7, "num": 3}, "interpolate: found 7, which is the seed that it begins at"),
        ({}, {"same": "colour"}, "same: found 'colour', expected content or motion"),
        ({"motion_dim": 0}, {"same": "content"}, "cannot have the same content"),
        ({"motion_dim": STILL + MOVING}, {"same": "motion"}, "cannot have the same motion"),
        ({}, {"class_grid": True}, "class_grid: this model was trained without classes"),
        ({"classes": 2}, {"class_grid": True, "labels": ["class 9"]}, "labels: found 'class 9'"),
        ({}, {"speed": 0}, "speed: found 0, expected a number above 0"),
        ({}, {"speed": math.inf}, "speed: found inf"),
        ({"assembler": "independent"}, {"speed": 0.5}, "Independent has no codes between two frames"),
        ({"assembler": Recurrent}, {"speed": 2}, "Recurrent has no codes between two frames"),
        ({"context": "fixed"}, {"speed": 0.5}, "makes all frames of a clip at once"),
        ({}, {"start": -1}, "start: found -1, expected the number of a frame"),
    ],
    ids=str,
)
def test_a_wrong_choice_is_one_sentence(model, how, sentence):
    with pytest.raises(ConfigError) as caught:
        make(**model).sample(**how)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


def test_what_refining_would_spoil_is_refused():
    for how, sentence in (
        ({"same": "content"}, "same: latents are refined for each video by itself"),
        ({"speed": 0.5}, "judges clips at the training speed"),
    ):
        made = judged(assembler=get_registry().find("assembler", "walk").load())
        with pytest.raises(ConfigError, match=sentence):
            made.sample(2, refine=STRONG, **how)
        assert len(made.sample(2, refine=0, **how)) == 2


def test_a_misspelt_choice_is_a_type_error():
    with pytest.raises(TypeError, match="unexpected keyword argument 'truncate'"):
        make().sample(truncate=0.5)
