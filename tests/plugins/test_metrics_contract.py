"""What every metric of distances promises, whatever it measures."""

import hashlib
import pickle
import struct
import subprocess
import sys

import pytest
import torch
from metric_processes import EXACT, METRICS, feed, sides, values
from torch import nn
from torchmetrics import MetricCollection

import gadkit
from gadkit_plugins.metrics import FrameFrechetDistance, FrechetVideoDistance, InceptionScore, KernelVideoDistance
from gadkit_plugins.metrics.reservoir import Reservoir


@pytest.fixture(params=METRICS)
def make(request):
    return METRICS[request.param]


def same(make, one, other):
    exact = any(make is METRICS[name] for name in EXACT)
    return one == (other if exact else pytest.approx(other, rel=1e-9, abs=0))


class Net(nn.Module):
    """A net of clips, or of frames; its numbers depend a little on what is beside a clip, as those of real ones do."""

    def __init__(self, frames):
        super().__init__()
        self.frames = frames
        self.mix = nn.Parameter(torch.randn(3 * 8 * 8, 7, generator=torch.Generator().manual_seed(1)))

    def forward(self, video):
        vectors = video.float().flatten(2) @ self.mix / 1000
        vectors = vectors + video.float().mean() * 1e-12
        return vectors if self.frames else torch.cat([vectors[:, 0], vectors[:, -1]], 1)

    def logits(self, features):
        return features[..., :5] * 2


def videos(count=12):
    generator = torch.Generator().manual_seed(2)
    return {
        side: torch.randint(low, 200, (count, 4, 3, 8, 8), generator=generator, dtype=torch.uint8)
        for side, low in (("real", 0), ("generated", 40))
    }


def test_values_are_float64_scalars_that_best_names(make):
    metric = feed(make(), sides())
    found = metric.compute()
    assert found.keys() == metric.best.keys()
    assert all(value.dtype == torch.float64 and value.ndim == 0 and value.isfinite() for value in found.values())


@pytest.mark.parametrize("batch", [1, 7, 33])
def test_neither_batches_nor_order_matter(make, batch):
    one = values(feed(make(), sides(), batch=1000))
    shuffled = {
        side: rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(batch))]
        for side, rows in sides().items()
    }
    assert same(make, values(feed(make(), shuffled, batch=batch)), one)


def test_parts_merge(make):
    parts = [{side: rows[some] for side, rows in sides().items()} for some in (slice(0, 20), slice(20, None))]
    metric, other, none = feed(make(), parts[0]), feed(make(), parts[1]), make()
    metric.merge_state(other)
    metric.merge_state(none)
    none.merge_state(metric)
    whole = values(feed(make(), sides()))
    assert same(make, values(metric), whole)
    assert same(make, values(none), whole)


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_reset_clone_and_pickle(make):
    metric = feed(make(), sides())
    whole = values(metric)
    clone, thawed = metric.clone(), pickle.loads(pickle.dumps(metric))  # noqa: S301
    metric.reset()
    with pytest.raises(gadkit.DataError, match="0 generated"):
        metric.compute()
    feed(metric, {side: rows[:50] for side, rows in sides().items()})
    assert not same(make, values(metric), whole)
    metric.reset()
    assert values(feed(metric, sides())) == whole
    assert values(clone) == values(thawed) == whole


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_saved_states_are_loaded(make):
    metric = feed(make(), sides())
    metric.persistent(True)
    other = make()
    other.load_state_dict(metric.state_dict())
    assert values(other) == values(metric)


def test_forward_gives_the_batchs_value_and_keeps_the_sum():
    metric, whole = InceptionScore(splits=2), sides()["generated"]
    first = metric(whole[:20], real=False)
    assert first["is"] == feed(InceptionScore(splits=2), {"generated": whole[:20]}).compute()["is"]
    metric(whole[20:], real=False)
    assert values(metric) == values(feed(InceptionScore(splits=2), {"generated": whole}))


def test_a_collection_says_what_its_metrics_say():
    """Metrics whose states are equal at first, for they share them then, but not later."""
    makers = [
        lambda: FrechetVideoDistance(),
        lambda: FrechetVideoDistance(divisor="n-1"),
        lambda: KernelVideoDistance(limit=30),
        METRICS["kvd"],
        METRICS["prdc"],
    ]
    collection = MetricCollection({str(index): make() for index, make in enumerate(makers)})
    for side, rows in sides().items():
        for some in rows.split(16):
            collection.update(some, real=side == "real")
    assert [len(group) for group in collection.compute_groups.values()] == [2, 1, 2]
    for index, make in enumerate(makers):
        assert values(collection[str(index)]) == values(feed(make(), sides(), batch=16))
    assert {"0_fvd", "1_fvd", "2_kvd", "3_kvd", "4_precision"} <= collection.compute().keys()


def test_memory_does_not_grow_with_the_clips(make):
    limits = {} if make in (METRICS["fvd"], METRICS["fid"]) else {"limit": 40}
    rows = torch.randn(3000, 12, dtype=torch.float64)
    most = 2 * 12 if not limits else 2 * 40 + 100
    for count in (500, 3000):
        metric = feed(make(**limits), {"real": rows[:count], "generated": rows[:count] + 1}, batch=100)
        for name, state in metric.metric_state.items():
            assert state.ndim == 0 or len(state) <= most, name


def test_videos_are_their_rows_whatever_the_batches(make):
    """Where parts are drawn, they go by a hash of the video, since a net's numbers depend on the batch."""
    net = Net(frames=make().of != "clip")
    found = values(feed(make(features=net), videos(), batch=5))
    assert values(feed(make(features=net), videos(), batch=12)) == pytest.approx(found, rel=1e-4)
    if make in (METRICS["fvd"], METRICS["kvd"], METRICS["fid"], METRICS["prdc"]):
        rows = {side: net(video).double() for side, video in videos().items()}
        assert values(feed(make(), rows)) == pytest.approx(found, rel=1e-4)


def test_class_scores_are_those_of_the_network():
    net = Net(frames=True)
    scores = net.logits(net(videos()["generated"]))
    for whole in (InceptionScore(net, splits=1), InceptionScore(splits=1)):
        whole.update(scores if whole.features is None else videos()["generated"], real=False)
        shares = scores.double().softmax(-1).flatten(0, 1)
        expected = (shares * (shares / shares.mean(0)).log()).sum(1).mean().exp()
        assert whole.compute()["is"].item() == pytest.approx(expected.item(), rel=1e-9)


def test_the_clips_that_are_kept_do_not_depend_on_the_net():
    nets = Net(frames=False), Net(frames=False)
    nets[1].mix.data.mul_(-1)
    kept = []
    for net, batch in zip(nets, (12, 5), strict=True):
        metric = feed(KernelVideoDistance(net, limit=6), videos(), batch=batch)
        kept.append(metric.summary("real", Reservoir))
    assert torch.equal(kept[0].keys, kept[1].keys)
    torch.testing.assert_close(kept[0].rows, -kept[1].rows)


def test_equal_clips_are_counted_as_often_as_they_came():
    clips = videos(3)["real"]
    metric = KernelVideoDistance(Net(frames=False))
    metric.update(clips[[0, 1, 0, 2, 0]], real=True)
    metric.update(clips[[0]], real=True)
    kept = metric.summary("real", Reservoir)
    assert int(kept.count) == len(kept.rows) == 6
    assert sorted(torch.unique(kept.keys, return_counts=True)[1].tolist()) == [1, 1, 4]


def test_keys_are_hashes_of_little_endian_content():
    """The same on every machine, for either zero, and for a row of any precision and memory layout."""
    row = [0.5, -0.0, 3.0]
    digest = hashlib.blake2b(struct.pack("<3d", 0.5, 0.0, 3.0), digest_size=8).digest()
    for rows in (torch.tensor([row]), torch.tensor([row]).half(), torch.tensor(row, dtype=torch.float64)[:, None].T):
        metric = KernelVideoDistance()
        metric.update(rows, real=True)
        assert metric.summary("real", Reservoir).keys.tolist() == list(struct.unpack("<q", digest))
    clip = videos(1)["real"]
    metric = KernelVideoDistance(Net(frames=False))
    metric.update(clip, real=True)
    digest = hashlib.blake2b(bytes(clip.flatten().tolist()), digest_size=8).digest()
    assert metric.summary("real", Reservoir).keys.tolist() == list(struct.unpack("<q", digest))


@pytest.mark.parametrize("limit", [5, 40])
def test_a_sample_is_uniform(limit):
    """Each row is as likely as another: over 400 sets of rows, the share of kept ones is the same for every place."""
    kept = torch.zeros(50)
    for trial in range(400):
        rows = torch.arange(50, dtype=torch.float64)[:, None] + trial * 50
        metric = KernelVideoDistance(limit=limit)
        metric.update(rows, real=True)
        kept[(metric.summary("real", Reservoir).rows[:, 0] - trial * 50).long()] += 1
    assert kept.sum() == 400 * limit
    deviation = (400 * limit / 50 * (1 - limit / 50)) ** 0.5
    assert (kept - 400 * limit / 50).abs().max() < 4.5 * deviation


@pytest.mark.parametrize("convert", ["half", "float", "to", "set_dtype", "parent"])
def test_states_are_float64_whatever_it_is_converted_to(make, convert):
    metric = make()
    feed(metric, {side: rows[:30] for side, rows in sides().items()})
    if convert in ("half", "float"):
        getattr(metric, convert)()
    elif convert == "parent":
        nn.Sequential(metric).half()
    else:
        getattr(metric, convert)(torch.float16)
    feed(metric, {side: rows[30:] for side, rows in sides().items()})
    assert same(make, values(metric), values(feed(make(), sides())))


def test_states_stay_on_the_cpu_where_the_device_has_no_float64(make, monkeypatch):
    monkeypatch.setattr("gadkit.interfaces.metric.has_float64", lambda kind: kind != "meta")
    metric = feed(make(), {side: rows[:30] for side, rows in sides().items()}).to("meta")
    assert metric.device.type == "meta"
    assert {state.device.type for state in metric.metric_state.values()} == {"cpu"}
    feed(metric, {side: rows[30:] for side, rows in sides().items()})
    whole = values(metric)
    assert same(make, whole, values(feed(make(), sides())))
    metric.reset()
    assert values(feed(metric, sides())) == values(feed(make(), sides()))


def test_a_device_is_never_asked_for_float64_that_it_has_not(monkeypatch):
    """Not for states, their defaults or results: PyTorch raises a TypeError there."""

    def move(tensor):
        if tensor.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return tensor.to("meta")

    monkeypatch.setattr("gadkit.interfaces.metric.has_float64", lambda kind: kind != "meta")
    metric = feed(FrechetVideoDistance(compute_with_cache=True), sides())
    whole = values(metric)
    assert values(metric._apply(move)) == whole


def test_videos_go_to_the_device_of_the_network():
    class Elsewhere(Net):
        def forward(self, video):
            assert video.device.type == "meta"
            return torch.ones(len(video), 2)

    metric = FrechetVideoDistance(Elsewhere(frames=False).to("meta"))
    metric.update(videos()["real"], real=True)
    assert int(metric.real_count) == 12


def test_states_move_to_a_device_that_has_float64(make):
    moved = feed(make(), sides()).to("meta")
    assert {state.device.type for state in moved.metric_state.values()} == {"meta"}


def test_sides_that_a_metric_has_no_use_for_are_passed_over(make):
    metric = feed(make(), sides())
    whole = values(metric)
    metric.update(torch.zeros(40, 12), real=True, training=True)
    if not metric.needs_real:
        metric.update(torch.zeros(40, 12), real=True)
    assert values(metric) == whole


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.full((4, 12), torch.nan), gadkit.DataError, "NaN or infinity in 4 of 4 vectors"),
        (torch.tensor([[0.0] * 12, [torch.inf] + [0.0] * 11]), gadkit.DataError, "in 1 of 2"),
        (torch.zeros(4, 12, dtype=torch.int64), ValueError, "uint8 video .* or floating vectors .* found torch.int64"),
        (torch.zeros(12), ValueError, r"found torch.float32 \(12,\)"),
        (torch.zeros(2, 4, 3, 8, 8), ValueError, "uint8 video .* found torch.float32"),
        (torch.zeros(2, 3, 4, 8, 8, dtype=torch.uint8), ValueError, r"found torch.uint8 \(2, 3, 4, 8, 8\)"),
        (torch.zeros(2, 4, 3, 8, 8, dtype=torch.uint8), ValueError, "made without features"),
        (torch.zeros(4, 13), ValueError, "vectors of 13 numbers, expected 12 as before"),
    ],
)
def test_bad_rows_are_refused_in_a_sentence_and_leave_the_state_as_it_was(make, x, error, words):
    metric = feed(make(), sides())
    whole = values(metric)
    with pytest.raises(error, match=words):
        metric.update(x, real=False)
    assert values(metric) == whole


def test_a_vector_of_each_frame_is_none_of_the_clip():
    with pytest.raises(ValueError, match=r"a vector a clip, \(B, D\), found \(2, 4, 12\)"):
        FrechetVideoDistance().update(torch.zeros(2, 4, 12), real=True)


def test_frames_are_rows_of_their_own():
    rows = {side: each[:64] for side, each in sides().items()}
    clips = {side: each.reshape(16, 4, -1) for side, each in rows.items()}
    whole = values(feed(FrameFrechetDistance(), rows))
    assert values(feed(FrameFrechetDistance(), clips, batch=3)) == pytest.approx(whole, rel=1e-9)


def test_training_clips_are_real():
    with pytest.raises(ValueError, match="training clips are real"):
        FrechetVideoDistance().update(torch.zeros(2, 12), real=False, training=True)


@pytest.mark.parametrize("empty", [torch.zeros(0, 12), torch.zeros(0, 12, dtype=torch.float64)])
def test_no_clip_changes_nothing(make, empty):
    metric = make()
    metric.update(empty, real=False)
    feed(metric, sides())
    metric.update(empty, real=False)
    assert values(metric) == values(feed(make(), sides()))


def test_sides_of_different_lengths_are_refused(make):
    metric = make()
    if metric.needs_real:
        feed(metric, {"real": sides()["real"], "generated": sides()["generated"][:, :9]})
        with pytest.raises(ValueError, match="vectors of"):
            metric.compute()


def test_too_few_clips_are_named_by_count(make):
    metric = feed(make(), {side: rows[:1] for side, rows in sides().items()})
    with pytest.raises(gadkit.DataError, match=r"1 generated; expected at least \d+ of each"):
        metric.compute()


def test_the_package_loads_without_torch():
    code = "import sys, gadkit_plugins.metrics as m; assert 'torch' not in sys.modules; print(len(m.__all__))"
    assert int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout) >= 6
