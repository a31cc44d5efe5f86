"""New packages: their names, what they promise in their metadata, and that they are whole or not there.

    python tests/core/test_scaffold.py

renews `examples/plugin-template`, which is what the templates render.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import gadkit
from gadkit import API_VERSION, ConfigError, GadkitError
from gadkit.authoring import scaffold as authoring
from gadkit.authoring.naming import Names, names_of
from gadkit.authoring.scaffold import LICENSES, Order, commands_of, render, requirement, scaffold
from gadkit.authoring.sketches import SKETCHES
from gadkit.component import KINDS
from gadkit.registry import get_registry

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/plugin-template"
#: Of the longest name that there may be.
LONGEST = "w" * 32


def order(name: str = "sparkle", *kinds: str, **others: object) -> Order:
    values = {"author": "Ada Lovelace", "license": "apache-2.0", "year": 2026, "gadkit": gadkit.__version__}
    return Order(names=Names(name), kinds=kinds or ("generator",), **(values | others))  # type: ignore[arg-type]


def example() -> dict[str, str]:
    return render(order("shimmer", "generator", "loss", author="The gadkit authors"))


def make(name: str = "sparkle", **choices: object) -> Path:
    return scaffold(name, registry=get_registry(), **choices)[1]  # type: ignore[arg-type]


def project(files: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = tomllib.loads(files["pyproject.toml"])["project"]
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Names.


@pytest.mark.parametrize(
    ("text", "distribution", "package", "class_name"),
    [
        ("sparkle", "gadkit-sparkle", "gadkit_sparkle", "Sparkle"),
        ("gadkit-sparkle", "gadkit-sparkle", "gadkit_sparkle", "Sparkle"),
        ("my-cool-gan", "gadkit-my-cool-gan", "gadkit_my_cool_gan", "MyCoolGan"),
        ("r3gan-2", "gadkit-r3gan-2", "gadkit_r3gan_2", "R3gan2"),
        (LONGEST, f"gadkit-{LONGEST}", f"gadkit_{LONGEST}", LONGEST.capitalize()),
    ],
)
def test_names_follow_from_one(text: str, distribution: str, package: str, class_name: str) -> None:
    names = names_of(text)
    assert (names.distribution, names.package) == (distribution, package)
    assert names.class_of("loss", "", alone=True) == class_name
    assert names.class_of("loss", "", alone=False) == f"{class_name}Loss"


@pytest.mark.parametrize(
    ("text", "proposal"),
    [
        ("Sparkle", "sparkle"),
        ("my_gan", "my-gan"),
        ("my gan", "my-gan"),
        ("my--gan", "my-gan"),
        ("-gan", "gan"),
        ("3gan", "gan"),
        ("gan-", "gan"),
        ("gadkit-", "my-gan"),
        ("", "my-gan"),
        ("été", "t"),
        ("../gan", "gan"),
        ("w" * 33, LONGEST),
    ],
)
def test_what_cannot_be_a_name_is_refused_with_one_that_can(text: str, proposal: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"found {text!r}, expected lower-case")) as caught:
        names_of(text)
    assert f"take {proposal!r}, say." in str(caught.value)
    names_of(proposal)


@pytest.mark.parametrize(
    ("choices", "found"),
    [
        ({"name": "dcgan"}, "gadkit itself has a generator of this name"),
        ({"name": "hinge", "kinds": ("generator", "loss")}, "gadkit itself has a loss of this name"),
        ({"name": "train", "kinds": ("command",), "commands": ("train",)}, "gadkit itself has a command of this name"),
        ({"name": "plugins"}, "there is an import package gadkit_plugins here already"),
        ({"name": "none"}, "which means something else in a configuration"),
        (
            {"kinds": ("generator", "genrator")},
            r"--kind: found 'genrator'\. Did you mean 'generator'\? Expected one of generator, ",
        ),
        ({"kinds": ()}, "--kind: found none"),
        ({"license": "beer"}, r"--license: found 'beer'\. Expected one of apache-2\.0, mit"),
        ({"author": "  "}, "--author: found '  '"),
        ({"author": "Ada\nLovelace"}, "--author: found"),
        ({"out": Path("there")}, "there: is there already, and stays as it is"),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_sentence_and_nothing_is_written(
    here: Path, choices: dict[str, object], found: str
) -> None:
    (here / "there").mkdir()
    with pytest.raises(GadkitError, match=found) as caught:
        make(**choices)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert [path.name for path in here.iterdir()] == ["there"]


def test_a_name_that_gadkit_has_for_another_kind_is_free(here: Path) -> None:
    assert make("hinge", kinds=("generator",)) == Path("gadkit-hinge")


@pytest.mark.parametrize(
    ("name", "kinds", "module", "class_name"),
    [
        ("generator", ("generator",), "generator", "GeneratorGenerator"),
        ("video", ("metric", "loss"), "metric", "VideoMetricPlugin"),
        ("tensor", ("loss",), "loss", "TensorLoss"),
        ("true", ("loss",), "loss", "TrueLoss"),
    ],
)
def test_classes_hide_no_name_of_their_module(name: str, kinds: tuple[str, ...], module: str, class_name: str) -> None:
    files = render(order(name, *kinds))
    package = Names(name).package
    assert f"\nclass {class_name}(" in files[f"{package}/{module}.py"]
    assert f'target="{package}.{module}:{class_name}"' in files[f"{package}/plugin.py"]
    assert f"import {class_name}\n" in files[f"tests/test_{module}.py"]


# What a package says of itself.


@pytest.mark.parametrize(
    ("version", "allowed", "others"),
    [
        ("0.1.0", ["0.1.0", "0.1.9"], ["0.0.9", "0.2.0", "1.0.0"]),
        ("0.3.2", ["0.3.0", "0.3.7"], ["0.2.9", "0.4.0"]),
        ("1.4.2", ["1.4.0", "1.9.0"], ["1.3.9", "2.0.0"]),
        ("0.4.0rc1", ["0.4.0rc1", "0.4.0"], ["0.4.0b1", "0.5.0"]),
    ],
)
def test_a_package_asks_for_the_gadkits_that_it_is_compatible_with(
    version: str, allowed: list[str], others: list[str]
) -> None:
    asked = Requirement(requirement(version))
    files = render(order(gadkit=version))
    assert project(files)["dependencies"] == [str(requirement(version))]
    assert version in asked.specifier
    assert all(asked.specifier.contains(each, prereleases=True) for each in allowed)
    assert not any(asked.specifier.contains(each, prereleases=True) for each in others)
    (oldest,) = re.findall(r'"gadkit==([^"]+)"', files[".github/workflows/test.yml"])
    assert oldest == allowed[0]
    assert f'"{requirement(version)}"]' in files[".github/workflows/test.yml"]


@pytest.mark.parametrize("name", LICENSES)
def test_the_licence_is_there_in_full(name: str) -> None:
    files = render(order(license=name, author="Ada Lovelace <ada@example.org>", year=2031))
    assert project(files)["license"] == LICENSES[name]
    assert project(files)["authors"] == [{"name": "Ada Lovelace", "email": "ada@example.org"}]
    (line,) = (line for line in files["LICENSE"].splitlines() if "Copyright" in line and "Ada Lovelace" in line)
    assert "2031" in line
    assert re.search(r"WITHOUT\s+WARRANT|DISCLAIMS\s+ALL\s+WARRANT|DISCLAIMED", files["LICENSE"])


def test_an_author_with_quotes_and_letters_of_every_kind(here: Path) -> None:
    folder = make(author='Ada "Countess" Łovelace @holder@')
    files = {"pyproject.toml": (folder / "pyproject.toml").read_text(encoding="utf-8")}
    assert project(files)["authors"] == [{"name": 'Ada "Countess" Łovelace @holder@'}]


def test_records_say_which_interface_they_were_written_for() -> None:
    files = render(order("sparkle", *KINDS))
    assert files["gadkit_sparkle/plugin.py"].count(f"api={API_VERSION},") == len(KINDS)


def test_every_kind_has_a_sketch_and_a_command_that_uses_it() -> None:
    assert list(SKETCHES) == list(KINDS)
    for kind in KINDS:
        assert " sparkle" in commands_of(order("sparkle", kind))[-1]


def test_python_and_style_are_those_of_gadkit() -> None:
    own, theirs = (tomllib.loads(text) for text in ((ROOT / "pyproject.toml").read_text(), example()["pyproject.toml"]))
    assert theirs["project"]["requires-python"] == own["project"]["requires-python"]
    assert theirs["build-system"] == own["build-system"]
    own["tool"]["ruff"]["lint"].pop("isort")
    theirs["tool"]["ruff"]["lint"].pop("isort")
    assert theirs["tool"]["ruff"] == own["tool"]["ruff"]


def test_nothing_is_left_to_fill_in() -> None:
    for name, text in render(order("sparkle", *KINDS)).items():
        assert not re.search(r"@[a-z]+@|TODO|FIXME", text), name
        assert text.endswith("\n") or not text, name


# Whole or not there.


@pytest.mark.parametrize(
    ("broken", "raised"),
    [(OSError(28, "No space left on device"), gadkit.RunError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_package_that_cannot_be_written_leaves_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, broken: BaseException, raised: type[BaseException]
) -> None:
    write, written = Path.write_text, []

    def full(path: Path, *arguments: object, **options: object) -> int:
        written.append(path)
        if len(written) > 5:
            raise broken
        return write(path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    told = r"^gadkit-sparkle: cannot be written \(No space left on device\)" if raised is gadkit.RunError else "^$"
    with pytest.raises(raised, match=told):
        make()
    assert len(written) == 6
    assert list(here.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_others_may_read_it_as_they_may_what_is_made_by_hand(here: Path) -> None:
    (here / "by-hand").mkdir()
    assert make().stat().st_mode == (here / "by-hand").stat().st_mode


def test_without_git_the_authors_are_those_of_the_package(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "the authors of gadkit-sparkle" in (make() / "LICENSE").read_text(encoding="utf-8")


def test_the_folder_is_made_where_it_is_asked_for(here: Path) -> None:
    assert make(out=Path("a/b")) == Path("a/b")
    assert (here / "a/b/gadkit_sparkle/py.typed").is_file()
    assert [path.name for path in (here / "a").iterdir()] == ["b"]


# Tools.


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages of all kinds, with a short name and with the longest."""
    folder = tmp_path_factory.mktemp("packages")
    for name in ("ab", LONGEST):
        authoring._write(folder / name, render(order(name, *KINDS)))
    for kind in KINDS:
        authoring._write(folder / kind, render(order("my-gan", kind)))
    return folder


@pytest.mark.parametrize("settings", [(), ("--config", str(ROOT / "pyproject.toml"))], ids=["its own", "gadkit's"])
@pytest.mark.parametrize("tool", [("check",), ("format", "--check")], ids=["check", "format"])
def test_packages_are_clean_whatever_their_name(whole: Path, tool: tuple[str, ...], settings: tuple[str, ...]) -> None:
    for name in ("ab", LONGEST, *KINDS):  # each from its own folder, as its author has it
        command = [sys.executable, "-m", "ruff", *tool, *settings, "--no-cache", "."]
        done = subprocess.run(command, cwd=whole / name, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_modules_of_records_import_no_torch(whole: Path) -> None:
    program = "import sys, gadkit_ab.plugin; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    path = os.pathsep.join(map(str, (whole / "ab", ROOT, ROOT / "plugins")))
    subprocess.run([sys.executable, "-c", program], env=os.environ | {"PYTHONPATH": path}, check=True)


# The example.


def test_the_example_is_what_the_templates_render() -> None:
    there = {
        path.relative_to(EXAMPLE).as_posix(): path.read_text(encoding="utf-8")
        for path in EXAMPLE.rglob("*")
        if path.is_file() and not any(part.endswith("cache__") or part.endswith("_cache") for part in path.parts)
    }
    assert there == example(), f"renew it: python {Path(__file__).relative_to(ROOT).as_posix()}"


if __name__ == "__main__":
    shutil.rmtree(EXAMPLE)
    authoring._write(EXAMPLE, example())
