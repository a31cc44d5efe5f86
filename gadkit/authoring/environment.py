"""The environment that gadkit lives in: who may change it, and how that program is asked to."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gadkit.errors import PluginError

#: The file with which a Python's owner asks installers to leave it alone (PEP 668).
_MARKER = "EXTERNALLY-MANAGED"
PIPX_FILE = "pipx_metadata.json"
UV_FILE = "uv-receipt.toml"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where packages go, and what puts them there.

    Attributes:
        installer: `pip`; `uv`, for an environment without pip; `pipx`; `uv tool`.
        command: How that program is started.
        prefix: The environment's folder.
        python: Its interpreter.
        base: The interpreter that the environment was made from.
    """

    installer: Literal["pip", "uv", "pipx", "uv tool"]
    command: tuple[str, ...]
    prefix: Path = field(default_factory=lambda: Path(sys.prefix))
    python: str = field(default_factory=lambda: sys.executable)
    base: str = field(default_factory=lambda: str(getattr(sys, "_base_executable", "") or sys.executable))

    @property
    def name(self) -> str:
        """What pipx and uv call it."""
        return self.prefix.name

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.prefix} (by {self.installer})"


def this_environment() -> Environment:
    """The environment of this process.

    Raises:
        PluginError: Nothing may be installed into it, or the program that looks after it is not to be found.
    """
    prefix = Path(sys.prefix)
    if (prefix / PIPX_FILE).is_file():
        return Environment(installer="pipx", command=(_program("pipx", prefix),))
    if (prefix / UV_FILE).is_file():
        return Environment(installer="uv tool", command=(_program("uv", prefix),))
    if any((folder / "CACHEDIR.TAG").is_file() for folder in prefix.parents):
        raise PluginError(
            f"This gadkit runs from a cache ({prefix}), which is thrown away: install it for good, with "
            "`uv tool install gadkit` or `pipx install gadkit`, or start it with `uvx --with PACKAGE gadkit`."
        )
    marker = Path(sysconfig.get_path("stdlib", sysconfig.get_default_scheme())) / _MARKER
    if sys.prefix == sys.base_prefix and marker.is_file():
        raise PluginError(
            f"This Python is looked after by another program, which asks to leave it alone ({marker}): install gadkit "
            "in an environment of its own, made by `python -m venv`, `pipx install gadkit` or "
            "`uv tool install gadkit`, and its plugins there."
        )
    if importlib.util.find_spec("pip") is not None:
        return Environment(installer="pip", command=(sys.executable, "-m", "pip"))
    if uv := os.environ.get("UV") or shutil.which("uv"):
        return Environment(installer="uv", command=(uv,))
    conda = "`conda install pip`" if (prefix / "conda-meta").is_dir() else f"`{sys.executable} -m ensurepip`"
    raise PluginError(f"{prefix} has no pip, and there is no uv on the PATH: run {conda} first.")


def _program(name: str, prefix: Path) -> str:
    found = shutil.which(name) or (os.environ.get("UV") if name == "uv" else None)
    if found is None:
        raise PluginError(
            f"gadkit was installed by {name} ({prefix}), and {name} is not on the PATH: put its folder there, and run "
            "this again."
        )
    return found


def injected(environment: Environment) -> set[str]:
    """The packages that pipx knows to have put beside gadkit, by their normalised names."""
    from packaging.utils import canonicalize_name

    try:
        document: Any = json.loads((environment.prefix / PIPX_FILE).read_bytes())
        return {canonicalize_name(name) for name in document["injected_packages"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def notes(environment: Environment) -> list[str]:
    """What a user should know of an environment before its packages change."""
    if environment.installer in ("pip", "uv") and (environment.prefix.parent / "uv.lock").is_file():
        return [
            f"{environment.prefix.parent / 'uv.lock'} knows nothing of this: the project's next `uv sync` takes it "
            "back; `uv add PACKAGE` keeps it."
        ]
    return []
