"""How long `gadkit plugins list` and `gadkit --help` take beside many installed plugins, against none.

    python benchmarks/plugins_list.py --runs 20

Lays 50 distributions with 4 components each into a folder, as pip would, each with metadata of the usual length, a
requirement of gadkit, a module of records and one of networks, whose import ends the process. Each round runs every
command once with that folder on the import path and once without, in an order that rotates. Printed are medians of wall
time and of the processor's time (user and system), which a busy machine changes less, both with their middle half.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMANDS = {
    "plugins list": ("plugins", "list"),
    "plugins list --json": ("plugins", "list", "--json"),
    "--help": ("--help",),
}
#: Hooks that the components of one distribution are spread over.
HOOKS = ("gadkit_generators", "gadkit_losses", "gadkit_penalties", "gadkit_commands")
DESCRIPTION = "A paragraph of a description as packages have it, which is no part of what is looked for.\n" * 150


def lay_out(folder: Path, distributions: int) -> int:
    """Lays distributions into `folder`; returns how many components they offer."""
    for number in range(distributions):
        package = folder / f"acme_{number}"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "nets.py").write_text("import os\nos._exit(9)  # nobody asked for a network\n")
        text = "from gadkit import Component, hookimpl\n"
        for hook in HOOKS:
            record = f"Component(name='{hook[7:10]}-{number}', summary='One of many', target='acme_{number}.nets:Net')"
            text += f"\n\n@hookimpl\ndef {hook}():\n    return [{record}]\n"
        (package / "plugin.py").write_text(text)
        info = folder / f"acme_{number}-1.{number}.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.4\nName: acme-{number}\nVersion: 1.{number}\nSummary: One of many\n"
        head += "Requires-Dist: torch>=2\nRequires-Dist: gadkit>=0.1,<9\nRequires-Dist: pytest; extra == 'test'\n"
        (info / "METADATA").write_text(f"{head}\n{DESCRIPTION}")
        (info / "entry_points.txt").write_text(f"[gadkit]\nacme_{number} = acme_{number}.plugin\n")
    return distributions * len(HOOKS)


def measure(arguments: tuple[str, ...], path: str) -> tuple[float, float, bytes]:
    """Wall seconds and processor seconds of one command, and its output. The first call compiles what it imports."""
    own = Path(path.partition(os.pathsep)[0])
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ |= {"PYTHONPATH": path, "GADKIT_CONFIG": str(own)}
    environ["PYTHONPYCACHEPREFIX"] = str(own.parent / "compiled")  # pip compiles what it installs
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "gadkit", *arguments], env=environ, capture_output=True, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def rounds(count: int, paths: dict[str, str]) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each command and side in each of `count` rounds, after one that only warms the caches."""
    cases = [(f"{command}, {side}", COMMANDS[command], paths[side]) for command in COMMANDS for side in paths]
    times: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in cases}
    for number in range(-1, count):
        shift = number % len(cases)
        for name, arguments, path in cases[shift:] + cases[:shift]:
            wall, processor, _ = measure(arguments, path)
            if number >= 0:
                times[name].append((wall, processor))
    return times


def summary(times: dict[str, list[tuple[float, float]]]) -> dict[str, dict[str, list[float]]]:
    """Quartiles in milliseconds: low, median, high."""
    return {
        name: {
            kind: [1000 * part for part in statistics.quantiles((row[column] for row in rows), n=4)]
            for column, kind in enumerate(("wall", "processor"))
        }
        for name, rows in times.items()
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20, help="rounds, at least 2")
    parser.add_argument("--distributions", type=int, default=50, help="with 4 components each")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_args()
    if options.runs < 2:
        parser.error(f"--runs: found {options.runs}, expected at least 2")
    with tempfile.TemporaryDirectory() as place:
        full, empty = Path(place) / "full", Path(place) / "empty"
        empty.mkdir()
        components = lay_out(full, options.distributions)
        rest = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
        sides = (f"{components} components", full), ("none", empty)
        paths = {side: os.pathsep.join([str(folder), *rest]) for side, folder in sides}
        listed = json.loads(measure(("plugins", "list", "--json"), next(iter(paths.values())))[2])
        found = [each for each in listed["components"] if each["distribution"].startswith("acme-")]
        assert len(found) == components, f"{len(found)} of {components} components are listed"
        result = summary(rounds(options.runs, paths))
    if options.json:
        print(json.dumps({"runs": options.runs, "milliseconds": result}, indent=2))
        return
    print(f"{'':36}{'wall':>9}{'middle half':>15}{'processor':>12}{'middle half':>15}")
    for name, row in result.items():
        cells = ""
        for width, kind in ((9, "wall"), (12, "processor")):
            low, median, high = row[kind]
            cells += f"{f'{median:.0f} ms':>{width}}{f'{low:.0f} - {high:.0f} ms':>15}"
        print(f"gadkit {name:29}{cells}")


if __name__ == "__main__":
    main()
