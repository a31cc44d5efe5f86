"""Settings that change during a run, on the command line."""

from __future__ import annotations

import pytest
from small_runs import CommandLine, folder_of_clips, own_registry


@pytest.fixture
def line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with own_registry():
        yield CommandLine(monkeypatch, capsys)


def test_a_dry_run_shows_the_schedules(line, tmp_path):
    clips = folder_of_clips(tmp_path / "clips")
    lr = 'trainer.generator_lr={start = 2e-4, end = 5e-5, steps = 3000, shape = "cosine"}'
    sets = ("--set", lr, "--set", "penalty.gamma={start=2, end=0.2}")
    done = line.train(clips, "--dry-run", *sets, "--set", "trainer.generator_betas=[0, {start=0.9, end=0.99}]")
    assert done.code == 0, done.err
    told = " ".join((done.out + done.err).split())
    assert "trainer.generator_lr 0.0002 → 5e-05, cosine over steps 0 to 3000" in told
    assert "trainer.generator_betas.1 0.9 → 0.99, linear over steps 0 to 2" in told
    assert "penalty.gamma 2 → 0.2, linear over steps 0 to 2" in told


def test_plugins_show_says_what_may_change(line):
    done = line("plugins", "show", "penalty", "r1")
    assert "schedulable float" in done.out
    assert "A schedulable number may change during a run: {start = 1.0, end = 0.1}" in done.out
    assert "schedulable" not in line("plugins", "show", "loss", "hinge").out


def test_a_table_for_what_cannot_change_is_refused_on_the_command_line(line, tmp_path):
    done = line.train(tmp_path, "--set", "generator.width={start = 8, end = 16}")
    assert done.error.startswith(
        "generator.width cannot change during a run; found {'start': 8, 'end': 16}, expected an"
    )
