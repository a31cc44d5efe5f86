"""The page of a run takes whatever lies in its folder: text is only text, and what is damaged costs itself alone."""

from __future__ import annotations

import json
import os
import re

import pytest
from page_reader import Page
from reported_runs import CONFIG, EVIL, SPELLED, lines, make_run, result, row, shown, video

from gadkit.report.page import page


def test_any_text_is_only_text(tmp_path):
    log = lines([10, 20], **{EVIL: [1.0, 2.0], f"loss/{EVIL}": [1.0, 2.0], f"fvd[{EVIL}]": [2.0, 1.0]})
    log[1]["bad"] = EVIL
    log += [{"step": 20, "event": EVIL, "text": EVIL}, {"step": 20, "event": "warning", "text": EVIL}]
    evil = result(10, 1.0)
    evil |= {"made": EVIL, "line": EVIL, "warnings": [EVIL], "manifest": {EVIL: {EVIL: EVIL}}}
    evil["values"] = {EVIL: {"value": EVIL, "std": EVIL, "floor": EVIL, "best": EVIL, "literature": EVIL}}
    name = "run<b>&\"'"
    config = (
        f"recipe = {json.dumps(EVIL)}\n[run]\nsteps = 30\n{json.dumps(EVIL)} = 1\n[data]\npath = {json.dumps(EVIL)}"
    )
    files = {"best.json": json.dumps({"step": 10, "metric": EVIL, "value": EVIL})}
    environment = {
        "device": EVIL,
        EVIL: {EVIL: [EVIL, {EVIL: EVIL}]},
        "plan": {"facts": {EVIL: EVIL}, "warnings": [EVIL]},
    }
    evaluations = {"a.json": evil, 'x"><b>.json': {"values": {}, "manifest": {EVIL: 2}}, "z<i>.json": []}
    run = make_run(tmp_path / name, log, config=config, environment=environment, evaluations=evaluations, files=files)
    found = shown(run)
    assert found.text.count(SPELLED) > 15
    assert not found.tags & {"b><", "i", "img"}
    assert name in found.text


@pytest.mark.parametrize(
    "bad",
    [
        b'{"step": 15, "loss/generator": ',
        b"\xff\xfe\x00\x01",
        b"[" * 5000,
        b'{"step": 15} {"step": 16}',
        b'{"step": "15"}',
        b'{"step": -1}',
        b'{"step": true}',
        b'{"step": 1e5}',
        b'{"step": 99999999999999999999999}',
        b"{" + b'"a":{' * 5000,
        b'{"step": 15, "x": ' + b"9" * 10_000 + b"}",
        b"null",
    ],
    ids=range(12),
)
def test_a_damaged_line_is_told_and_the_others_are_shown(tmp_path, bad):
    good = [json.dumps(line).encode() for line in lines([10, 20])]
    found = shown(make_run(tmp_path / "run", b"\n".join([good[0], bad, good[1], b""])))
    assert "log.jsonl: 1 line is no object with a step and left out at line 2" in found.text
    assert "10,20" in [each.get("data-x") for each in found.of("tr")]


def test_a_line_that_is_being_written_is_no_damage(tmp_path):
    good = json.dumps(lines([10])[0]).encode()
    found = shown(make_run(tmp_path / "run", good + b"\n" + good[:20]))
    assert "left out" not in found.text
    assert "Could not be read" not in found.text


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", '"12"', "null", "true", "[1]", "{}", "1e301"]
)
def test_what_is_no_finite_number_is_left_out_and_counted(tmp_path, number):
    log = b'{"step": 10, "loss/a": 1}\n{"step": 20, "loss/a": %s}\n{"step": 30, "loss/a": 3}\n' % number.encode()
    found = shown(make_run(tmp_path / "run", log))
    (points,) = [each for each in found.of("tr") if "data-x" in each]
    assert (points["data-x"], points["data-y"]) == ("10,30", "1,3")
    assert "no finite numbers: loss/a (1)" in found.text


@pytest.mark.parametrize(
    "values", [[5e-324, 0.0, 5e-324], [-1e299, 1e299, 0.0], [7.0] * 3, [1e16, 1e16 + 2, 1e16], [-0.0, 1e-299, 1e299]]
)
def test_extreme_values_make_charts(tmp_path, values):
    found = shown(make_run(tmp_path / "run", lines([1, 2, 3], x=values)))
    drawn = [each["d"] for each in found.of("path", "c0")]
    assert drawn
    for each in drawn:
        heights = [int(height) for height in re.findall(r",(-?\d+)", each)]
        assert all(0 <= height <= 1000 for height in heights)
    assert "nan" not in "".join(drawn)


@pytest.mark.parametrize(
    "name", ["config.toml", "environment.json", "best.json", "evaluations/a.json", "samples/step-000010.mp4"]
)
@pytest.mark.parametrize("content", [b"\xff\x00", b"{", b"[]", b"x = [", b"[" * 200_000], ids=range(5))
def test_a_damaged_file_is_told_and_costs_itself_alone(tmp_path, name, content):
    good = {"evaluations": {"b.json": result(10, 77.5)}, "samples": {20: video(tmp_path)}}
    found = shown(make_run(tmp_path / "run", lines([10, 20]), **good, files={name: content}))
    assert f"{name}: " in found.text or (name.endswith("l") and content == b"[]")
    assert "77.5" in found.text
    assert len([each for each in found.of("video") if "src" in each]) == 1
    assert "10,20" in [each.get("data-x") for each in found.of("tr")]


def test_files_of_others_are_not_shown(tmp_path):
    secret = make_run(
        tmp_path / "secret", lines([10]), samples={10: video(tmp_path)}, files={"x.json": '{"key": "hush"}'}
    )
    run = make_run(tmp_path / "run", lines([10]), files={"samples/step-000005.mp4": b""})
    (run / "samples" / "step-000020.mp4").symlink_to(secret / "samples" / "step-000010.mp4")
    (run / "environment.json").unlink()
    (run / "environment.json").symlink_to(secret / "x.json")
    (run / "evaluations").symlink_to(secret / "samples")
    os.mkfifo(run / "best.json")  # reading it would never end
    found = shown(run)
    assert not [each for each in found.of("video") if "src" in each]
    assert "hush" not in found.text
    assert found.text.count("is a link that leads out of the run's folder") >= 3
    assert "best.json: is no file" in found.text


def test_floods_are_bounded(tmp_path):
    many = {f"v{number}/{'n' * 50}": [1.0, 2.0] for number in range(900)}
    log = lines([10, 20], **many)
    log += [{"step": 20, "event": "warning", "text": "w" * 4000}] * 5000
    log += [{"step": 30, f"other{number}": number} for number in range(3000)]
    config = CONFIG + "".join(f"\n[s{number}]\nx = {list(range(300))}" for number in range(500))
    found = page(
        make_run(
            tmp_path / "run",
            log,
            config=config,
            evaluations={f"{n:04}.json": result(n, 1.0, seed=n) for n in range(250)},
        )
    )
    assert len(found) < 20_000_000
    Page(found)
    assert "more values that are not shown" in found
    assert "200 of them are shown" in found


def test_a_large_log_is_read_soon_and_keeps_its_peaks(tmp_path):
    values = [1.0] * 60_000
    values[31_415] = 1234.5
    line = '{"step": %d, "seconds": %.3f, "loss/generator": %r, "loss/discriminator": 0.25, "accuracy": 0.5}\n'
    text = "".join(line % (step, step / 10, value) for step, value in enumerate(values)).encode()
    found = page(make_run(tmp_path / "run", text))
    assert len(found) < 1_000_000
    assert row(Page(found), "generator") == ["1", "1", "1,234"]
    assert "1234.5" in found


def test_of_a_huge_log_the_whole_span_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr("gadkit.report.log.MOST_BYTES", 3 << 20)
    line = '{"step": %d, "loss/generator": 1.5, "padding": "' + "x" * 400 + '"}\n'
    text = "".join(line % step for step in range(20_000)).encode()
    found = shown(make_run(tmp_path / "run", text))
    assert re.search(r"log.jsonl: has \S+ MiB; 3 MiB of it are shown, spread over the whole", found.text)
    (chart,) = found.of("figure", "chart")
    assert (chart["data-low"], chart["data-high"]) == ("0", "19999")
    assert "no object" not in found.text
