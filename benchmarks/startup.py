"""How long `gadkit` takes to start: wall time of whole processes, against Python's own start.

    python benchmarks/startup.py --runs 20

Each round runs every command once, in an order that rotates, so that a slow moment of the machine does not fall on
one of them alone. Printed are the median, the middle half of the times, and the median over rounds of the ratio to the
same round's `python -c pass`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "gadkit --help": ("-m", "gadkit", "--help"),
    "gadkit plugins list": ("-m", "gadkit", "plugins", "list"),
}
BASELINE = "python -c pass"


def measure(arguments: tuple[str, ...]) -> float:
    """Wall seconds of one process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def rounds(count: int) -> dict[str, list[float]]:
    """Seconds of each command in each of `count` rounds, after one round that only warms the caches."""
    names = list(COMMANDS)
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, count):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            seconds = measure(COMMANDS[name])
            if number >= 0:
                times[name].append(seconds)
    return times


def summary(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median and quartiles in milliseconds, and the median paired ratio to the baseline."""
    found = {}
    for name, seconds in times.items():
        low, middle, high = (1000 * part for part in statistics.quantiles(seconds, n=4))
        ratio = statistics.median(own / base for own, base in zip(seconds, times[BASELINE], strict=True))
        found[name] = {"median_ms": middle, "low_ms": low, "high_ms": high, "ratio": ratio}
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=20, help="rounds, at least 2")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_args()
    if options.runs < 2:
        parser.error(f"--runs: found {options.runs}, expected at least 2")
    found = summary(rounds(options.runs))
    if options.json:
        print(json.dumps({"runs": options.runs, "commands": found}, indent=2))
        return
    print(f"{'command':22}{'median':>10}{'middle half':>18}{'ratio':>8}")
    for name, row in found.items():
        spread = f"{row['low_ms']:.0f} - {row['high_ms']:.0f} ms"
        print(f"{name:22}{row['median_ms']:7.0f} ms{spread:>18}{row['ratio']:8.1f}")


if __name__ == "__main__":
    main()
