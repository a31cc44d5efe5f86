"""The command line beside plugins that lie in a folder, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from small_runs import environment

ROOT = Path(__file__).parents[2]
PLAIN = {"COLUMNS": "200", "TERM": "dumb"}


def beside(site: Path, **variables: str) -> dict[str, str]:
    """The environment of a process that finds what lies in `site`, and nothing that switches plugins."""
    path = os.pathsep.join(map(str, (site, ROOT, ROOT / "plugins")))
    found = environment(**(PLAIN | {"PYTHONPATH": path} | variables))
    return {name: value for name, value in found.items() if not name.endswith("_PLUGINS") or name in variables}


def gadkit_beside(
    site: Path, *arguments: str, timeout: float = 60, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs `gadkit` beside what lies in `site`."""
    return subprocess.run(
        [sys.executable, "-m", "gadkit", *arguments],
        env=beside(site, **variables),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
