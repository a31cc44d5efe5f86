"""Signals: the first ends a training with a checkpoint and the line that goes on, the second at once."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from kills import Kill
from small_runs import NETS, SMALL, environment, files_of, same_tensors

from gadkit.checkpoints.store import read_tensors, verify
from gadkit.runs.folder import Run
from gadkit.runs.lock import locked

CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGUSR1": 143, "SIGHUP": 129}
HINT = "gadkit: finishing the step and saving; Ctrl-C again to stop at once."
LINE = ("train", "--data", "clips", *SMALL, *NETS, "--log-every", "1", "--checkpoint-every", "3", "--steps", "8")


@pytest.fixture
def run(place, request) -> Path:
    """The folder for a test's run, which is not there yet."""
    return place / re.sub(r"\W+", "-", request.node.name)


@pytest.fixture
def train(zygote, run):
    """`gadkit train` on clips, in a process of its own."""
    return lambda *arguments, **more: zygote.run(*LINE, "--out", run.name, *arguments, run=run.name, **more)


@pytest.fixture(scope="module")
def unbroken(zygote, place) -> Path:
    assert zygote.run(*LINE, "--out", "never-stopped", run="never-stopped").code == 0
    return place / "never-stopped"


def steps(run):
    return [line["step"] for line in Run(run).read_log()]


def newest(run) -> int:
    """The step of the newest checkpoint, which is whole."""
    path = Run(run).find_checkpoint()
    verify(path)
    return int(path.name.removeprefix("step-"))


def goes_on(zygote, run, printed, unbroken):
    """Whether the line at the end of what was printed makes the run the unbroken one."""
    line = re.search(r"Go on with: gadkit (train --resume .*)", printed)[1]
    done = zygote.run(*shlex.split(line), run=run.name)
    assert done.code == 0, done.printed
    assert steps(run) == steps(unbroken) == list(range(1, 9))
    assert same_tensors(*(read_tensors(Run(end).find_checkpoint(), "training.safetensors") for end in (run, unbroken)))


@pytest.mark.parametrize("name", CODES)
def test_a_signal_finishes_the_step_and_saves(zygote, train, run, unbroken, name):
    done = train(kill=Kill("step", 5, getattr(signal, name)))
    assert done.code == CODES[name]
    lines = done.printed.splitlines()
    assert HINT in lines
    assert lines[-1] == f"Stopped with the checkpoint of step 5. Go on with: gadkit train --resume {run.name}"
    assert newest(run) == 5
    assert steps(run) == [1, 2, 3, 4, 5]
    goes_on(zygote, run, done.printed, unbroken)


def test_nohup_keeps_a_run_going(train, run):
    done = train(kill=Kill("step", 5, signal.SIGHUP), ignored=signal.SIGHUP)
    assert done.code == 0
    assert HINT not in done.printed
    assert newest(run) == 8


def test_the_end_of_the_time_tells_a_script_that_there_is_more_where_the_command_line_says_so(train, run, zygote):
    done = train("--max-time", "0.000001s")
    assert done.code == 143
    assert done.printed.splitlines()[-1].endswith(f"Go on with: gadkit train --resume {run.name}")
    step = newest(run)
    done = zygote.run("train", "--resume", run.name, run=run.name)  # the run's own configuration has the limit now
    assert done.code == 0
    assert newest(run) == step + 1


@pytest.mark.parametrize("name", CODES)
def test_before_training_a_signal_ends_at_once_and_leaves_nothing(train, run, name):
    done = train(kill=Kill("data", 1, getattr(signal, name)))
    assert done.code == CODES[name]
    assert done.printed == "gadkit: stopped before training began\n"
    assert not run.exists()


@pytest.mark.parametrize("touch", [2, 4, 6])
def test_while_the_folder_is_made_a_signal_leaves_one_that_a_run_can_begin_in(zygote, train, run, unbroken, touch):
    done = train("--resume", "auto", kill=Kill("touch", touch, signal.SIGTERM))
    assert done.code == 143
    assert Run(run).checkpoints() == []
    assert train("--resume", "auto").code == 0
    assert files_of(run / "checkpoints").keys() == files_of(unbroken / "checkpoints").keys()


IMPORTING = """
import os, signal, sys
from gadkit.cli.app import main

class Finder:
    def find_spec(name, path, target=None):
        if name == "torch":
            os.kill(os.getpid(), signal.SIGUSR1)

sys.meta_path.insert(0, Finder)
sys.argv = ["gadkit", "train"]
main()
"""


def test_while_libraries_are_imported_a_signal_ends_at_once():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "gadkit: stopped before training began\n")


@pytest.mark.parametrize("where", [("step", 5), ("sync", 25)], ids=["step", "write"])
def test_the_second_signal_ends_at_once_and_what_is_on_the_disk_is_whole(zygote, train, run, unbroken, where):
    """In a step, or a write of a checkpoint, that would never end."""
    done = train(kill=Kill(*where, signal.SIGTERM, again=signal.SIGINT))
    assert done.code == 130
    assert done.printed.splitlines()[-1] == "gadkit: stopped at once"
    assert HINT in done.printed
    step = newest(run)
    assert step in (0, 3)
    again = zygote.run("train", "--resume", run.name, run=run.name)
    assert f"{run.name}, from step {step}\n" in again.printed
    goes_on(zygote, run, f"Go on with: gadkit train --resume {run.name}", unbroken)


STUB = """
import os, signal, sys, time
from gadkit.cli.stopping import stopping
class Reporter:
    training = True
    def stopping(self): pass
    def abandoned(self): print("at once", flush=True)
with stopping(Reporter()) as stop:
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
    print("finished", flush=True)
sys.exit(stop.code)
"""


@pytest.mark.parametrize(("processes", "said"), [("1", "at once"), ("2", "finished")])
def test_a_signal_that_comes_twice_through_torchrun_is_one(processes, said):
    variables = environment(WORLD_SIZE=processes)
    done = subprocess.run([sys.executable, "-c", STUB], env=variables, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, f"{said}\n", "")


def test_afterwards_signals_are_what_they_were_before():
    from gadkit.cli.stopping import stopping

    before = {name: signal.getsignal(getattr(signal, name)) for name in CODES}
    with stopping(None):
        assert all(signal.getsignal(getattr(signal, name)) != before[name] for name in CODES)
    assert {name: signal.getsignal(getattr(signal, name)) for name in CODES} == before
    wakeup = signal.set_wakeup_fd(-1)
    assert wakeup == -1


HANGING = f"""
import os, signal, sys, threading
sys.path.insert(0, {str(Path(__file__).parent.parent)!r})
from kills import hang
from gadkit.cli.app import main
from gadkit.runs.course import Course

def between(self, step):
    os.kill(os.getpid(), signal.SIGINT)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    hang()

Course._between = between
main()
"""


def test_the_cursor_is_back_after_a_second_signal(place, run):
    ours, theirs = pty.openpty()
    variables = environment(TERM="xterm", COLUMNS="80")
    variables.pop("CI", None)
    command = [sys.executable, "-c", HANGING, *LINE, "--out", run.name]
    process = subprocess.Popen(command, cwd=place, env=variables, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    raw = b""
    with suppress(OSError):  # the other end is closed
        while chunk := os.read(ours, 65536):
            raw += chunk
    os.close(ours)
    assert process.wait(timeout=60) == 130
    text = raw.decode()
    assert 0 <= text.rfind("\x1b[?25l") < text.rfind("\x1b[?25h")
    assert "gadkit: stopped at once" in text
    assert newest(run) == 0


def test_a_second_process_on_a_run_is_refused_and_the_first_is_unharmed(zygote, train, run):
    assert train(kill=Kill("step", 5)).code == -signal.SIGKILL
    with locked(run):
        before = files_of(run)
        done = zygote.run("train", "--resume", run.name, run=run.name)
        assert done.code == 2
        (line,) = done.printed.splitlines()
        owner = rf"by process {os.getpid()} on \S+, for [\d.]+ s"
        advice = "wait until that has ended, or stop it, and try again."
        assert re.fullmatch(rf"gadkit: error: {run.name}: is being trained already {owner}; {advice}", line)
        assert files_of(run) == before
    done = zygote.run("train", "--resume", run.name, run=run.name)
    assert done.code == 0, done.printed
    assert steps(run) == list(range(1, 9))


@pytest.mark.parametrize("touch", range(34, 50, 2))
def test_a_change_is_noted_once_wherever_the_run_is_killed_that_makes_it(zygote, train, run, touch):
    assert train("--steps", "3").code == 0
    change = ("train", "--resume", run.name, "--steps", "5", "--generator-lr", "0.001", "--allow-changes")
    assert zygote.run(*change, run=run.name, kill=Kill("touch", touch)).code == -signal.SIGKILL
    assert zygote.run(*change, run=run.name).code == 0
    (event,) = [line for line in Run(run).read_log() if line.get("event") == "changed"]
    assert event["text"] == "from here on with trainer.generator_lr 0.0005 → 0.001."
