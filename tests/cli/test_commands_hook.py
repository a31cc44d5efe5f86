"""Subcommands that packages bring: shown by their records, imported when called, and never in gadkit's way."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from plugins_fixtures import write_package
from plugins_fixtures.processes import beside, gadkit_beside

CODE = '''
import sys
import typer
from gadkit import ConfigError

print("imported", file=sys.stderr)


def morph(text: str, *, times: int = 1, bad: bool = False) -> None:
    """Blend one text with itself."""
    if bad:
        raise ConfigError("It cannot be blended.")
    print("blended", text * times)


def boom() -> None:
    raise RuntimeError("odd")


app = typer.Typer(help="Two of them.")


@app.command()
def one(number: int) -> None:
    """The first."""
    print(number)


@app.command()
def two() -> None:
    """The second."""
    raise typer.Exit(5)


single = typer.Typer()


@single.command()
def only(text: str = "nothing") -> None:
    """The only one."""
    print("only", text)


empty = typer.Typer()
three = 3
'''


def commands(**targets):
    """The text of a plugin that brings commands, each with its target."""
    records = ", ".join(
        f"Component(name={name!r}, summary={f'Do [{name}] things'!r}, target='acme_code:{target}')"
        for name, target in targets.items()
    )
    return f"from gadkit import Component, hookimpl\n@hookimpl\ndef gadkit_commands():\n    return [{records}]\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    offered = {name: name for name in ("morph", "boom", "app", "single", "empty", "three")}
    write_package(folder, "acme-gan", commands(**offered, train="morph", twin="morph", gone="no_such"))
    write_package(folder, "acme-two", commands(twin="single"), version="2.1")
    (folder / "acme_code.py").write_text(CODE)
    return folder


def error(done, code=2):
    """The one sentence of an error."""
    assert done.returncode == code, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("gadkit: error: ")]
    assert "Traceback" not in done.stderr
    return line.removeprefix("gadkit: error: ")


def test_help_names_them_with_their_provider_and_imports_none(site):
    done = gadkit_beside(site, "--help")
    assert done.returncode == 0
    assert "imported" not in done.stderr
    own, first, second = done.stdout.split("Commands of ")
    assert "  train " in own
    assert "morph" not in own
    assert first.startswith("acme-gan 1.0:")
    rows = [tuple(line.split(maxsplit=1)) for line in first.splitlines()[1:] if line]
    assert ("morph", "Do [morph] things") in rows
    assert {name for name, _ in rows} >= {"acme-gan:train", "acme-gan:twin"}
    assert second.startswith("acme-two 2.1:")
    assert second.splitlines()[1].split(maxsplit=1) == ["acme-two:twin", "Do [twin] things"]
    assert done.stderr == (
        "gadkit: warning: acme-gan 1.0 has a command 'train', a name that is gadkit's own: call it 'acme-gan:train'.\n"
    )


def test_help_on_a_terminal_has_a_panel_for_each_provider(site):
    terminal, inside = pty.openpty()
    with os.fdopen(terminal, "rb") as reader:
        subprocess.run(
            [sys.executable, "-m", "gadkit", "--help"],
            env=beside(site, TERM="xterm"),
            stdout=inside,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=True,
        )
        os.close(inside)
        shown = b""
        try:
            while block := reader.read1(65536):
                shown += block
        except OSError:  # the end of a terminal
            pass
    text = shown.decode()
    assert "Commands of acme-gan 1.0" in text
    assert "Do [morph] things" in text, "brackets are no markup"


def test_a_function_is_a_command_with_its_own_help(site):
    done = gadkit_beside(site, "morph", "--help")
    assert done.returncode == 0
    assert done.stderr == "imported\n"
    assert "Usage: gadkit morph [OPTIONS]" in done.stdout
    assert "Blend one text with itself." in done.stdout
    assert "--times" in done.stdout
    done = gadkit_beside(site, "morph", "ab", "--times", "2")
    assert (done.returncode, done.stdout) == (0, "blended abab\n")


def test_an_application_keeps_its_commands_and_exit_codes(site):
    done = gadkit_beside(site, "app", "--help")
    assert "Two of them." in done.stdout
    assert "completion" not in done.stdout, "that is gadkit's own business"
    assert "─" not in done.stdout, "a pipe gets plain text"
    assert gadkit_beside(site, "app", "one", "7").stdout == "7\n"
    assert gadkit_beside(site, "app", "two").returncode == 5
    assert gadkit_beside(site, "app", "one", "x").returncode == 2
    assert gadkit_beside(site, "single", "--text", "this").stdout == "only this\n"


def test_errors_that_the_user_can_mend_are_sentences_and_others_name_the_package(site):
    assert error(gadkit_beside(site, "morph", "x", "--bad")) == "It cannot be blended."
    done = gadkit_beside(site, "boom")
    assert done.returncode == 1
    assert "RuntimeError: odd" in done.stderr
    assert done.stderr.splitlines()[-1] == (
        "gadkit: error: this is a bug of acme-gan 1.0, which brings the command 'boom'; please report it there with "
        "the lines above."
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("twin", "command 'twin' is offered by several plugins: choose one of acme-gan:twin, acme-two:twin."),
        ("three", "'acme_code:three' is 3, which is neither a Typer application nor a function."),
        ("gone", "command 'acme-gan:gone' of acme-gan 1.0 cannot be loaded from 'acme_code:no_such': AttributeError"),
        ("empty", "command 'acme-gan:empty' of acme-gan 1.0 cannot be made a command line of: RuntimeError"),
        ("acme-gan:morf", "There is no command 'acme-gan:morf'. Did you mean 'morph'?"),
        ("acme-none:morph", "nothing called 'acme-none' offers plugins here; install it: `gadkit plugins install"),
    ],
)
def test_what_cannot_be_called_is_a_sentence(site, name, expected):
    assert expected in error(gadkit_beside(site, name))


def test_full_names_always_work(site):
    assert gadkit_beside(site, "acme-gan:train", "x").stdout == "blended x\n"
    assert gadkit_beside(site, "acme-two:twin").stdout == "only nothing\n"
    done = gadkit_beside(site, "train", "--help")
    assert "Train a video generator" in done.stdout
    assert done.stderr == "", "gadkit's own commands look for no plugin"


def test_a_misspelled_command_is_told_of_gadkit_s_and_of_others(site):
    for wrong, right in (("morf", "morph"), ("evaluat", "evaluate")):
        done = gadkit_beside(site, wrong)
        assert done.returncode == 2
        assert f"No such command {wrong!r}. Did you mean {right!r}?" in done.stderr


def test_without_plugins_there_are_none_wherever_the_option_stands(site):
    for arguments in (["--no-plugins", "--help"], ["--help", "--no-plugins"]):
        done = gadkit_beside(site, *arguments)
        assert "Commands of" not in done.stdout
        assert "  train " in done.stdout
    done = gadkit_beside(site, "--no-plugins", "morph", "x")
    assert done.returncode == 2
    assert "2 plugins are switched off: see `gadkit plugins list`." in done.stderr


def test_completion_knows_them(site):
    def complete(words, last):
        variables = {"_GADKIT_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(last)}
        done = gadkit_beside(site, **variables)
        assert "Traceback" not in done.stderr
        return done.stdout.split()

    assert complete("gadkit mor", 1) == ["morph"]
    assert complete("gadkit morph --ti", 2) == ["--times"]
    assert complete("gadkit app o", 2) == ["one"]
    assert complete("gadkit three x", 2) == []
    assert complete("gadkit --no-plugins mor", 2) == []
