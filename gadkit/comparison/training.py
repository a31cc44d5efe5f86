"""Training the runs of a comparison, each in a process of its own, one after the other or several at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gadkit.comparison.budget import Standing, standing
from gadkit.comparison.plan import LOGS, Job, Plan
from gadkit.errors import RunError
from gadkit.runs.folder import LOG
from gadkit.words import count_text, duration_text

#: Seconds between two looks at the processes.
_PULSE = 0.1
#: And between two looks at how far they are.
_LOOK = 2.0
#: What the command line says before the sentence of an error.
_ERROR = "gadkit: error: "
#: Told that something is done: `tell(sentence)`.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Turn:
    """One time that a run was trained.

    Attributes:
        code: The exit code; below 0, the signal that ended it.
        seconds: How long the process took, its start and the data included.
        peak_memory: Bytes of main memory; `None` where nobody tells.
        at_once: How many were trained beside each other.
    """

    code: int
    seconds: float
    peak_memory: int | None
    at_once: int


class Trainings:
    """The trainings of a comparison.

    Args:
        plan: The plan.
        out: The comparison's folder.
        tell: Told what happens.
        watch: Told how far the trainings are, in steps, or in seconds where the clock is the budget:
            `watch(what, done, total)`.
    """

    def __init__(
        self,
        plan: Plan,
        out: Path,
        tell: Tell,
        watch: Callable[[str, int, int], None] | None = None,
    ) -> None:
        self._plan = plan
        self._out = out
        self._tell = tell
        self._watch = watch
        self._watched = 0.0
        self._steps = plan.steps

    def done(self, job: Job) -> bool:
        """Whether a run has had its budget; one that was trained before has."""
        return job.seed is None or self._spent(job, standing(job.folder))

    def _spent(self, job: Job, how: Standing) -> bool:
        assert self._plan.budget is not None
        return how.spent(self._plan.budget, self._steps[job.contender.name])

    def failure(self, job: Job) -> str:
        """Why a run has not had its budget, in a sentence without its point; empty where it has."""
        if self.done(job):
            return ""
        turns = read_turns(self._out, job)
        if not turns:
            return "not trained yet"
        how = standing(job.folder)
        reached = f"after {count_text(how.step, 'step')}" if how.step else "before its first step was kept"
        if turns[-1].code < 0:
            return f"ended by {_signal(turns[-1].code)} {reached}, as happens where memory is short"
        if turns[-1].code in (130, 143):
            return f"stopped {reached}"
        return self._last_words(job) or f"ended with code {turns[-1].code} {reached}"

    def _last_words(self, job: Job) -> str:
        """The error that a training ended with, from the end of its log."""
        with suppress(OSError):
            content = (self._out / LOGS / f"{job.name}.log").read_bytes()[-20_000:].decode("utf-8", "replace")
            lines = content.splitlines()
            for place in range(len(lines) - 1, -1, -1):
                if lines[place].startswith(f"{_ERROR}this is a bug") and place:  # the exception stands before it
                    return lines[place - 1].strip().removesuffix(".")
                if lines[place].startswith(_ERROR):
                    return lines[place].removeprefix(_ERROR).removesuffix(".")
        return ""

    def command(self, job: Job) -> list[str]:
        """The command that begins a run, or goes on with it for what is left of its budget."""
        assert self._plan.budget is not None
        words = ["train", "--config", str(self._plan.config_path(self._out, job.contender)), "--seed", str(job.seed)]
        words += ["--out", str(job.folder), "--resume", "auto"]
        for file in self._plan.plugins:
            words += ["--plugin", file["path"]]
        left = self._plan.budget.seconds_left(standing(job.folder).seconds)
        return words if left is None else [*words, "--set", f"run.max_time={left:.3f}"]

    def train(self, jobs: Sequence[Job], at_once: int = 1) -> None:
        """Trains those that have not had their budget; one that fails costs only itself.

        Whatever ends this, the processes end with it, each with a checkpoint.

        Args:
            jobs: The runs.
            at_once: How many beside each other, each with its share of the processor's cores.
        """
        waiting = [job for job in jobs if not self.done(job)]
        running: dict[Job, subprocess.Popen[bytes]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    job = waiting.pop(0)
                    running[job] = self._start(job, at_once)
                time.sleep(_PULSE)
                self._show(jobs, running)
                for job in [job for job, process in running.items() if process.poll() is not None]:
                    del running[job]
                    self._ended(job)
        except BaseException:
            _stop(list(running.values()), self._tell)
            raise

    def _start(self, job: Job, at_once: int) -> subprocess.Popen[bytes]:
        how = standing(job.folder)
        log = self._out / LOGS / f"{job.name}.log"
        begun = f"going on after {count_text(how.step, 'step')}" if how.step else "training"
        assert self._plan.budget is not None
        self._tell(f"{job.name}: {begun}, {self._plan.budget.told([self._steps[job.contender.name]])}; see {log}")
        words = self.command(job)
        try:
            with log.open("ab") as file:
                file.write(("$ gadkit " + " ".join(words) + "\n").encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise RunError(
                f"{log}: cannot be written ({error.strerror}); free some space or mend the rights."
            ) from error
        launcher = [sys.executable, "-m", "gadkit.comparison.launcher"]
        places = [str(_record(self._out, job)), str(log), str(at_once)]
        environment = dict(os.environ)
        if at_once > 1:
            environment["OMP_NUM_THREADS"] = str(max(1, _cores() // at_once))
        return subprocess.Popen(
            [*launcher, *places, sys.executable, "-m", "gadkit", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for this process, which asks the others
        )

    def _show(self, jobs: Sequence[Job], running: Collection[Job]) -> None:
        """Tells now and then how far the trainings are."""
        if self._watch is None or time.monotonic() - self._watched < _LOOK:
            return
        self._watched = time.monotonic()
        budget = self._plan.budget
        by_clock = budget is not None and budget.minutes is not None
        done = total = 0.0
        for job in jobs:
            if job.seed is not None and budget is not None:
                whole = (budget.minutes or 0.0) * 60 if by_clock else self._steps[job.contender.name]
                how = _newest_line(job.folder) if job in running else standing(job.folder)
                done += min(whole, how.seconds if by_clock else how.step)
                total += whole
        self._watch(f"training, {'seconds' if by_clock else 'steps'}", round(done), round(total))

    def _ended(self, job: Job) -> None:
        how = standing(job.folder)
        if why := self.failure(job):
            self._tell(f"{job.name}: failed: {why}")
        else:
            self._tell(f"{job.name}: {count_text(how.step, 'step')} in {duration_text(how.seconds)}")


def _newest_line(folder: Path) -> Standing:
    """How far a run under way is, by the end of its log."""
    with suppress(OSError):
        with (folder / LOG).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            lines = file.read().splitlines()
        for line in reversed(lines):
            with suppress(ValueError, KeyError, TypeError):
                found = json.loads(line)
                return Standing(step=int(found["step"]), seconds=float(found["seconds"]))
    return Standing()


def read_turns(out: Path, job: Job) -> list[Turn]:
    """The times that a run was trained, as far as they ended with this machine still on."""
    turns = []
    with suppress(OSError):
        for line in _record(out, job).read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, TypeError, AttributeError):
                turns.append(_turn(json.loads(line)))
    return turns


def _turn(told: Any) -> Turn:
    memory = told.get("peak_memory")
    if not isinstance(told.get("code"), int) or not isinstance(memory, int | None):
        raise ValueError
    return Turn(told["code"], float(told.get("seconds") or 0), memory, int(told.get("at_once") or 1))


def _record(out: Path, job: Job) -> Path:
    return out / LOGS / f"{job.name}.jsonl"


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _signal(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _stop(processes: Sequence[subprocess.Popen[bytes]], tell: Tell) -> None:
    """Asks trainings to end with a checkpoint, and waits for them; asked again, they end at once."""
    if not processes:
        return
    try:
        tell("stopping the trainings, each with a checkpoint; again to stop at once")
        for process in processes:
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
        for process in processes:
            process.wait()
    except BaseException:
        for process in processes:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        raise
