"""`gadkit data inspect`, as a user meets it: every kind of source, broken files, odd names, pipes and terminals."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from clips import encode, moving
from PIL import Image
from small_runs import environment
from sources import FPS, FRAMES, HEIGHT, KINDS, LABELLED, NAMES, WIDTH
from test_terminal import Screen

from gadkit.cli import data_shared

ONE = ("--workers", "1")

SCHEMA = {
    "path": str,
    "dataset": {"name": str, "provider": str, "summary": str, "access": str, "licence": str},
    "labelling": str,
    "geometry": {"height": int, "width": int, "fps": None, "fit": str, "background": str},
    "clip": {"frames": int, "stride": int, "span": int, "seconds": float},
    "videos": {"found": int, "measured": int, "usable": int, "short": int, "broken": int},
    "frames": int,
    "seconds": float,
    "clips": {"disjoint": int, "starts": int},
    "sizes": {"min": list, "median": list, "max": list, "counts": list, "aspects": list},
    "fps": {"counts": list, "variable": int},
    "lengths": {
        "frames": {"min": int, "median": int, "max": int, "histogram": list},
        "seconds": {"min": float, "median": float, "max": float, "histogram": list},
    },
    "labels": {"classes": list, "imbalance": None},
    "dropped": list,
    "broken": list,
    "warnings": list,
    "pack": {"bytes": int, "seconds": float, "workers": int, "memory": int},
    "next": str,
    "files": list,
}


def shape(value, like):
    """Whether a document has these keys and no other, with values of these types."""
    if isinstance(like, dict):
        return value.keys() == like.keys() and all(shape(value[key], like[key]) for key in like)
    return value is None if like is None else type(value) is like


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> Path:
    """Two good videos, a short one, and four that nobody can read."""
    folder = tmp_path_factory.mktemp("damaged")
    encode(folder / "good.mp4", moving(20, 24, 24))
    encode(folder / "copy.mkv", moving(20, 24, 24))
    encode(folder / "short.mp4", moving(5, 24, 24))
    whole = (folder / "good.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is no video\n")
    (folder / "zeros.webm").write_bytes(bytes(4000))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_source_is_measured(gadkit_command, tmp_path, kind):
    folder = tmp_path / "source"
    folder.mkdir()
    source = KINDS[kind](folder)
    labels = "folders" if kind in LABELLED else "none"
    done = gadkit_command("data", "inspect", source, "--json", "--labels", labels, *ONE)
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    count = 1 if kind == "video_file" else len(NAMES)
    assert found["videos"] == {"found": count, "measured": count, "usable": count, "short": 0, "broken": 0}
    assert found["frames"] == len(NAMES) * FRAMES
    assert found["sizes"]["counts"] == [{"width": WIDTH, "height": HEIGHT, "videos": count}]
    assert found["fps"] == {"counts": [{"fps": FPS, "videos": count}], "variable": 0}
    assert found["seconds"] == pytest.approx(len(NAMES) * FRAMES / FPS)
    classes = [{"name": "cats", "videos": 2}, {"name": "dogs", "videos": 2}] if kind in LABELLED else []
    assert found["labels"]["classes"] == classes
    assert found["pack"]["bytes"] == len(NAMES) * FRAMES * 64 * 64 * 3
    assert [warning["kind"] for warning in found["warnings"]] == ["enlarged"]


def test_the_document_has_its_keys_and_no_other(gadkit_command, clips, tmp_path):
    done = gadkit_command("data", "inspect", clips, "--json", "--frames", "8", "--out", tmp_path / "look", *ONE)
    found = json.loads(done.out)
    assert shape(found, SCHEMA)
    assert found["next"] == f"gadkit train --data {clips} --frames 8"
    assert found["files"] == [str(tmp_path / "look" / name) for name in ("sheet.png", "index.html")]


def test_broken_and_short_videos_are_named_with_the_reason(gadkit_command, damaged):
    done = gadkit_command("data", "inspect", damaged, *ONE)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    for name in ("cut.mp4", "empty.mp4", "text.mp4", "zeros.webm"):
        (line,) = [line for line in lines if line.startswith("broken: ") and name in line]
        assert len(line) > len("broken: ") + len(name) + 20
    (dropped,) = [line for line in lines if line.startswith("dropped: ")]
    assert "short.mp4" in dropped
    assert "5 frames" in dropped
    (copies,) = [line for line in lines if "copies" in line or "copy of" in line]
    assert "good.mp4" in copies
    assert "copy.mkv" in copies
    assert "videos       7: 2 usable, 1 too short, 4 broken" in lines
    assert lines[-1] == f"next: gadkit train --data {damaged}"


def test_a_longer_clip_drops_more(gadkit_command, damaged):
    done = gadkit_command("data", "inspect", damaged, "--json", "--frames", "8", "--stride", "3", *ONE)
    assert done.code == 2
    found = json.loads(done.out)
    assert (found["videos"]["usable"], found["videos"]["short"], found["next"]) == (0, 3, None)
    assert {each["name"] for each in found["dropped"]} == {"good.mp4", "copy.mkv", "short.mp4"}
    assert "the 22 frames of a clip, the longest having 20" in done.error


def test_nothing_usable_is_two_and_one_sentence(gadkit_command, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "text.mp4").write_text("no video")
    done = gadkit_command("data", "inspect", tmp_path / "videos", *ONE)
    assert "none of the 1 videos" in done.error
    assert "broken: " in done.out
    (tmp_path / "empty").mkdir()
    assert "empty" in gadkit_command("data", "inspect", tmp_path / "empty", *ONE).error
    assert "missing" in gadkit_command("data", "inspect", tmp_path / "missing", *ONE).error


def test_out_holds_a_sheet_and_a_page_with_the_same_numbers(gadkit_command, damaged, tmp_path):
    done = gadkit_command("data", "inspect", damaged, "--out", tmp_path / "new" / "look", *ONE)
    assert done.code == 0
    assert sorted(path.name for path in (tmp_path / "new" / "look").iterdir()) == ["index.html", "sheet.png"]
    page = (tmp_path / "new" / "look" / "index.html").read_text()
    assert page.count("data:image/webp;base64,") == 3
    assert "usable of 7 videos" in page
    assert "Broken: 4" in page
    sheet = Image.open(tmp_path / "new" / "look" / "sheet.png")
    assert sheet.width > 3 * 3 * 96
    (tmp_path / "file").write_text("")
    assert "--out" in gadkit_command("data", "inspect", damaged, "--out", tmp_path / "file" / "x", *ONE).error


def test_without_out_nothing_is_written(gadkit_command, clips, tmp_path):
    before = sorted(clips.rglob("*"))
    done = gadkit_command("data", "inspect", clips, "--frames", "8", *ONE)
    assert "--out" in done.out
    assert sorted(clips.rglob("*")) == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>.mp4", "<img src=x onerror=alert(1)>.mp4", "\x1b[31m\n\u202e.mp4", "\udcff\udc80.mp4"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems forbid such names")
def test_any_name_that_a_file_can_have(gadkit_command, tmp_path, name):
    folder = tmp_path / "videos"
    (folder / name).parent.mkdir(parents=True)  # one of them has a slash
    encode(tmp_path / "good.mp4", moving(16, 16, 16))
    os.rename(tmp_path / "good.mp4", folder / name)
    (folder / "broken").mkdir()
    (folder / "broken" / name).parent.mkdir(exist_ok=True)
    (folder / "broken" / name).write_text("broken")
    done = gadkit_command("data", "inspect", folder, "--json", *ONE)
    assert done.code == 0
    found = json.loads(done.out)
    assert [each["name"] for each in found["broken"]] == [f"broken/{name}"]
    text = gadkit_command("data", "inspect", folder, "--out", tmp_path / "look", *ONE)
    assert text.code == 0
    assert text.out.replace("\n", "").isprintable()
    kinds = ("dataset ", "videos ", "broken: ", "next: ")
    assert [sum(line.startswith(kind) for line in text.out.splitlines()) for kind in kinds] == [1] * 4
    page = (tmp_path / "look" / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img src=x" not in page
    assert "\x1b" not in page


def test_settings_of_the_dataset_are_passed_on_and_no_other(gadkit_command, clips):
    assert "data.speed" in gadkit_command("data", "inspect", clips, "--set", "data.speed=2").error
    assert "seed" in gadkit_command("data", "inspect", clips, "--set", "seed=2").error
    assert "generator" in gadkit_command("data", "inspect", clips, "--set", "generator.width=2").error
    assert "video.fit" in gadkit_command("data", "inspect", clips, "--fit", "squeeze").error
    assert "--resolution" in gadkit_command("data", "inspect", clips, "--resolution", "big").error
    done = gadkit_command("data", "inspect", "--set", f"data.path={clips}", "--frames", "8", "--json", *ONE)
    assert json.loads(done.out)["videos"]["usable"] == 4


def test_the_line_to_run_next_names_what_is_not_usual(gadkit_command, clips):
    flags = ("--frames", "8", "--stride", "1", "--fps", "12.5", "--fit", "stretch", "--resolution", "32x16")
    done = gadkit_command("data", "inspect", clips, *flags, "--dataset", "videos", "--json", *ONE)
    assert done.code == 2
    assert json.loads(done.out)["next"] is None
    done = gadkit_command("data", "inspect", clips, *flags, "--frames", "6", "--dataset", "videos", "--json", *ONE)
    assert json.loads(done.out)["next"] == (
        f"gadkit train --data {clips} --resolution 32x16 --frames 6 --fps 12.5 --fit stretch --dataset videos"
    )


def test_without_a_place_it_looks_at_the_clips_that_come_along(gadkit_command):
    done = gadkit_command("data", "inspect", "--limit", "2", "--json", *ONE)
    found = json.loads(done.out)
    assert (found["path"], found["dataset"]["name"]) == (None, "embedded")
    assert (found["videos"]["found"], found["videos"]["measured"]) == (56, 2)
    assert found["next"] == "gadkit train"


def test_of_an_endless_set_a_sample_is_looked_at(gadkit_command, monkeypatch):
    monkeypatch.setattr(data_shared, "SAMPLE", 3)
    for labels, count in (("none", 0), ("own", 3)):
        done = gadkit_command("data", "inspect", "--dataset", "moving-digits", "--labels", labels, "--json", *ONE)
        found = json.loads(done.out)
        assert (found["videos"]["found"], found["videos"]["measured"]) == (None, 3)
        assert sum(each["videos"] for each in found["labels"]["classes"]) == count
        assert found["pack"]["bytes"] == found["frames"] * 64 * 64 * 3
    lines = gadkit_command("data", "inspect", "--dataset", "moving-digits", *ONE).out.splitlines()
    assert any(line.startswith("sample       3 videos") for line in lines)
    assert lines[-1] == "next: gadkit train --dataset moving-digits"


def test_a_pipe_gets_lines_of_progress_on_standard_error_alone(gadkit_command, clips, monkeypatch):
    monkeypatch.setattr(data_shared, "PLAIN_SECONDS", 0.0)
    done = gadkit_command("data", "inspect", clips, "--frames", "8", "--json", *ONE)
    assert done.err.splitlines() == [f"decoding {number}/4 videos" for number in (1, 2, 3, 4)]
    json.loads(done.out)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
@pytest.mark.parametrize("piped", [False, True], ids=["all on a terminal", "output piped"])
def test_a_terminal_shows_a_bar_and_is_left_with_the_report_alone(clips, piped):
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gadkit", "data", "inspect", str(clips), "--frames", "8", *ONE, *["--json"] * piped],
        stdin=theirs,
        stdout=subprocess.PIPE if piped else theirs,
        stderr=theirs,
        env=environment(TERM="xterm", COLUMNS="100", LINES="40", CI=""),
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # Linux: the other end is closed
        while chunk := os.read(ours, 65536):
            shown += chunk
    os.close(ours)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0
    assert "━" in shown.decode()
    screen = Screen(100)
    screen.feed(shown.decode())
    lines = [line.rstrip() for line in screen.lines if line.strip()]
    if piped:
        assert lines == []
        assert json.loads(output)["videos"]["usable"] == 4
        return
    assert lines[0].startswith("dataset      videos")
    assert lines[-1].startswith("next: gadkit train --data")
    assert not any("━" in line for line in lines)
