"""The parts of a comparison, each by itself: entries, budgets, launcher, rankings."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import SETTINGS, environment, own_registry, small

from gadkit import ConfigError, PluginError
from gadkit.comparison.asking import Request, make_plan
from gadkit.comparison.budget import Budget, standing
from gadkit.comparison.entries import check_names, own_settings, read_entry, split_settings
from gadkit.comparison.facts import Facts, facts_of
from gadkit.comparison.looks import Look, looks
from gadkit.comparison.measuring import Seen
from gadkit.comparison.plan import Contender, Job, Measuring, Plan, write_plan
from gadkit.comparison.report import tables
from gadkit.comparison.summary import Row, Run, rank, spread_text
from gadkit.comparison.training import Trainings, read_turns
from gadkit.config import RunConfig
from gadkit.evaluation.scores import Score
from gadkit.registry import get_registry
from gadkit.report.log import costs, read_log
from gadkit.report.reading import Files
from gadkit.tables import parse_toml

LOOK = Look(key="look", title="a look", against=None, features=("net",), metrics=("fvd",))


# What was asked for.


@pytest.mark.parametrize(
    ("text", "name", "recipe", "sets"),
    [
        ("gad", "gad", "gad", ()),
        ("mine=gad", "mine", "gad", ()),
        ("hinge=gad,loss=hinge,penalty=r1", "hinge", "gad", ("loss=hinge", "penalty=r1")),
        (
            "b=gad,trainer.generator_betas=[0.0, 0.9],seed=1",
            "b",
            "gad",
            ("trainer.generator_betas=[0.0, 0.9]", "seed=1"),
        ),
        ("s=gad,penalty.gamma={start=2,end=1}", "s", "gad", ("penalty.gamma={start=2,end=1}",)),
    ],
)
def test_recipes_and_variants_are_read(text, name, recipe, sets):
    found = read_entry(get_registry(), text)
    assert (found.name, found.recipe, found.sets) == (name, recipe, sets)
    assert found.text == text


def test_files_and_runs_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mild.toml").write_text('recipe = "gad"\n')
    Path("runs/one").mkdir(parents=True)
    Path("runs/one/config.toml").write_text("format = 1\n")
    Path("gad").mkdir()
    registry = get_registry()
    assert read_entry(registry, "mild.toml").file == Path("mild.toml")
    assert read_entry(registry, "x=mild.toml,loss=hinge").sets == ("loss=hinge",)
    assert read_entry(registry, "runs/one").run == (tmp_path / "runs/one")
    assert read_entry(registry, "runs/one").name == "one"
    assert read_entry(registry, "runs/one/config.toml").name == "one"
    assert read_entry(registry, "gad").recipe == "gad"  # a folder of that name is no reason to mean it


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gad,loss=hinge", "a variant needs a name of its own"),
        ("x=gad,hinge", "expected key=value"),
        ("=gad", "found the name ''"),
        ("x=", "found no recipe"),
        ("a b=gad", "found the name 'a b'"),
        ("missing.toml", "there is no file missing.toml"),
        ("runs/none", "is no run of gadkit"),
    ],
)
def test_what_is_no_entry_is_refused(text, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        read_entry(get_registry(), text)


def test_an_unknown_recipe_is_told_where_to_look():
    with pytest.raises(PluginError, match=r"no recipe 'gda'\. Did you mean 'gad'.*gadkit recipes list"):
        read_entry(get_registry(), "gda")


def test_commas_in_brackets_and_quotes_part_nothing():
    assert split_settings("a=[1,[2,3]],b='x,y',c={d=1,e=2}") == ["a=[1,[2,3]]", "b='x,y'", "c={d=1,e=2}"]


def test_two_of_one_name_are_refused_but_for_runs(tmp_path):
    registry = get_registry()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text("format = 1\n")
    check_names([read_entry(registry, f"mine={tmp_path / name}") for name in ("one", "two")])
    with pytest.raises(ConfigError, match="'GAD' a second time"):
        check_names([read_entry(registry, "gad"), read_entry(registry, "GAD=dcgan")])


def test_settings_are_for_all_or_for_one():
    common, own = own_settings(["a.b=x:y", "gad:loss=hinge", "gad:c.d=1"], ["gad", "dcgan"])
    assert common == ["a.b=x:y"]
    assert own == {"gad": ["loss=hinge", "c.d=1"], "dcgan": []}


# Budgets.


def test_samples_become_whole_steps():
    config = RunConfig.resolve(get_registry(), recipe="demo", sets=["trainer.batch_size=6"])
    assert Budget(samples=100).settings(config, 5)["run.steps"] == 17
    assert Budget(steps=100).settings(config, 5)["run.steps"] == 100


def test_a_recipes_own_limit_does_not_end_a_budget_of_steps():
    """The recipe `demo` stops after four minutes."""
    config = RunConfig.resolve(get_registry(), recipe="demo")
    assert config.run.max_time == 240
    flags = Budget(steps=10**6).settings(config, 5)
    assert RunConfig.resolve(get_registry(), recipe="demo", flags=flags).run.max_time > 10**8


def test_who_names_steps_beside_minutes_is_told_of_both():
    registry, ten = get_registry(), Budget(minutes=10)
    flags = ten.settings(RunConfig.resolve(registry, recipe="demo"), 5)
    endless = RunConfig.resolve(registry, recipe="demo", flags=flags).run.steps
    for steps in ([], [endless], [endless, 500]):
        assert ten.told(steps) == "10 min of training"
    assert ten.told([3000]) == ten.told([3000, 3000]) == "3,000 steps, or 10 min of training"
    assert ten.told([3000, 500]) == "steps of its own, or 10 min of training"
    assert Budget(steps=200).told([200]) == "200 steps"


def test_steps_that_end_a_training_before_the_clock_have_the_points_of_the_curve():
    registry = get_registry()
    asked = Request.of(("demo", "short=demo,run.steps=500"), minutes=600, resolution=32, frames=8, curve=4, clips=8)
    every = {
        each.name: parse_toml(each.config.encode())["run"]["checkpoint_every"]
        for each in make_plan(registry, asked).contenders
    }
    assert every == {"demo": "1800.0s", "short": 125}


def test_a_schedule_over_all_steps_has_no_end_in_a_budget_of_minutes():
    sets = ["trainer.generator_lr={start=1e-3,end=1e-4}"]
    budget = Budget(minutes=1)
    flags = budget.settings(RunConfig.resolve(get_registry(), recipe="demo", sets=sets), 5)
    with pytest.raises(ConfigError, match=r"^trainer.generator_lr: its schedule goes over all steps"):
        budget.check(RunConfig.resolve(get_registry(), recipe="demo", flags=flags, sets=sets))
    for more in (["run.steps=500"], ["trainer.generator_lr={start=1e-3,end=1e-4,steps=500}"]):
        budget.check(RunConfig.resolve(get_registry(), recipe="demo", flags=flags, sets=[*sets, *more]))


def test_what_is_left_of_a_budget_is_what_was_not_spent(tmp_path):
    """By the newest checkpoint: time that was lost with what it made does not count."""
    with own_registry():
        registry, budget = get_registry(), Budget(minutes=0.5)
        flags = budget.settings(RunConfig.resolve(registry, recipe="demo"), 2)
        config = RunConfig.resolve(registry, recipe="demo", flags=flags)
        contender = Contender(name="demo", text="demo", config=config.to_toml())
        plan = Plan(contenders=(contender,), seeds=(4,), budget=budget, measuring=Measuring(protocol="gadkit"))
        write_plan(tmp_path, plan)
        (job,) = plan.jobs(tmp_path)
        trainings = Trainings(plan, tmp_path, print)
        assert trainings.command(job)[-2:] == ["--set", "run.max_time=30.000"]
        small(job.folder)
        state = next((job.folder / "checkpoints").glob("step-000002")) / "state.json"
        spent = standing(job.folder).seconds
        assert spent == json.loads(state.read_text())["seconds"] > 0
        words = trainings.command(job)
        assert words[:5] == ["train", "--config", str(tmp_path / "configs/demo.toml"), "--seed", "4"]
        assert words[words.index("--resume") + 1] == "auto"
        assert words[-1] == f"run.max_time={30 - spent:.3f}"
        assert not trainings.done(job)
        assert standing(job.folder).spent(Budget(minutes=spent / 60), 10**9)
        assert not standing(job.folder).spent(Budget(minutes=(spent + 0.1) / 60), 10**9)
        assert standing(job.folder).spent(Budget(steps=2), 2)
        assert not standing(job.folder).spent(Budget(steps=3), 3)


def test_what_a_gpu_held_is_kept_and_shown(tmp_path, monkeypatch):
    held = iter([5 << 30, 6 << 30])
    monkeypatch.setattr("gadkit.runs.course.most_taken", lambda device: next(held))
    with own_registry():
        small(tmp_path / "run", set={**SETTINGS, "run.log_every": 1})
        job = Job(name="x", contender=Contender(name="x", text="x"), seed=0, folder=tmp_path / "run")
        facts = facts_of(get_registry(), tmp_path, job)
    assert facts.gpu_memory == 6 << 30
    log = read_log(Files(tmp_path / "run"))
    assert log.series["memory"].values.tolist() == [5 << 30, 6 << 30]
    (chart,) = (each for each in costs(log).items() if "memory" in each[0])
    assert chart[0] == "most GPU memory, GB"
    assert chart[1].values.tolist() == pytest.approx([5.36870912, 6.442450944])


@pytest.mark.parametrize("held", [None, 6 << 30])
def test_the_table_of_costs_has_a_gpus_memory_where_there_was_one(held):
    contender = Contender(name="x", text="x")
    job = Job(name="x", contender=contender, seed=0, folder=Path("x"))
    row = Row(contender=contender, runs=[Run(job=job, facts=Facts(gpu_memory=held), failure="", seen={}, curve=[])])
    table = tables([row], [])[-1]
    assert ("peak GPU memory" in table.head) == (held is not None)
    assert ("6 GiB" in table.rows[0]) == (held is not None)
    assert len(table.head) == len(table.rows[0])


# The launcher.


def launched(tmp_path, *command, stdin=subprocess.DEVNULL, **more):
    words = [sys.executable, "-m", "gadkit.comparison.launcher", tmp_path / "record", tmp_path / "log", "2", *command]
    return subprocess.Popen([*map(str, words)], env=environment(), stdin=stdin, **more)


def job_at(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "record").rename(tmp_path / "logs/x.jsonl")
    return Job(name="x", contender=Contender(name="x", text="x"), seed=0, folder=tmp_path)


def test_the_launcher_keeps_code_output_and_memory(tmp_path):
    code = "import sys; held = bytearray(300 << 20); print('hello'); sys.exit(3)"
    assert launched(tmp_path, sys.executable, "-c", code, stdin=subprocess.PIPE).wait(60) == 3
    (turn,) = read_turns(tmp_path, job_at(tmp_path))
    assert (turn.code, turn.at_once) == (3, 2)
    assert 300 << 20 < turn.peak_memory < 400 << 20
    assert (tmp_path / "log").read_text() == "hello\n"


def test_the_memory_of_whoever_starts_it_does_not_count(tmp_path):
    held = bytearray(500 << 20)
    assert len(held)
    launched(tmp_path, sys.executable, "-c", "pass", stdin=subprocess.PIPE).wait(60)
    assert read_turns(tmp_path, job_at(tmp_path))[0].peak_memory < 100 << 20


def test_a_training_ends_with_whoever_started_it(tmp_path):
    code = "import time; print('begun', flush=True); time.sleep(120)"
    process = launched(tmp_path, sys.executable, "-c", code, stdin=subprocess.PIPE)
    while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
        assert process.poll() is None
    process.stdin.close()  # as when the other end is killed
    process.wait(60)
    assert read_turns(tmp_path, job_at(tmp_path))[0].code == -15


# What may be said.


def row(name, *values, floor=10.0, best="lowest", manifest=None):
    runs = [
        Run(
            job=Job(name=f"{name}-{number}", contender=Contender(name=name, text=name), seed=number, folder=Path()),
            facts=Facts(),
            seen={
                "look": Seen(
                    step=1,
                    values={"fvd[net]": Score(value=value, floor=floor, best=best)},
                    manifest=manifest or {"protocol": {"name": "p"}},
                )
            },
        )
        for number, value in enumerate(values)
    ]
    return Row(contender=Contender(name=name, text=name), runs=runs)


def test_first_by_more_than_the_spread_is_said_only_where_it_is_so():
    found = rank([row("far", 30, 31, 32), row("near", 20, 21, 22)], LOOK)
    assert found.order == ("near", "far")
    assert found.apart
    assert "first by more than the spread over 3 seeds" in found.sentence
    assert "11.0 ± 1.0, before far with 21.0 ± 1.0" in found.sentence  # less the floor
    found = rank([row("far", 21, 23, 25), row("near", 20, 21, 22)], LOOK)
    assert not found.apart
    assert "does not tell near apart from far" in found.sentence
    assert "more than" not in found.sentence


def test_the_first_has_to_be_apart_from_all_others():
    found = rank([row("a", 20, 21, 22), row("b", 30, 31, 32), row("c", 20, 40, 60)], LOOK)
    assert not found.apart
    assert found.sentence.endswith("apart from c (a lead of 19, both standard deviations together 21).")


def test_of_one_seed_no_spread_is_claimed():
    found = rank([row("a", 20), row("b", 90, 91)], LOOK)
    assert not found.apart
    assert "nothing is known of the spread" in found.sentence
    assert "more than" not in found.sentence


def test_the_highest_is_first_where_that_is_best():
    found = rank(
        [row("low", 0.1, 0.2, floor=None, best="highest"), row("high", 0.8, 0.9, floor=None, best="highest")], LOOK
    )
    assert found.order == ("high", "low")
    assert found.apart


def test_who_was_measured_otherwise_or_not_at_all_is_not_ranked():
    other = {"protocol": {"name": "q"}}
    found = rank([row("a", 20, 21), row("b", 1, 2, manifest=other), row("c"), row("d", math.nan, 3)], LOOK)
    assert found.order == ("a",)
    assert "nothing to compare it with" in found.sentence


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        (278.81, 4.02, "278.8 ± 4.0"),
        (0.00161, 0.00228, "0.0016 ± 0.0023"),
        (92.063, 0.0001, "92.06 ± 0.00"),
        (1.0, None, "1"),
        (0.0, 0.0, "0 ± 0"),
        (0.5, 20.0, "0 ± 20"),
        (3412.0, 55.0, "3,412 ± 55"),
    ],
)
def test_spreads_have_the_places_of_their_means(mean, std, text):
    assert spread_text(mean, std) == text


def test_each_network_is_a_look_and_pixels_are_measured_once():
    measuring = Measuring(
        protocol="gadkit",
        metrics=("fvd", "memorisation", "motion"),
        features=("random-r3d", "i3d"),
        against=("/elsewhere/others",),
    )
    found = looks(get_registry(), measuring)
    assert [(look.title, look.metrics) for look in found] == [
        ("held-out clips, in random-r3d", ("fvd", "memorisation", "motion")),
        ("held-out clips, in i3d", ("fvd", "memorisation")),
        ("others, in random-r3d", ("fvd", "motion")),
        ("others, in i3d", ("fvd",)),
    ]
    assert len({look.key for look in found}) == 4
