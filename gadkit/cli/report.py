"""`gadkit report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gadkit.cli.console import say


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    out: Annotated[Path | None, typer.Option(help="Where to; by default report.html in the run's folder.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Show it in the web browser.")] = False,
) -> None:
    """Write a run's page: curves, samples that play, evaluations, settings and warnings in one HTML file.

    Training writes it too, as it goes.
    """
    from gadkit.report.page import write_report
    from gadkit.runs.folder import Run

    path = write_report(Run.open(run), out)
    typer.echo(f"wrote {path}")
    if show:
        import webbrowser

        if not webbrowser.open(path.resolve().as_uri()):
            say(f"gadkit: warning: there is no browser to open; open {path} yourself.")
