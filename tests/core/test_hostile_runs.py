"""Whoever made a run, a model, a configuration or a pack: it is refused, or it is what its files say."""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import hostile_probe
import hostile_runs
import pytest
from small_runs import environment

import gadkit
from gadkit import PluginError, RunError
from gadkit.registry import Registry
from gadkit.runs.inside import check_inside

#: How many are tried: 2,000 are enough for every kind of harm in most places; the suite tries a fifth.
COUNT = int(os.environ.get("GADKIT_TEST_MUTATIONS", "352"))
SEED = 1
#: What none of them may take, of processor time and of memory.
SECONDS = 5.0
MEMORY = 1 << 30

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are limited as Linux does it")


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return hostile_runs.material(tmp_path_factory.mktemp("material"))


def probe(material, root, count, seed):
    """What became of every case; a process that crashes or hangs on one is followed by another behind it."""
    for name in ("cache", "temporary"):
        (root / name).mkdir(parents=True)
    found = []
    paths = os.pathsep.join(map(str, (Path(hostile_probe.__file__).parent, environment()["PYTHONPATH"])))
    variables = environment(
        PYTHONPATH=paths, GADKIT_CACHE=str(root / "cache"), TMPDIR=str(root / "temporary"), HOME=str(root)
    )
    first = 0
    while first < count:
        command = [sys.executable, hostile_probe.__file__, material, root / f"from-{first}", seed, count, first]
        done = subprocess.run(
            [*map(str, command)], env=variables, capture_output=True, text=True, timeout=1800, check=False
        )
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines, done.stderr[-3000:]
        found += [line for line in lines if "outcome" in line]
        if "outcome" not in lines[-1]:
            found.append(lines[-1] | {"outcome": "ended", "problem": f"it ended the process: {done.stderr[-2000:]}"})
        first = found[-1]["number"] + 1
    return found


def test_every_mutation_is_refused_in_a_sentence_or_loaded_as_what_it_says(material, tmp_path):
    found = probe(material, tmp_path, COUNT, SEED)
    assert [case["number"] for case in found] == list(range(COUNT))
    assert not [(case["name"], case["problem"]) for case in found if case["problem"]]
    assert max(case["seconds"] for case in found) < SECONDS
    assert max(case["bytes"] for case in found) < MEMORY
    # the probe was no dummy: of every way in, some were refused and some were loaded
    outcomes = Counter((case["way"], case["outcome"]) for case in found)
    assert outcomes.keys() == {
        (way, outcome) for way in ("load", "resume", "resolve", "pack") for outcome in ("refused", "loaded")
    }
    assert min(outcomes.values()) >= 2, outcomes
