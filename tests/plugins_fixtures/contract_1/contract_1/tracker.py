"""A tracker of contract 1, with every lifecycle hook."""

from pathlib import Path

from gadkit import Tracker, hookimpl


class Notes(Tracker):
    """Writes one line a call.

    Args:
        name: Of the file in the run's folder.
    """

    def __init__(self, *, name: str = "notes.txt") -> None:
        self.name = name

    def note(self, folder: Path, *words) -> None:
        with (folder / self.name).open("a") as file:
            print(*words, file=file)

    @hookimpl
    def gadkit_run_started(self, folder, config, step):
        self.note(folder, "started", config["seed"], step)

    @hookimpl
    def gadkit_step_logged(self, folder, step, values):
        self.note(folder, "logged", step)

    @hookimpl
    def gadkit_event_logged(self, folder, step, event, text):
        self.note(folder, "event", step, event)

    @hookimpl
    def gadkit_samples_written(self, folder, step, path):
        self.note(folder, "samples", step, path.name)

    @hookimpl
    def gadkit_run_ended(self, folder, step, reason):
        self.note(folder, "ended", step, reason)
