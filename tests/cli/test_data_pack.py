"""`gadkit data pack` and `gadkit data cache`: footage decoded ahead of training, and what training kept."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from clips import encode, moving
from small_runs import files_of
from sources import FRAMES, KINDS, LABELLED, NAMES
from synthetic import Squares

from gadkit.cli import data_cache, data_shared
from gadkit.data import cache
from gadkit.data.pack import open_pack
from gadkit.data.packing import PARTIAL
from gadkit.data.store import ClipStore
from gadkit.video.geometry import Geometry

ONE = ("--workers", "1", "--resolution", "16")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_source_is_packed_and_the_pack_is_a_source(gadkit_command, tmp_path, kind):
    folder = tmp_path / "source"
    folder.mkdir()
    labels = ("--labels", "folders") if kind in LABELLED else ()
    done = gadkit_command("data", "pack", KINDS[kind](folder), tmp_path / "packed", *labels, *ONE)
    assert (done.code, done.err) == (0, "")
    assert str(tmp_path / "packed") in done.out
    store = open_pack(tmp_path / "packed")
    assert int(store.lengths.sum()) == len(NAMES) * FRAMES
    assert store.classes == (("cats", "dogs") if kind in LABELLED else ())
    own = ("--labels", "own") if kind in LABELLED else ()
    next_line = done.out.splitlines()[-1]
    assert next_line == " ".join(["next: gadkit train --data", str(tmp_path / "packed"), "--resolution 16", *own])
    looked = gadkit_command("data", "inspect", tmp_path / "packed", "--json", *own, *ONE)
    found = json.loads(looked.out)
    assert found["dataset"]["name"] == "packed"
    assert found["frames"] == len(NAMES) * FRAMES
    assert [each["name"] for each in found["labels"]["classes"]] == list(store.classes)


def test_what_cannot_be_packed_is_named(gadkit_command, tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    encode(folder / "a.mp4", moving(20, 16, 16))
    encode(folder / "short.mp4", moving(5, 16, 16))
    (folder / "bad.mp4").write_text("no video")
    done = gadkit_command("data", "pack", folder, tmp_path / "packed", *ONE)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("packed 2 videos, 25 frames at 16x16, 18.8 KiB: ")
    assert "1 video is shorter than 16 frames" in lines[1]
    assert lines[2] == "left out 1:"
    assert lines[3].startswith("  bad.mp4: ")
    (folder / "a.mp4").unlink()
    (folder / "short.mp4").unlink()
    assert "none of the 1 videos" in gadkit_command("data", "pack", folder, tmp_path / "other", *ONE).error
    assert not (tmp_path / "other").exists()


def test_the_same_command_again_does_nothing_and_another_is_refused(gadkit_command, tmp_path):
    folder = KINDS["video_tree"](tmp_path)
    dest = tmp_path / "elsewhere" / "packed"
    assert gadkit_command("data", "pack", folder, dest, "--labels", "folders", *ONE).code == 0
    before = files_of(dest)
    again = gadkit_command("data", "pack", folder, dest, "--labels", "folders", *ONE)
    assert (again.code, again.out.startswith("there already: 4 videos")) == (0, True)
    (tmp_path / "labels.csv").write_text("name,label\n" + "".join(f"{name},x\n" for name in NAMES))
    error = gadkit_command("data", "pack", folder, dest, "--labels", tmp_path / "labels.csv", *ONE).error
    assert "other labels" in error
    assert "'cats'" in error
    assert "'x'" in error
    assert str(dest) in gadkit_command("data", "pack", folder, dest, "--fps", "5", *ONE).error
    assert str(folder) in gadkit_command("data", "pack", folder, folder, *ONE).error
    assert files_of(dest) == before


def test_an_interrupted_pack_goes_on_with_the_line_that_it_prints(gadkit_command, tmp_path, monkeypatch):
    folder = KINDS["video_tree"](tmp_path)
    arguments = ("data", "pack", folder, tmp_path / "out" / "packed", *ONE)
    partial = tmp_path / "out" / f"{PARTIAL}packed"

    @contextmanager
    def interrupting(doing):
        def progress(done, total, name):
            if done == 3 and partial.is_dir():  # before, the files are looked at
                raise KeyboardInterrupt

        yield progress

    gadkit_command("data", "pack", folder, tmp_path / "whole", *ONE)
    monkeypatch.setattr(data_shared, "shown_progress", interrupting)
    broken_off = gadkit_command(*arguments)
    assert broken_off.code == 130
    (line,) = broken_off.err.splitlines()
    assert line.endswith("gadkit " + " ".join(map(str, arguments)))
    assert not (tmp_path / "out" / "packed").exists()
    assert partial.is_dir()
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    done = gadkit_command(*arguments)
    assert (done.code, done.out.startswith("packed 4 videos")) == (0, True)
    assert files_of(tmp_path / "out" / "packed") == files_of(tmp_path / "whole")


def test_a_sample_is_packed(gadkit_command, tmp_path):
    folder = KINDS["video_tree"](tmp_path)
    gadkit_command("data", "pack", folder, tmp_path / "out", "--limit", "2", *ONE)
    assert open_pack(tmp_path / "out").names == ["cats/a.mp4", "dogs/c.mov"]


def test_a_set_that_needs_no_place_is_packed_without_one(gadkit_command, tmp_path):
    endless = ("data", "pack", tmp_path / "out", "--dataset", "moving-digits", *ONE)
    assert "--limit" in gadkit_command(*endless).error
    assert gadkit_command(*endless, "--limit", "3").code == 0
    assert (len(open_pack(tmp_path / "out")), open_pack(tmp_path / "out").classes) == (3, ())
    assert "DEST" in gadkit_command("data", "pack", tmp_path / "out", *ONE).error


def test_progress_of_a_pack_is_lines_on_a_pipe(gadkit_command, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(data_shared, "PLAIN_SECONDS", 0.0)
    done = gadkit_command("data", "pack", clips, tmp_path / "out", *ONE)
    assert [line for line in done.err.splitlines() if "videos" in line][-1] == "packing 4/4 videos"
    assert "packing" not in done.out


# --- the cache -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cached(tmp_path, monkeypatch) -> list[ClipStore]:
    """A cache with two packs of its own, one of which was not used for 40 days."""
    monkeypatch.setenv("GADKIT_CACHE", str(tmp_path / "cache"))
    stores = []
    for size in (8, 16):
        dataset = Squares(Path())
        stores.append(cache.prepare(dataset, dataset.sources(), Geometry(height=size, width=size), min_frames=1))
    old = min(cache.packs(), key=lambda pack: pack.bytes)
    for path in (*old.folder.parent.glob(f"{old.key}*"), *old.folder.iterdir()):
        os.utime(path, (time.time() - 40 * 86400,) * 2)
    return stores


def listed(command) -> list[dict]:
    return json.loads(command("data", "cache", "list", "--json").out)["packs"]


def test_the_cache_is_listed(gadkit_command, cached, tmp_path):
    packs = listed(gadkit_command)
    assert [pack["geometry"]["height"] for pack in packs] == [16, 8]
    assert [pack["videos"] for pack in packs] == [len(store) for store in reversed(cached)]
    assert all(pack["finished"] and pack["bytes"] > 0 for pack in packs)
    for words in (("data", "cache"), ("data", "cache", "list")):
        lines = gadkit_command(*words).out.splitlines()
        assert lines[0].split() == ["key", "size", "videos", "frames", "used", "origin"]
        assert [line.split()[0] for line in lines[1:3]] == [pack["key"] for pack in packs]
        assert "just now" in lines[1]
        assert "40 days ago" in lines[2]
        assert lines[3].startswith("2 packs, ")
        assert str(tmp_path / "cache") in lines[3]


def test_an_unfinished_pack_is_called_so(gadkit_command, cached):
    pack = cache.packs()[0]
    pack.folder.rename(pack.folder.with_name(PARTIAL + pack.key))
    assert [each["finished"] for each in listed(gadkit_command)].count(False) == 1
    assert "(unfinished)" in gadkit_command("data", "cache").out


def test_an_empty_cache_is_no_error(gadkit_command, tmp_path, monkeypatch):
    monkeypatch.setenv("GADKIT_CACHE", str(tmp_path / "nothing"))
    assert gadkit_command("data", "cache").out.startswith("0 packs, 0 B, in ")
    assert listed(gadkit_command) == []
    assert gadkit_command("data", "cache", "clear", "--all").out.startswith("removed 0 packs")


def test_packs_are_cleared_by_key_by_age_and_all(gadkit_command, cached):
    new, old = listed(gadkit_command)
    assert "names no pack" in gadkit_command("data", "cache", "clear", "nope").error
    assert "--all" in gadkit_command("data", "cache", "clear").error
    assert "--older-than" in gadkit_command("data", "cache", "clear", "--older-than", "soon").error
    assert len(listed(gadkit_command)) == 2
    done = gadkit_command("data", "cache", "clear", "--older-than", "30d", "--yes")
    assert done.out.startswith("removed 1 pack, ")
    assert [pack["key"] for pack in listed(gadkit_command)] == [new["key"]]
    assert not Path(old["folder"]).exists()
    assert gadkit_command("data", "cache", "clear", new["key"][:8]).code == 0
    assert listed(gadkit_command) == []


def test_clearing_asks_first(gadkit_command, cached, monkeypatch):
    assert "--yes" in gadkit_command("data", "cache", "clear", "--all").error  # nobody is there
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    asked = []
    monkeypatch.setattr(data_cache.typer, "confirm", lambda text: asked.append(text))
    assert gadkit_command("data", "cache", "clear", "--all").out == "nothing was removed\n"
    assert len(listed(gadkit_command)) == 2
    assert asked[0].startswith("Remove 2 packs, ")
    monkeypatch.setattr(data_cache.typer, "confirm", lambda text: True)
    assert gadkit_command("data", "cache", "clear", "--all").out.startswith("removed 2 packs")
    assert listed(gadkit_command) == []


def test_a_pack_that_is_being_made_is_kept(gadkit_command, cached):
    from gadkit.data.packing import lock

    pack = cache.packs()[0]
    with lock(pack.folder):
        done = gadkit_command("data", "cache", "clear", "--all", "--yes")
    assert done.out.splitlines()[1:] == [f"kept {pack.key}: it is being made now"]
    assert [each["key"] for each in listed(gadkit_command)] == [pack.key]
