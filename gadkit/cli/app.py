"""The `gadkit` command: its subcommands, its global options, and what becomes of errors."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import sys
import traceback
from typing import Annotated

import typer

from gadkit import __version__
from gadkit.cli import console
from gadkit.cli.commands import Commands
from gadkit.cli.compare import compare
from gadkit.cli.data import data_app
from gadkit.cli.doctor import doctor
from gadkit.cli.evaluate import evaluate, results
from gadkit.cli.export import export
from gadkit.cli.plugins import plugins_app
from gadkit.cli.recipes import recipes_app
from gadkit.cli.report import report
from gadkit.cli.sample import sample
from gadkit.cli.train import train
from gadkit.cli.weights import weights_app
from gadkit.deprecations import GadkitDeprecationWarning
from gadkit.errors import GadkitError

app = typer.Typer(
    name="gadkit",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,  # a pipe gets plain text, and sooner
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gadkit {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print tracebacks of errors and of broken plugins.")
    ] = False,
    no_plugins: Annotated[
        bool, typer.Option("--no-plugins", help="Load only what gadkit itself brings along.")
    ] = False,
) -> None:
    """Train, sample and measure adversarial video generators on your own clips."""
    console.verbose = verbose
    if no_plugins:
        os.environ["GADKIT_NO_PLUGINS"] = "1"


app.command()(train)
app.command()(sample)
app.command()(evaluate)
app.command()(results)
app.command()(compare)
app.command()(report)
app.command()(export)
app.command()(doctor)
app.add_typer(data_app, name="data")
app.add_typer(plugins_app, name="plugins")
app.add_typer(recipes_app, name="recipes")
app.add_typer(weights_app, name="weights")


def main() -> None:
    """Runs the command line and exits.

    With 0, or 2 for what the user can mend, 130 for Ctrl-C, 143 for SIGTERM, 1 for a fault of gadkit.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a letter that the output cannot show must not end a training
        sys.stdout.reconfigure(errors="replace")
    with contextlib.suppress(AttributeError, OSError, RuntimeError):  # standard error may be closed, or no file
        faulthandler.enable()  # a mapped file that goes away ends a process: then at least it says where
    code = run(app)
    if "gadkit.engine.devices" in sys.modules:  # whoever did not train has no processes to leave
        from gadkit.engine.devices import leave

        leave(code)
    sys.exit(code)


def run(command: typer.Typer) -> int:
    """Runs a Typer application on `sys.argv`; errors become one line on standard error.

    Returns:
        The exit code.
    """
    console.begin()
    try:
        with console.telling(GadkitDeprecationWarning):
            code = _invoke(command)
            console.warn_pending()
        return code
    except GadkitError as error:
        console.warn_pending()
        console.tell(error)
        return 2
    except KeyboardInterrupt:
        console.say("gadkit: interrupted")
        return 130
    except BrokenPipeError:  # the reader of a pipe went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        console.say("".join(traceback.format_exception(error)).rstrip())
        found = "in gadkit or in a plugin; please report it"
        if console.running:
            found = f"of {console.running}; please report it there"
        console.say(f"gadkit: error: this is a bug {found} with the lines above.")
        return 1


def _invoke(command: typer.Typer) -> int:
    try:
        command(prog_name="gadkit")
    except SystemExit as end:
        if isinstance(end.code, str):
            console.say(end.code)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    main()
