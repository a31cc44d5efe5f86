"""What `gadkit.evaluate` cannot measure: one sentence each, which says what was found and the way out."""

import shutil

import pytest
import torch
from small_evaluations import (
    Gap,
    Pooled,
    make_subjects,
    measured,
    own_run,
    plugin_file,
    quick,  # noqa: F401
    write_videos,
)
from small_runs import own_registry, small

import gadkit
from gadkit import ConfigError, DataError, GadkitError
from gadkit.interfaces.weights import Weights


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """`real`, `made`, `one.mp4`, `run` and `model`."""
    root = make_subjects(tmp_path_factory.mktemp("subjects"))
    shutil.copy(write_videos(root / "long", range(3, 4), length=80) / "v03.mp4", root / "one.mp4")
    return root


def refused(kind, *arguments, **changes):
    with pytest.raises(kind) as caught:
        measured(*arguments, **changes)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_different_sizes(root, tmp_path):
    large = write_videos(tmp_path / "large", range(3), side=20)
    sentence = refused(ConfigError, root / "made", large)
    assert sentence == (
        "protocol.resolution: the videos of large have 20×20 pixels, and those of made 16×16; bring them to one size "
        "with --resolution SIDE."
    )
    own_run(tmp_path / "other", root / "real", resolution=8)
    assert "8×8 pixels, and those of" in refused(ConfigError, root / "run", tmp_path / "other")
    assert measured(root / "run", tmp_path / "other", resolution=16).manifest["size"] == [16, 16]


def test_mixed_sizes_within_a_folder(root, tmp_path):
    mixed = write_videos(tmp_path / "mixed", range(3))
    write_videos(mixed, range(3, 6), side=20)
    sentence = refused(DataError, mixed, root / "real")
    assert "mixed: its videos have 2 sizes, from 16×16 to 20×20" in sentence
    assert measured(mixed, root / "real", resolution=16).values


def test_too_few_clips(root, tmp_path):
    few = write_videos(tmp_path / "few", range(3), length=4)
    sentence = refused(DataError, few, root / "real", fewer="none", clips=8, real_clips=8)
    assert sentence.startswith("few: found 3 clips of 4 frames, but protocol gadkit, but ")
    assert "takes 8; give more videos, or measure fewer with --clips 3, which the result will say." in sentence
    one = write_videos(tmp_path / "one", range(1), length=4)
    assert "one: found 1 clip of 4 frames, but fvd needs 2 of each side; give more videos" in refused(
        DataError, one, root / "real", resamplings=0
    )
    sentence = refused(DataError, few, root / "real", resamplings=2)
    assert sentence.endswith("or shorter clips with --frames, or take the number once of all with --resamplings 0.")
    sentence = refused(DataError, root / "made", root / "real", clips=2, real_clips=2, resamplings=2)
    assert "found 2 clips of" in sentence
    assert "needs 4 of each side for halves; take more with --clips, or take the number once" in sentence
    kept_back = refused(DataError, root / "run", frames=9, resamplings=2)
    assert kept_back.startswith("the held-out videos of real: found 1 clip of 9 frames, but fvd needs 4 of each side")


def test_few_clips_are_told(root):
    (told,) = (text for text in measured(root / "made", root / "real", clips=5).warnings if "dimensions" in text)
    assert told.startswith("5 clips a side are no more than the 12 dimensions of Pooled: fvd of so few ")
    halves = measured(root / "one.mp4", root / "real", resamplings=2).warnings
    assert any("20 clips of one.mp4 come from 1 video, so its halves share videos" in text for text in halves)
    # clips of a model are videos each: nothing is shared, however few they are
    model = measured(root / "model", root / "real", clips=6, resamplings=2).warnings
    assert not any("share videos" in text for text in model)


def test_clips_too_short_for_the_network(root, tmp_path):
    with own_registry():
        file = plugin_file(tmp_path)
        sentence = refused(ConfigError, root / "made", root / "real", features="ten", plugins=[file])
        assert sentence == (
            "protocol.frames: found 4 frames, but ten takes 10 or more; set --frames, or take another network with "
            "--features."
        )


def test_clips_too_long_for_the_videos(root):
    sentence = refused(DataError, root / "made", root / "real", frames=10)
    assert "shorter than 10 frames, the longest having 9; lower --frames to 9" in sentence


def test_clips_too_long_for_a_generator_of_a_fixed_length(root, tmp_path):
    model = gadkit.load(root / "model", device="cpu")
    model.generator.context = "fixed"
    sentence = refused(ConfigError, model, root / "real", frames=5)
    assert sentence.startswith("protocol.frames: found 5")
    assert "makes 4; lower --frames or --stride." in sentence


def test_nothing_to_judge_against(root):
    for given in ("model", "made"):
        assert "is no run, so what it is measured against is not known; name videos with --against." in refused(
            ConfigError, root / given
        )


def test_the_data_of_a_run_that_are_gone(root, tmp_path):
    data = write_videos(tmp_path / "data", range(2))
    own_run(tmp_path / "run", data)
    shutil.rmtree(data)
    assert "name them with --against." in refused(DataError, tmp_path / "run")
    assert measured(tmp_path / "run", root / "real").values


def test_the_data_of_a_run_on_a_class_of_ones_own(tmp_path):
    small(tmp_path / "run", frames=4, steps=1)
    assert measured(tmp_path / "run").values  # in the process that knows the class
    with own_registry():
        sentence = refused(GadkitError, tmp_path / "run")
    assert "--against" in sentence


def test_memorisation_without_held_out_videos(root, tmp_path):
    class Near(Gap):
        needs_training = True

    own_run(tmp_path / "run", root / "real")
    assert "clips.held_out: " in refused(ConfigError, tmp_path / "run", metrics=[Near])
    assert "training: model is no run" in refused(ConfigError, root / "model", root / "made", metrics=[Near])
    sentence = refused(ConfigError, root / "run", metrics=[Near], split="training")
    assert sentence.startswith("protocol.split: found 'training', but Near holds training clips against held-out ones;")
    assert "--split held-out" in sentence
    held = measured(root / "run", metrics=[Near])
    assert held.manifest["training"]["split"] == "training"
    assert {clip["video"] for clip in held.clips["training"]}.isdisjoint(clip["video"] for clip in held.clips["real"])
    assert measured(tmp_path / "run", root / "made", metrics=[Near]).values
    assert measured(root / "model", root / "made", metrics=[Near], training=root / "real").values


def test_a_pipe(root):
    assert "a pipe gives its videos once" in refused(DataError, "-", root / "real")
    assert "pack it first with `gadkit data pack`." in refused(DataError, root / "made", "-")


class Weighty(Pooled):
    """Has weights that nobody installed."""

    weights = Weights(
        name="weighty",
        package="nothing",
        version="1",
        file="nothing-1.tar.gz",
        sha256="0" * 64,
        size=1000,
        member="x",
        member_sha256="0" * 64,
        convert="nothing:convert",
        digest="0" * 64,
        licence="MIT",
        source="nobody",
    )


def test_weights_that_are_not_installed(root):
    sentence = refused(DataError, root / "made", root / "real", features=[Weighty])
    assert "gadkit weights install weighty" in sentence


@pytest.mark.parametrize(
    ("generated", "changes", "sentence"),
    [
        ("nothing", {}, "there is no such file or folder; name a run, a model, a video, a folder or a pack."),
        ("made", {"protocol": "nothing"}, "There is no protocol 'nothing'."),
        ("made", {"metrics": ["fdv"]}, "There is no metric 'fdv'. Did you mean 'fvd'"),
        ("made", {"features": ["i3d", "videomae"]}, "features: i3d and videomae are both networks of clips"),
        ("made", {"features": "odd"}, "features 'odd' has of = 'video', expected 'clip' or 'frame'"),
        ("made", {"framse": 3}, "protocol.framse is no setting of a protocol. Did you mean 'frames'"),
        (
            "made",
            {"settings": {"fvd": {"divisor": "m"}}},
            "settings.fvd.divisor: found 'm', expected one of 'n'",
        ),
        ("run", {"checkpoint": "17"}, "17"),
        ("made", {"device": "tpu"}, "'tpu'"),
    ],
)
def test_what_is_not_there_or_does_not_fit(root, tmp_path, generated, changes, sentence):
    with own_registry():
        found = refused(GadkitError, root / generated, root / "real", plugins=[plugin_file(tmp_path)], **changes)
    assert sentence in found


def test_what_is_neither_a_place_nor_a_model(root):
    for what in (3, None, torch.zeros(2, 4, 3, 16, 16)):
        assert "expected a gadkit.Model or a place." in refused(ConfigError, what, root / "real")


def test_videos_that_cannot_be_read_are_left_out_and_told(root, tmp_path):
    mixed = shutil.copytree(root / "made", tmp_path / "mixed")
    (mixed / "v99.mp4").write_bytes(b"no video")
    write_videos(mixed, range(1), length=3)
    result = measured(mixed, root / "real")
    assert result.manifest["generated"]["left out"] == 2
    assert any(text.startswith("2 videos of mixed left out, because they cannot") for text in result.warnings)
