"""A comparison of two small recipes: what it trains, measures, keeps, goes on with and refuses."""

from __future__ import annotations

import csv
import json
import re
import shutil
import statistics
import subprocess

import pytest
from browser import browser
from small_evaluations import quick, write_videos  # noqa: F401
from small_runs import config, own_registry

import gadkit
from gadkit import ConfigError, RunError
from gadkit.comparison.compare import commands
from gadkit.comparison.plan import read_plan
from gadkit.comparison.summary import spread_text

#: What makes a comparison small: nets of a few kilobytes, two steps, clips that take a moment.
NETS = ("generator.width=8", "discriminator.width=8", "generator.latent_dim=8", "generator.motion_dim=4")
SMALL = {
    "steps": 2,
    "resolution": 16,
    "frames": 8,
    "set": (*NETS, "trainer.batch_size=4"),
    "held_out": 0.5,
    "features": ["random-r3d"],
    "clips": 12,
    "curve": 1,
    "videos": 4,
    "device": "cpu",
    "precision": "fp32",
}
ENTRIES = ("demo", "gentle=demo,penalty.gamma=0.1,trainer.batch_size=6")
TITLE = "held-out clips, in random-r3d"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """`data`, 36 videos; and `out`, a comparison of `ENTRIES` over two seeds, two trainings at once."""
    root = tmp_path_factory.mktemp("comparison")
    write_videos(root / "data", range(36), length=9)
    with pytest.MonkeyPatch.context() as patch, own_registry():
        patch.setenv("OMP_NUM_THREADS", "1")
        gadkit.compare(*ENTRIES, out=root / "out", **{**SMALL, "data": root / "data", "seeds": 2, "jobs": 2})
    return root


@pytest.fixture
def compare(root, monkeypatch):
    """`gadkit.compare`, small, on the same data; by default the same comparison again, in which nothing may start."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def command(*entries, out=None, trains=False, **changes):
        if not trains:
            monkeypatch.setattr(subprocess, "Popen", refuse)
        with own_registry():
            asked = {**SMALL, "data": root / "data", "seeds": 2, **changes}
            return gadkit.compare(*entries, out=root / "out" if out is None else out, **asked)

    return command


def refuse(*given, **more):
    raise AssertionError("a process was started")


def results(out):
    return json.loads((out / "results.json").read_text())


def runs_of(document):
    return {run["name"]: run for contender in document["contenders"] for run in contender["runs"]}


def test_budgets_are_equal_and_seeds_are_not(root):
    runs = runs_of(results(root / "out"))
    assert sorted(runs) == ["demo-seed0", "demo-seed1", "gentle-seed0", "gentle-seed1"]
    assert {run["step"] for run in runs.values()} == {2}
    assert {name: run["samples"] for name, run in runs.items()} == {
        "demo-seed0": 8,
        "demo-seed1": 8,
        "gentle-seed0": 12,
        "gentle-seed1": 12,
    }
    assert all(run["failure"] is None for run in runs.values())
    for name in runs:
        written = config(root / "out/runs" / name)
        assert (written["seed"], written["clips"]["held_out"]) == (int(name[-1]), 0.5)
    assert config(root / "out/runs/gentle-seed0")["penalty"]["gamma"] == 0.1
    one, other = (gadkit.load(root / f"out/runs/demo-seed{seed}", device="cpu").sample(1) for seed in (0, 1))
    assert not one.equal(other)


def test_numbers_are_those_of_an_evaluation_by_hand(root):
    run = runs_of(results(root / "out"))["gentle-seed1"]
    by_hand = gadkit.evaluate(
        root / "out/runs/gentle-seed1",
        metrics=["fvd", "prdc"],
        features=["random-r3d"],
        clips=12,
        real_clips=12,
        frames=8,
        device="cpu",
    )
    assert by_hand.values["fvd[random-r3d]"].floor > 0
    for name, score in by_hand.values.items():
        assert run["values"][TITLE][name] == score.to_dict()
    assert run["lines"][TITLE].startswith("gadkit (changed) · random-r3d ")


def test_means_and_spreads_are_those_over_seeds(root):
    document = results(root / "out")
    (contender,) = (each for each in document["contenders"] if each["name"] == "demo")
    values = [run["values"][TITLE]["fvd[random-r3d]"] for run in contender["runs"]]
    told = contender["over_seeds"][TITLE]["values"]["fvd[random-r3d]"]
    found = [each["value"] for each in values]
    assert told["mean"] == pytest.approx(statistics.fmean(found), rel=1e-12)
    assert told["std"] == pytest.approx(statistics.stdev(found), rel=1e-12)
    assert told["less_floor"]["mean"] == pytest.approx(told["mean"] - values[0]["floor"], rel=1e-12)
    assert spread_text(told["mean"], told["std"]) in (root / "out/table.md").read_text()
    lines = list(csv.DictReader((root / "out/results.csv").open()))
    assert [line["run"] for line in lines if line["contender"] == "demo"] == ["demo-seed0", "demo-seed1"]
    column = f"fvd[random-r3d] ({TITLE})"
    assert [float(line[column]) for line in lines if line["contender"] == "demo"] == found


def test_what_cannot_be_measured_is_told_with_its_reason(root):
    """Memorisation wants more clips than these twelve."""
    document = results(root / "out")
    for contender in document["contenders"]:
        assert "memorisation needs" in contender["over_seeds"][TITLE]["reasons"]["memorisation"]
    assert any("memorisation" in text and "could not be measured" in text for text in document["warnings"])
    assert any("2 trainings ran beside each other" in text for text in document["warnings"])


def test_parameters_memory_and_speed_are_known(root):
    run = runs_of(results(root / "out"))["demo-seed0"]
    model = gadkit.load(root / "out/runs/demo-seed0", device="cpu")
    nets = {"generator": model.generator, "assembler": model.assembler, "discriminator": model.discriminator}
    sizes = {kind: sum(each.numel() for each in net.parameters()) for kind, net in nets.items()}
    assert {kind: run["parameters"][kind] for kind in sizes} == sizes
    assert 50e6 < run["peak_memory"] < 4e9
    assert run["steps_per_second"] == pytest.approx(2 / run["seconds"])
    assert [point["step"] for point in run["curve"]] == [2]


def test_the_same_again_trains_and_measures_nothing(root, compare, monkeypatch):
    before = results(root / "out")
    monkeypatch.setattr("gadkit.comparison.measuring.evaluate", refuse)
    found = compare(*ENTRIES)
    assert found.failures == []
    assert results(root / "out") == before == json.loads(json.dumps(found.results))
    with own_registry():
        assert gadkit.compare(out=root / "out", device="cpu").results == found.results


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"steps": 3}, "budget.steps was 2 and is 3 now"),
        ({"seeds": 1}, "seeds was 0, 1 and is 0 now"),
        ({"clips": 10}, "measuring.changes.clips was 12 and is 10 now"),
        (
            {"set": (*NETS, "trainer.batch_size=4", "demo:penalty.gamma=9")},
            "demo: penalty.gamma was 0.5 and is 9.0 now",
        ),
    ],
)
def test_another_plan_is_refused(compare, changes, told):
    with pytest.raises(RunError, match=rf"holds a comparison of another plan \({re.escape(told)}\)"):
        compare(*ENTRIES, **changes)


@pytest.mark.parametrize(
    ("more", "flag"),
    [
        ({"seeds": 5}, "--seeds"),
        ({"minutes": 3}, "--minutes, --steps or --samples"),
        ({"set": ["loss=hinge"]}, "--set"),
        ({"held_out": 0.3}, "--held-out"),
    ],
)
def test_going_on_without_names_takes_nothing_that_it_would_not_follow(root, more, flag):
    with own_registry(), pytest.raises(ConfigError, match=rf"^{flag}: found without anything to compare"):
        gadkit.compare(out=root / "out", **more)


def test_other_contenders_are_refused(compare):
    with pytest.raises(RunError, match="it compares demo, gentle, and demo was asked for"):
        compare("demo")


def test_further_contenders_and_seeds_join_what_is_there(root, compare, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(root / "out", out)
    before = runs_of(results(out))
    entries = ("third=demo,penalty.gamma=1", *ENTRIES[::-1])
    found = compare(*entries, seeds=(7, 1, 0), out=out, only="third-seed7", trains=True)
    assert [each.name for each in found.plan.contenders] == ["demo", "gentle", "third"]
    assert found.plan.seeds == (0, 1, 7)
    (third,) = (run for row in found.rows for run in row.runs if run.job.name == "third-seed7")
    assert third.whole
    assert config(out / "runs/third-seed7")["penalty"]["gamma"] == 1
    with own_registry():
        gadkit.compare(out=out, collect=True, device="cpu")
    after = runs_of(results(out))
    assert {name: after[name] for name in before} == before
    assert {name for name, run in after.items() if run["failure"]} == {
        *("third-seed0", "third-seed1", "demo-seed7", "gentle-seed7")
    }


def test_the_page_stands_alone_and_shows_the_videos_of_each_seed(root, tmp_path):
    page = (root / "out/comparison.html").read_text()
    assert page.count('src="data:video/mp4;base64,') == 5  # real clips, and two seeds of two recipes
    assert "memorisation" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    with browser(tmp_path) as window:
        window.open(root / "out/comparison.html")
        window.until("[...document.querySelectorAll('.clip video')].every((video) => video.readyState >= 2)")
        shown = "[...document.querySelectorAll('.clip')].filter((clip) => clip.offsetParent).map((c) => c.innerText)"
        first = window.ask(shown)
        assert [text.split()[0] for text in first] == ["real", *(row_of(root))]
        assert all("seed 0" in text for text in first[1:])
        window.ask("document.querySelectorAll('.choice label')[1].click()")
        assert all("seed 1" in text for text in window.ask(shown)[1:])
        assert window.complaints == []
        assert list(window.requests.values()) == [(root / "out/comparison.html").as_uri()]


def row_of(root):
    return [contender["name"] for contender in results(root / "out")["contenders"]]


def test_a_plan_says_all_that_was_asked(root):
    plan = read_plan(root / "out")
    assert [each.text for each in plan.contenders] == list(ENTRIES)
    assert plan.budget.steps == 2
    assert plan.measuring.features == ("random-r3d",)
    assert plan.measuring.metrics == ("fvd", "kvd", "prdc", "memorisation", "motion")
    assert set(plan.versions) >= {"gadkit", "torch"}


def test_printed_lines_do_the_same(root, compare, tmp_path):
    """One line a run and one that collects; the run is the one of the comparison to the last digit."""
    out = tmp_path / "out"
    with own_registry():
        asked = {key: value for key, value in SMALL.items() if key != "device"}
        lines = commands("demo", out=out, data=root / "data", seeds=1, device="cpu", more=["--device", "cpu"], **asked)
    assert lines == [
        f"gadkit compare --out {out} --only demo-seed0 --device cpu",
        f"gadkit compare --out {out} --collect",
    ]
    assert not list((out / "runs").iterdir())
    with own_registry():
        gadkit.compare(out=out, only="demo-seed0", device="cpu")
    assert not (out / "results.json").exists()
    with own_registry():
        gadkit.compare(out=out, collect=True, device="cpu")
    mine, theirs = (runs_of(results(each))["demo-seed0"] for each in (out, root / "out"))
    assert mine["values"] == theirs["values"]


def test_what_a_net_cannot_make_is_refused_before_anything_is_trained(compare, tmp_path):
    with pytest.raises(ConfigError, match=r"^article: size: found 14x14"):
        compare("demo", "article", out=tmp_path / "out", resolution=14, set=())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"resolution": None}, "choose one for all with --resolution"),
        ({"steps": None}, "expected one of --minutes, --steps and --samples"),
        ({"minutes": 1.0}, "found --minutes and --steps"),
        ({"set": ("run.steps=9",)}, "say it with --steps"),
        ({"set": ("demo:video.stride=2",)}, "video.stride has to be the same for all"),
        ({"set": ("nobody:loss=hinge",)}, "nothing that is trained here is called 'nobody'"),
        ({"features": ["i3d"]}, "weights 'i3d' are not installed"),
        ({"features": ["random-r3d", "random-r3d"]}, "expected each of them once"),
        ({"data": "nowhere"}, "there is no such file or folder"),
    ],
)
def test_what_cannot_be_compared_is_refused(compare, tmp_path, changes, told):
    with pytest.raises(gadkit.GadkitError) as error:
        compare("demo", "dcgan", out=tmp_path / "out", **changes)
    assert told in str(error.value)
    assert not (tmp_path / "out").exists()
