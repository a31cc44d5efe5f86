"""Trackers that break one promise each."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch

from gadkit import Tracker, hookimpl
from planted.table import planter

plant = planter("tracker")


class Noting(Tracker):
    """Sound: a file of its own, with a line for all that it is told.

    Args:
        file: Its name.
    """

    def __init__(self, *, file: str = "notes.txt") -> None:
        self._name = file

    def note(self, *what):
        with (self._folder / self._name).open("a", encoding="utf-8") as file:
            print(*what, file=file)

    @hookimpl
    def gadkit_run_started(self, folder, config, step):
        self._folder = folder
        self.note("started", step, config)

    @hookimpl
    def gadkit_step_logged(self, step, values):
        self.note(step, values)

    @hookimpl
    def gadkit_event_logged(self, step, event, text):
        self.note(step, event, text)

    @hookimpl
    def gadkit_samples_written(self, step, path):
        self.note(step, path)

    @hookimpl
    def gadkit_run_ended(self, step, reason):
        self.note(step, reason)


@plant("a hook that there is not", "has lifecycle hooks, each with a name and arguments", "see gadkit.hookspecs")
class Misspelt(Noting):
    @hookimpl
    def gadkit_step_loged(self, step):
        pass


@plant("an argument that there is not", "has lifecycle hooks, each with a name and arguments", "see gadkit.hookspecs")
class AsksForLoss(Noting):
    @hookimpl
    def gadkit_step_logged(self, step, loss):
        pass


@plant(
    "a hook without its decorator",
    "has lifecycle hooks, each with a name and arguments",
    "decorate its hooks with @gadkit.hookimpl",
)
class Undecorated(Noting):
    def gadkit_step_logged(self, step, values):
        pass


@plant("components in place of hooks", "has lifecycle hooks alone", "offer components in the plugin's module")
class OffersParts(Noting):
    @hookimpl
    def gadkit_losses(self):
        return []


@plant("raises where a value is nan", "does not raise, whatever a run logs", "values that are not finite")
class NotFinite(Noting):
    @hookimpl
    def gadkit_step_logged(self, step, values):
        self.note({name: round(value) for name, value in values.items()})


@plant("raises where a value comes later", "does not raise, whatever a run logs", "names that come later")
class FixedColumns(Noting):
    names = None

    @hookimpl
    def gadkit_step_logged(self, step, values):
        self.names = self.names or list(values)
        self.note([values[name] for name in self.names])


@plant("raises where it came late", "gadkit_run_started does not raise", "catch what can go wrong outside")
class NeedsAllSteps(Noting):
    @hookimpl
    def gadkit_run_started(self, folder, step):
        self._folder = folder
        if step:
            (folder / "notes.txt").read_text()


@plant("raises where a run goes on", "gadkit_run_started does not raise", "catch what can go wrong outside")
class BeginsAgain(Noting):
    @hookimpl
    def gadkit_run_started(self, folder):
        self._folder = folder
        (folder / "notes.txt").touch(exist_ok=False)


@plant("raises where a run goes back", "does not raise, whatever a run logs", "catch what can go wrong outside")
class OnlyForwards(Noting):
    last = 0

    @hookimpl
    def gadkit_step_logged(self, step):
        if step <= self.last:
            raise ValueError(f"step {step} is not after {self.last}")
        self.last = step


@plant("in-place change of its input", "leaves what it is handed as it is", "dict(values)")
class ChangesValues(Noting):
    @hookimpl
    def gadkit_step_logged(self, step, values):
        values["step"] = step


@plant("in-place change of the configuration", "leaves what it is handed as it is", "work on a copy")
class ChangesConfig(Noting):
    @hookimpl
    def gadkit_run_started(self, folder, config):
        self._folder = folder
        config["data"].pop("path")


@plant("writes into the run's log", "leaves the run's own files as they are", "write to files of your own")
class WritesTheLog(Noting):
    @hookimpl
    def gadkit_step_logged(self, step, values):
        with (self._folder / "log.jsonl").open("a") as file:
            file.write("mine\n")


@plant("moves the samples", "leaves the run's own files as they are", "write to files of your own")
class MovesSamples(Noting):
    @hookimpl
    def gadkit_samples_written(self, path):
        path.rename(path.with_suffix(".moved"))


@plant("prints to standard output", "prints nothing to standard output", "logging.getLogger")
class Prints(Noting):
    @hookimpl
    def gadkit_step_logged(self, step):
        print(step)


@plant("takes standard output", "leaves standard output to the program", "switch off what records the terminal")
class TakesTheTerminal(Noting):
    @hookimpl
    def gadkit_run_started(self, folder):
        self._folder, sys.stdout = folder, sys.__stdout__


@plant("hidden randomness of Python", "draws no number from Python's `random`", "gadkit.randomness")
class Draws(Noting):
    @hookimpl
    def gadkit_samples_written(self):
        random.random()


@plant("hidden randomness of NumPy", "or NumPy's global generator", "gadkit.randomness")
class DrawsByNumpy(Noting):
    @hookimpl
    def gadkit_samples_written(self):
        np.random.rand()


@plant("hidden global randomness", "PyTorch's global generator", "draw from the noise")
class DrawsByTorch(Noting):
    @hookimpl
    def gadkit_samples_written(self):
        torch.rand(())


@plant("another working directory", "the working directory among it", "use absolute paths")
class ChangesDirectory(Noting):
    @hookimpl
    def gadkit_run_started(self, folder):
        self._folder = Path(folder)
        os.chdir(folder)


@plant("takes signals", "leaves the handling of signals as it is", "in gadkit_run_ended")
class TakesSignals(Noting):
    def __init__(self) -> None:
        super().__init__()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


@plant(
    "a thread that holds up the end",
    "keeps the program from ending",
    "make them daemons",
    patches={"gadkit.testing.trackers._ENDING": 0.05},
)
class LeavesThread(Noting):
    @hookimpl
    def gadkit_run_ended(self):
        threading.Thread(target=time.sleep, args=(2,), name="left", daemon=False).start()


@plant("bound to the thread that made it", "does not raise, whatever a run logs", "catch what can go wrong outside")
class Bound(Noting):
    """Uses in one thread what was made in another, as databases refuse to be."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.current_thread()

    @hookimpl
    def gadkit_step_logged(self):
        if threading.current_thread() is not self._thread:
            raise RuntimeError("made in another thread")


@plant(
    "a hook that hangs",
    "every hook of Hangs returns",
    "give whatever it waits for a time limit",
    patches={"gadkit.testing.trackers._PATIENCE": 0.3},
)
class Hangs(Noting):
    @hookimpl
    def gadkit_run_ended(self):
        time.sleep(3)


@plant("memory of all trackers", "shares nothing that changes with another one", "keep it in `self`")
class Shares(Noting):
    seen = []

    @hookimpl
    def gadkit_step_logged(self, step):
        self.seen.append(step)
