"""Third parties' packages, and ways to lay them where Python finds them."""

from __future__ import annotations

import importlib
import shutil
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
BAD = {
    "bad_import": ("acme-import 0.1", "its import raised SystemExit: no licence found"),
    "bad_hook": (
        "acme-hook 0.2",
        "it implements the unknown hook 'gadkit_generatrs' (did you mean 'gadkit_generators'?)",
    ),
    "bad_duplicate": ("acme-duplicate 0.3", "declares the loss 'twin' twice"),
    "bad_raises": ("acme-raises 0.4", "its hook 'gadkit_generators' raised KeyError: 'sparkle'"),
    "bad_newer": ("acme-newer 0.5", "version 2 of the plugin interface and this gadkit has version 1; upgrade gadkit"),
}


def install(folder: Path, *packages: str) -> None:
    """Lays packages of this folder into `folder` as pip would, with the metadata that entry points are read from."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        project = tomllib.loads((HERE / package / "pyproject.toml").read_text())["project"]
        for source in (HERE / package).iterdir():
            if source.is_dir() and source.name != "__pycache__":
                shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.suffix == ".py":
                shutil.copy(source, folder)
        requires = tuple(project.get("dependencies", ()))
        write_metadata(folder, project["name"], project["version"], project["entry-points"]["gadkit"], requires)


def write_metadata(
    folder: Path, name: str, version: str, points: dict[str, str], requires: tuple[str, ...] = ()
) -> None:
    """The metadata of one installed distribution; `requires` as in `Requires-Dist`."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    (info / "METADATA").write_text(f"{head}{needs}\nRequires-Dist: gadkit>=99 (in a description)\n")
    lines = "".join(f"{point} = {target}\n" for point, target in points.items())
    (info / "entry_points.txt").write_text(f"[gadkit]\n{lines}")


def write_package(
    folder: Path,
    name: str,
    text: str,
    version: str = "1.0",
    module: str | None = None,
    requires: tuple[str, ...] = (),
) -> None:
    """One distribution of one module, whose entry point has the module's name."""
    module = module or name.replace("-", "_")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(text)
    write_metadata(folder, name, version, {module: module}, requires)


@contextmanager
def importable(folder: Path):
    """`folder` on the import path; what was imported from it is forgotten at the end."""
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield folder
    finally:
        sys.path.remove(str(folder))
        for name, module in list(sys.modules.items()):
            if module is None or str(getattr(module, "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
        importlib.invalidate_caches()
