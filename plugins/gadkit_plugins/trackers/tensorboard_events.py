"""A run in TensorBoard, by event files."""

from __future__ import annotations

import io
import itertools
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from gadkit import Tracker, hookimpl
from gadkit.video.decode import open_video
from gadkit.video.encode import GIF_FPS

from .settings import shown


class TensorBoard(Tracker):
    """Event files for TensorBoard: values as scalars, events and settings as texts, samples as images that play.

    Where a run goes on or goes back, TensorBoard is told to forget the steps that are made again. Samples are animated
    GIFs, which the tab for images plays without further packages.

    Args:
        folder: Where the event files go, each run's into a folder of its name; by default into `tensorboard` in the
            run's folder.
    """

    def __init__(self, *, folder: str | None = None) -> None:
        self._folder = folder
        self._writer: EventFileWriter | None = None

    @hookimpl
    def gadkit_run_started(self, folder: Path, config: Mapping[str, Any], step: int) -> None:
        """Begins a file of events, before which those of later steps count no more."""
        place = folder / "tensorboard" if self._folder is None else Path(self._folder) / folder.resolve().name
        self._writer = EventFileWriter(str(place))
        self._restart(step)
        rows = [f"| `{key}` | {_cell(value)} |" for key, value in shown(config).items()]
        self._text("settings", "\n".join(["| setting | value |", "|---|---|", *rows]), step)

    @hookimpl
    def gadkit_step_logged(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to each curve."""
        self._add(step, Summary(value=[_scalar(name, value) for name, value in values.items()]))

    @hookimpl
    def gadkit_event_logged(self, step: int, event: str, text: str) -> None:
        """Adds a text."""
        if event in ("rollback", "given up"):
            self._restart(step)
        self._text(event, text, step)

    @hookimpl
    def gadkit_samples_written(self, step: int, path: Path) -> None:
        """Adds an image that plays."""
        height, width, film = _film(path)
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=film)
        self._add(step, Summary(value=[Summary.Value(tag="samples", image=image)]))

    @hookimpl
    def gadkit_run_ended(self) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()

    def _restart(self, step: int) -> None:
        """What TensorBoard knows of steps after this one, it forgets."""
        self._event(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def _text(self, tag: str, text: str, step: int) -> None:
        plugin = SummaryMetadata.PluginData(plugin_name="text")
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode("utf-8", "replace")])
        value = Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)
        self._add(step, Summary(value=[value]))

    def _add(self, step: int, summary: Summary) -> None:
        self._event(Event(step=step, summary=summary))

    def _event(self, event: Event) -> None:
        assert self._writer is not None  # a run begins with gadkit_run_started
        event.wall_time = time.time()
        self._writer.add_event(event)
        self._writer.flush()  # for whoever watches, and in case the process is killed


def _film(path: Path) -> tuple[int, int, bytes]:
    """A video as an animated GIF, with its height and width; its colours are chosen fast, for training goes on."""
    footage = open_video(path)
    frames = [Image.fromarray(frame).quantize(256, Image.Quantize.FASTOCTREE) for frame in footage.frames]
    rate = min(footage.fps, GIF_FPS)
    ends = [round(100 * number / rate) for number in range(len(frames) + 1)]  # GIF counts in hundredths of a second
    durations = [10 * (end - start) for start, end in itertools.pairwise(ends)]
    film = io.BytesIO()
    frames[0].save(film, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return frames[0].height, frames[0].width, film.getvalue()


def _scalar(name: str, value: float) -> Summary.Value:
    """A point; what float32 does not hold becomes infinite."""
    with np.errstate(over="ignore"):
        return Summary.Value(tag=name, simple_value=float(np.float32(value)))


def _cell(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str).replace("|", "\\|")
