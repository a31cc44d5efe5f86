"""The wheel holds what an installed gadkit needs, and stays small."""

from __future__ import annotations

import configparser
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest

import gadkit

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    assert path.name == f"gadkit-{gadkit.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def names(wheel: zipfile.ZipFile) -> set[str]:
    return set(wheel.namelist())


def information(wheel: zipfile.ZipFile, name: str) -> str:
    return wheel.read(f"gadkit-{gadkit.__version__}.dist-info/{name}").decode()


def test_every_source_file_is_in_it(names: set[str]) -> None:
    """Both import packages, whole: code, `py.typed`, recipes, clips and their notice."""
    for top in (ROOT / "gadkit", ROOT / "plugins" / "gadkit_plugins"):
        files = [path for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        assert files
        missing = [path for path in files if path.relative_to(top.parent).as_posix() not in names]
        assert missing == []


def test_it_carries_types_recipes_clips_and_their_notice(names: set[str]) -> None:
    assert {"gadkit/py.typed", "gadkit_plugins/py.typed"} <= names
    assert any(name.startswith("gadkit_plugins/recipes/") and name.endswith(".toml") for name in names)
    embedded = {name for name in names if name.startswith("gadkit_plugins/data/embedded/")}
    assert "gadkit_plugins/data/embedded/NOTICE" in embedded
    assert any(name.endswith((".mp4", ".webm", ".webp", ".gif")) for name in embedded)


def test_it_carries_nothing_else(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"gadkit", "gadkit_plugins", f"gadkit-{gadkit.__version__}.dist-info"}
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in names)


def test_entry_points_name_modules_of_the_wheel(wheel: zipfile.ZipFile, names: set[str]) -> None:
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(information(wheel, "entry_points.txt"))
    assert dict(parser["console_scripts"]) == PROJECT["scripts"]
    assert dict(parser["gadkit"]) == PROJECT["entry-points"]["gadkit"]
    targets = [target.partition(":")[0] for section in parser.sections() for target in parser[section].values()]
    assert [target for target in targets if target.replace(".", "/") + ".py" not in names] == []
    plugins = {name.removesuffix(".py").replace("/", ".") for name in names if name.endswith("/plugin.py")}
    assert plugins == {target for target in targets if target.startswith("gadkit_plugins.")}


def test_metadata_names_licence_python_and_requirements(wheel: zipfile.ZipFile, names: set[str]) -> None:
    metadata = HeaderParser().parsestr(information(wheel, "METADATA"))
    assert metadata["Version"] == gadkit.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    required = {line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line}
    assert required == set(PROJECT["dependencies"])
    for file in metadata.get_all("License-File", []):
        assert f"gadkit-{gadkit.__version__}.dist-info/licenses/{file}" in names
    assert "Apache License" in information(wheel, "licenses/LICENSE")


def test_it_is_small(wheel: zipfile.ZipFile) -> None:
    size = Path(str(wheel.filename)).stat().st_size
    clips = sum(
        item.file_size for item in wheel.infolist() if item.filename.startswith("gadkit_plugins/data/embedded/")
    )
    assert size < 3_000_000
    assert clips <= 2 * 2**20
