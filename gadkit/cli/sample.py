"""`gadkit sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gadkit.cli.console import telling, warn_failures
from gadkit.cli.refining import Name, Steps, refinement_of


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
    grid: Annotated[bool, typer.Option("--grid", help="All videos side by side in one file.")] = False,
    label: Annotated[
        list[str] | None, typer.Option(help="A class, its name or number; repeat it for each video.")
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="latest, best, or a step.")] = "latest",
    refine: Steps = None,
    refiner: Name = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the refiner: refiner.weight=5; repeatable.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frame rate; by default the training data's.")] = None,
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
    with telling():
        model = load(source, checkpoint=checkpoint, device=device, registry=registry)
        model.precision = precision
        found = model.refinement(guidance) or 0
        if found:
            model.discriminator  # noqa: B018, which fails before a file is begun
    frames = model.video.frames if length is None else length
    if model.longest is not None and frames > model.longest:
        raise ConfigError(
            f"--length: found {frames}, but this generator makes only its training length; ask for at most "
            f"{model.longest} frames, or train a generator without a fixed length."
        )
    rate = model.video.fps if fps is None else fps
    labels = model.class_numbers(label * num if label and len(label) == 1 else label, num)
    if grid or num == 1:
        write_video(out, model.grid(num, frames, seed, labels, refine=found), rate, length=frames)
        typer.echo(f"wrote {out}")
        return
    for index in range(num):
        path = out.with_name(f"{out.stem}-{index:0{len(str(num - 1))}d}{out.suffix}")
        own = None if labels is None else labels[index : index + 1]
        write_video(path, model.grid(1, frames, seed, own, first=index, refine=found), rate, length=frames)
        typer.echo(f"wrote {path}")
