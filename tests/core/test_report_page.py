"""The page of a run: it shows what came of it, takes whatever lies in its folder, and is cheap."""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import shutil
import time

import pytest
from page_reader import Page
from reported_runs import CONFIG, lines, make_run, result, row, shown, video

from gadkit.errors import RunError
from gadkit.report.live import LiveReport
from gadkit.report.page import REPORT, page, write_report
from gadkit.report.samples import MOST_BYTES, VIDEOS, chosen
from gadkit.runs.attempt import GIVEN_UP, Attempt
from gadkit.runs.folder import Run


def standing(folder, **how):
    found = page(folder, **how)
    return re.search(r'class="state [a-z]*">([^<]*)<', found)[1]


# --- what it shows ---------------------------------------------------------------------------------------------------


def test_the_head_says_what_the_run_is_and_how_far(tmp_path):
    best = json.dumps({"step": 30, "metric": "fvd[i3d]", "value": 12.5, "logged": 30})
    run = make_run(tmp_path / "00003-mine", lines([10, 20, 30]), checkpoints=[0, 40], files={"best.json": best})
    found = shown(run)
    assert [each for each in found.text.split("\n") if "00003-mine" in each]
    for words in ("demo · dcgan", "48×32, 16 frames", "40of 1,000 steps", "3 sof training", "10steps a second"):
        assert words in found.text, words
    assert "30the best step, fvd[i3d] 12.5" in found.text
    assert "clips/" in found.text
    assert "gadkit 1.2.3" in found.text
    (bar,) = found.of("div", "progress")
    assert (bar["aria-valuenow"], bar["aria-valuemax"]) == ("40", "1000")


def test_the_plan_is_shown_where_the_run_keeps_it(tmp_path):
    plan = {"facts": {"memory": "3 GiB for a step"}, "warnings": ["odd.mp4: left out, it is short"]}
    found = shown(make_run(tmp_path / "run", environment={"plan": plan}))
    assert "3 GiB for a step" in found.text
    assert "odd.mp4: left out, it is short" in found.text


def test_the_state_follows_from_the_files(tmp_path):
    given_up = {"step": 20, "event": GIVEN_UP, "text": "no more tries", "attempt": Attempt().to_dict()}
    run = make_run(tmp_path / "run", lines([10, 20]))
    assert standing(run) == "stopped"
    assert standing(run, ended="failed") == "failed"
    (run / ".owner.json").write_text("{}")
    assert standing(run) == "running"
    os.utime(run / "log.jsonl", (time.time() - 7200,) * 2)
    assert standing(run) == "silent"
    assert "2 h" in page(run)
    make_run(run, [*lines([10, 20]), given_up])
    assert standing(run) == "given up"
    assert "no more tries" in page(run)
    make_run(run, [*lines([10, 20]), given_up, *lines([30])])
    assert standing(run) == "running"
    make_run(run, lines([10, 1000]))
    assert standing(run) == "finished"
    assert standing(make_run(tmp_path / "empty")) == "stopped"


def test_every_value_has_a_chart_with_its_numbers(tmp_path):
    values = {
        "loss/generator": [2.5, 0.25, 1.0],
        "loss/discriminator": [1.0, 1.0, 1.0],
        "accuracy": [0.5, 0.75, 1.0],
        "fvd[random-r3d]": [300.0, 200.0, 250.0],
    }
    found = shown(make_run(tmp_path / "run", lines([10, 20, 30], **values)))
    titles = list(re.findall(r"<figcaption>([^<]*)</figcaption>", page(tmp_path / "run")))
    assert titles[0] == "fvd[random-r3d]"
    assert sorted(titles[1:]) == ["accuracy", "loss", "share of time spent waiting for clips", "steps per second"]
    assert row(found, "generator") == ["1", "0.25", "2.5"]
    assert row(found, "discriminator") == ["1", "1", "1"]
    assert [cells for cells in found.cells if cells == ["fvd[random-r3d]", "250", "200", "300"]]
    points = {each["data-y"]: each["data-x"] for each in found.of("tr") if "data-y" in each}
    assert points["2.5,0.25,1"] == "10,20,30"
    assert points["10,10"] == "20,30"  # steps per second
    assert points["0.25,0.25"] == "20,30"  # the share of time
    pictures = found.of("svg")
    assert all(each["role"] == "img" and each["aria-label"] for each in pictures)
    assert any("generator, discriminator" in each["aria-label"] for each in pictures)
    assert all(each["aria-label"] and each["tabindex"] == "0" for each in found.of("div", "plot"))


def test_the_time_that_measuring_took_is_not_a_slow_step(tmp_path):
    log = lines([10, 20, 30])
    log[1]["evaluated"], log[2]["seconds"] = 60.0, 63.0
    found = shown(make_run(tmp_path / "run", log))
    assert "10,10" in [each.get("data-y") for each in found.of("tr")]


def test_events_stand_in_order_and_on_the_axis(tmp_path):
    back = {"step": 20, "event": "rollback", "text": "nan in step 27", "trouble": 27}
    warning = {"step": 30, "event": "warning", "text": "it wins", "kind": "winning"}
    log = [*lines([10, 20]), back, *lines([30]), warning, *lines([40])]
    found = shown(make_run(tmp_path / "run", log, checkpoints=[0, 20]))
    assert found.text.index("nan in step 27") < found.text.index("it wins")
    assert "(trouble at step 27)" in found.text
    assert "checkpoint warning went back" in " ".join(found.text.split())
    marks = [each for each in found.of("span", "mark") if "style" in each]
    places = {(each["class"].split()[1], each["style"]) for each in marks}
    assert places == {
        ("checkpoint", "left:0.00%"),
        ("checkpoint", "left:50.00%"),
        ("rollback", "left:50.00%"),
        ("warning", "left:75.00%"),
    }
    curves = [each["d"] for each in found.of("path", "c0") if "dots" not in each["class"]]
    assert all(each.count("M") == 2 for each in curves if each.count("L") + each.count("h0")), curves
    assert len(found.of("path", "rollback")) == len(found.of("svg"))


def test_samples_are_embedded_with_their_steps(tmp_path):
    videos = {step: video(tmp_path, shade=step // 10) for step in (100, 200)}
    found = shown(make_run(tmp_path / "run", samples=videos))
    there = [each for each in found.of("video") if "src" in each]
    assert [each["data-step"] for each in there] == ["100", "200"]
    for each in there:
        content = base64.b64decode(each["src"].removeprefix("data:video/mp4;base64,"))
        assert content == videos[int(each["data-step"])]
        assert "controls" in each  # also without a script
        assert "autoplay" not in each  # which nobody could ask not to happen
        assert each["data-step"] in each["aria-label"]


def test_few_samples_stand_for_many_and_the_page_says_so(tmp_path):
    content = video(tmp_path)
    found = shown(make_run(tmp_path / "run", samples=dict.fromkeys(range(10, 510, 10), content)))
    steps = [int(each["data-step"]) for each in found.of("video") if "src" in each]
    assert len(steps) == VIDEOS
    assert (steps[0], steps[-1]) == (10, 500)
    assert max(b - a for a, b in itertools.pairwise(steps)) <= 50
    assert f"{VIDEOS} of 50 files" in found.text


@pytest.mark.parametrize("sizes", [[], [1], [1, 2], [MOST_BYTES + 1], [MOST_BYTES // 3] * 40, [0, 5, 0], [1] * 13])
def test_chosen_samples_are_within_bounds_in_order_and_with_the_last(sizes):
    found = chosen(sizes)
    assert found == sorted(set(found))
    assert sum(sizes[place] for place in found) <= MOST_BYTES
    assert len(found) <= VIDEOS
    fitting = [place for place, size in enumerate(sizes) if 0 < size <= MOST_BYTES]
    assert found[-1:] == fitting[-1:]
    if sum(sizes[place] for place in fitting) <= MOST_BYTES and len(fitting) <= VIDEOS:
        assert found == fitting


def test_evaluations_that_were_measured_alike_stand_together(tmp_path):
    results = {
        "a.json": result(100, 90.5),
        "b.json": result(200, 80.25, made="2026-01-02T10:00:00+00:00"),
        "c.json": result(200, 60.0, made="2026-01-03T10:00:00+00:00", clips=256),
    }
    results["c.json"]["warnings"] = ["few clips"]
    found = shown(make_run(tmp_path / "run", evaluations=results))
    scores = [cells for cells in found.cells if cells and cells[0].startswith("step ")]
    assert [cells[1].partition("real")[0] for cells in scores] == ["90.5 ± 2.5", "80.25 ± 2.5", "60 ± 2.5"]
    assert all("real against real 11.5 ± 0.75" in cell for cells in scores for cell in cells[1:])
    heads = [cells for cells in found.cells if cells and cells[0] == "model"]
    assert len(heads) == 2
    assert "I3D (Kinetics-400 logits)" in heads[0][1]
    assert "comparable with nothing published" not in heads[0][1]
    assert "comparable with nothing published" in heads[0][2]
    assert "lower is better" in heads[0][1]
    assert "protocol.clips: 2048, 256" in found.text
    assert found.text.count("Measured otherwise than the first") == 1
    assert "p · 2,048 clips" in found.text
    assert "few clips" in found.text
    assert row(found, "protocol.clips") == ["2048"]


def test_settings_are_all_there(tmp_path):
    found = shown(
        make_run(tmp_path / "run", environment={"components": {"loss": {"version": "9.9"}}, "init_from": [1]})
    )
    for name, value in (("seed", "3"), ("steps", "1000"), ("use", "gadkit:dcgan"), ("loss.version", "9.9")):
        assert row(found, name) == [value]
    assert "generator: gadkit:dcgan" in found.text


def test_addresses_lose_what_opens_doors(tmp_path):
    address = "https://me:hunter2@host.example/a.tar?token=abc123"
    events = [{"step": 10, "event": "changed", "text": f"data.path: {address} was another"}]
    config = CONFIG.replace("clips/", address)
    text = page(make_run(tmp_path / "run", [*lines([10]), *events], config=config, environment={"from": [address]}))
    assert "hunter2" not in text
    assert "abc123" not in text
    assert text.count("https://host.example/a.tar?...") == 5


# --- how it is written -----------------------------------------------------------------------------------------------


def test_it_is_written_whole_in_the_run_or_elsewhere(tmp_path):
    run = Run(make_run(tmp_path / "run", lines([10])))
    before = sorted(path.name for path in run.path.iterdir())
    assert write_report(run) == run.path / REPORT
    assert sorted(path.name for path in run.path.iterdir()) == sorted([*before, REPORT])
    out = tmp_path / "out.html"
    assert write_report(run, out) == out
    assert Page(out.read_text()).of("figure", "chart")
    with pytest.raises(RunError, match=r"x\.html cannot be written"):
        write_report(run, tmp_path / "missing" / "x.html")


def test_a_live_page_warns_once_and_never_raises(tmp_path):
    run = Run(make_run(tmp_path / "run", lines([10])))
    warnings: list[str] = []
    live = LiveReport(run, warnings.append, every=0)
    (run.path / REPORT).mkdir()
    live.refresh("failed")
    live.refresh("failed")
    assert len(warnings) == 1
    assert "report.html" in warnings[0]
    shutil.rmtree(run.path)
    live.refresh("failed")
    assert len(warnings) == 1


def test_a_live_page_is_written_now_and_then_and_at_the_end(tmp_path):
    run = Run(make_run(tmp_path / "run", lines([10])))
    live = LiveReport(run, pytest.fail)
    live.refresh()
    make_run(run.path, lines([10, 20]))
    live.refresh()
    assert "10of 1,000" in Page((run.path / REPORT).read_text()).text
    live.refresh("stopped")
    assert "20of 1,000" in Page((run.path / REPORT).read_text()).text
