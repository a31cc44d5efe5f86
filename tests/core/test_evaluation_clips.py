"""Clips of an evaluation: a function of seed, names' order and lengths; inside their videos; apart from each other."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_evaluations import store_of
from synthetic import Squares

from gadkit import ConfigError
from gadkit.data.store import Store
from gadkit.data.stream import open_stream
from gadkit.evaluation.clips import choose_clips, first_frames, places_of
from gadkit.evaluation.protocol import ProtocolSettings
from gadkit.interfaces.dataset import ENDLESS
from gadkit.video.geometry import Geometry

SPAN = 4
LENGTHS = st.lists(st.integers(SPAN, 40), min_size=1, max_size=14)


def protocol(**choices):
    return ProtocolSettings(**({"clips": 16, "real_clips": 16, "frames": SPAN} | choices))


@st.composite
def protocols(draw):
    return protocol(
        clips=draw(st.integers(2, 40)),
        real_clips=draw(st.integers(0, 40)),
        seed=draw(st.integers(0, 2**40)),
        choice=draw(st.sampled_from(["first", "random"])),
        clips_per_video=draw(st.integers(0, 4)),
        offset=draw(st.sampled_from(["start", "random"])),
        generated_offset=draw(st.sampled_from(["start", "random"])),
    )


def chosen(lengths, wanted, generated=False):
    """Each clip's video and first frame."""
    store = store_of(lengths)
    clips = choose_clips(store, wanted, span=SPAN, generated=generated)
    first = first_frames(clips.places, store.lengths[clips.videos], SPAN)
    return list(zip(clips.videos.tolist(), first.tolist(), strict=True))


@given(LENGTHS, protocols(), st.booleans())
@settings(deadline=None, max_examples=200)
def test_every_clip_lies_inside_its_video_and_apart_from_the_others_of_it(lengths, wanted, generated):
    clips = chosen(lengths, wanted, generated)
    taken = set()
    for video, first in clips:
        assert 0 <= first <= lengths[video] - SPAN
        frames = {(video, frame) for frame in range(first, first + SPAN)}
        assert not frames & taken
        taken |= frames


@given(LENGTHS, protocols(), st.booleans())
@settings(deadline=None, max_examples=200)
def test_there_are_as_many_clips_as_can_be_of_as_many_videos_as_there_are(lengths, wanted, generated):
    clips = chosen(lengths, wanted, generated)
    most = (wanted.clips if generated else wanted.real_clips) or len(lengths)
    per_video = wanted.clips_per_video
    room = [min(length // SPAN, per_video or length) for length in lengths] if per_video != 1 else [1] * len(lengths)
    assert len(clips) == min(most, sum(room))
    assert len({video for video, _ in clips}) == min(most, len(lengths))
    if wanted.choice == "first" and most <= len(lengths):
        assert [video for video, _ in clips] == list(range(most))
    if (wanted.generated_offset if generated else wanted.offset) == "start":
        assert all(first % SPAN == 0 for _, first in clips)
        assert {video for video, first in clips if first == 0} == {video for video, _ in clips}


@given(LENGTHS, protocols(), st.integers(0, 5), st.data())
@settings(deadline=None, max_examples=60)
def test_fewer_clips_are_the_beginning_of_more(lengths, wanted, seed, data):
    """So that a quick look and a long one share what they can, wherever every video gives one clip."""
    fewer = data.draw(st.integers(1, len(lengths)))
    one = wanted.model_copy(update={"clips_per_video": 1, "real_clips": len(lengths), "seed": seed})
    assert chosen(lengths, one)[:fewer] == chosen(lengths, one.model_copy(update={"real_clips": fewer}))


def test_the_choice_depends_on_the_seed_the_side_and_nothing_that_is_no_length():
    lengths = [30 + number for number in range(40)]
    one = chosen(lengths, protocol(seed=1))
    assert one == chosen(lengths, protocol(seed=1))
    others = [chosen(lengths, protocol(seed=2)), chosen(lengths, protocol(seed=1), generated=True)]
    for other in others:
        assert [video for video, _ in other] != [video for video, _ in one]
        assert [first for _, first in other] != [first for _, first in one]
    store = store_of(lengths, side=3)
    store.names = [f"other-{number}" for number in range(40)]
    again = choose_clips(store, protocol(seed=1), span=SPAN, generated=False)
    assert again.videos.tolist() == [video for video, _ in one]


def test_offsets_are_spread_over_all_frames_where_a_clip_can_begin():
    firsts = [first for _, first in chosen([SPAN + 4] * 2000, protocol(real_clips=2000))]
    counts = torch.bincount(torch.tensor(firsts), minlength=5)
    assert len(counts) == 5
    assert (counts - 400).abs().max() < 100  # five standard deviations


@given(st.integers(1, 2**20), st.integers(1, 64), st.data())
@settings(deadline=None, max_examples=300)
def test_places_stand_for_their_first_frames_exactly(length, span, data):
    length += span - 1
    first = data.draw(st.integers(0, length - span))
    lengths = torch.tensor([length])
    place = places_of(torch.tensor([first]), lengths, span)
    assert 0 <= int(place) < 2**32
    assert int(first_frames(place, lengths, span)) == first


def test_places_of_every_first_frame_of_a_long_video_are_exact():
    lengths, first = torch.tensor([2**20]), torch.arange(2**20 - SPAN + 1)
    assert torch.equal(first_frames(places_of(first, lengths, SPAN), lengths, SPAN), first)


class Endless(Store):
    """More videos than anybody counts."""

    def __len__(self):
        return 1 << 40

    def clips(self, videos, places, times, span):
        raise AssertionError("a choice reads nothing")


def test_of_an_endless_set_the_first_videos_are_taken_one_clip_each():
    for choice in ("first", "random"):
        clips = choose_clips(Endless(), protocol(choice=choice, clips_per_video=0), span=SPAN, generated=False)
        assert clips.videos.tolist() == list(range(16))
        assert len(set(clips.places.tolist())) == 16
    assert len(Endless()) > ENDLESS


def test_a_clip_of_every_video_of_an_endless_set_is_refused():
    with pytest.raises(ConfigError, match=r"protocol\.real_clips: found 0, .* no end; say how many with --clips\.$"):
        choose_clips(Endless(), protocol(real_clips=0), span=SPAN, generated=False)


def test_of_a_stream_every_video_gives_one_clip():
    squares = Squares(None, videos=5, length=9)
    stream = open_stream(squares, squares.sources(), Geometry(height=16, width=16), min_frames=SPAN)
    clips = choose_clips(stream, protocol(clips_per_video=0), span=SPAN, generated=True)
    assert sorted(clips.videos.tolist()) == list(range(5))
