"""Smoke test of an installed gadkit: the commands of a first day, run in an empty folder outside the sources.

    python .ci/smoke.py [--version X.Y.Z]

uses the `gadkit` command that belongs to the interpreter, and fails where one of the promises is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", help="the version that must be installed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        smoke(Path(folder), asked.version)


def smoke(folder: Path, version: str | None) -> None:
    """Runs every command in `folder`."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"GADKIT_CACHE": str(folder / "cache"), "GADKIT_STRICT_PLUGINS": "1", "PYTHONUTF8": "1"}
    command = Path(sysconfig.get_path("scripts")) / ("gadkit.exe" if os.name == "nt" else "gadkit")

    def run(*arguments: str | Path, program: tuple[str | Path, ...] = (command,)) -> str:
        line = [str(part) for part in (*program, *arguments)]
        print("$", *line, flush=True)
        done = subprocess.run(line, cwd=folder, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=False)
        print(done.stdout, flush=True)
        if done.returncode:
            raise SystemExit(f"exit code {done.returncode}")
        return done.stdout

    where = run("-c", "import gadkit, gadkit_plugins; print(gadkit.__file__)", program=(sys.executable,)).strip()
    check(SOURCES not in Path(where).resolve().parents or "site-packages" in where, f"gadkit comes from {where}")
    printed = run("--version")
    check(version is None or version in printed, f"expected version {version}, found {printed!r}")
    run("--version", program=(sys.executable, "-m", "gadkit"))
    run("--help")
    run("plugins", "list")
    listed = run("plugins", "list", "--json")
    check("dcgan" in listed, "plugins list does not name dcgan")
    json.loads(listed)
    run("plugins", "show", "generator", "dcgan")
    report = json.loads(run("doctor", "--json"))
    check(report["ok"], "gadkit doctor found a failure")
    run("train", "--steps", "2", "--device", "cpu", "--out", "run")
    check((folder / "run" / "config.toml").is_file(), "the run has no config.toml")
    for name in ("video.mp4", "video.webm", "video.gif", "video.webp", "strip.png"):
        run("sample", "run", "--num", "2", "--grid", "--length", "20", "--out", name)
        check((folder / name).stat().st_size > 0, f"{name} is empty")
    # What decodes are processes of their own, which find gadkit by themselves.
    seen = json.loads(run("data", "inspect", "--limit", "3", "--out", "look", "--json"))
    check(seen["videos"]["usable"] == 3, f"inspect finds {seen['videos']}")
    check((folder / "look" / "index.html").stat().st_size > 0, "the page of inspect is empty")
    run("data", "pack", "video.mp4", "pack", "--resolution", "32")
    run("train", "--data", "pack", "--recipe", "demo", "--steps", "1", "--device", "cpu", "--out", "packed")
    print("All is well.")


def check(holds: bool, otherwise: str) -> None:
    """Ends the program with a sentence where something does not hold."""
    if not holds:
        raise SystemExit(otherwise)


if __name__ == "__main__":
    main()
