"""What a run writes while it trains: log lines, samples and checkpoints, the last two in the background."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from gadkit.checkpoints.store import flatten, snapshot, write_folder
from gadkit.runs.folder import BEST, REPORT
from gadkit.runs.model import DESCRIPTION, WEIGHTS, Model, model_document
from gadkit.runs.state import STATE, TENSORS
from gadkit.video.encode import write_video

if TYPE_CHECKING:
    from gadkit.runs.session import Session


class Writer:
    """Writes a run's files, in the process that does; in the others, and in a dry run, it does nothing.

    Args:
        session: The training.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def _page(self) -> None:
        """Writes the run's page anew, where it is time."""
        if (page := self._session.page) is not None:
            page.refresh()

    def log(self, step: int, values: Mapping[str, float], costs: Mapping[str, float]) -> None:
        """Logs the numbers of a step: to the run's log, to whoever watches, to trackers.

        Raises:
            RunError: The log cannot be written, or what was handed to the background could not.
        """
        session = self._session
        session.background.check()
        if session.run is not None:
            session.run.log(step, {**{name: round(cost, 3) for name, cost in costs.items()}, **values})
            session.tell("gadkit_step_logged", step=step, values=dict(values))
        if session.engine.main:
            session.reporter.logged(step, dict(values))

    def event(self, step: int, name: str, sentence: str, **values: Any) -> None:
        """Logs something that happened, in words."""
        session = self._session
        if session.run is not None:
            session.run.log(step, {"event": name, "text": sentence, **values})
            session.tell("gadkit_event_logged", step=step, event=name, text=sentence)
        if session.engine.main:
            session.reporter.warned(step, sentence)

    def save(
        self, step: int, models: Mapping[str, nn.Module], state: Mapping[str, Any], best: Mapping[str, Any] | None
    ) -> None:
        """Writes a checkpoint in the background, from a copy taken now.

        Args:
            step: Steps done.
            models: `generator` and `assembler` with the weights to sample from.
            state: Everything else, for `gadkit.runs.state.read_state`.
            best: The best checkpoint so far, which may be this one: its step, metric and value.
        """
        session = self._session
        if session.run is None:
            return
        run, settings = session.run, session.config.run
        weights = snapshot({f"{name}.{key}": v for name, m in models.items() for key, v in m.state_dict().items()})
        document, tensors = flatten(snapshot(dict(state)))
        description = model_document(session.config, session.video, session.clips.store.classes, step, state["nets"])

        def write() -> None:
            path = run.checkpoint_path(step)
            run.sync_log()  # a checkpoint that is there has its lines
            write_folder(path, {WEIGHTS: weights, TENSORS: tensors}, {DESCRIPTION: description, STATE: document}, {})
            if best is not None:
                run.write_text(BEST, json.dumps(best) + "\n")
            run.prune(settings, None if best is None else best["step"])
            session.reporter.wrote(path)
            self._page()

        session.background.submit(write)

    def tidy(self, best: dict[str, Any] | None, best_by: str | None) -> dict[str, Any] | None:
        """Makes the folder what it was when the checkpoint to go on from had been saved, also where that was cut off.

        Args:
            best: The best checkpoint, as it was then.
            best_by: The value by which the best is told now.

        Returns:
            It, or `None` where it is another value's or is not there any more.
        """
        run, settings = self._session.run, self._session.config.run
        if run is None:
            return best
        pages = run.path.glob(f".{REPORT}.*.partial")
        for cut_off in [*run.samples_path(0).parent.glob(".step-*"), *pages]:
            cut_off.unlink(missing_ok=True)
        if best is not None and (best["metric"] != best_by or not run.checkpoint_path(best["step"]).is_dir()):
            best = None
        if best is None:
            (run.path / BEST).unlink(missing_ok=True)
        else:
            run.write_text(BEST, json.dumps(best) + "\n")
        run.prune(settings, None if best is None else best["step"])
        return best

    def sample(self, step: int, models: Mapping[str, nn.Module]) -> None:
        """Renders and writes a grid of videos in the background, from a copy of the weights taken now."""
        session = self._session
        if session.run is None:
            return
        run, video, settings = session.run, session.video, session.config
        shown = Model.frozen(models, video, session.clips.store.classes)

        def write() -> None:
            length = 2 * video.frames if shown.longest is None else shown.longest
            path = run.samples_path(step)
            with torch.no_grad():
                grid = shown.grid(settings.run.samples, length, seed=settings.seed)
                write_video(path, grid, video.fps, length=length)
            session.tell("gadkit_samples_written", step=step, path=path)
            self._page()
            session.reporter.wrote(path)

        session.background.submit(write)
