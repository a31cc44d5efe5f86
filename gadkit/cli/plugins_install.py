"""`gadkit plugins install` and `uninstall`: packages into gadkit's own environment and out of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from gadkit.cli.printing import print_table

if TYPE_CHECKING:
    from gadkit.authoring.installing import Step
    from gadkit.authoring.requirements import Distribution

_DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be run, and run nothing.")]


def install(
    packages: Annotated[
        list[str],
        typer.Argument(
            metavar="PACKAGE...", help="A name such as gadkit-sparkle, a path or a URL.", show_default=False
        ),
    ],
    index_url: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--index-url", "-i", metavar="URL", help="Where to look for packages."),
    ] = None,
    editable: Annotated[
        bool, typer.Option("--editable", "-e", help="Use the code where it lies, for a folder of sources.")
    ] = False,
    upgrade: Annotated[bool, typer.Option("--upgrade", "-U", help="Take the newest versions that fit.")] = False,
    dry_run: _DryRun = False,
) -> None:
    """Install packages beside gadkit, by whatever installed gadkit; torch and gadkit stay as they are."""
    from gadkit.authoring import installing
    from gadkit.authoring.environment import notes, this_environment
    from gadkit.authoring.requirements import distributions
    from gadkit.cli.console import say

    wanted = installing.parse_packages(packages)
    environment = this_environment()
    for package in wanted:
        if not package.url and Path(package.text).is_dir():
            say(
                f"gadkit: {package.text} is looked for in the index; for the folder of this name write ./{package.text}"
            )
    with _folder() as folder:
        (folder / installing.PINS).write_text("\n".join(installing.pins()) + "\n", encoding="utf-8")
        steps = installing.install_steps(
            environment, wanted, folder=folder, editable=editable, upgrade=upgrade, index_url=index_url
        )
        if dry_run:
            _tell(steps, folder)
            return
        for note in notes(environment):
            say(f"gadkit: warning: {note}")
        before = distributions()
        installing.carry_out(steps)
    came = installing.arrived(wanted, before, distributions())
    _tell_what_is_there(came, installing.look([each.name for each in came if each.points]))


def uninstall(
    packages: Annotated[
        list[str],
        typer.Argument(metavar="PACKAGE...", help="Packages with plugins, such as gadkit-sparkle.", show_default=False),
    ],
    dry_run: _DryRun = False,
) -> None:
    """Take packages with plugins away again; what they depended on stays."""
    from gadkit.authoring import installing
    from gadkit.authoring.environment import this_environment
    from gadkit.authoring.requirements import distributions
    from gadkit.errors import PluginError

    leaving = installing.check_uninstall(packages, distributions())
    names = list(dict.fromkeys(each.name for each in leaving))
    with _folder() as folder:
        steps = installing.uninstall_steps(this_environment(), names, folder=folder)
        if dry_run:
            _tell(steps, folder)
            return
        installing.carry_out(steps)
    there = distributions()
    for name in names:
        if name in there:
            raise PluginError(
                f"{name} is still there, in {there[name].place}, which this environment borrows from another: "
                f"uninstall it there, or run `gadkit plugins disable {name}`."
            )
    typer.echo(f"uninstalled: {', '.join(names)}.")


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gadkit-") as folder:
        yield Path(folder)


def _tell(steps: Sequence[Step], folder: Path) -> None:
    """The commands as one would type them, and the files that they read."""
    for step in steps:
        typer.echo(str(step).replace(folder.as_uri() + "/", "").replace(f"{folder}/", ""))
    for file in sorted(folder.iterdir()):
        if str(file) in " ".join(map(str, steps)):
            typer.echo(f"where {file.name} holds: {', '.join(file.read_text(encoding='utf-8').split())}")


def _tell_what_is_there(arrived: Sequence[Distribution], document: dict[str, Any]) -> None:
    """What the packages offer, as a new process finds it."""
    from gadkit.cli.console import say
    from gadkit.errors import PluginError
    from gadkit.words import printable

    broken = []
    for each in arrived:
        plugins = [plugin for plugin in document["plugins"] if plugin["distribution"] == each.name]
        components = [entry for entry in document["components"] if entry["distribution"] == each.name]
        needed_by = [
            f"{entry['kind']} {entry['qualified']}" for entry in document["components"] if _needs(entry, each.name)
        ]
        label = printable(f"{each.name} {each.version}")
        if components:
            typer.echo(f"\n{label} offers:")
            print_table(("kind", "name", "summary"), [(e["kind"], e["name"], e["summary"]) for e in components])
        elif needed_by:
            typer.echo(f"\n{label} is there, for {', '.join(needed_by)}.")
        elif not plugins:
            say(
                f"gadkit: warning: {label} is installed and offers no plugin: it has no entry point of the group "
                "'gadkit'. Is it the package that you meant?"
            )
        for plugin in plugins:
            if plugin["status"] == "disabled":
                say(printable(f"gadkit: warning: plugin {plugin['name']!r} of {label} is {plugin['reason']}."))
            elif plugin["status"] == "failed":
                broken.append(printable(f"plugin {plugin['name']!r} of {label} is left out: {plugin['reason']}"))
    if not arrived:
        say("gadkit: warning: it is not to be seen which package came; `gadkit plugins list` shows what there is.")
    if broken:
        raise PluginError(f"The packages are installed, but {'; '.join(broken)}.")


def _needs(entry: dict[str, Any], name: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    for text in entry["requires"]:
        try:
            if canonicalize_name(Requirement(text).name) == name:
                return True
        except InvalidRequirement:
            continue
    return False
