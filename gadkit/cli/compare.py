"""`gadkit compare`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gadkit.cli.completion import complete
from gadkit.cli.console import say, telling, warn_failures
from gadkit.cli.values import parse_size
from gadkit.errors import ConfigError
from gadkit.words import printable

if TYPE_CHECKING:
    from gadkit.comparison.compare import Comparison

_WHAT = "Trainings"
_HOW = "Measuring"
#: Signals that ask for an end, and the exit codes that go with them; Ctrl-C is Python's own.
_CODES = {"SIGTERM": 143, "SIGUSR1": 143, "SIGHUP": 129}


def compare(
    entries: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECIPE_OR_RUN]...",
            help="Recipes, TOML files, variants such as hinge=gad,loss=hinge, and runs; none to go on with --out.",
            autocompletion=complete("recipe"),
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="What is trained on, as for `gadkit train`.", rich_help_panel=_WHAT)
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="How many trainings of each recipe, or their seeds: 0,1,2.", rich_help_panel=_WHAT)
    ] = "3",
    minutes: Annotated[
        float | None, typer.Option(help="Each training gets so many minutes,", rich_help_panel=_WHAT)
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="or so many updates of the generator,", rich_help_panel=_WHAT)
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="or so many clips, steps times batch size.", rich_help_panel=_WHAT)
    ] = None,
    resolution: Annotated[
        str | None, typer.Option(help="Size of the clips, for all: 64, or 96x64.", rich_help_panel=_WHAT)
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Frames of the clips, for all.", rich_help_panel=_WHAT)] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting for all, generator.width=32, or for one, gad:penalty.gamma=1; repeatable.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    held_out: Annotated[
        float,
        typer.Option(help="Share of the videos that is measured against and never trained on.", rich_help_panel=_WHAT),
    ] = 0.2,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings beside each other.", rich_help_panel=_WHAT)] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=_WHAT)] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="auto, fp32, bf16, fp16 or fp64.", rich_help_panel=_WHAT)
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Videos to measure against beside the held-out ones; repeatable.", rich_help_panel=_HOW),
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            help="A network to measure in; repeatable, the first ranks. By default i3d where it is installed, else "
            "random-r3d.",
            autocompletion=complete("features"),
            rich_help_panel=_HOW,
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="What is measured; repeatable. By default fvd, kvd, prdc, memorisation and motion.",
            autocompletion=complete("metric"),
            rich_help_panel=_HOW,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="How it is measured; by default gadkit, with at most 512 clips of each side.",
            autocompletion=complete("protocol"),
            rich_help_panel=_HOW,
        ),
    ] = None,
    clips: Annotated[int | None, typer.Option(min=2, help="The most clips of each side.", rich_help_panel=_HOW)] = None,
    curve: Annotated[
        int, typer.Option(min=0, help="Points of the distance over the training; 0 for none.", rich_help_panel=_HOW)
    ] = 5,
    videos: Annotated[
        int, typer.Option(min=1, max=64, help="Videos of each run on the page.", rich_help_panel=_HOW)
    ] = 9,
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file to load as a plugin; repeatable.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The comparison's folder; by default a numbered one under compare/.")
    ] = None,
    print_commands: Annotated[
        bool,
        typer.Option("--print-commands", help="Print a command for each run and one that collects; run nothing."),
    ] = False,
    only: Annotated[
        str | None, typer.Option(metavar="RUN", help="Train and measure this run alone, such as gad-seed0.")
    ] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="Write the table and the page of what is there; train nothing.")
    ] = False,
) -> None:
    """Train recipes under an equal budget, measure them alike, and put them side by side.

    The same command goes on where it was cut off. The folder has runs, logs, a table and a page, comparison.html.
    """
    from gadkit.cli.data_shared import shown_progress
    from gadkit.comparison.compare import compare as run_comparison
    from gadkit.registry import get_registry

    warn_failures(get_registry())
    if sum((print_commands, only is not None, collect)) > 1:
        raise ConfigError("--print-commands, --only and --collect: found more than one, expected one of them.")
    asked: dict[str, Any] = {
        "data": data,
        "seeds": parse_seeds(seeds),
        "minutes": minutes,
        "steps": steps,
        "samples": samples,
        "resolution": parse_size(resolution),
        "frames": frames,
        "set": set_ or (),
        "held_out": held_out,
        "against": against or (),
        "protocol": protocol,
        "metrics": metric,
        "features": features,
        "clips": clips,
        "curve": curve,
        "videos": videos,
        "device": device,
        "precision": precision,
        "plugins": plugin or (),
        "out": out,
    }
    if print_commands:
        from gadkit.comparison.compare import commands

        more = [] if device == "auto" else ["--device", device]
        for line in commands(*entries or (), more=more, **asked):
            typer.echo(line)
        return
    with telling(), _ending(), shown_progress() as shown:
        found = run_comparison(
            *entries or (),
            jobs=jobs,
            only=only,
            collect=collect,
            tell=lambda text: say(f"gadkit: {printable(text)}"),
            watch=lambda side, done, total: shown(done, total, f"measuring {side} clips"),
            progress=(lambda what, done, total: shown(done, total, what)) if sys.stderr.isatty() else None,
            **asked,
        )
    if only is None:
        _print(found)
    failed = [run for run in found.failures if only in (None, run.job.name)]
    if failed:
        raise typer.Exit(1)


def parse_seeds(text: str) -> int | tuple[int, ...]:
    """A number of seeds, or the seeds themselves with commas between them."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words or not all(word.isdecimal() for word in words) or text.strip() == "0":
        raise ConfigError(f"--seeds: found {text!r}, expected how many, such as 3, or which, such as 0,1,2.")
    numbers = tuple(map(int, words))
    return numbers[0] if "," not in text else numbers


@contextmanager
def _ending() -> Iterator[None]:
    """A block that ends on a signal as on Ctrl-C, so that trainings save; the exit code tells which it was."""
    code = 0

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal code
        code = _CODES[signal.Signals(number).name]
        raise KeyboardInterrupt

    before = {}
    for name in _CODES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, ask)
    try:
        yield
    except KeyboardInterrupt:
        say("gadkit: stopped; the same command goes on")
        raise typer.Exit(code or 130) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _print(found: Comparison) -> None:
    from gadkit.cli.printing import print_table
    from gadkit.comparison.report import about, failures_of, tables

    typer.echo(printable(about(found.plan)))
    for table in tables(found.rows, found.looks):
        typer.echo(f"\n{printable(table.title)}")
        print_table(table.head, table.rows)
    typer.echo()
    for _, ranking in found.rankings:
        typer.echo(printable(ranking.sentence))
    for text in failures_of(found.rows):
        typer.echo(printable(text))
    for text in found.warnings:
        say(f"gadkit: warning: {printable(text)}")
    typer.echo(f"wrote {printable(str(found.path / 'comparison.html'))}")
