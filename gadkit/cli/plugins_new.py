"""`gadkit plugins new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from gadkit.cli.completion import complete_kind


def new(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Such as sparkle: the package is gadkit-sparkle.", show_default=False)
    ],
    kind: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--kind", help="What it offers, by default a generator; repeatable.", autocompletion=complete_kind
        ),
    ] = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="The package's folder; by default gadkit-NAME, here."),
    ] = None,
    author: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Who holds the rights, 'Ada' or 'Ada <ada@example.org>'; by default git's user."),
    ] = None,
    license_: Annotated[str, typer.Option("--license", help="apache-2.0, mit, bsd-3-clause or isc.")] = "apache-2.0",
) -> None:
    """Make a package with a component that works: its tests, README, licence and CI, to begin from."""
    from gadkit.authoring.scaffold import commands_of, scaffold
    from gadkit.cli.console import warn_failures
    from gadkit.registry import get_registry

    registry = get_registry()
    warn_failures(registry)
    order, folder = scaffold(
        name,
        kinds=kind or ("generator",),
        out=out,
        author=author,
        license=license_,
        registry=registry,
        commands=getattr(ctx.find_root().command, "commands", ()),
    )
    typer.echo(f"made {folder}; to try it:\n")
    typer.echo(f'  cd "{folder}"' if " " in str(folder) else f"  cd {folder}")
    for line in ('pip install -e ".[test]"', "pytest", *commands_of(order)):
        typer.echo(f"  {line}")
