"""`gadkit.evaluate`: any two sets of videos, and the same number by whatever way they are given."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import encode
from small_evaluations import (
    Gap,
    Pooled,
    document,
    footage,
    make_subjects,
    measured,
    numbers,
    own_run,
    quick,  # noqa: F401
    write_videos,
)

import gadkit
from gadkit.data import labels
from gadkit.data.packing import pack
from gadkit.evaluation.subjects import shown
from gadkit.interfaces.dataset import locate
from gadkit.registry import get_registry
from gadkit.runs.opening import choose
from gadkit.video.decode import open_video
from gadkit.video.geometry import Geometry


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """`real` and `made`, ten videos of 9 frames each; `packed`, `rows.npy` and `one.mp4` of `made`; a run on `real`."""
    root = tmp_path_factory.mktemp("subjects")
    make_subjects(root)
    opened = choose(get_registry(), None, locate(root / "made"), {})
    pack(opened.dataset, opened.sources, root / "packed", Geometry(height=16, width=16), key="")
    np.save(root / "rows.npy", np.stack([footage(seed) for seed in range(20, 30)]))
    encode(root / "one.mp4", footage(3, 80), rate=10)
    return root


# --- what can be measured --------------------------------------------------------------------------------------------

KINDS = ["run", "model", "made", "packed", "rows.npy", "one.mp4"]


@pytest.mark.parametrize("generated", KINDS)
@pytest.mark.parametrize("against", KINDS)
def test_anything_is_measured_against_anything(root, generated, against):
    result = measured(root / generated, root / against, clips=12, real_clips=12)
    score = result.values["fvd[Pooled]"]
    assert score.value > 0  # also of a model against itself: its clips are not compared with themselves
    assert score.clips == (12, 12)
    manifest = result.manifest
    assert manifest["generated"]["kind"] == ("model" if generated in ("run", "model") else "data")
    assert manifest["real"]["kind"] == ("model" if against in ("run", "model") else "data")
    assert (manifest["generated"]["name"], manifest["real"]["name"]) == (generated, against)
    assert manifest["size"] == [16, 16]
    assert len(result.clips["generated"]) == len(result.clips["real"]) == 12


def test_a_model_in_memory_is_its_folder(root):
    model = gadkit.load(root / "model", device="cpu")
    assert numbers(measured(model, root / "real")) == numbers(measured(root / "model", root / "real"))
    assert numbers(measured(root / "run", root / "real")) == numbers(measured(root / "model", root / "real"))


@pytest.mark.parametrize("other", ["packed", "rows.npy"])
def test_a_pack_of_a_folder_and_its_arrays_give_the_folders_number(root, other):
    folder = measured(root / "made", root / "real")
    assert numbers(measured(root / other, root / "real")) == numbers(folder)
    one, again = (measured(root / "real", root / name) for name in ("made", other))
    assert numbers(one) == numbers(again)
    if other == "packed":
        assert one.manifest["clips"] == again.manifest["clips"]
        assert one.manifest["real"]["content"] == again.manifest["real"]["content"]


def test_one_set_against_itself_is_near_the_floor_and_against_another_far_from_it(root):
    def found(against):
        return measured(root / "real", root / against, resamplings=4, floor=True).values["fvd[Pooled]"]

    assert found("real").value < 2 * found("real").floor
    assert found("made").value > 2 * found("made").floor


def test_a_class_may_stand_for_a_list_of_one(root):
    listed = measured(root / "made", root / "real", features=[Pooled], metrics=[Gap])
    assert numbers(listed) == numbers(measured(root / "made", root / "real", features=Pooled, metrics=Gap))
    assert set(listed.values) == {"gap[Pooled]", "count[Pooled]"}
    twice = measured(root / "made", root / "real", metrics=["fvd", "gadkit:fvd", Gap])
    assert list(twice.values) == ["fvd[Pooled]", "gap[Pooled]", "count[Pooled]"]


def test_settings_reach_a_metric_by_any_of_its_names(root):
    whole = measured(root / "made", root / "real").values["fvd[Pooled]"].value
    divided = measured(root / "made", root / "real", settings={"fvd": {"divisor": "n"}})
    assert divided.values["fvd[Pooled]"].value != whole
    for called in ("fvd", "gadkit:fvd"):
        named = measured(root / "made", root / "real", metrics=[called], settings={called: {"divisor": "n"}})
        assert numbers(named) == numbers(divided)
        assert "/n ·" in named.line
        assert "/(n-1) ·" in measured(root / "made", root / "real", metrics=[called]).line


# --- following the manifest ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stride": 2, "frames": 3, "seed": 5},
        {"clips_per_video": 1, "choice": "first", "offset": "start"},
        {"resolution": 12, "clips": 7},
        {"resolution": 24, "resize": "bicubic", "clips_per_video": 1},
    ],
    ids=str,
)
def test_the_clip_list_followed_by_hand_gives_the_number(root, changes):
    """From the result's file alone: the frames that it names, decoded one by one, in the network, by the formula."""
    told = document(measured(root / "made", root / "real", **changes))
    protocol = told["manifest"]["protocol"]
    rows = {}
    for side, folder in (("generated", "made"), ("real", "real")):
        clips = []
        for clip in told["clips"][side]:
            frames = list(open_video(root / folder / clip["video"]).frames)
            taken = [frames[clip["first"] + number * protocol["stride"]] for number in range(protocol["frames"])]
            clips.append(torch.from_numpy(np.stack(taken)).permute(0, 3, 1, 2))
        video = torch.stack(clips)
        if protocol["resolution"] and protocol["resize"] == "bicubic":
            scaled = torch.nn.functional.interpolate(video.flatten(0, 1) / 255, 24, mode="bicubic").clamp(0, 1)
            video = (scaled * 255).round().to(torch.uint8).unflatten(0, video.shape[:2])
        elif protocol["resolution"]:
            geometry = Geometry(height=12, width=12)
            pixels = [frame.permute(1, 2, 0).contiguous().numpy() for frame in video.flatten(0, 1)]
            footage = gadkit.Footage(fps=10, frames=iter(pixels))
            made = torch.from_numpy(np.stack(list(geometry.frames(footage)))).permute(0, 3, 1, 2)
            video = made.unflatten(0, video.shape[:2])
        rows[side] = Pooled()(video).double()
        assert len(told["clips"][side]) == told["manifest"][side]["clips"]
    assert told["values"]["fvd[Pooled]"]["value"] == pytest.approx(frechet(rows["real"], rows["generated"]), rel=1e-6)


def frechet(one, other):
    """By the definition, with the eigenvalues of the product of the covariances."""
    product = torch.cov(one.T) @ torch.cov(other.T)
    root = torch.linalg.eigvals(product).real.clamp(min=0).sqrt().sum()
    return float((one.mean(0) - other.mean(0)).square().sum() + one.T.cov().trace() + other.T.cov().trace() - 2 * root)


def test_the_clips_of_a_model_are_its_videos_by_number(root):
    told = document(measured(root / "model", root / "real", clips=9, seed=4, stride=2, frames=2))
    model = gadkit.load(root / "model", device="cpu")
    assert told["clips"]["generated"] == [{"seed": 4, "number": number} for number in range(9)]
    video = torch.cat([model.sample(1, 3, 4, first=clip["number"]) for clip in told["clips"]["generated"]])
    rows = Pooled()(video[:, ::2])
    same = measured(model, root / "real", metrics=[Gap], clips=9, seed=4, stride=2, frames=2)
    real = measured(root / "real", root / "real", metrics=[Gap], clips=9, seed=4, stride=2, frames=2)
    assert rows.shape == (9, 12)
    assert same.values["gap[Pooled]"].value >= 0
    assert real.values["count[Pooled]"].value == same.values["count[Pooled]"].value


def test_a_model_against_a_model_takes_other_numbers_of_the_same_seed(root):
    told = document(measured(root / "model", root / "model", clips=5, real_clips=6))
    assert [clip["number"] for clip in told["clips"]["generated"]] == [0, 1, 2, 3, 4]
    assert [clip["number"] for clip in told["clips"]["real"]] == [5, 6, 7, 8, 9, 10]


# --- the data of a run -----------------------------------------------------------------------------------------------


def kept_back(root):
    opened = choose(get_registry(), None, locate(root / "real"), {})
    out = labels.held_out(
        [each.name for each in opened.sources], [each.columns for each in opened.sources], "file", 0.3
    )
    return {source.name for source, left in zip(opened.sources, out, strict=True) if left}


def test_metrics_of_training_clips_stand_beside_those_of_pixels(tmp_path):
    """Each gets the sides that it needs: pixels of the training clips are nobody's."""
    run = own_run(tmp_path / "run", write_videos(tmp_path / "many", range(40)), held_out=0.5)
    sizes = {"frames": 8, "clips": 10, "real_clips": 10}
    both = numbers(measured(run, metrics=["memorisation", "motion"], **sizes))
    alone = numbers(measured(run, metrics=["motion"], **sizes))
    assert {name: both[name] for name in alone} == alone
    assert "nearer[Pooled]" in both


def test_a_run_is_judged_against_exactly_its_held_out_videos(root):
    result = measured(root / "run")
    names = {clip["video"] for clip in result.clips["real"]}
    assert names == kept_back(root)
    assert 0 < len(names) < 10
    assert result.manifest["real"]["split"] == "held-out"
    assert "(held-out)" in result.line
    training = measured(root / "run", split="training")
    assert {clip["video"] for clip in training.clips["real"]} == {f"v{n:02d}.mp4" for n in range(10)} - names
    assert training.manifest["real"]["split"] == "training"
    everything = measured(root / "run", split="all")
    assert len({clip["video"] for clip in everything.clips["real"]}) == 10


def test_parts_of_one_set_do_not_share_what_is_kept_of_them(root, tmp_path):
    """As many clips of either part, of the videos of the same numbers, at the same places."""
    own_run(tmp_path / "half", root / "real", held_out=0.5)
    one = {"clips": 2, "real_clips": 2, "clips_per_video": 1, "choice": "first", "offset": "start", "metrics": [Gap]}
    found = [measured(tmp_path / "half", split=split, **one).values for split in ("held-out", "training")]
    assert [each["count[Pooled]"].value for each in found] == [2, 2]
    assert found[0]["gap[Pooled]"].value != found[1]["gap[Pooled]"].value


def test_the_stride_of_a_run_is_part_of_what_is_kept(root, tmp_path):
    """Runs on the same videos, whose clips begin at the same places, one of them of every other frame."""
    one = {"clips_per_video": 1, "offset": "start", "split": "all"}
    for stride in (1, 2):
        own_run(tmp_path / f"run{stride}", root / "real", stride=stride)
        before = Pooled.seen
        result = measured(tmp_path / f"run{stride}", **one)
        assert Pooled.seen - before == 32 + 10
        assert result.manifest["real"].get("stride", 1) == stride


def test_a_run_that_held_nothing_back_is_judged_against_what_it_trained_on_and_that_is_said(root, tmp_path):
    own_run(tmp_path / "run", root / "real")
    result = measured(tmp_path / "run")
    assert result.manifest["real"]["split"] == "training"
    (told,) = (text for text in result.warnings if "held no videos back" in text)
    assert "--held-out" in told
    assert measured(tmp_path / "run", root / "real").warnings == [
        text for text in result.warnings if "held no videos back" not in text
    ]


def test_the_real_clips_of_a_run_are_those_of_its_geometry(root, tmp_path):
    long = write_videos(tmp_path / "long", range(3), length=20)
    own_run(tmp_path / "run", long, fit="stretch", fps=5.0, resolution=(12, 8))
    real = measured(tmp_path / "run").manifest["real"]
    assert {name: real[name] for name in ("height", "width", "fps", "fit")} == {
        "height": 8,
        "width": 12,
        "fps": 5.0,
        "fit": "stretch",
    }


def test_results_of_a_run_lie_in_its_folder_and_none_is_lost(root, tmp_path):
    run = shutil.copytree(root / "run", tmp_path / "run")
    results = [measured(run, seed=seed) for seed in range(3)]  # within a second
    assert len({result.path for result in results}) == 3
    assert [json.loads(result.path.read_text()) for result in results] == [document(result) for result in results]
    assert {result.path.parent for result in results} == {run / "evaluations"}
    assert results[0].step == 2


def test_numbers_are_given_where_they_cannot_be_kept(root, tmp_path):
    run = shutil.copytree(root / "run", tmp_path / "run")
    shutil.rmtree(run / "evaluations", ignore_errors=True)
    (run / "evaluations").write_text("in the way")
    result = measured(run)
    assert result.path is None
    assert "fvd[Pooled]" in result.values
    assert any("evaluations" in text and "cannot be written" in text for text in result.warnings)


def test_a_checkpoint_is_that_of_what_is_judged(root, tmp_path):
    early = measured(root / "run", root / "model", checkpoint=0)
    assert early.step == 0
    assert early.values["fvd[Pooled]"].value != measured(root / "run", root / "model").values["fvd[Pooled]"].value


# --- sizes and rates -------------------------------------------------------------------------------------------------


def test_frames_of_all_sides_are_brought_to_one_size(root, tmp_path):
    large = write_videos(tmp_path / "large", range(3), side=20)
    for generated, against in ((root / "model", large), (large, root / "model")):
        assert measured(generated, against).manifest["size"] == [16, 16]  # a model's size is what it is
    for resize in ("lanczos", "bilinear-antialias"):
        for generated, against in ((root / "model", large), (large, root / "model"), (root / "made", large)):
            result = measured(generated, against, resolution=24, resize=resize)
            assert result.manifest["size"] == [24, 24]


def test_a_model_is_resized_as_its_videos_would_be(root, tmp_path):
    """Its samples written without loss and read again."""
    model = gadkit.load(root / "model", device="cpu")
    for number in range(6):
        encode(tmp_path / f"v{number}.mp4", model.sample(1, 4, first=number)[0].permute(0, 2, 3, 1).numpy(), rate=10)
    for resize in ("lanczos", "bilinear", "bicubic-antialias"):
        one = {"resolution": 10, "resize": resize, "clips": 6, "choice": "first"}
        assert numbers(measured(model, root / "real", **one)) == numbers(measured(tmp_path, root / "real", **one))


def test_different_rates_are_told(root, tmp_path):
    fast = tmp_path / "fast"
    fast.mkdir()
    for seed in range(4):
        encode(fast / f"{seed}.mp4", footage(seed, 20), rate=30)
    (told,) = (text for text in measured(fast, root / "real").warnings if "frames a second" in text)
    assert "30" in told
    assert "10" in told
    assert not any("frames a second" in text for text in measured(fast, root / "real", fps=10.0, frames=3).warnings)


# --- manifests say nothing of the machine ----------------------------------------------------------------------------


def test_a_manifest_says_nothing_of_the_machine(root, monkeypatch):
    home = root.parent
    monkeypatch.chdir(root)
    places = [
        measured(root / "run"),
        measured(root / "made", root / "packed"),
        measured(str(root / "model"), str(root / "rows.npy")),
        measured("made", "real"),
        measured("run", root / "one.mp4"),
    ]
    for result in places:
        told = json.dumps(document(result))
        assert str(home) not in told
        assert root.name not in told
        assert os.path.expanduser("~") not in json.dumps(result.manifest) or os.path.expanduser("~") == "/"
    assert places[3].manifest["generated"]["name"] == "made"
    monkeypatch.chdir(root / "made")
    assert measured(".", "../real").manifest["generated"]["name"] == "made"


def test_of_a_url_no_password_is_kept():
    assert shown("https://alice:secret@host:8/a/s-{0..9}.tar?token=1#x") == "https://host:8/a/s-{0..9}.tar"
    assert [shown(place) for place in ("/home/alice", "runs/a", "../x/y/z", "/", Path("/data/v"))] == [
        "alice",
        "runs/a",
        "y/z",
        "/",
        "v",
    ]
