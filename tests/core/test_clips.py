"""Which clips a step sees is a function of the seed and of the position in the run."""

import math

import pytest
import torch
from scipy import stats

from gadkit.data.store import ClipStore, Store
from gadkit.engine.clips import Clips
from gadkit.errors import ConfigError, DataError
from gadkit.randomness import Key
from gadkit.sections import ClipSettings

CPU = torch.device("cpu")


def make_store(lengths=(9, 20, 7, 40, 12), size=(4, 6), blocks=1) -> ClipStore:
    """Every pixel of a frame says which video and frame it is: channel 0 the video, channel 1 the frame; its columns
    rise in channel 2."""
    frames = torch.zeros(sum(lengths), *size, 3, dtype=torch.uint8)
    starts, at = [], 0
    for video, length in enumerate(lengths):
        starts.append(at)
        frames[at : at + length, ..., 0] = video
        frames[at : at + length, ..., 1] = torch.arange(length, dtype=torch.uint8)[:, None, None]
        at += length
    frames[..., 2] = torch.arange(size[1], dtype=torch.uint8)
    cut = starts[len(lengths) // 2]
    pieces = [frames] if blocks == 1 else [frames[:cut], frames[cut:]]
    names = [f"{'abc'[video % 3]}/{video}.mp4" for video in range(len(lengths))]
    return ClipStore(pieces, torch.tensor(starts), torch.tensor(lengths), names=names, fps=25.0)


def make(store=None, seed=0, frames=4, stride=1, **settings) -> Clips:
    key = Key.of(seed, "test")
    return Clips(store or make_store(), key, frames, stride=stride, settings=ClipSettings(**settings))


def read(clips: Clips, positions, times=None):
    """Videos `(B,)`, frame numbers `(B, N)` and whether each clip is mirrored `(B,)`, read from the pixels."""
    pixels, _ = clips.batch(clips.select(torch.as_tensor(positions)), times, CPU, torch.float64)
    numbers = (pixels * 127.5 + 127.5).round().long()
    return numbers[:, 0, 0, 0, 0], numbers[:, :, 1, 0, 0], numbers[:, 0, 2, 0, 0] > 0


def test_an_epoch_visits_every_video_once_in_a_new_order():
    videos, _, _ = read(make(), range(15))
    epochs = videos.reshape(3, 5)
    assert all(sorted(epoch.tolist()) == list(range(5)) for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) > 1


@pytest.mark.parametrize(
    "settings", [{}, {"flip": True, "per_video": 3}, {"per_video": "length"}, {"offset": "fixed", "per_video": 2}]
)
def test_a_clip_is_a_function_of_its_position_alone(settings):
    together = read(make(**settings), range(40))
    clips = make(**settings)
    for position in (39, 3, 17, 0, 22):  # in any order, one at a time
        for one, all_ in zip(read(clips, [position]), together, strict=True):
            assert torch.equal(one[0], all_[position])
    other = read(make(seed=1, **settings), range(40))
    assert not torch.equal(other[0], together[0])


def test_frames_follow_each_other_and_begin_anywhere():
    _, frames, _ = read(make(make_store((10,))), range(3000))
    assert torch.equal(frames - frames[:, :1], torch.arange(4).expand(3000, 4))
    counts = torch.bincount(frames[:, 0], minlength=7)
    assert len(counts) == 7  # 10 - 4 + 1 places
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_stride_skips_frames_and_begins_at_any_frame():
    _, frames, _ = read(make(make_store((12,)), stride=3), range(400))
    assert torch.equal(frames - frames[:, :1], 3 * torch.arange(4).expand(400, 4))
    assert sorted(set(frames[:, 0].tolist())) == [0, 1, 2]


def test_times_choose_frames_of_the_clip():
    clips = make(stride=2)
    _, whole, _ = read(clips, range(5))
    times = torch.tensor([[0, 3], [1, 2], [3, 3], [2, 0], [0, 1]])
    _, chosen, _ = read(clips, range(5), times)
    assert torch.equal(chosen, whole.gather(1, times))


def test_several_clips_a_video_differ_in_their_places():
    clips = make(make_store((200,) * 4), per_video=3)
    assert len(clips) == 12
    videos, frames, _ = read(clips, range(12))
    assert torch.bincount(videos).tolist() == [3] * 4
    assert len(set(zip(videos.tolist(), frames[:, 0].tolist(), strict=True))) > 8


def test_clips_by_length_weigh_long_videos_more():
    clips = make(stride=2, per_video="length")  # a clip spans 7 frames
    assert len(clips) == 1 + 2 + 1 + 5 + 1
    videos, _, _ = read(clips, range(len(clips)))
    assert torch.bincount(videos).tolist() == [1, 2, 1, 5, 1]


def test_fixed_offsets_begin_at_the_first_frame_and_spread():
    _, frames, _ = read(make(offset="fixed"), range(10))
    assert frames[:, 0].tolist() == [0] * 10
    videos, frames, _ = read(make(make_store((43, 43)), offset="fixed", per_video=4), range(8))
    for video in (0, 1):
        assert sorted(frames[videos == video, 0].tolist()) == [0, 10, 20, 30]


def test_flips_are_half_of_the_clips_and_mirror_every_frame():
    clips = make(flip=True)
    _, _, mirrored = read(clips, range(2000))
    assert abs(mirrored.float().mean() - 0.5) < 4 * math.sqrt(0.25 / 2000)
    choice = clips.select(torch.arange(64))
    pixels, _ = clips.batch(choice, None, CPU, torch.float32)
    plain, _ = make().batch(make().select(torch.arange(64)), None, CPU, torch.float32)
    for clip in range(64):
        assert torch.equal(pixels[clip], plain[clip].flip(-1) if choice.flips[clip] else plain[clip])


def test_two_processes_see_what_one_sees():
    positions = torch.arange(32).reshape(2, 2, 8)  # steps, ranks, samples
    alone = read(make(flip=True), positions.reshape(-1))
    ranks = [make(flip=True), make(flip=True)]
    shared = [read(ranks[rank], positions[step, rank]) for step in (0, 1) for rank in (0, 1)]
    for number, whole in enumerate(alone):
        assert torch.equal(torch.cat([part[number] for part in shared]), whole)


def test_reading_ahead_changes_nothing_and_stores_in_pieces_neither():
    plain, ahead, cut = make(flip=True), make(flip=True), make(make_store(blocks=2), flip=True)
    batches = [torch.arange(8) + 8 * number for number in range(6)]
    for number, positions in enumerate(batches):
        for following in batches[number + 1 : number + 3]:
            ahead.ahead(ahead.select(following), None)
        results = [clips.batch(clips.select(positions), None, CPU, torch.float32)[0] for clips in (plain, ahead, cut)]
        assert torch.equal(results[0], results[1])
        assert torch.equal(results[0], results[2])
    ahead.close()


def test_what_was_announced_and_not_taken_is_dropped():
    clips = make()
    for number in range(4):
        clips.ahead(clips.select(torch.arange(4) + 4 * number), None)
    clips.batch(clips.select(torch.arange(4) + 12), None, CPU, torch.float32)
    assert clips._feeder._waiting == {}
    clips.close()


def test_an_error_while_reading_ahead_is_raised_where_the_batch_is_taken():
    class Broken(ClipStore):
        def clips(self, videos, places, times, span):
            raise DataError("b.mp4 is damaged.")

    store = make_store()
    store.__class__ = Broken
    clips = make(store)
    choice = clips.select(torch.arange(4))
    clips.ahead(choice, None)
    with pytest.raises(DataError, match=r"b\.mp4"):
        clips.batch(choice, None, CPU, torch.float32)
    clips.close()


class Endless(Store):
    height, width, fps = 4, 6, 25.0
    skipped: list = []

    def __len__(self):
        return 2**40

    def clips(self, videos, places, times, span):
        shape = (*times.shape, 4, 6, 3)
        return (videos % 251).to(torch.uint8)[:, None, None, None, None].expand(shape).contiguous(), None


def test_an_endless_set_gives_every_clip_a_video_of_its_own():
    videos, _, _ = read(make(Endless()), [0, 1, 2**33 + 5])
    assert videos.tolist() == [0, 1, (2**33 + 5) % 251]
    for per_video in (2, "length"):
        with pytest.raises(ConfigError, match=r"clips\.per_video"):
            make(Endless(), per_video=per_video)


def test_a_split_keeps_groups_together_and_shares_nothing():
    store = make_store((9,) * 60)
    training, held = store.split("file", 0.3)
    assert len(training) + len(held) == 60
    assert not set(training.names) & set(held.names)
    assert 8 < len(held) < 30
    again, _ = store.split("file", 0.5)
    assert set(held.names) <= {*store.names} - set(again.names)  # a larger part holds out what a smaller one does
    folders = [{name[0] for name in part.names} for part in store.split("folder", 0.5)]
    assert not folders[0] & folders[1]
    video = held.clips(torch.tensor([2]), torch.tensor([0]), torch.tensor([[0]]), 1)[0][0, 0, 0, 0, 0]
    assert held.names[2].endswith(f"/{int(video)}.mp4")
    with pytest.raises(DataError, match=r"clips\.held_out"):
        store.split("regex:mp4", 0.5)
