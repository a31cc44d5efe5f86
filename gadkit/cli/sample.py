"""`gadkit sample`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gadkit.cli.console import telling, warn_failures
from gadkit.cli.refining import Name, Steps, refinement_of
from gadkit.words import printable

if TYPE_CHECKING:
    import numpy as np

    from gadkit.runs.model import Model
    from gadkit.runs.sampling import Variation

_HOW = "Variation"


def sample(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="A run, a checkpoint, an exported model, or owner/name on the Hub.")
    ],
    out: Annotated[
        Path, typer.Option(help="Where to: a name ending in .mp4, .webm, .gif, .webp, or .png for a strip of frames.")
    ] = Path("sample.mp4"),
    num: Annotated[int, typer.Option(min=1, help="How many videos.")] = 1,
    length: Annotated[int | None, typer.Option(min=1, help="Frames of each; by default the training length.")] = None,
    seed: Annotated[int, typer.Option(help="A seed and a number mean one video.")] = 0,
    first: Annotated[int, typer.Option(min=0, help="The number of the first video.")] = 0,
    grid: Annotated[bool, typer.Option("--grid", help="All videos side by side in one file.")] = False,
    real: Annotated[
        bool, typer.Option("--real", help="As many real clips at their left: of those held out, where there are some.")
    ] = False,
    label: Annotated[
        list[str] | None, typer.Option(help="A class, its name or number; repeat it for each video.")
    ] = None,
    class_grid: Annotated[
        bool,
        typer.Option(
            "--class-grid",
            help="One file with a row for each of --num videos and a column for each class, or each --label.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    interpolate: Annotated[
        int | None,
        typer.Option(metavar="SEED", help="From --seed to this one in --num videos.", rich_help_panel=_HOW),
    ] = None,
    same: Annotated[
        str | None,
        typer.Option(help="content or motion: all videos have that of the first one.", rich_help_panel=_HOW),
    ] = None,
    truncation: Annotated[
        float,
        typer.Option(
            help="From 0 to 1: smaller for videos that are more alike and closer to the mean.", rich_help_panel=_HOW
        ),
    ] = 1.0,
    motion_truncation: Annotated[
        float, typer.Option(help="The same for the motion alone.", rich_help_panel=_HOW)
    ] = 1.0,
    speed: Annotated[
        float,
        typer.Option(help="Frames of training time from frame to frame: .25 for slow motion.", rich_help_panel=_HOW),
    ] = 1.0,
    start: Annotated[int, typer.Option(min=0, help="The number of the first frame.", rich_help_panel=_HOW)] = 0,
    checkpoint: Annotated[str, typer.Option(help="latest, best, or a step.")] = "latest",
    refine: Steps = None,
    refiner: Name = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the refiner: refiner.weight=5; repeatable.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frame rate of the file; by default the training data's, at every --speed.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32 or bf16.")] = "fp32",
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file to load as a plugin; repeatable.")] = None,
) -> None:
    """Make videos from a trained model.

    One file holds one video, or all of them with --grid; several files are numbered: out-0.mp4, out-1.mp4 and so on.
    """
    from gadkit.errors import ConfigError
    from gadkit.registry import get_registry
    from gadkit.runs.loading import load
    from gadkit.video.encode import write_video

    registry = get_registry()
    warn_failures(registry)
    for path in plugin or ():
        registry.load_file(path)
    guidance, others = refinement_of(refine, refiner, set_ or ())
    if others:
        raise ConfigError(f"--set {others[0]!r}: expected a setting of the refiner, such as refiner.weight=5.")
    how: Variation = {
        "truncation": truncation,
        "motion_truncation": motion_truncation,
        "interpolate": interpolate,
        "same": same,  # type: ignore[typeddict-item]  # which is checked with the model
        "class_grid": class_grid,
        "speed": speed,
        "start": start,
    }
    if real and (class_grid or not (grid or num == 1)):
        raise ConfigError("--real: real clips stand beside a grid, expected --grid and no --class-grid.")
    labels = label * num if label and len(label) == 1 and not class_grid else label
    with telling():
        model = load(source, checkpoint=checkpoint, device=device, registry=registry)
        model.precision = precision
        videos = model.videos(num, seed, labels, first, guidance, **how)
    frames = videos.usual if length is None else length
    rate = model.video.fps if fps is None else fps
    if grid or class_grid or num == 1:
        pieces = videos.grid(frames)
        if real:
            pieces = _beside(_real(source, model, len(videos)), pieces)
        if frames > 1 and (len(videos) > 1 or real) and out.suffix.lower() == ".png":
            pieces = map(_with_bar, pieces)
        write_video(out, pieces, rate, length=frames)
        typer.echo(f"wrote {printable(str(out))}")
        if class_grid:
            names = [model.classes[number] for number in videos.classes]
            typer.echo(f"columns: {', '.join(map(printable, names))}")
        return
    begin = first if interpolate is None else 0  # the places between two seeds are no videos of a seed
    for index in range(num):
        path = out.with_name(f"{out.stem}-{begin + index:0{len(str(begin + num - 1))}d}{out.suffix}")
        write_video(path, videos[index].grid(frames), rate, length=frames)
        typer.echo(f"wrote {printable(str(path))}")


def _real(source: str, model: Model, count: int) -> np.ndarray:
    """As many real clips of a run's data, of the training length, in one grid `(n, H, W, C)`."""
    from gadkit.config import RunConfig
    from gadkit.errors import ConfigError
    from gadkit.evaluation.protocol import open_protocol
    from gadkit.evaluation.showing import real_clips
    from gadkit.registry import get_registry
    from gadkit.runs.folder import CONFIG
    from gadkit.video.encode import tile

    registry = get_registry()
    if not (Path(source) / CONFIG).is_file():
        raise ConfigError(f"--real: found {source}, which is no run, expected one: its data are known.")
    config = RunConfig.resolve(registry, file=Path(source) / CONFIG, trackers=False)
    settings = open_protocol(registry, "gadkit", {"frames": model.video.frames}).settings
    clips, _ = real_clips(registry, config, settings, (model.video.height, model.video.width), count)
    if len(clips) < count:
        raise ConfigError(f"--num: found {count}, and there are {len(clips)} real clips to show with --real.")
    return tile(clips.permute(0, 1, 3, 4, 2))


def _beside(clips: np.ndarray, pieces: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Puts clips, which begin again where they end, at the left of what is rendered, and a bar between them."""
    import numpy as np

    done = 0
    for piece in pieces:
        at = np.arange(done, done + len(piece)) % len(clips)
        yield np.concatenate([_with_bar(clips[at]), piece], axis=2)
        done += len(piece)


def _with_bar(frames: np.ndarray) -> np.ndarray:
    """Frames `(n, H, W, C)` with a grey bar at their right, which parts the grids of a strip."""
    import numpy as np

    return np.pad(frames, ((0, 0), (0, 0), (0, 4), (0, 0)), constant_values=128)
