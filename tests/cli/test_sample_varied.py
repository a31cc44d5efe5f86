"""Variations of `gadkit sample`: the files hold what Python makes, and what a model cannot do is one sentence."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_evaluations import own_run, plugin_file, write_videos
from small_runs import NETS, folder_of_clips
from test_sample import grids, strip, train

import gadkit

LIVELY = (*NETS, "--set", "generator.norm=none", "--set", "assembler.spacing=0.7")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run on the classes cats, dogs and owls, whose generator separates content from motion."""
    data = tmp_path_factory.mktemp("varied")
    for name in ("cats", "dogs", "owls"):
        folder_of_clips(data / name, 2)
    return train(data, tmp_path_factory.mktemp("varied") / "run", "--labels", "folders", nets=LIVELY)


@pytest.fixture(scope="module")
def bare(clips, tmp_path_factory) -> Path:
    """A run without classes, of frames that are drawn independently by a generator that separates nothing."""
    nets = (*NETS, "--set", "generator.motion_dim=0")
    return train(clips, tmp_path_factory.mktemp("bare") / "run", "--assembler", "independent", nets=nets)


@pytest.fixture(scope="module")
def model(run):
    return gadkit.load(run, device="cpu")


def shown(video):
    """Frames as `strip` gives them: uint8 `(T, H, W, C)`."""
    return video.permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(
    ("flags", "how"),
    [
        (("--truncation", 0.3), {"truncation": 0.3}),
        (("--motion-truncation", 0), {"motion_truncation": 0}),
        (("--interpolate", 9), {"interpolate": 9}),
        (("--same", "content"), {"same": "content"}),
        (("--same", "motion", "--interpolate", 9), {"same": "motion", "interpolate": 9}),
        (("--speed", 0.25), {"speed": 0.25}),
        (("--start", 21), {"start": 21}),
    ],
    ids=str,
)
def test_files_hold_the_videos_that_python_makes(gadkit_command, run, model, flags, how):
    done = gadkit_command("sample", run, "--num", 3, "--length", 5, "--seed", 2, "--out", "a.png", *flags)
    assert (done.code, done.err) == (0, "")
    expected = model.sample(3, 5, seed=2, **how)
    for number in range(3):
        assert np.array_equal(strip(f"a-{number}.png"), shown(expected[number]))
    assert not np.array_equal(expected.numpy(), model.sample(3, 5, seed=2).numpy())
    assert (
        gadkit_command("sample", run, "--num", 3, "--length", 5, "--seed", 2, "--grid", "--out", "g.png", *flags).code
        == 0
    )
    assert np.array_equal(grids("g.png", 2)[:, :16, :16], shown(expected[0]))


def test_the_first_video_is_chosen_by_its_number(gadkit_command, run, model):
    done = gadkit_command("sample", run, "--num", 2, "--first", 9, "--length", 4, "--out", "a.png")
    assert done.out == "wrote a-09.png\nwrote a-10.png\n"
    expected = model.sample(2, 4, first=9)
    assert np.array_equal(strip("a-10.png"), shown(expected[1]))
    done = gadkit_command("sample", run, "--num", 2, "--first", 9, "--interpolate", 3, "--length", 4, "--out", "b.png")
    assert done.out == "wrote b-0.png\nwrote b-1.png\n"  # places on the way, and no numbers of videos
    assert np.array_equal(strip("b-1.png"), shown(model.sample(1, 4, seed=3, first=9)[0]))


def test_a_class_grid_says_what_its_columns_are(gadkit_command, run, model):
    done = gadkit_command("sample", run, "--class-grid", "--num", 2, "--length", 3, "--out", "a.png")
    assert (done.code, done.out) == (0, "wrote a.png\ncolumns: cats, dogs, owls\n")
    (expected,) = model.grid(2, 3, class_grid=True)
    assert expected.shape == (3, 32, 48, 3)
    assert np.array_equal(grids("a.png", 3), expected)
    chosen = ("--label", "owls", "--label", "0")
    done = gadkit_command("sample", run, "--class-grid", *chosen, "--length", 3, "--out", "b.png")
    assert done.out == "wrote b.png\ncolumns: owls, cats\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "--truncation", 1.5), "truncation: found 1.5, expected a number from 0 to 1."),
        (("run", "--interpolate", 1), "num: found 1, but an interpolation has two ends"),
        (("run", "--num", 3, "--interpolate", 0), "interpolate: found 0, which is the seed that it begins at"),
        (("run", "--same", "colour"), "same: found 'colour', expected content or motion."),
        (("run", "--speed", 0), "speed: found 0, expected a number above 0"),
        (("run", "--speed", 0.5, "--refine", 2), "judges clips at the training speed"),
        (("run", "--same", "motion", "--refine", 2), "set refine to 0"),
        (("run", "--class-grid", "--label", "cows"), "labels: found 'cows', expected one of cats, dogs, owls"),
        (("bare", "--class-grid"), "class_grid: this model was trained without classes"),
        (("bare", "--same", "content"), "cannot have the same content"),
        (("bare", "--motion-truncation", 0.5), "does not separate motion from content"),
        (("bare", "--speed", 0.5), "Independent has no codes between two frames"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_told_before_anything_is_written(gadkit_command, run, bare, tmp_path, arguments, sentence):
    source, *flags = arguments
    done = gadkit_command("sample", {"run": run, "bare": bare}[source], *flags, "--out", "a.png")
    assert sentence in done.error
    assert list(tmp_path.iterdir()) == []


def test_a_result_says_that_the_samples_were_truncated(gadkit_command, tmp_path):
    own_run(tmp_path / "run", write_videos(tmp_path / "real", range(12)), held_out=0.5)
    plugin_file(tmp_path)
    small = ("--plugin", "nets.py", "--features", "pooled", "--frames", 4, "--clips", 6, "--device", "cpu", "--json")
    told = []
    for flags in ((), ("--truncation", 1), ("--truncation", 0.4)):
        done = gadkit_command("evaluate", "run", *small, *flags)
        assert done.code == 0, done.err
        told.append(json.loads(done.out))
    plain, whole, truncated = (each["manifest"]["generated"] for each in told)
    assert plain == whole
    assert plain["content"] != truncated["content"]
    assert "truncation" not in plain
    assert truncated["truncation"] == 0.4
    plain, whole, truncated = (each["values"]["fvd[pooled]"]["value"] for each in told)
    assert plain == whole != truncated
    done = gadkit_command("evaluate", "run", *small[:-1], "--truncation", 0.4)
    assert "6 clips of run (truncation 0.4) against" in done.out
    assert "truncation: found 2, expected" in gadkit_command("evaluate", "run", "--truncation", 2, "--quick").error
    error = gadkit_command("evaluate", "real", "--against", "real", "--truncation", 0.4, "--quick").error
    assert "truncation: real is no model, and only what a model draws can be truncated" in error
