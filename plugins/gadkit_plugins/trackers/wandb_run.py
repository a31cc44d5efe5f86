"""A run at Weights & Biases."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import wandb
from pydantic import Field

from gadkit import ConfigError, Tracker, hookimpl

from .settings import shown

#: The file in a run's folder that says which run at Weights & Biases is this one's, and where it can be seen.
_FILE = "wandb.json"


class Wandb(Tracker):
    """A run at Weights & Biases: values as curves, samples as videos, warnings as alerts, the settings as its config.

    A run that goes on goes on with the same run there, by the id that its folder keeps. Its history only grows, so
    steps that are made again stand in it twice; its curves are drawn over `step`, and go back where the run did. Files
    are kept in `wandb` in the run's folder.

    Args:
        project: The project.
        entity: The team or user that owns it; by default yours.
        name: What the run is called; by default as its folder.
        mode: `offline` keeps everything on the disk for `wandb sync`, `disabled` does nothing; by default what
            WANDB_MODE says, else online.
        tags: Tags of the run.
    """

    offline: ClassVar[Mapping[str, Any]] = {"mode": "offline"}

    def __init__(
        self,
        *,
        project: Annotated[str, Field(min_length=1)] = "gadkit",
        entity: str | None = None,
        name: str | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
        tags: tuple[str, ...] = (),
    ) -> None:
        self._place = {"project": project, "entity": entity, "name": name, "tags": list(tags)}
        self._mode = mode or os.environ.get("WANDB_MODE") or "online"
        self._run: Any = None
        if self._mode == "online" and not wandb.login(prompt=False, verify=False):
            raise ConfigError(
                "tracker.wandb: nobody is logged in at Weights & Biases here; say `wandb login` or set WANDB_API_KEY, "
                "or take --set tracker.wandb.mode=offline."
            )

    @hookimpl
    def gadkit_run_started(self, folder: Path, config: Mapping[str, Any]) -> None:
        """Begins a run there, or goes on with the one that was begun."""
        place = self._place | {"name": self._place["name"] or folder.resolve().name}
        identity = _kept(folder).get("id") or secrets.token_hex(8)
        _keep(folder, {"id": identity})
        self._run = wandb.init(
            **place,
            id=identity,
            resume="allow",
            dir=folder,
            mode=self._mode,
            config=shown(config),
            allow_val_change=True,  # a run may go on with more steps
            reinit="create_new",  # beside a run that the program has of its own
            settings=wandb.Settings(console="off", silent=True),  # the terminal is gadkit's
        )
        self._run.define_metric("*", step_metric="step")
        if self._mode == "online":
            _keep(folder, {"id": identity, "url": self._run.url})

    @hookimpl
    def gadkit_step_logged(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each curve."""
        self._run.log({**values, "step": step})

    @hookimpl
    def gadkit_event_logged(self, step: int, event: str, text: str) -> None:
        """Sends an alert."""
        self._run.alert(title=f"{event} at step {step}", text=text, level=wandb.AlertLevel.WARN)

    @hookimpl
    def gadkit_samples_written(self, step: int, path: Path) -> None:
        """Adds a video."""
        self._run.log({"samples": wandb.Video(str(path)), "step": step})

    @hookimpl
    def gadkit_run_ended(self, reason: str) -> None:
        """Sends what is left, and closes the run."""
        self._run.finish(exit_code=int(reason == "failed"))


def _kept(folder: Path) -> dict[str, str]:
    """What the folder keeps of the run there; nothing where it has none, or the file is hurt."""
    try:
        found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    fits = isinstance(found, dict) and isinstance(found.get("id"), str) and found["id"]
    return found if fits else {}


def _keep(folder: Path, kept: Mapping[str, str | None]) -> None:
    """Writes it, whole or not at all."""
    partial = folder / f".{_FILE}.partial"
    partial.write_text(json.dumps(kept) + "\n", encoding="utf-8")
    os.replace(partial, folder / _FILE)
