"""Rows: taken once, kept by content and protocol, checked, and made again where what is kept is damaged."""

import importlib.util
import os
import shutil
import stat
import sys
import weakref

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_evaluations import (
    SMALL,
    Gap,
    Pooled,
    measured,
    numbers,
    plugin_file,
    quick,  # noqa: F401
    write_videos,
)
from small_runs import own_registry

import gadkit
from gadkit import PluginError
from gadkit.data.cache import FEATURES, cache_folder
from gadkit.evaluation import rows, subjects
from gadkit.evaluation.clips import whole
from gadkit.evaluation.protocol import ProtocolSettings
from gadkit.registry import get_registry


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Real videos and others, ten each."""
    root = tmp_path_factory.mktemp("videos")
    return write_videos(root / "real", range(10)), write_videos(root / "made", range(20, 30))


@pytest.fixture(autouse=True)
def no_rows():
    """No rows are kept from the test before."""
    place = cache_folder() / FEATURES
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)


def seen(*arguments, **changes):
    """How many clips the network was given, and what was found."""
    before = Pooled.seen
    result = measured(*arguments, **changes)
    return Pooled.seen - before, numbers(result)


def kept():
    return sorted((cache_folder() / FEATURES).glob("*.safetensors"))


def test_a_second_evaluation_gives_no_clip_to_the_network(folders):
    real, made = folders
    first, found = seen(made, real)
    assert first == 40  # two clips of each of ten videos a side
    assert len(kept()) == 2
    assert seen(made, real) == (0, found)


def test_the_real_clips_of_one_evaluation_are_those_of_the_next(folders, tmp_path):
    real, made = folders
    first, _ = seen(made, real)
    other = write_videos(tmp_path / "other", range(40, 50))
    assert seen(other, real)[0] == first // 2


def test_a_folder_that_was_moved_is_still_the_same(folders, tmp_path):
    real, made = folders
    shutil.copytree(real, tmp_path / "before")
    found = seen(made, tmp_path / "before")[1]
    (tmp_path / "before").rename(tmp_path / "after")
    assert seen(made, tmp_path / "after") == (0, found)


@pytest.mark.parametrize(
    ("change", "files"),
    [
        ({"seed": 1}, 2),
        ({"clips": 5}, 1),
        ({"real_clips": 5}, 1),
        ({"frames": 5}, 2),
        ({"stride": 2}, 2),
        ({"resolution": 12}, 2),
        ({"resolution": 12, "resize": "bilinear"}, 2),
        ({"resolution": 12, "resize": "bilinear", "rounding": "down"}, 2),
        ({"resize": "bilinear", "resolution": 12}, 2),
        ({"resolution": 12, "fit": "stretch"}, 2),
        ({"fps": 5.0, "frames": 3}, 2),
        ({"clips_per_video": 1, "offset": "start"}, 1),
        ({"resamplings": 3, "floor": True}, 0),
    ],
    ids=str,
)
def test_rows_of_another_protocol_are_others(folders, change, files):
    real, made = folders
    base = dict(list(change.items())[:-1])
    seen(made, real, **base)
    before = len(kept())
    given, found = seen(made, real, **change)
    assert (given > 0, len(kept()) - before) == (files > 0, files)
    assert seen(made, real, **change) == (0, found)


def test_rows_of_another_content_under_the_same_names_are_others(folders, tmp_path):
    real, made = folders
    copy = shutil.copytree(made, tmp_path / "made")
    seen(copy, real)
    shutil.copy(real / "v00.mp4", copy / "v20.mp4")
    assert seen(copy, real)[0] > 0


def test_networks_are_told_apart_by_their_tensors_and_their_code(folders, tmp_path):
    real, made = folders
    text = plugin_file(tmp_path / "one").read_text()
    values = []
    changed = text.replace("/ 255, 2)", "/ 128, 2)")
    tensors = text.replace("self.dim = 12", "self.dim = 12; self.register_buffer('scale', torch.ones(1))")
    for number, each in enumerate((text, changed, text, tensors)):
        with own_registry():
            file = plugin_file(tmp_path / str(number))
            file.write_text(each)
            values.append(gadkit.evaluate(made, real, plugins=[file], features="pooled", **SMALL).values)
        assert len(kept()) == (2, 4, 4, 6)[number]
    assert values[1] != values[0] == values[2]


class Mean(Gap):
    """The mean of all pixels, times a scale."""

    rows_from = "pixels"
    counted = 0

    def rows(self, video):
        Mean.counted += len(video)
        return self.scale * video.float().mean((1, 2, 3, 4))[:, None]


def test_the_settings_of_a_metric_of_pixels_are_part_of_its_rows(folders):
    real, made = folders
    name = get_registry().adopt("metric", Mean).qualified
    gaps, counts = [], []
    for scale in (1.0, 2.0, 2.0):
        result = measured(made, real, features=None, metrics=Mean, settings={name: {"scale": scale}})
        gaps.append(result.values["gap"].value)
        counts.append(Mean.counted)
    assert counts == [40, 80, 80]
    assert gaps[1:] == pytest.approx([4 * gaps[0]] * 2)  # rows, and what `Gap` makes of them
    assert numbers(result)["gap"]["literature"] == ""


def test_the_code_of_a_class_of_ones_own_is_part_of_its_rows(folders, tmp_path):
    real, made = folders
    text = "from small_evaluations import Pooled\n\n\nclass Own(Pooled):\n    def forward(self, video):\n"
    given = []
    for number, scale in enumerate((1, 2, 2)):
        file = tmp_path / str(number) / "own.py"
        file.parent.mkdir()
        file.write_text(f"{text}        return {scale} * super().forward(video)\n")
        spec = importlib.util.spec_from_file_location("own", file)
        module = importlib.util.module_from_spec(spec)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, "own", module)
            spec.loader.exec_module(module)
            given.append(seen(made, real, features=[module.Own])[0])
    assert given == [40, 40, 0]


def test_code_that_lies_in_no_file_is_not_trusted_to_be_the_same(folders):
    real, made = folders
    space = {"Pooled": Pooled, "__name__": "typed"}
    exec("class Typed(Pooled):\n    pass\n", space)  # as in a notebook or a shell
    first = seen(made, real, features=[space["Typed"]])[0]
    assert seen(made, real, features=[space["Typed"]])[0] == first > 0
    assert not kept()


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "folder", "nan", "short", "whole numbers", "flat"])
def test_a_damaged_file_is_made_again(folders, damage):
    real, made = folders
    _, found = seen(made, real)
    for place in kept():
        content = place.read_bytes()
        good = load_file(place)["rows"]
        place.unlink()
        if damage == "cut":
            place.write_bytes(content[:-7])
        elif damage == "empty":
            place.write_bytes(b"")
        elif damage == "folder":
            place.mkdir()
        else:
            rows_of = {"nan": good * float("nan"), "short": good[1:], "whole numbers": good.long(), "flat": good[0, 0]}
            save_file({"rows": rows_of[damage]} if damage in rows_of else {"other": good}, place)
    given, again = seen(made, real)
    assert (given > 0, again) == (True, found)
    if damage != "folder":
        assert seen(made, real) == (0, found)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_cache_that_may_not_be_written_is_no_error_and_is_read(folders):
    real, made = folders
    _, found = seen(made, real)
    folder = cache_folder() / FEATURES
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert seen(made, real) == (0, found)
        assert seen(made, real, seed=1)[0] > 0
    finally:
        folder.chmod(stat.S_IRWXU)


def test_a_cache_that_cannot_be_written_is_no_error(folders, monkeypatch):
    real, made = folders
    _, found = seen(made, real)
    shutil.rmtree(cache_folder() / FEATURES)
    (cache_folder() / FEATURES).write_text("in the way")
    given, again = seen(made, real)
    assert (given > 0, again) == (True, found)


def test_rows_are_read_where_the_time_of_use_cannot_be_noted(folders, monkeypatch):
    real, made = folders
    _, found = seen(made, real)
    utime = os.utime

    def refuse(path, *arguments, **more):
        if os.path.dirname(path).endswith(FEATURES):
            raise PermissionError(13, "read-only")
        return utime(path, *arguments, **more)

    monkeypatch.setattr(os, "utime", refuse)
    assert seen(made, real) == (0, found)


def test_the_cache_lets_go_of_what_was_used_longest_ago(folders, monkeypatch):
    real, made = folders
    seen(made, real)
    size = kept()[0].stat().st_size
    for number, place in enumerate(kept()):
        os.utime(place, (1000 + number, 1000 + number))
    seen(made, real)  # is a use
    monkeypatch.setattr(rows, "MOST_CACHED", 3 * size + size // 2)
    before = set(kept())
    seen(made, real, seed=1)
    assert len(kept()) == 3
    assert len(before & set(kept())) == 1


@pytest.mark.parametrize("batch", [1, 3, 7, 1000])
def test_the_size_of_batches_does_not_matter(folders, monkeypatch, batch):
    real, made = folders
    found = measured(made, real, resamplings=3, floor=True)
    shutil.rmtree(cache_folder() / FEATURES)
    monkeypatch.setattr(subjects, "_BATCH", batch)
    given, again = seen(made, real, resamplings=3, floor=True)
    assert given > 0
    assert numbers(found)["fvd[Pooled]"] == again["fvd[Pooled]"]


BROKEN = {
    "nan": "features 'nan': found numbers that are not finite for",
    "flat": "features 'flat': found float32 of shape (",
    "listed": "features 'listed': found a list for",
    "whole": "features 'whole': found int64 of shape (",
    "uneven": "features 'uneven': found float32 of shape (",
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_set_of_vectors_is_refused_in_a_sentence_that_names_the_network(
    folders, tmp_path, monkeypatch, name
):
    real, made = folders
    monkeypatch.setattr(subjects, "_BATCH", 4)
    with own_registry(), pytest.raises(PluginError) as caught:
        gadkit.evaluate(made, real, plugins=[plugin_file(tmp_path)], features=name, **SMALL)
    assert str(caught.value).startswith(BROKEN[name])
    assert " clips of 4 frames, expected finite vectors (" in str(caught.value)
    assert not kept()


class Zeros(subjects.Subject):
    """Two hundred clips without a store behind them."""

    name, content, size = "zeros", "", (16, 16)

    def choose(self, settings, generated):
        return whole(200)

    def read(self, clips, settings):
        return torch.zeros(len(clips), 4, 3, 16, 16, dtype=torch.uint8)

    def listed(self, clips, settings):
        return []

    def to_dict(self):
        return {}


def test_rows_of_many_clips_keep_no_pixels():
    """Also where rows are a view of the pixels: when a batch is asked for, those before it are gone."""
    held, most = [], 0

    def first(video):
        nonlocal most
        most = max(most, sum(reference() is not None for reference in held))
        pixels = video.numpy().astype(np.float32)
        held.append(weakref.ref(pixels))
        return torch.from_numpy(pixels)[:, 0, 0, 0]

    subject, settings = Zeros(), ProtocolSettings(frames=4)
    extractor = rows.Extractor("first", None, first, torch.device("cpu"), "clip")
    found = rows.extract(subject, whole(200), settings, {"it": extractor}, cached=False)["it"]
    assert found.shape == (200, 16)
    assert found.untyped_storage().nbytes() == 200 * 16 * 4
    assert most <= 2
    assert len(held) == 13
