"""A video that hangs or crashes its decoder costs only itself, and no process outlives the pool."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from folder_set import Folder, Unbuildable, blueprint

from gadkit.data.blueprint import Blueprint
from gadkit.data.worker import pack_source, unpack_source
from gadkit.data.workers import Workers
from gadkit.errors import RunError
from gadkit.interfaces.dataset import Source

MISCHIEF = "folder_set:mischief"
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals")


def jobs(*what, **more):
    return [(Source(name=f"v{number}"), {"do": word, **more}) for number, word in enumerate(what)]


def run(tmp_path, *what, count=1, patience=10.0, **more):
    with Workers(Folder(tmp_path), blueprint(tmp_path), count, patience) as workers:
        return list(workers.run(MISCHIEF, jobs(*what, **more)))


def children():
    return [child for child in psutil.Process().children(recursive=True) if "gadkit.data.worker" in child.cmdline()]


def test_jobs_run_in_processes_without_torch_and_come_in_order(tmp_path):
    words = [f"word {number}" for number in range(40)]
    outcomes = run(tmp_path, *words, count=2)
    assert [outcome.value["did"] for outcome in outcomes] == words
    assert [outcome.source.name for outcome in outcomes] == [f"v{number}" for number in range(40)]
    processes = {outcome.value["pid"] for outcome in outcomes}
    assert 1 <= len(processes) <= 2
    assert os.getpid() not in processes
    assert not any(outcome.value["torch"] for outcome in outcomes)


@posix
@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("crash", r"v1 cannot be read: the decoder crashed \(signal 11\)"),
        ("exit", r"v1 cannot be read: the decoder crashed \(exit code 3\)"),
        ("die", r"v1 cannot be read: its decoder was ended by the system \(signal 9\)"),
        ("hang", r"v1 gave no frame for 0\.5 s and was given up"),
        ("data error", r"v1 is spoilt\."),
        ("error", r"v1 cannot be read: TypeError: unexpected thing; repair or remove the file\."),
        ("memory", r"v1 needs more memory"),
    ],
)
def test_what_goes_wrong_is_a_reason_and_the_others_are_kept(tmp_path, what, reason):
    first, wrong, last = run(tmp_path, "fine", what, "fine", patience=0.5)
    assert (first.reason, last.reason) == ("", "")
    assert first.value["did"] == last.value["did"] == "fine"
    assert wrong.value is None
    assert re.match(reason, wrong.reason), wrong.reason
    assert "\n" not in wrong.reason


def test_a_sign_of_life_keeps_a_process(tmp_path):
    (outcome,) = run(tmp_path, "beat", patience=1.0)
    assert outcome.value["did"] == "beat"


@posix
def test_who_is_ended_from_outside_is_tried_again(tmp_path):
    (outcome,) = run(tmp_path, "die once", marker=str(tmp_path / "marker"))
    assert outcome.value["did"] == "die once"


def test_what_a_library_prints_or_reads_disturbs_nothing(tmp_path):
    outcomes = run(tmp_path, "chatter", "fine")
    assert [outcome.value["did"] for outcome in outcomes] == ["chatter", "fine"]


def test_an_error_that_concerns_all_videos_stops(tmp_path):
    with pytest.raises(RunError, match="the disk is full"):
        run(tmp_path, "fine", "run error", "fine")
    assert children() == []


@pytest.mark.parametrize("kind", ["none", "no such module", "refuses"])
def test_without_a_process_that_has_the_dataset_threads_do_the_same(tmp_path, kind):
    plan = {
        "none": None,
        "no such module": Blueprint(target="no_such_module_here:Folder", path=tmp_path),
        "refuses": blueprint(tmp_path, Unbuildable),
    }[kind]
    with Workers(Unbuildable(tmp_path), plan, 2) as workers:
        outcomes = list(workers.run(MISCHIEF, jobs("fine", "data error", "error", "fine")))
    assert [outcome.reason.partition(";")[0] for outcome in outcomes] == [
        "",
        "v1 is spoilt.",
        "v2 cannot be read: TypeError: unexpected thing",
        "",
    ]
    assert outcomes[0].value["pid"] == os.getpid()


def test_jobs_are_taken_a_bounded_number_ahead(tmp_path):
    taken = []

    def endless():
        while True:
            taken.append(len(taken))
            yield Source(name="v"), {"do": "fine"}

    with Workers(Folder(tmp_path), None, 2) as workers:
        outcomes = workers.run(MISCHIEF, endless())
        for _ in range(5):
            next(outcomes)
        assert len(taken) < 40
        outcomes.close()


@posix
def test_nothing_is_left_behind(tmp_path):
    run(tmp_path, "fine", "crash", "hang", "fine", count=2, patience=0.3)
    process = psutil.Process()
    handles = process.num_fds()
    for _ in range(2):
        run(tmp_path, "fine", "crash", "hang", "die", "fine", count=2, patience=0.3)
    assert process.num_fds() == handles
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("gadkit-w")]
    assert children() == []


def test_leaving_ends_what_hangs_at_once(tmp_path):
    began = time.monotonic()

    def leave():
        with Workers(Folder(tmp_path), blueprint(tmp_path), 2, 60.0) as workers:
            outcomes = workers.run(MISCHIEF, jobs("fine", "hang", "hang"))
            next(outcomes)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert time.monotonic() - began < 30  # of the 1000 that the jobs sleep
    assert children() == []


ORPHANS = """
import os, signal, sys, threading, time
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from folder_set import Folder, blueprint
from test_workers import MISCHIEF, jobs
from gadkit.data.workers import Workers
here = Path(sys.argv[1])
with Workers(Folder(here), blueprint(here), 2, 60.0) as workers:
    outcomes = workers.run(MISCHIEF, jobs("fine", "hang", "hang"))
    next(outcomes)
    while len(workers.processes) < 2:
        time.sleep(0.01)
    print(*workers.processes, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
def test_workers_end_with_their_parent(tmp_path):
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    done = subprocess.run([sys.executable, "-c", ORPHANS, str(tmp_path), *paths], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    numbers = list(map(int, done.stdout.split()))
    assert len(numbers) == 2
    until = time.monotonic() + 20
    while any(psutil.pid_exists(number) and psutil.Process(number).status() != "zombie" for number in numbers):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_worker_is_limited_and_leaves_no_core(tmp_path):
    with Workers(Folder(tmp_path), blueprint(tmp_path), 1) as workers:
        list(workers.run(MISCHIEF, jobs("fine")))
        process = psutil.Process(workers.processes[0])
        assert process.rlimit(psutil.RLIMIT_DATA)[0] <= (9 << 30)
        assert process.rlimit(psutil.RLIMIT_CORE)[0] == 0


def test_a_source_travels_whole():
    source = Source(
        name="a/ü\udce9.mp4", label="x", files=(Path("/a b"), Path("/c\udce9")), locator="m", columns={"k": "v"}
    )
    again = unpack_source(json.loads(json.dumps(pack_source(source))))
    assert again == source
