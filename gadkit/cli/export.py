"""`gadkit export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gadkit.cli.console import telling, warn_failures


def export(
    run: Annotated[str, typer.Argument(help="A run or a checkpoint.")],
    dest: Annotated[Path, typer.Argument(help="The new folder.")],
    checkpoint: Annotated[str, typer.Option(help="latest, best, or a step.")] = "latest",
    discriminator: Annotated[
        bool, typer.Option("--discriminator", help="Take the discriminator along, so that samples can be refined.")
    ] = False,
    plugin: Annotated[list[Path] | None, typer.Option(help="A Python file to load as a plugin; repeatable.")] = None,
) -> None:
    """Write a model folder that gadkit and the Hugging Face Hub read."""
    from gadkit.registry import get_registry
    from gadkit.runs.loading import load

    registry = get_registry()
    warn_failures(registry)
    for path in plugin or ():
        registry.load_file(path)
    with telling():
        model = load(run, checkpoint=checkpoint, device="cpu", registry=registry)
    typer.echo(f"wrote {model.export(dest, discriminator)}")
