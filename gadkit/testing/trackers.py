"""The conformance kit for trackers: whole lives of runs, with all that happens in one, and what must stay as it was."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gadkit.interfaces.tracker import Hooks, Tracker
from gadkit.registry import discovery
from gadkit.signature import validate
from gadkit.testing.probes import untouched
from gadkit.testing.promises import promise, told
from gadkit.testing.surroundings import unshared
from gadkit.video.encode import write_video

#: Seconds in which a hook returns, and in which threads end that a tracker leaves behind.
_PATIENCE = 120.0
_ENDING = 5.0

_CONFIG: dict[str, Any] = {
    "format": 1,
    "recipe": "none",
    "seed": 3,
    "run": {"steps": 6, "checkpoint_every": "10m"},
    "video": {"height": 16, "width": 16, "frames": 4},
    "data": {"path": "clips/été | 1", "labels": "none"},
    "trainer": {"use": "gadkit:minimax", "generator_betas": [0.0, 0.99], "ema": 1e-3},
    "plugins": [{"path": "/my.py", "sha256": "0" * 64}],
}
#: What a log can hold: names of metrics, values that are none or beyond float32, and one that comes later.
_VALUES = {"loss.generator": 0.7, "fvd[i3d]": 123.4, "a, b": -0.0, "lr": 2e-4}
_WILD = {"loss.generator": math.nan, "fvd[i3d]": math.inf, "new": 1e300, "tiny": -5e-324, "count": 3}


def check_tracker(cls: type[Tracker], **settings: Any) -> None:
    """Checks a tracker class, built with `settings` on top of its `offline`, against `gadkit.Tracker`.

    It is driven, in a thread as by a run, through a run that goes back to a checkpoint, stops, and goes on from an
    earlier step than it had reached, and through one that it learns of in the middle and that fails. Its hooks have
    names and arguments that there are, and return without raising, whatever is logged: values that are not finite,
    values that come later, samples of an earlier step. It leaves as they are what it is handed, the run's own files,
    random numbers, signals, standard output and the rest of the process, and keeps no thread that holds up its end.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__
    settings = validate(cls, {**cls.offline, **settings}, "tracker", f"tracker {name!r}")
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place,
        unshared(cls),
        untouched(name),
        _notes(),
        _process(name),
    ):
        _check_hooks(name, cls(**settings))
        for life, folder in ((_first, "one"), (_second, "one"), (_third, "two")):
            _Run(name, cls(**settings), Path(place) / folder).live(life)


def _first(run: _Run) -> None:
    """From the first step; it goes back, and is stopped."""
    run.started(0)
    run.logged(1, _VALUES)
    run.logged(2, _VALUES)
    run.logged(3, _WILD)
    run.sampled(2)  # written while training went on
    run.event(3, "warning", 'the discriminator | wins:\n`everything` is "grey", é.')
    run.event(1, "rollback", "the value loss.generator was nan; going back to the checkpoint of step 1.")
    run.logged(2, _VALUES)
    run.logged(3, _VALUES | {"seen.late": 1.0})
    run.ended(3, "stopped")


def _second(run: _Run) -> None:
    """The same run goes on, from an earlier step than the last that was logged."""
    run.started(2)
    run.logged(3, _VALUES | {"loss.generator": 0.5})
    run.logged(4, {"only this": 2.0})
    run.sampled(4)
    run.ended(4, "finished")


def _third(run: _Run) -> None:
    """Another run, which has no tracker until its 500th step, and fails."""
    run.started(500)
    run.logged(501, _VALUES)
    run.event(500, "given up", "stopped after 3 tries.")
    run.ended(500, "failed")


class _Run:
    """A run's folder, and a tracker that is told of it."""

    def __init__(self, name: str, tracker: Tracker, folder: Path) -> None:
        self._name, self._folder = name, folder
        self._hooks = discovery.new_manager()
        discovery.register(self._hooks, lambda: Hooks(tracker), name, ())
        (folder / "samples").mkdir(parents=True, exist_ok=True)
        for file, text in (("config.toml", "format = 1\n"), ("log.jsonl", ""), ("environment.json", "{}\n")):
            (folder / file).write_text(text, encoding="utf-8")
        self._films = {step: folder / "samples" / f"step-{step:06d}.mp4" for step in (2, 4)}
        ramp = np.linspace(0, 255, 4 * 16 * 16 * 3).reshape(4, 16, 16, 3).astype(np.uint8)
        for film in self._films.values():
            write_video(film, ramp, 8.0)
        self._own = [folder / "config.toml", folder / "log.jsonl", folder / "environment.json", *self._films.values()]

    def live(self, life: Callable[[_Run], None]) -> None:
        """Goes through a life in a thread, and sees that the run's own files are as they were."""
        before = {file: file.read_bytes() for file in self._own}
        failed: list[BaseException] = []

        def work() -> None:
            try:
                life(self)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(_PATIENCE)
        promise(
            not thread.is_alive(),
            f"every hook of {self._name} returns",
            f"one of them has been at work for {_PATIENCE:g} seconds",
            "give whatever it waits for a time limit",
        )
        if failed:
            raise failed[0]
        for file, content in before.items():
            promise(
                file.is_file() and file.read_bytes() == content,
                f"{self._name} leaves the run's own files as they are",
                f"{file.relative_to(self._folder)} is another or gone",
                "write to files of your own; gadkit's own are listed in docs/index.md",
            )

    def started(self, step: int) -> None:
        """The run begins or goes on."""
        self._call("gadkit_run_started", config=_CONFIG, step=step)

    def logged(self, step: int, values: Mapping[str, float]) -> None:
        """A line was logged."""
        self._call("gadkit_step_logged", step=step, values=dict(values))

    def event(self, step: int, event: str, text: str) -> None:
        """Something happened."""
        self._call("gadkit_event_logged", step=step, event=event, text=text)

    def sampled(self, step: int) -> None:
        """Samples were written."""
        self._call("gadkit_samples_written", step=step, path=self._films[step])

    def ended(self, step: int, reason: str) -> None:
        """The run ended."""
        self._call("gadkit_run_ended", step=step, reason=reason)

    def _call(self, hook: str, **values: Any) -> None:
        handed = copy.deepcopy(values)
        try:
            getattr(self._hooks.hook, hook)(folder=self._folder, **values)
        except BaseException as error:
            found = {key: value for key, value in values.items() if key not in ("config", "path")}
            said = told(error)
            promise(
                False,
                f"{self._name}.{hook} does not raise, whatever a run logs",
                f"it raised {said} when it was told {found}",
                "catch what can go wrong outside, and take values that are not finite and names that come later",
            )
        promise(
            json.dumps(values, default=str) == json.dumps(handed, default=str),
            f"{self._name}.{hook} leaves what it is handed as it is",
            "it changed one of its arguments in place",
            "work on a copy, such as dict(values)",
        )


def _check_hooks(name: str, tracker: Tracker) -> None:
    """Its hooks are those that there are, with arguments that there are."""
    manager = discovery.new_manager()
    try:
        discovery.register(manager, lambda: Hooks(tracker), name, ())
        found = ""
    except Exception as error:
        found = str(error).rstrip(".")
    promise(
        not found,
        f"{name} has lifecycle hooks, each with a name and arguments that there are",
        found,
        "see gadkit.hookspecs, and decorate its hooks with @gadkit.hookimpl",
    )
    own = [hook for hook in discovery.COMPONENT_HOOKS if hasattr(tracker, hook)]
    promise(
        not own,
        f"{name} has lifecycle hooks alone",
        f"it has {', '.join(own)}",
        "offer components in the plugin's module",
    )


@contextmanager
def _notes() -> Iterator[None]:
    """Forgets new environment variables, by which clients of services tell child processes where these are."""
    before = set(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before:
            del os.environ[name]


@contextmanager
def _process(name: str) -> Iterator[None]:
    """The block leaves standard output and signals alone, and no thread that the process would wait for."""
    watched = [getattr(signal, each) for each in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, each)]
    before = [signal.getsignal(each) for each in watched]
    threads, printed = set(threading.enumerate()), io.StringIO()
    with contextlib.redirect_stdout(printed):
        yield
        promise(
            sys.stdout is printed,
            f"{name} leaves standard output to the program",
            "it put something else in the place of sys.stdout",
            "switch off what records the terminal",
        )
    promise(
        not printed.getvalue(),
        f"{name} prints nothing to standard output, which may be read by a program",
        f"it printed {printed.getvalue()[:80]!r}",
        'use logging.getLogger("gadkit")',
    )
    promise(
        [signal.getsignal(each) for each in watched] == before,
        f"{name} leaves the handling of signals as it is: they end a run with a checkpoint",
        "it set a handler",
        "do what is to be done at the end in gadkit_run_ended",
    )
    left = [thread for thread in threading.enumerate() if thread not in threads and not thread.daemon]
    for thread in left:
        thread.join(_ENDING)
    left = [thread for thread in left if thread.is_alive()]
    promise(
        not left,
        f"after gadkit_run_ended, nothing of {name} keeps the program from ending",
        f"it left the threads {', '.join(thread.name for thread in left)}",
        "end them in gadkit_run_ended, or make them daemons",
    )
