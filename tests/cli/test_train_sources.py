"""`gadkit train` takes whatever people have: every kind of source, and every choice of clips."""

import json
import shutil
import sys
import threading

import pytest
from small_runs import NETS, SMALL, config, same_tensors, small
from sources import FPS, KINDS, LABELLED, NAMES
from synthetic import Squares

from gadkit.checkpoints.store import read_tensors
from gadkit.config import RunConfig
from gadkit.data.labels import grouping, is_held_out
from gadkit.engine.feeder import Feeder
from gadkit.errors import ConfigError, DataError
from gadkit.registry import Registry, get_registry
from gadkit.runs.opening import choose
from gadkit.runs.stores import open_store

NOT_STREAMED = {name: write for name, write in KINDS.items() if "dataset" not in name}


@pytest.fixture(autouse=True, scope="module")
def one_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GADKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def plan(done) -> dict[str, str]:
    """The facts of the plan that a training prints."""
    lines = [line.split(None, 1) for line in (done.out + done.err).splitlines() if " " in line]
    return {name: text for name, text in lines if name in ("data", "clips")}


@pytest.mark.parametrize("kind", KINDS)
def test_three_steps_on_every_source(kind, gadkit_command, tmp_path):
    (tmp_path / "source").mkdir()
    path = KINDS[kind](tmp_path / "source")
    done = gadkit_command.train(path, "--steps", 3, "--out", "run", "--log-every", 1)
    assert done.code == 0, done.err
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 3
    if kind in NOT_STREAMED:
        videos = 1 if kind == "video_file" else len(NAMES)
        assert f"{videos} video" in plan(done)["data"]
        assert f"at {FPS} Hz" in plan(done)["clips"]


@pytest.mark.parametrize("kind", LABELLED)
def test_classes_come_from_folders(kind, gadkit_command, tmp_path):
    (tmp_path / "source").mkdir()
    path = KINDS[kind](tmp_path / "source")
    done = gadkit_command.train(path, "--labels", "folders", "--dry-run")
    assert done.code == 0, done.err
    assert "2 classes" in plan(done)["data"]


def test_classes_come_from_a_table_or_a_dataset_json(gadkit_command, tmp_path):
    (tmp_path / "source").mkdir()
    path = KINDS["frame_zip"](tmp_path / "source")
    (tmp_path / "table.csv").write_text("name,label\n" + "".join(f"{name},{i % 3}\n" for i, name in enumerate(NAMES)))
    for labels, classes in (("dataset.json", 2), ("table.csv", 3)):
        done = gadkit_command.train(path, "--labels", labels, "--dry-run")
        assert done.code == 0, done.err
        assert f"{classes} classes" in plan(done)["data"]


def test_a_set_that_moved_finds_its_pack_again(gadkit_command, tmp_path, monkeypatch):
    monkeypatch.setenv("GADKIT_CACHE", str(tmp_path / "own"))
    (tmp_path / "source").mkdir()
    KINDS["video_tree"](tmp_path / "source")
    assert gadkit_command.train(tmp_path / "source", "--dry-run").code == 0
    shutil.copytree(tmp_path / "source", tmp_path / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(tmp_path / "source")
    assert gadkit_command.train(tmp_path / "copy", "--dry-run", "--labels", "folders").code == 0
    packs = [path for path in (tmp_path / "own" / "packs").iterdir() if not path.name.startswith(".")]
    assert len([path for path in packs if path.is_dir()]) == 1


def test_every_choice_of_clips_reaches_the_configuration(gadkit_command, tmp_path):
    (tmp_path / "source").mkdir()
    path = KINDS["video_tree"](tmp_path / "source")
    flags = ["--fps", 12.5, "--fit", "letterbox", "--offset", "fixed", "--clips-per-video", 2, "--flip"]
    flags += ["--held-out", 0.5, "--group", "regex:/(.)", "--frames", 4, "--stride", 2]
    done = gadkit_command.train(path, *flags, "--out", "run")
    assert done.code == 0, done.err
    settings = config(tmp_path / "run")
    assert settings["video"] | {"fps": 12.5, "fit": "letterbox", "frames": 4, "stride": 2} == settings["video"]
    assert settings["clips"] == {
        "offset": "fixed",
        "per_video": 2,
        "flip": True,
        "held_out": 0.5,
        "group": "regex:/(.)",
        "resident": "auto",
    }
    assert "at 6.25 Hz" in plan(done)["clips"]
    assert "1 video (3 held out), " in plan(done)["data"]
    again = gadkit_command("train", "--config", "run/config.toml", "--out", "again")
    assert again.code == 0, again.err
    assert (tmp_path / "again" / "config.toml").read_text() == (tmp_path / "run" / "config.toml").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--fit", "squeeze"], "video.fit: found 'squeeze', expected one of 'crop', 'letterbox', 'stretch'"),
        (["--fps", "0"], "video.fps: found 0"),
        (["--offset", "last"], "clips.offset: found 'last'"),
        (["--clips-per-video", "some"], "clips.per_video: found 'some'"),
        (["--clips-per-video", "0"], "clips.per_video: found 0"),
        (["--held-out", "1"], "clips.held_out: found 1"),
        (["--held-out", "0.5", "--group", "folders"], "clips.group: found 'folders', expected file, folder"),
        (["--held-out", "0.5", "--group", "column:film"], "has no column 'film'"),
        (["--held-out", "0.000001"], "clips.held_out: with 1e-06, no video is left for the held-out part"),
        (["--labels", "gone.csv"], "data.labels: gone.csv cannot be read"),
        (["--set", "clips.resident=maybe"], "clips.resident: found 'maybe'"),
        (["--frames", "19", "--stride", "2"], "frames"),
    ],
)
def test_a_choice_that_does_not_fit_is_one_sentence(flags, message, gadkit_command, tmp_path):
    (tmp_path / "source").mkdir()
    path = KINDS["video_tree"](tmp_path / "source")
    assert message in gadkit_command.train(path, *flags, "--out", "run").error
    assert not (tmp_path / "run").exists()


def test_nobody_takes_a_place_that_is_text(gadkit_command):
    assert "no dataset takes 'ftp://example.org/clips'" in gadkit_command.train("ftp://example.org/clips").error


@pytest.mark.parametrize("resident", ["always", "never"])
def test_frames_in_memory_and_frames_on_disk_train_alike(resident, tmp_path):
    """The same log, whether clips are read ahead by a thread or lie in memory."""
    small(tmp_path / "auto", steps=4, log_every=1, flip=True)
    settings = config(tmp_path / "auto")
    small(tmp_path / resident, steps=4, log_every=1, flip=True, set={"clips.resident": resident} | _nets(settings))
    logs = [
        [
            {name: value for name, value in json.loads(line).items() if name not in ("seconds", "waited")}
            for line in (tmp_path / run / "log.jsonl").read_text().splitlines()
        ]
        for run in ("auto", resident)
    ]
    assert logs[0] == logs[1]


def _nets(settings: dict) -> dict:
    """The settings that make the nets small, as dotted keys."""
    return {
        f"{part}.{name}": value
        for part in ("generator", "discriminator", "trainer")
        for name, value in settings[part].items()
        if name in ("width", "latent_dim", "motion_dim", "samples")
    }


def test_a_class_of_ones_own_has_no_other_process_to_be_made_in():
    entry = get_registry().adopt("dataset", Squares)
    opened = choose(get_registry(), entry.qualified, None, {"videos": 3})
    assert opened.blueprint is None
    assert [source.label for source in opened.sources] == [None] * 3
    own = choose(get_registry(), entry.qualified, None, {"videos": 3}, "own")
    assert [source.label for source in own.sources] == ["even", "odd", "even"]


def test_settings_of_a_dataset_are_checked(tmp_path):
    with pytest.raises(ConfigError, match=r"data\.rate"):
        choose(get_registry(), "videos", tmp_path, {"rate": 3})
    with pytest.raises(DataError, match="there is no such file or folder"):
        choose(get_registry(), None, tmp_path / "gone", {})


@pytest.mark.parametrize("data", ["webdataset", "moving-digits", "video_tree"])
def test_a_resumed_run_goes_on_with_the_clips_that_come_next(data, gadkit_command, tmp_path):
    (tmp_path / "source").mkdir()
    if data in KINDS:
        place = ["--data", KINDS[data](tmp_path / "source"), "--clips-per-video", 3, "--set", "clips.resident=never"]
    else:
        place = ["--dataset", data, "--labels", "own"]
    flags = [*place, *SMALL, *NETS, "--flip", "--log-every", 1, "--checkpoint-every", 2]
    assert gadkit_command("train", *flags, "--steps", 5, "--out", "unbroken").code == 0
    assert gadkit_command("train", *flags, "--steps", 2, "--out", "resumed").code == 0
    assert gadkit_command("train", "--resume", "resumed", "--steps", 5).code == 0
    one, other = (
        read_tensors(tmp_path / name / "checkpoints" / "step-000005", "training.safetensors")
        for name in ("unbroken", "resumed")
    )
    assert same_tensors(one, other)


@pytest.mark.parametrize(
    "more", [{}, {"discriminator_steps": 2, "accumulate": 2, "trainer.norm_group": 2, "direction.fresh": True}], ids=str
)
def test_after_the_second_step_every_batch_has_been_read_ahead(more, tmp_path, monkeypatch):
    """The first step shows what a step asks for, and during the second the reading gets ahead."""
    readers = []

    def watched(self, choice, times):
        readers.append(threading.current_thread().name)
        return make(self, choice, times)

    make = Feeder._make
    monkeypatch.setattr(Feeder, "_make", watched)
    flags = {name: value for name, value in more.items() if "." not in name}
    settings = {"clips.resident": "never"} | {name: value for name, value in more.items() if "." in name}
    small(tmp_path / "two", steps=2, set=settings, **flags)
    two = readers.count("MainThread")
    readers.clear()
    small(tmp_path / "more", steps=6, set=settings, **flags)
    assert readers.count("MainThread") == two
    assert sum(name.startswith("gadkit-feeder") for name in readers) >= 4


def test_of_a_stream_too_the_held_out_part_is_not_trained_on(tmp_path):
    place = KINDS["webdataset"](tmp_path)
    registry = get_registry()
    flags = {"data.path": str(place), "clips.held_out": 0.5, "clips.group": "regex:/(.)"}
    config = RunConfig.resolve(registry, recipe="demo", flags=flags | {"video.frames": 8})
    opened = choose(registry, None, place, {})
    store = open_store(config, opened)
    assert len(store) + store.held_out == len(opened.sources)
    kept = [source.name for source in opened.sources if not is_held_out(grouping("regex:/(.)")(source.name, {}), 0.5)]
    assert 0 < len(kept) < len(opened.sources)
    assert [source.name for source in store._sources] == kept


def test_two_strangers_that_take_one_place_are_told_apart_by_name(tmp_path):
    code = """
from gadkit import Component, Dataset, hookimpl

@hookimpl
def gadkit_datasets():
    return [Component(name="{name}", summary="s", target="{name}:Any")]

class Any(Dataset):
    def __init__(self, path):
        self.path = path
    @classmethod
    def accepts(cls, path):
        return path.suffix == ".odd"
    def sources(self):
        return []
    def open(self, source):
        raise NotImplementedError
"""
    (tmp_path / "clips.odd").write_text("")
    registry = Registry.discover({})
    try:
        for name in ("one", "two"):
            (tmp_path / f"stranger_{name}.py").write_text(code.format(name=f"stranger_{name}"))
            registry.load_file(tmp_path / f"stranger_{name}.py")
            if name == "one":
                assert choose(registry, None, tmp_path / "clips.odd", {}).entry.name == "stranger_one"
        with pytest.raises(DataError, match=r"can be read by stranger_one\.py:.*, stranger_two\.py:.*--dataset"):
            choose(registry, None, tmp_path / "clips.odd", {})
    finally:
        for name in ("one", "two"):
            sys.modules.pop(f"stranger_{name}", None)
