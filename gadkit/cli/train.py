"""`gadkit train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gadkit.cli.completion import complete
from gadkit.cli.console import warn_failures
from gadkit.cli.stopping import stopping
from gadkit.cli.values import parse_clips, parse_often, parse_size, parse_time

_PARTS = "Parts"
_DATA = "Data"
_LOOP = "Training"
_RUN = "Run"


def train(
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A named choice of every part; by default `demo`, or `dcgan` with --data.",
            autocompletion=complete("recipe"),
            rich_help_panel=_PARTS,
        ),
    ] = None,
    generator: Annotated[
        str | None, typer.Option(help="Codes to frames.", autocompletion=complete("generator"), rich_help_panel=_PARTS)
    ] = None,
    assembler: Annotated[
        str | None,
        typer.Option(help="How frames become a video.", autocompletion=complete("assembler"), rich_help_panel=_PARTS),
    ] = None,
    discriminator: Annotated[
        str | None,
        typer.Option(help="Video to logits.", autocompletion=complete("discriminator"), rich_help_panel=_PARTS),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="The players' objectives.", autocompletion=complete("loss"), rich_help_panel=_PARTS),
    ] = None,
    penalty: Annotated[
        str | None,
        typer.Option(
            help="Regularises the discriminator, or `none`.", autocompletion=complete("penalty"), rich_help_panel=_PARTS
        ),
    ] = None,
    augmentation: Annotated[
        str | None,
        typer.Option(
            help="Changes what the discriminator sees, for few clips, or `none`.",
            autocompletion=complete("augmentation"),
            rich_help_panel=_PARTS,
        ),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(help="How gradients become steps.", autocompletion=complete("direction"), rich_help_panel=_PARTS),
    ] = None,
    refiner: Annotated[
        str | None,
        typer.Option(
            help="Moves the latents of samples along the discriminator's gradient, or `none`.",
            autocompletion=complete("refiner"),
            rich_help_panel=_PARTS,
        ),
    ] = None,
    trainer: Annotated[
        str | None,
        typer.Option(help="Owns the training loop.", autocompletion=complete("trainer"), rich_help_panel=_PARTS),
    ] = None,
    plugin: Annotated[
        list[Path] | None, typer.Option(help="A Python file to load as a plugin; repeatable.", rich_help_panel=_PARTS)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, such as generator.width=128; repeatable.", rich_help_panel=_PARTS),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file, such as another run's config.toml.", rich_help_panel=_PARTS)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Videos, frames, an archive, arrays, a pack, or WebDataset shards (file, URL, - for a pipe); by "
            "default clips that come with gadkit.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="What reads the data; by default told by a look at them.",
            autocompletion=complete("dataset"),
            rich_help_panel=_DATA,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Classes: none, own, folders, or a CSV or dataset.json file.", rich_help_panel=_DATA),
    ] = None,
    resolution: Annotated[
        str | None, typer.Option(help="Size of the clips: 64, or 96x64 (width x height).", rich_help_panel=_DATA)
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Frames of a training clip.", rich_help_panel=_DATA)] = None,
    stride: Annotated[int | None, typer.Option(help="Take every n-th frame.", rich_help_panel=_DATA)] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Resample footage to this rate in Hz, by its timestamps.", rich_help_panel=_DATA),
    ] = None,
    fit: Annotated[
        str | None, typer.Option(help="Other shapes: crop, letterbox or stretch.", rich_help_panel=_DATA)
    ] = None,
    offset: Annotated[
        str | None, typer.Option(help="Where clips begin in a video: random or fixed.", rich_help_panel=_DATA)
    ] = None,
    clips_per_video: Annotated[
        str | None,
        typer.Option(help="Clips an epoch takes of every video: a number, or `length`.", rich_help_panel=_DATA),
    ] = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Mirror half of the clips.", rich_help_panel=_DATA)
    ] = None,
    held_out: Annotated[
        float | None, typer.Option(help="Share of the videos that is never trained on.", rich_help_panel=_DATA)
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="What is held out as a whole: file, folder, regex:PATTERN or column:NAME.", rich_help_panel=_DATA
        ),
    ] = None,
    background: Annotated[
        str | None, typer.Option(help="Colour behind transparent frames: a name or #rrggbb.", rich_help_panel=_DATA)
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Updates of the generator.", rich_help_panel=_LOOP)] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Clips a step, over all processes.", rich_help_panel=_LOOP)
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Micro-batches a step, to save memory.", rich_help_panel=_LOOP)
    ] = None,
    auto_batch: Annotated[
        bool,
        typer.Option(
            "--auto-batch", help="Find the largest micro-batch that fits; the batch stays.", rich_help_panel=_LOOP
        ),
    ] = False,
    max_time: Annotated[
        str | None, typer.Option(help="Stop with a checkpoint after this time: 90s, 30m, 2h.", rich_help_panel=_LOOP)
    ] = None,
    generator_lr: Annotated[float | None, typer.Option(help="Adam's rate.", rich_help_panel=_LOOP)] = None,
    discriminator_lr: Annotated[float | None, typer.Option(help="Adam's rate.", rich_help_panel=_LOOP)] = None,
    generator_betas: Annotated[
        tuple[float, float] | None, typer.Option(help="Adam's decay rates.", rich_help_panel=_LOOP)
    ] = None,
    discriminator_betas: Annotated[
        tuple[float, float] | None, typer.Option(help="Adam's decay rates.", rich_help_panel=_LOOP)
    ] = None,
    discriminator_steps: Annotated[
        int | None, typer.Option(help="Discriminator updates for one of the generator.", rich_help_panel=_LOOP)
    ] = None,
    ema: Annotated[
        float | None, typer.Option(help="Half-life of the averaged weights, in clips.", rich_help_panel=_LOOP)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="What every random number depends on.", rich_help_panel=_LOOP)
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_LOOP)] = None,
    precision: Annotated[
        str | None, typer.Option(help="auto, fp32, bf16, fp16 or fp64.", rich_help_panel=_LOOP)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The run's folder; by default the next number under runs/.", rich_help_panel=_RUN),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(
            help="A run's folder, to go on from its newest checkpoint; or `auto`: go on with the run at --out, or "
            "start it.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    allow_changes: Annotated[
        bool,
        typer.Option(
            "--allow-changes",
            help="Go on with a run though settings or data changed that make another of it.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    init_from: Annotated[
        str | None,
        typer.Option(help="A run or model whose weights the new run begins with.", rich_help_panel=_RUN),
    ] = None,
    log_every: Annotated[int | None, typer.Option(help="Steps between log lines.", rich_help_panel=_RUN)] = None,
    sample_every: Annotated[int | None, typer.Option(help="Steps between samples.", rich_help_panel=_RUN)] = None,
    checkpoint_every: Annotated[
        str | None, typer.Option(help="Steps between checkpoints, or a time such as 10m.", rich_help_panel=_RUN)
    ] = None,
    eval_every: Annotated[
        int | None, typer.Option(help="Steps between quick looks at the distance to the data.", rich_help_panel=_RUN)
    ] = None,
    eval_protocol: Annotated[
        str | None,
        typer.Option(help="How it is measured then.", autocompletion=complete("protocol"), rich_help_panel=_RUN),
    ] = None,
    eval_metric: Annotated[
        list[str] | None,
        typer.Option(
            help="What is measured then; repeatable. The first tells the best checkpoint.",
            autocompletion=complete("metric"),
            rich_help_panel=_RUN,
        ),
    ] = None,
    eval_features: Annotated[
        list[str] | None,
        typer.Option(help="The network to measure in then.", autocompletion=complete("features"), rich_help_panel=_RUN),
    ] = None,
    keep: Annotated[int | None, typer.Option(help="Newest checkpoints that stay.", rich_help_panel=_RUN)] = None,
    keep_every: Annotated[
        int | None, typer.Option(help="Checkpoints at multiples of so many steps stay too.", rich_help_panel=_RUN)
    ] = None,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            help="Where the run is shown too: csv, tensorboard, wandb, another, or `none`; repeatable.",
            autocompletion=complete("tracker"),
            rich_help_panel=_RUN,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, make one step, write nothing.", rich_help_panel=_RUN)
    ] = False,
) -> None:
    """Train a video generator on your clips.

    Without --data it trains on a small set that comes with gadkit. A run's folder keeps its configuration, log,
    checkpoints and samples; Ctrl-C ends it with a checkpoint, and so do SIGTERM and SIGUSR1.
    """
    given = locals()

    from gadkit.runs.choices import CHOICES

    choices: dict[str, Any] = {name: value for name, value in given.items() if name in CHOICES}
    choices["max_time"] = parse_time(max_time)
    choices["checkpoint_every"] = parse_often(checkpoint_every)
    choices["clips_per_video"] = parse_clips(clips_per_video)
    size = parse_size(resolution)

    from gadkit.cli.allocator import keep_pages
    from gadkit.cli.progress import console_reporter

    with console_reporter(dry_run=dry_run) as reporter, stopping(reporter) as stop:
        from gadkit.registry import get_registry
        from gadkit.runs.training import train as run_training

        warn_failures(get_registry())
        keep_pages()
        outcome = run_training(
            out=out,
            resume=resume,
            recipe=recipe,
            config=config,
            set=set_ or (),
            plugins=plugin or (),
            resolution=size,
            allow_changes=allow_changes,
            auto_batch=auto_batch,
            dry_run=dry_run,
            reporter=reporter,
            stop=stop,
            **choices,
        )
    reporter.closing(outcome.path, outcome.reason)
    # A script may want to know that there is more to do; a limit that the recipe itself sets is a proper end.
    if outcome.reason == "stopped" and (stop.code or max_time is not None):
        raise typer.Exit(stop.code or 143)
