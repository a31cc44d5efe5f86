"""What is made of a survey: findings, the contact sheet, and the page, which takes any name that a file can have."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from page_reader import Page
from PIL import Image

from gadkit.errors import RunError
from gadkit.interfaces.dataset import Source
from gadkit.survey.findings import findings
from gadkit.survey.measure import Measure, Survey, Surveyed
from gadkit.survey.page import CLIPS, page, write_page
from gadkit.survey.sheet import VIDEOS, contact_sheet, write_sheet
from gadkit.video.geometry import Geometry
from gadkit.words import count_text, duration_text, printable, size_text

EVIL = "<script>alert(1)</script>\x1b[31m\u202e\udcff\"'&.mp4"


def still(colour, height=16, width=24):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def usual(**changes):
    values = {
        "frames": 40,
        "kept": 40,
        "fps": 25.0,
        "seconds": 1.6,
        "variable": False,
        "height": 64,
        "width": 80,
        "alpha": False,
        "moving": 0.5,
        "plain": False,
        "repeated": 0,
        "digest": str(len(changes)) + repr(changes),
        "decode_seconds": 2.0,
        "fit_seconds": 0.1,
        "memory": 1000,
    }
    return Measure(**{**values, **changes})


def survey_of(measures, labels=None, total=None, frames=16, stride=1, workers=2, **geometry):
    """A survey of `name -> Measure`, or the reason why there is none."""
    videos = [
        Surveyed(
            Source(name=name, label=(labels or {}).get(name)),
            measure if isinstance(measure, Measure) else None,
            measure if isinstance(measure, str) else "",
        )
        for name, measure in measures.items()
    ]
    size = Geometry(**{"height": 64, "width": 64, **geometry})
    total = len(videos) if total is None else total
    return Survey(videos=videos, total=total, geometry=size, frames=frames, stride=stride, workers=workers)


def kinds(document):
    return {warning["kind"]: warning for warning in document["warnings"]}


def test_findings_count_by_their_definitions():
    measures = {
        "a": usual(frames=40, kept=40, digest="a"),
        "b": usual(frames=80, kept=33, digest="b", seconds=3.2, height=48, width=64, fps=30.0),
        "c": usual(frames=10, kept=10, digest="c", seconds=0.4),
        "d": "the file ends early.",
    }
    found = findings(survey_of(measures, frames=6, stride=3))
    assert found["clip"] == {"frames": 6, "stride": 3, "span": 16, "seconds": 6 * 3 / 25}
    assert found["videos"] == {"found": 4, "measured": 4, "usable": 2, "short": 1, "broken": 1}
    assert (found["frames"], found["seconds"]) == (130, pytest.approx(5.2))
    assert found["clips"] == {"disjoint": 2 + 2, "starts": 25 + 18}
    assert found["broken"] == [{"name": "d", "reason": "the file ends early."}]
    (short,) = found["dropped"]
    assert short["name"] == "c"
    assert "10 frames" in short["reason"]
    assert "16 (6 at stride 3)" in short["reason"]
    assert found["sizes"]["counts"] == [
        {"width": 80, "height": 64, "videos": 2},
        {"width": 64, "height": 48, "videos": 1},
    ]
    assert (found["sizes"]["min"], found["sizes"]["max"]) == ([64, 48], [80, 64])
    assert found["sizes"]["aspects"] == [{"aspect": "5:4", "videos": 2}, {"aspect": "4:3", "videos": 1}]
    assert found["fps"]["counts"] == [{"fps": 25.0, "videos": 2}, {"fps": 30.0, "videos": 1}]
    lengths = found["lengths"]["frames"]
    assert (lengths["min"], lengths["median"], lengths["max"], sum(lengths["histogram"])) == (10, 33, 40, 3)


def test_the_estimate_of_a_pack_is_frames_times_bytes_and_scales_with_a_sample():
    measures = {"a": usual(kept=40), "b": usual(kept=10, digest="b")}
    pack = findings(survey_of(measures, height=32, width=48))["pack"]
    assert pack["bytes"] == 50 * 32 * 48 * 3
    assert pack["seconds"] == pytest.approx((2 * 2.0 + 50 * 0.1) / 2)
    scaled = findings(survey_of(measures, height=32, width=48, total=20))["pack"]
    assert scaled["bytes"] == 10 * pack["bytes"]
    assert scaled["seconds"] == pytest.approx(10 * pack["seconds"])


def test_labels_are_counted_over_what_is_usable():
    measures = {f"{name}{number}": usual(digest=f"{name}{number}") for name in "ab" for number in range(3)}
    measures |= {"b1": usual(kept=3, digest="x"), "b2": "broken.", "c0": "broken."}
    found = findings(survey_of(measures, labels={name: name[0] for name in measures}))
    assert found["labels"] == {"classes": [{"name": "a", "videos": 3}, {"name": "b", "videos": 1}], "imbalance": 3.0}
    assert "c" in kinds(found)["empty-classes"]["text"]


def test_a_rare_class_is_told():
    measures = {f"a{number}": usual(digest=f"a{number}") for number in range(21)} | {"b0": usual(digest="b")}
    labels = {name: name[0] for name in measures}
    assert "b" in kinds(findings(survey_of(measures, labels=labels)))["rare-classes"]["text"]
    del measures["a0"]
    del measures["a1"]
    assert "rare-classes" in kinds(findings(survey_of(measures, labels=labels)))
    for number in range(2, 15):
        del measures[f"a{number}"]
    assert "rare-classes" not in kinds(findings(survey_of(measures, labels=labels)))


@pytest.mark.parametrize(
    ("kind", "changes", "harmless"),
    [
        ("plain", {"plain": True}, {"plain": False}),
        ("still", {"moving": 0.0}, {"moving": 0.0, "frames": 1, "kept": 1}),
        ("repeated", {"repeated": 20}, {"repeated": 19}),
        ("variable", {"variable": True}, {}),
        ("enlarged", {"width": 63}, {"width": 64, "height": 64}),
        ("cut", {"width": 200, "height": 64}, {"width": 90, "height": 64}),
        ("rates", {"fps": 30.0}, {"fps": 25.0004}),
    ],
)
def test_a_warning_names_the_videos_that_it_is_about_and_no_other(kind, changes, harmless):
    measures = {"usual": usual(), "odd": usual(**changes, digest="1"), "fine": usual(**harmless, digest="2")}
    names = kinds(findings(survey_of(measures)))[kind]["names"]
    assert names == ["odd"]
    del measures["odd"]
    assert kind not in kinds(findings(survey_of(measures)))


def test_what_resampling_and_fitting_settle_is_no_warning():
    measures = {"a": usual(fps=30.0), "b": usual(variable=True, digest="b"), "c": usual(width=300, digest="c")}
    assert {"rates", "variable", "cut"} <= set(kinds(findings(survey_of(measures))))
    assert not kinds(findings(survey_of(measures, fps=25.0, fit="letterbox")))


def test_duplicates_are_grouped():
    measures = {name: usual(digest=name[0]) for name in ("a1", "b1", "a2", "c1", "b2", "a3")}
    warning = kinds(findings(survey_of(measures)))["duplicates"]
    assert warning["groups"] == [["a1", "a2", "a3"], ["b1", "b2"]]
    assert warning["text"].startswith("3 videos")


def test_folders_that_could_be_classes_are_a_hint():
    def found(names, labels=None):
        return kinds(findings(survey_of({name: usual(digest=name) for name in names}, labels=labels)))

    names = ["cats/1", "cats/2", "dogs/1", "dogs/2"]
    assert "cats (2), dogs (2)" in found(names)["folders"]["text"]
    assert "folders" not in found(names, labels={"cats/1": "x"})
    assert "folders" not in found([*names, "bare"])
    assert "folders" not in found([f"{number}/video" for number in range(9)])


def test_nothing_readable_is_no_crash():
    for videos in ({}, {"a": "broken."}):
        found = survey_of(videos)
        document = findings(found)
        assert document["videos"]["usable"] == 0
        assert document["sizes"]["min"] is None
        assert document["lengths"]["frames"] is None
        assert contact_sheet(found) is None
        assert "Broken" in page("x", found, about(document)) or not videos


# --- the page --------------------------------------------------------------------------------------------------------


def about(document, summary="all there is"):
    return document | {"dataset": {"name": "videos", "summary": summary}, "next": "gadkit train"}


def test_a_page_takes_any_text_loads_nothing_and_runs_nothing():
    clip = {"clip": still("red"), "stills": (still("red"),) * 3}
    measures = {EVIL: usual(**clip, plain=True), EVIL + "2": EVIL, EVIL + "3": usual(kept=1, digest="3")}
    found = survey_of(measures, labels=dict.fromkeys(measures, EVIL))
    text = page(EVIL, found, about(findings(found), EVIL))
    text.encode("utf-8")
    read = Page(text)
    assert not read.tags & {"script", "link", "iframe", "object", "embed", "form", "base"}
    assert read.loaded
    assert all(value.startswith("data:image/") for value in read.loaded)
    assert "http:" not in text
    assert "https:" not in text
    assert not any(mark in text for mark in "\x1b\u202e\udcff")
    assert read.text.count("<script>alert(1)</script>\\x1b[31m\\u202e\\udcff\"'&.mp4") >= 6


def test_a_page_shows_few_clips_and_counts_all():
    clip = {"clip": still("red"), "stills": (still("red"),) * 3}
    measures = {f"v{number}": usual(**clip, digest=str(number)) for number in range(60)}
    found = survey_of(measures)
    text = page("many", found, about(findings(found)))
    assert text.count("<figure") == CLIPS
    assert "usable of 60 videos" in text
    assert "v0<br>" in text
    assert "v57<br>" in text


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    found = survey_of({"a": usual()})
    write_page(tmp_path / "index.html", "a", found, about(findings(found)))
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    with pytest.raises(RunError, match=r"index\.html cannot be written"):
        write_page(tmp_path / "missing" / "index.html", "a", found, about(findings(found)))


# --- the sheet -------------------------------------------------------------------------------------------------------


def test_a_sheet_shows_every_frame_in_its_place():
    colours = [(10 * number, 200, 5) for number in range(15)]
    stills = [still(colour, 48, 96) for colour in colours]
    measures = {f"v{n}": usual(stills=stills[3 * n : 3 * n + 3], digest=str(n)) for n in range(5)}
    paper = np.asarray(contact_sheet(survey_of(measures, height=48, width=96)))
    present = {tuple(map(int, colour)) for colour in np.unique(paper.reshape(-1, 3), axis=0)}
    assert present >= set(colours)
    places = [np.argwhere((paper == colour).all(axis=2)) for colour in colours]
    assert all(len(place) == 48 * 96 for place in places)
    corners = [tuple(map(int, place.min(axis=0))) for place in places]
    assert corners == sorted(corners)  # row by row, each video's frames from left to right


def test_a_sheet_takes_any_name_and_no_more_videos_than_fit():
    names = [EVIL, "日本語.mp4", "x" * 300, "", *(f"v{number}" for number in range(99))]
    measures = {name: usual(stills=(still("red"),) * 3, digest=name) for name in names}
    paper = contact_sheet(survey_of(measures))
    fewer = contact_sheet(survey_of({name: measures[name] for name in names[:VIDEOS]}))
    assert paper.size == fewer.size


def test_a_sheet_is_a_png(tmp_path):
    assert write_sheet(tmp_path / "sheet.png", survey_of({"a": usual(stills=(still("red"),) * 3)}))
    assert Image.open(tmp_path / "sheet.png").format == "PNG"
    assert not write_sheet(tmp_path / "none.png", survey_of({"a": "broken."}))
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.00682, "0.0068 s"),
        (0.64, "0.64 s"),
        (59.96, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (90000, "1 day 1 h"),
        (260000, "3 days"),
        (float("inf"), "unknown"),
    ],
)
def test_durations_read_as_people_say_them(seconds, text):
    assert duration_text(seconds) == text


def test_sizes_and_counts_read_as_people_say_them():
    assert [size_text(value) for value in (0, 1, 1536, 1010 << 10, 590 << 20)] == [
        *("0 B", "1 B", "1.5 KiB", "1010 KiB", "590 MiB")
    ]
    assert (count_text(1, "class", "classes"), count_text(1200, "video")) == ("1 class", "1,200 videos")


def test_what_is_printable_prints():
    assert printable("a\x1b[2J\n\u202e\udcff 日本") == "a\\x1b[2J\\n\\u202e\\udcff 日本"
    assert printable(EVIL).isprintable()
