"""The packages of the examples: small, listed as any third party's, and trained with to the last bit.

Their own tests, which run the conformance kit over them, stand beside them; `.ci/run` runs these in an environment that
the packages are installed in.
"""

import subprocess
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from plugins_fixtures import importable, install
from small_runs import environment, own_registry, same_tensors, small
from synthetic import Squares

import gadkit
from gadkit.checkpoints.store import read_tensors
from gadkit.registry import get_registry
from gadkit.runs.folder import Run
from gadkit.testing.games import dirac

EXAMPLES = Path(__file__).parents[2] / "examples"
#: By the folder: the kind and the name of what the package offers, and settings of a short run with it.
OFFERS = {
    "gadkit-lookahead": ("direction", "lookahead", {"direction.k": 3, "direction.alpha": 0.25}),
    "gadkit-inr": ("generator", "inr", {"generator.style_dim": 16, "generator.frequencies": 4}),
    "gadkit-diffusion": ("augmentation", "diffusion", {"augmentation.target": -0.9, "augmentation.ramp": 40}),
}


def packages():
    return pytest.mark.parametrize("package", OFFERS)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ExitStack() as places, own_registry():
        for package in OFFERS:
            install(tmp_path / "site" / package, str(EXAMPLES / package))
            places.enter_context(importable(tmp_path / "site" / package))
        yield


@packages()
def test_a_package_has_fewer_than_150_lines_of_code_and_tests_of_its_own(package) -> None:
    code = (EXAMPLES / package).glob("gadkit_*/*.py")
    assert 0 < sum(len(path.read_text(encoding="utf-8").splitlines()) for path in code) < 150
    assert list((EXAMPLES / package / "tests").glob("test_*.py"))


@packages()
def test_a_package_is_listed_with_its_version_and_its_paper(package, installed) -> None:
    kind, name, _ = OFFERS[package]
    project = tomllib.loads((EXAMPLES / package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == package
    assert "gadkit>=0.1,<0.2" in project["dependencies"]
    entry = get_registry().find(kind, name)
    assert (entry.distribution, entry.version) == (package, project["version"])
    assert "arXiv:" in entry.component.source
    assert issubclass(entry.load(), getattr(gadkit, kind.capitalize()))


def test_listing_them_imports_no_torch() -> None:
    for package in OFFERS:
        module = package.replace("-", "_")
        code = f"import sys, {module}.plugin as p; assert 'torch' not in sys.modules; assert {module!r} in p.__name__"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=EXAMPLES / package, env=environment())


@packages()
def test_a_stopped_run_with_it_goes_on_exactly(package, installed) -> None:
    kind, name, settings = OFFERS[package]
    base = {"generator.width": 8, "generator.latent_dim": 8, "generator.motion_dim": 4}
    choices = {kind: name, "set": base | {"discriminator.width": 8, "run.samples": 2} | settings}
    small("unbroken", steps=5, **choices)
    small("stopped", steps=2, **choices)
    gadkit.train(resume="stopped", steps=5, dataset=Squares)

    def end(run):
        return read_tensors(Run(Path(run)).checkpoints()[-1], "training.safetensors")

    assert same_tensors(end("unbroken"), end("stopped"))
    if kind == "augmentation":  # adaptive, and above its target from the beginning
        assert Run(Path("stopped")).read_log()[-1]["augmentation/strength"] > 0


def test_lookahead_reaches_the_equilibrium_that_alternating_steps_circle(installed) -> None:
    minimax = get_registry().find("loss", "minimax").load()

    def distance(direction):
        game = dirac(minimax(), step=0.5)
        game.play(direction, 400)
        return torch.hypot(*game.generator.parameters, *game.discriminator.parameters).item()

    assert distance(get_registry().find("direction", "lookahead").load()()) < 1e-6
    assert distance(get_registry().find("direction", "alternating").load()()) > 1
