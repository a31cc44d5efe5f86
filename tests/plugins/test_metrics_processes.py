"""Metrics that two processes fill say what one says, however the clips are shared out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from metric_processes import EXACT, METRICS, SPLITS, feed, sides, values

SCRIPT = Path(__file__).with_name("metric_processes.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("metrics")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, str(SCRIPT), str(folder)], env=environment, check=True, timeout=120)
    return folder


@pytest.mark.parametrize("split", SPLITS)
def test_two_processes_say_what_one_says_and_go_on(folder, split):
    """Once where each still lacks its last rows, and once more with them: what was exchanged is not kept."""
    first = SPLITS[split]
    results = [json.loads((folder / f"{split}.{rank}.json").read_text()) for rank in range(2)]
    assert results[0] == results[1]
    for name, make in METRICS.items():
        early = {side: torch.cat([rows[first][:-5], rows[first.stop :][:-5]]) for side, rows in sides().items()}
        for parts, found in zip((early, sides()), results[0][name], strict=True):
            alone = values(feed(make(), parts))
            assert alone == (found if name in EXACT else pytest.approx(found, rel=1e-9, abs=0))
