"""`gadkit recipes`: what there is, and what each chooses, without a network being imported."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib

import pytest
from small_runs import environment

RECIPE = """
from gadkit import Component, hookimpl


@hookimpl
def gadkit_recipes():
    return [
        Component(name="mine", summary="of mine", target="extra:mine.toml", source="nobody 2026"),
        Component(name="broken", summary="no TOML", target="extra:broken.toml"),
    ]
"""


def test_every_recipe_is_listed_with_its_parts(gadkit_command):
    done = gadkit_command("recipes", "list")
    assert done.code == 0
    head, *lines = done.out.splitlines()
    assert head.split() == ["recipe", "summary", "provider", "parts"]
    listed = {line.split()[0]: line for line in lines}
    assert {"article", "dcgan", "demo", "gad"} <= listed.keys()
    assert " · ".join(("residual", "walk", "sparse", "rpgan", "r1", "diffaugment", "alternating")) in listed["gad"]
    assert "none" not in listed["article"]
    assert listed["vae"].endswith(" · vae")
    told = json.loads(gadkit_command("recipes", "list", "--json").out)["recipes"]
    assert {each["name"] for each in told} == listed.keys()
    (gad,) = (each for each in told if each["name"] == "gad")
    assert gad["parts"]["loss"] == "rpgan"


def test_a_summary_speaks_of_refined_samples_where_the_recipe_refines_them(gadkit_command):
    for each in json.loads(gadkit_command("recipes", "list", "--json").out)["recipes"]:
        assert ("refined" in each["summary"]) == (each["parts"].get("refiner", "none") != "none")


def test_a_recipe_is_shown_with_its_text_source_and_parts(gadkit_command):
    done = gadkit_command("recipes", "show", "article")
    assert done.code == 0
    assert done.out.startswith("recipe gadkit:article\n  summary   the GAD article's networks")
    assert "  source    Gradient-based Adversarial Direction (GAD)" in done.out
    rows = [line.split()[:2] for line in done.out.splitlines()]
    assert ["generator", "dcgan-article"] in rows
    assert ["penalty", "none"] in rows
    assert "# For comparisons with the GAD article: its two networks for 28x28" in done.out
    told = json.loads(gadkit_command("recipes", "show", "gad", "--json").out)
    assert tomllib.loads(told["text"])["loss"]["use"] == told["parts"]["loss"] == "rpgan"


def test_an_unknown_recipe_is_refused(gadkit_command):
    assert "Did you mean 'gad'?" in gadkit_command("recipes", "show", "gadd").error


def test_one_that_is_broken_or_misses_a_part_costs_only_itself(gadkit_command, tmp_path, monkeypatch):
    from gadkit.registry import get_registry

    (tmp_path / "extra.py").write_text(RECIPE)
    (tmp_path / "mine.toml").write_text('loss = "nowhere"\n[trainer]\nuse = "minimax"\n')
    (tmp_path / "broken.toml").write_text("loss = = 1\n")
    import gadkit.cli.recipes as command

    def registry():
        found = get_registry()
        found.load_file(tmp_path / "extra.py")
        return found

    monkeypatch.setattr(command, "_registry", registry)
    listed = {line.split()[0]: line for line in gadkit_command("recipes", "list").out.splitlines()}
    assert listed["mine"].endswith("  nowhere · minimax")
    assert "failed: Recipe 'extra.py:broken' is not TOML" in listed["broken"]
    shown = gadkit_command("recipes", "show", "mine").out
    assert "is not installed" in next(line for line in shown.splitlines() if line.startswith("loss"))
    assert "is not TOML" in gadkit_command("recipes", "show", "broken").error


@pytest.mark.parametrize("words", ["recipes list", "recipes show gad", "compare --help", "recipes --help"])
def test_no_network_is_imported(words):
    code = (
        f"import sys\nfrom gadkit.cli.app import main\nsys.argv = ['gadkit', *{words.split()!r}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "held = [name for name in ('torch', 'numpy', 'av') if name in sys.modules]\nassert not held, held\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
