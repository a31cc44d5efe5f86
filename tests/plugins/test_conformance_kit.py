"""What the kit finds to check, and what becomes of what cannot be loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

import pytest
from plugins_fixtures import importable, write_metadata, write_package
from small_runs import environment, own_registry

import gadkit
from gadkit import Loss, PluginError
from gadkit.errors import ConfigError
from gadkit.testing import Broken, Check, conformance

RECORDS = """
from gadkit import Component, hookimpl

@hookimpl
def gadkit_losses():
    return [
        Component(name="tempered", summary="A softer loss", target="acme_nets:Tempered"),
        Component(name="gone", summary="Not there", target="acme_nets:Gone"),
    ]

@hookimpl
def gadkit_recipes():
    return [Component(name="tempered", summary="A softer game", target="acme_nets:game.toml")]
"""
NETS = '''
from typing import Annotated

from pydantic import Field
from torch import nn

import gadkit


class Tempered(gadkit.Loss):
    """Non-saturating at a temperature.

    Args:
        temperature: Above 1 the players see softer decisions.
    """

    def __init__(self, *, temperature: Annotated[float, Field(gt=0)] = 1.0) -> None:
        self.temperature = temperature

    def discriminator(self, real, fake):
        t = self.temperature
        return nn.functional.softplus(-real / t).mean() + nn.functional.softplus(fake / t).mean()

    def generator(self, fake, real):
        return nn.functional.softplus(-fake / self.temperature).mean()
'''


@pytest.fixture
def acme(tmp_path: Path):
    """An installed distribution with a loss that works, one that is not there, a recipe, and a plugin that fails."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "acme_plugin.py").write_text(RECORDS)
    (folder / "acme_nets.py").write_text(NETS)
    (folder / "acme_broken.py").write_text("raise ValueError('no licence')")
    write_metadata(folder, "acme-gan", "1.0", {"good": "acme_plugin", "bad": "acme_broken"})
    with importable(folder), own_registry():
        yield folder


def named(checks: list[Check], text: str) -> Check:
    (found,) = (check for check in checks if str(check) == text)
    return found


def test_a_distribution_gives_the_checks_of_all_that_it_offers(acme: Path) -> None:
    checks = conformance("Acme_GAN")
    assert [str(check) for check in checks] == [
        "plugin acme-gan:bad: loads",
        "plugin acme-gan: imports",
        "plugin acme-gan: shown",
        *(f"loss acme-gan:gone: {each}" for each in ("record", "contract", "gradients", "devices", "training")),
        *(f"loss acme-gan:tempered: {each}" for each in ("record", "contract", "gradients", "devices", "training")),
        *(f"recipe acme-gan:tempered: {each}" for each in ("record", "contract", "training")),
    ]


def test_what_cannot_be_loaded_costs_its_own_checks_alone(acme: Path) -> None:
    checks = conformance("acme-gan")
    with pytest.raises(Broken, match="no licence") as caught:
        named(checks, "plugin acme-gan:bad: loads")()
    assert caught.value.promised == "plugin acme-gan:bad can be imported and hands over its records"
    for aspect in ("record", "contract", "training"):
        with pytest.raises(Broken, match="has no attribute 'Gone'"):
            named(checks, f"loss acme-gan:gone: {aspect}")()
    for aspect in ("record", "contract", "gradients", "devices", "training"):
        named(checks, f"loss acme-gan:tempered: {aspect}")()


@pytest.mark.parametrize(
    ("what", "kind", "found"),
    [
        ("tempered", None, {"loss", "recipe", "plugin"}),
        ("acme-gan:tempered", "loss", {"loss", "plugin"}),
        ("acme-gan", "recipe", {"recipe", "plugin"}),
    ],
)
def test_a_name_stands_for_a_component_of_every_kind_that_has_it(
    acme: Path, what: str, kind: str | None, found: set[str]
) -> None:
    assert {check.kind for check in conformance(what, kind=kind)} == found


def test_a_class_tells_its_kind_by_its_interface() -> None:
    class Own(Loss):
        def discriminator(self, real, fake):
            return (fake - real).mean()

        def generator(self, fake, real):
            return -fake.mean()

    own = Own.__qualname__
    assert {str(check) for check in conformance(Own)} >= {f"loss {own}: record", f"loss {own}: training"}
    with pytest.raises(PluginError, match=r"derives from no interface.*say kind="):
        conformance(Path)  # a class, though not one of gadkit's
    with pytest.raises(Broken, match=r"does not implement gadkit\.Penalty"):
        conformance(Own, kind="penalty")[0]()


def test_a_plugin_file_is_checked_or_its_failure_is(tmp_path: Path) -> None:
    records = RECORDS.replace("acme_nets", "own_losses").replace('Component(name="gone"', '# Component(name="gone"')
    (tmp_path / "own_losses.py").write_text(records.replace("@hookimpl\ndef gadkit_recipes", "def _") + NETS)
    (tmp_path / "own_broken.py").write_text("import no_such_module_anywhere")
    with own_registry():
        checks = conformance(tmp_path / "own_losses.py")
        assert {check.kind for check in checks} == {"loss"}
        named(checks, "loss own_losses.py:tempered: training")()
        (check,) = conformance(str(tmp_path / "own_broken.py"))
        with pytest.raises(Broken, match="No module named 'no_such_module_anywhere'"):
            check()
    with pytest.raises(PluginError, match="there is no such file or folder"):
        conformance(tmp_path / "nothing.py")


def test_a_folder_is_checked_where_it_is_installed_from(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    write_package(folder, "acme-gan", RECORDS)
    (folder / "acme_nets.py").write_text(NETS)
    (folder / "pyproject.toml").write_text('[project]\nname = "acme-gan"\n')
    with own_registry(), pytest.raises(PluginError, match=r"names no plugin of gadkit; say \[project\]"):
        conformance(folder)
    project = '[project]\nname = "acme-gan"\n[project.entry-points.gadkit]\nacme_gan = "acme_gan"\n'
    (folder / "pyproject.toml").write_text(project)
    with own_registry(), pytest.raises(PluginError, match=r"not installed here; install it with `python -m pip inst"):
        conformance(folder)
    with importable(folder), own_registry():
        named(conformance(folder), "loss acme-gan:tempered: contract")()
        (folder / "pyproject.toml").write_text(project + 'more = "acme_gan"\n')
        with pytest.raises(PluginError, match="are not those that are installed"):
            conformance(folder)
        other = tmp_path / "other"
        other.mkdir()
        (other / "pyproject.toml").write_text(project)
        with pytest.raises(PluginError, match=r"is installed from .*so what stands in this folder"):
            conformance(other)


@pytest.mark.parametrize(
    ("what", "kind", "found"),
    [
        ("no-such-thing", None, "There is no component, distribution, file or folder 'no-such-thing'"),
        ("hinje", None, "Did you mean 'hinge'"),
        ("hinge", "generator", "There is no generator 'hinge'"),
        ("gadkit:nothing", "loss", "There is no loss 'gadkit:nothing'"),
        ("hinge", "colour", "There is no kind 'colour'"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(what: str, kind: str | None, found: str) -> None:
    with pytest.raises(PluginError, match=found):
        conformance(what, kind=kind)


def test_what_is_switched_off_is_no_success(acme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GADKIT_DISABLED_PLUGINS", "acme-gan")
    with own_registry(), pytest.raises(PluginError, match=r"is switched off.*gadkit plugins enable"):
        conformance("acme-gan")


def test_settings_go_to_whom_they_are_said_to_belong(acme: Path) -> None:
    with pytest.raises(ConfigError, match=r"there are 3 components.*such as loss\.temperature"):
        conformance("acme-gan", temperature=2.0)
    for key, given in (("temperature", "hinge"), ("loss.target", "lsgan")):
        checks = conformance("tempered" if given == "hinge" else given, kind="loss", **{key: -1.0})
        assert checks
    named(conformance("acme-gan:tempered", kind="loss", temperature=3.0), "loss acme-gan:tempered: record")()
    checks = conformance("acme-gan", **{"loss.temperature": -3.0})
    with pytest.raises(Broken, match=r"loss\.temperature: found -3\.0, expected a number greater than 0"):
        named(checks, "loss acme-gan:tempered: record")()


def test_every_kind_has_checks() -> None:
    for kind in ("generator", "trainer", "dataset", "features", "metric", "protocol", "recipe", "tracker"):
        entries = gadkit.registry.get_registry().entries(kind)
        assert {"record", "contract"} <= {check.aspect for check in conformance(entries[0].qualified, kind=kind)}


def test_an_unexpected_exception_is_a_broken_promise_with_its_place() -> None:
    def run() -> None:
        raise KeyError("width")

    with pytest.raises(Broken, match=r"KeyError: 'width' \(in test_conformance_kit\.py, line \d+\)"):
        Check("loss", "acme:own", "contract", run)()
    for end in (SystemExit("licence"), AssertionError("its own")):

        def ends(end: BaseException = end) -> None:
            raise end

        with pytest.raises(Broken, match="without an exception"):
            Check("loss", "acme:own", "contract", ends)()


def test_pytest_shows_each_check_as_what_it_is(acme: Path, tmp_path: Path) -> None:
    (tmp_path / "test_acme.py").write_text(
        "import pytest\nfrom gadkit.testing import conformance\n"
        "@pytest.mark.parametrize('check', conformance('acme-gan'), ids=str)\n"
        "def test_conformance(check):\n    check()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-k", "record or loads", tmp_path],
        env=environment(PYTHONPATH=f"{acme}:{environment()['PYTHONPATH']}"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "3 failed, 1 passed" in done.stdout, done.stdout
    assert "FAILED test_acme.py::test_conformance[loss acme-gan:gone: record]" in done.stdout
    assert "PASSED test_acme.py::test_conformance[loss acme-gan:tempered: record]" in done.stdout
    assert "Broken: Promised: the target of loss acme-gan:gone" in done.stdout


def test_listing_checks_imports_no_torch() -> None:
    program = (
        "import sys; from gadkit.testing import conformance; print(len(conformance('gadkit')), 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    count, heavy = done.stdout.split()
    assert int(count) > 200
    assert heavy == "False"


def test_what_is_not_installed_is_not_tried(tmp_path: Path) -> None:
    text = RECORDS.replace('target="acme_nets:Tempered"', 'target="acme_nets:Tempered", requires=("no-such-dist>=3",)')
    write_package(tmp_path, "acme-gan", text)
    with importable(tmp_path), own_registry():
        check = named(conformance("acme-gan"), "loss acme-gan:tempered: contract")
    with pytest.raises(SkipTest, match="needs no-such-dist>=3, which is not installed"):
        check()
