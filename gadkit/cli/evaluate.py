"""`gadkit evaluate` and `gadkit results`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gadkit.cli.completion import complete
from gadkit.cli.console import say, telling, warn_failures
from gadkit.cli.refining import Name, Steps, refinement_of
from gadkit.errors import ConfigError
from gadkit.words import printable

if TYPE_CHECKING:
    from gadkit.evaluation.results import Result
    from gadkit.evaluation.scores import Score

_HOW = "Protocol"
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def evaluate(
    generated: Annotated[
        str,
        typer.Argument(metavar="A", help="What is judged: a run, a model, a video, a folder of videos, or a pack."),
    ],
    against: Annotated[
        str | None,
        typer.Option(help="What it is judged against, any of these; by default the data that the run A trained on."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="What is measured; repeatable.", autocompletion=complete("metric"), rich_help_panel=_HOW),
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            help="The network to measure in, one of clips, one of frames, or both.",
            autocompletion=complete("features"),
            rich_help_panel=_HOW,
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(help="How it is measured.", autocompletion=complete("protocol"), rich_help_panel=_HOW),
    ] = "gadkit",
    quick: Annotated[
        bool, typer.Option("--quick", help="A look of seconds: the same as --protocol quick.", rich_help_panel=_HOW)
    ] = False,
    clips: Annotated[int | None, typer.Option(min=2, help="The most clips of each side.", rich_help_panel=_HOW)] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames of a clip.", rich_help_panel=_HOW)] = None,
    stride: Annotated[int | None, typer.Option(min=1, help="Take every n-th frame.", rich_help_panel=_HOW)] = None,
    fps: Annotated[
        float | None, typer.Option(help="Resample footage to this rate in Hz first.", rich_help_panel=_HOW)
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(min=1, help="Side of the frames; by default A's own.", rich_help_panel=_HOW)
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            help="Filter: lanczos, bilinear, bilinear-antialias, bicubic or bicubic-antialias.", rich_help_panel=_HOW
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Part of a run's data: held-out, training or all.", rich_help_panel=_HOW),
    ] = None,
    resamplings: Annotated[
        int | None,
        typer.Option(min=0, help="Random halves that the number is taken of; 0 for once of all.", rich_help_panel=_HOW),
    ] = None,
    floor: Annotated[
        bool | None,
        typer.Option("--floor/--no-floor", help="Measure real clips against real ones too.", rich_help_panel=_HOW),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="What every choice depends on.", rich_help_panel=_HOW)] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Another setting: settings.fvd.divisor=n, refiner.weight=5; repeatable.", rich_help_panel=_HOW
        ),
    ] = None,
    training: Annotated[
        str | None, typer.Option(help="The training videos, for memorisation, where A is no run.")
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="Of a run A: latest, best, or a step.")] = "latest",
    refine: Steps = None,
    refiner: Name = None,
    truncation: Annotated[
        float, typer.Option(help="What the draws of A's content are multiplied by, from 0 to 1.")
    ] = 1.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file to load as a plugin; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the result here too, as JSON.")] = None,
    as_json: _Json = False,
) -> None:
    """Measure videos: their distance to real ones, with everything that the number depends on.

    A number comes with the manifest of its protocol; of a run, both are kept in its folder evaluations/.
    """
    from gadkit.cli.data_shared import shown_progress
    from gadkit.evaluation.evaluate import evaluate as measure
    from gadkit.evaluation.protocol import DEFAULT, from_sets
    from gadkit.registry import get_registry

    warn_failures(get_registry())
    if quick and protocol not in (DEFAULT, "quick"):
        raise ConfigError(f"--quick: is --protocol quick, and {protocol} was asked for too; leave one of them out.")
    guidance, others = refinement_of(refine, refiner, set_ or ())
    changes: dict[str, Any] = {
        "clips": clips,
        "real_clips": clips,
        "frames": frames,
        "stride": stride,
        "fps": fps,
        "resolution": resolution,
        "resize": resize,
        "split": split,
        "resamplings": resamplings,
        "floor": floor,
        "seed": seed,
        **from_sets(others),
    }
    with telling(), shown_progress() as shown:
        result = measure(
            generated,
            against,
            protocol="quick" if quick else protocol,
            metrics=metric,
            features=features,
            training=training,
            checkpoint=checkpoint,
            refine=guidance,
            truncation=truncation,
            device=device,
            plugins=plugin or (),
            prepare=lambda done, total, _: shown(done, total, "decoding videos"),
            watch=lambda side, done, total: shown(done, total, f"measuring {side} clips"),
            **changes,
        )
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=2))
    else:
        _print_result(result)
    for text in result.warnings:
        say(f"gadkit: warning: {printable(text)}")
    if out is not None:  # after the numbers, which took longer
        result.write(out)
    for path in [result.path, out]:
        if path is not None and not as_json:
            typer.echo(f"wrote {printable(str(path))}")


def results(
    places: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Runs, or files of `gadkit evaluate`.")],
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Put results of different protocols side by side all the same.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Put results side by side, and say what differs between how they were measured.

    Those of one run stand in a table for each protocol.
    """
    from gadkit.evaluation.results import compare, find_results

    found = [(printable(name), result) for place in places for name, result in find_results(place)]
    groups = [found]
    if len(places) == 1 and not mixed:  # a run may have been measured in several ways
        by_protocol: dict[str, list[tuple[str, Result]]] = {}
        for name, result in found:
            by_protocol.setdefault(result.manifest["protocol"]["name"], []).append((name, result))
        groups = list(by_protocol.values())
    warnings = [text for group in groups for text in compare(group, mixed=mixed)]
    if as_json:
        document = [{"name": name, **result.to_dict()} for name, result in found]
        typer.echo(json.dumps({"results": document, "differences": warnings}, indent=2))
        return
    for group in groups:
        _print_side_by_side(group)
    for text in warnings:
        say(f"gadkit: warning: {printable(text)}")


def _print_side_by_side(found: list[tuple[str, Result]]) -> None:
    from gadkit.cli.printing import print_table

    names = list(dict.fromkeys(value for _, result in found for value in result.values))
    rows = [
        (name, "" if result.step is None else f"{result.step:,}", *(_cell(result.values.get(each)) for each in names))
        for name, result in found
    ]
    print_table(("result", "step", *map(printable, names)), rows)
    for name, result in found:
        typer.echo(f"{name}: {printable(result.line)}")


def _print_result(result: Result) -> None:
    from gadkit.cli.printing import print_table

    rows = []
    for name, score in result.values.items():
        note = score.literature and f"in {score.literature}"
        if "[" in name and not score.literature:
            note = "comparable with nothing published"
        rows.append(
            (name, _number(score.value, score.std), _number(score.floor, score.floor_std), _better(score), note)
        )
    print_table(("value", "found", "real against real", "better", "network"), rows)
    typer.echo(printable(result.line))
    if result.manifest["protocol"]["name"] == "gadkit:quick":
        typer.echo("a quick look: few clips in a small net; for better or worse within one data set, not to be quoted")


def _better(score: Score) -> str:
    return {"lowest": "lower", "highest": "higher"}.get(score.best or "", "")


def _cell(score: Score | None) -> str:
    return "" if score is None else _number(score.value, score.std)


def _number(value: float | None, spread: float | None) -> str:
    """Four digits that count, and the spread to as many places."""
    if value is None:
        return ""
    size = abs(value)
    if 0 < size < 1e-5:
        return f"{value:.3e}" if spread is None else f"{value:.3e} ± {spread:.1e}"
    places = max(0, 3 - math.floor(math.log10(size))) if 0 < size < 1e4 else 0
    text = f"{value:,.{places}f}"
    return text if spread is None else f"{text} ± {spread:,.{places}f}"
