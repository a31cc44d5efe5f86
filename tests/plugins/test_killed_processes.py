"""Two processes that are killed and go on, as two or as one: the same batches, the same counters, the same weights."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from test_minimax import furthest, logged, weights

from gadkit.runs.folder import Run, step_of

SCRIPT = Path(__file__).with_name("killed_processes.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of ten steps: `one` and `two`, after their processes, are unbroken; the others were killed after step 5.

    `two-one` was begun by two processes and ended by one.
    """
    folder = tmp_path_factory.mktemp("runs")
    variables = os.environ | {"OMP_NUM_THREADS": "1", "GADKIT_CACHE": str(folder / "cache")}

    def start(command, *jobs, **more):
        return subprocess.Popen([*command, str(SCRIPT), str(folder), *jobs], env=variables | more)

    alone = start([sys.executable], "one", "one-two@5")
    together = [start(TORCHRUN, "two", "asked%5", "two-one@5")]
    assert [process.wait(timeout=120) for process in (alone, *together)] == [-signal.SIGKILL, 1]
    assert all(step_of(Run(folder / run).find_checkpoint()) < 5 for run in ("one-two", "two-one"))
    killed = start(TORCHRUN, "two-two@5")
    alone = start([sys.executable], "two-one")
    assert (killed.wait(timeout=120), alone.wait(timeout=120)) == (1, 0)
    with socket.socket() as free:  # as a scheduler starts processes, without torchrun
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    ranks = [start([sys.executable], "two-two", "one-two", RANK=rank, LOCAL_RANK=rank, **meeting) for rank in "01"]
    assert [process.wait(timeout=120) for process in ranks] == [0, 0]
    return folder


def chosen(folder, run):
    """The clip of every sample of the run's global batches; one that was made again is the same."""
    found = {}
    for path in sorted(folder.glob(f"{run}.*.jsonl")):
        for position, clip in map(json.loads, path.read_text().splitlines()):
            assert found.setdefault(position, clip) == clip
    return found


def test_the_killed_runs_went_on_from_a_checkpoint(folder):
    for run in ("two-two", "two-one", "one-two"):
        steps = [path.name for path in Run(folder / run).checkpoints()]
        assert steps == [path.name for path in Run(folder / "one").checkpoints()]


def test_processes_with_slow_steps_stop_after_the_one_in_which_one_of_them_was_asked(folder):
    assert step_of(Run(folder / "asked").find_checkpoint()) == 5  # where nothing is logged or saved otherwise


def test_an_equal_number_of_processes_gives_equal_bits(folder):
    for name in ("training.safetensors", "model.safetensors"):
        assert furthest(weights(folder / "two", name), weights(folder / "two-two", name)) == 0
    assert logged(folder / "two") == logged(folder / "two-two")


@pytest.mark.parametrize("run", ["two", "two-two", "two-one", "one-two"])
def test_the_number_of_processes_changes_rounding_alone(folder, run):
    for name in ("training.safetensors", "model.safetensors"):
        assert furthest(weights(folder / "one", name), weights(folder / run, name)) < 1e-9
    lines = [logged(folder / each) for each in ("one", run)]
    assert [line.keys() for line in lines[0]] == [line.keys() for line in lines[1]]
    for one, other in zip(*lines, strict=True):
        assert one == pytest.approx(other, abs=1e-9)


@pytest.mark.parametrize("run", ["two", "two-two", "two-one", "one-two"])
def test_the_global_batches_are_the_same(folder, run):
    clips = chosen(folder, "one")
    assert sorted(clips)[:160] == list(range(160))  # ten steps of two batches of eight
    other = chosen(folder, run)
    assert [other[position] for position in range(160)] == [clips[position] for position in range(160)]
