"""What the commands of `gadkit data` share: flags, opening the data, and progress."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from gadkit.cli.completion import complete
from gadkit.cli.console import say

if TYPE_CHECKING:
    from gadkit.registry import Registry
    from gadkit.runs.opening import Opened
    from gadkit.sections import VideoSettings
    from gadkit.video.geometry import Geometry

#: Seconds between lines of progress where nobody watches a terminal.
PLAIN_SECONDS = 5.0
#: The most videos of an endless set or a stream that are looked at where nobody says how many.
SAMPLE = 1000

_OPTIONAL = Optional[str]  # noqa: UP045

Dataset = Annotated[
    _OPTIONAL,
    typer.Option(help="What reads the data; by default told by a look at them.", autocompletion=complete("dataset")),
]
Labels = Annotated[_OPTIONAL, typer.Option(help="Classes: none, own, folders, or a CSV or dataset.json file.")]
Resolution = Annotated[str, typer.Option(help="Size of the clips: 64, or 96x64 (width x height).")]
Frames = Annotated[int, typer.Option(help="Frames of a training clip.")]
Stride = Annotated[int, typer.Option(help="Take every n-th frame.")]
Fps = Annotated[Optional[float], typer.Option(help="Resample footage to this rate in Hz, by its timestamps.")]  # noqa: UP045
Fit = Annotated[str, typer.Option(help="Other shapes: crop, letterbox or stretch.")]
Background = Annotated[str, typer.Option(help="Colour behind transparent frames: a name or #rrggbb.")]
Workers = Annotated[Optional[int], typer.Option(min=1, help="Videos decoded at once; by default one a core.")]  # noqa: UP045
Patience = Annotated[
    float, typer.Option(min=0.1, help="Seconds without a frame after which a video is given up as broken.")
]
Limit = Annotated[Optional[int], typer.Option(min=1, help="At most so many videos, evenly chosen.")]  # noqa: UP045
Plugin = Annotated[
    Optional[list[Path]],  # noqa: UP045
    typer.Option(help="A Python file to load as a plugin; repeatable."),
]
Set = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option("--set", help="A setting of the dataset, such as data.key=value; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def registry_with(plugin: Sequence[Path] | None = None) -> Registry:
    """The process's registry with plugin files; failures are told."""
    from gadkit.cli.console import warn_failures
    from gadkit.registry import get_registry

    registry = get_registry()
    warn_failures(registry)
    for path in plugin or ():
        registry.load_file(path)
    return registry


def video_settings(
    resolution: str, frames: int, stride: int, fps: float | None, fit: str, background: str
) -> VideoSettings:
    """The section `[video]` from flags, checked as `train` checks it."""
    from gadkit.cli.values import parse_size
    from gadkit.sections import VideoSettings
    from gadkit.signature import check, fields_of

    width, height = parse_size(resolution) or (64, 64)
    given = {"frames": frames, "stride": stride, "fps": fps, "fit": fit, "background": background}
    values = {"height": height, "width": width, **given}
    return VideoSettings(**check(fields_of(VideoSettings), values, "video", "the section [video]"))


def geometry_of(video: VideoSettings) -> Geometry:
    """The geometry that training frames are brought to."""
    from gadkit.video.geometry import Geometry

    return Geometry(height=video.height, width=video.width, fps=video.fps, fit=video.fit, background=video.background)


def open_data(
    registry: Registry, source: str | None, use: str | None, labels: str | None, sets: Sequence[str]
) -> Opened:
    """Chooses the dataset for a place and opens it, with the settings that flags and `--set data.*` give."""
    from gadkit.errors import ConfigError, DataError
    from gadkit.interfaces.dataset import locate
    from gadkit.layers import from_sets
    from gadkit.runs.opening import choose

    layer = from_sets(sets)
    foreign = [*layer.scalars, *(name for name in layer.sections if name != "data")]
    if foreign:
        raise ConfigError(f"--set: found {foreign[0]}, expected a setting of the dataset, such as data.key=value.")
    settings: dict[str, Any] = dict(layer.sections.get("data", {}))
    path = settings.pop("path", None)
    use = use or settings.pop("use", None)
    labels = labels or settings.pop("labels", None) or "none"
    text = source if source is not None else path
    place = None if text is None else locate(text)
    if isinstance(place, Path) and not place.exists():
        raise DataError(f"{place}: there is no such file or folder; name a video, a folder of videos, or an archive.")
    return choose(registry, use, place, settings, labels)


def train_line(source: str | None, video: VideoSettings, **flags: str | None) -> str:
    """The command that trains on the data, with the flags that differ from their defaults."""
    from gadkit.sections import VideoSettings

    words = ["gadkit", "train"]
    if source is not None:
        words += ["--data", source]
    if (video.width, video.height) != (64, 64):
        side = str(video.width) if video.width == video.height else f"{video.width}x{video.height}"
        words += ["--resolution", side]
    usual = VideoSettings()
    for name in ("frames", "stride", "fps", "fit", "background"):
        if (value := getattr(video, name)) != getattr(usual, name):
            words += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    for name, value in flags.items():
        if value is not None:
            words += [f"--{name}", value]
    return shlex.join(words)


def train_data(place: Path) -> str:
    """The command that trains on a folder, all else as usual."""
    return shlex.join(["gadkit", "train", "--data", str(place)])


def same_command() -> str:
    """The command line that is running, to be run again."""
    return shlex.join(["gadkit", *sys.argv[1:]])


@contextmanager
def shown_progress(doing: str = "", *, steps: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """A function `progress(done, total, name)` that shows itself on standard error: a bar, or a line now and then.

    Args:
        doing: What is done to the videos; empty where the names that `progress` is given say it.
        steps: Few steps are counted in place of videos, each with a name worth showing.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not (console.is_terminal and not console.is_dumb_terminal and not os.environ.get("CI")):
        yield _plain(doing, steps)
        return
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, expand=True) as bar:
        task = bar.add_task(doing, total=None, visible=bool(doing))

        def progress(done: int, total: int, name: str) -> None:
            text = f"{doing}: {escape(name)}" if steps else doing or escape(name)
            new = text != bar.tasks[0].description  # what is new is shown at once, however soon it is over
            bar.update(task, completed=done, total=total, description=text, visible=True, refresh=new)

        yield progress


def _plain(doing: str, steps: bool) -> Callable[[int, int, str], None]:
    last = time.monotonic()

    def progress(done: int, total: int, name: str) -> None:
        nonlocal last
        if steps:
            say(f"{doing} {done}/{total}: {name}")
        elif time.monotonic() - last >= PLAIN_SECONDS:
            last = time.monotonic()
            say(f"{doing} {done}/{total} videos" if doing else f"{name} {done}/{total}")

    return progress
