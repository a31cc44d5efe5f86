"""`gadkit plugins check`: a line for every promise, and an exit code for scripts."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_runs import CommandLine

from gadkit.cli import plugins_check
from gadkit.testing import Broken, Check

LOSSES = '''
from typing import Annotated

from gadkit import Component, Loss, hookimpl
from pydantic import Field
from torch.nn.functional import softplus


@hookimpl
def gadkit_losses():
    return [
        Component(name="sound", summary="non-saturating at a temperature", target="own_games:Sound"),
        Component(name="turned", summary="the same with a wrong sign", target="own_games:Turned"),
    ]


class Sound(Loss):
    """The non-saturating loss of logits over a temperature.

    Args:
        temperature: Above 1 the players see softer decisions.
    """

    def __init__(self, *, temperature: Annotated[float, Field(gt=0)] = 1.0) -> None:
        print("a loss is made")
        self.temperature = temperature

    def discriminator(self, real, fake):
        return softplus(-real / self.temperature).mean() + softplus(fake / self.temperature).mean()

    def generator(self, fake, real):
        return softplus(-fake / self.temperature).mean()


class Turned(Sound):
    """The generator's loss has the wrong sign."""

    def generator(self, fake, real):
        return softplus(fake / self.temperature).mean()
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own_games.py"
    path.write_text(LOSSES)
    return path


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(" ")]


def test_what_keeps_its_promises_ends_with_zero(gadkit_command: CommandLine, file: Path) -> None:
    done = gadkit_command("plugins", "check", file, "--only", "sound: ")
    assert done.code == 0, done.out + done.err
    assert [line.rpartition("  ")[0] for line in lines(done.out)[:-1]] == [
        f"ok    loss own_games.py:sound: {aspect}"
        for aspect in ("record", "contract", "gradients", "devices", "training")
    ]
    assert lines(done.out)[-1].startswith("5 kept, 0 broken, in ")
    assert "a loss is made" in done.err  # what a component prints is not part of the answer
    assert "a loss is made" not in done.out


def test_a_broken_promise_ends_with_one_and_is_told_in_three_parts(gadkit_command: CommandLine, file: Path) -> None:
    done = gadkit_command("plugins", "check", file, "--only", "contract")
    assert done.code == 1
    kept, broken, *told, summary = done.out.splitlines()
    assert kept.startswith("ok    loss own_games.py:sound: contract  ")
    assert broken.startswith("fail  loss own_games.py:turned: contract  ")
    assert [line.split()[0] for line in told] == ["promised", "found", "to"]
    assert "G's falls with D(fake)" in told[0]
    assert told[2].strip().startswith("to mend   turn the sign")
    assert summary.startswith("1 kept, 1 broken, in ")
    assert "Traceback" not in done.err
    assert "Traceback" in gadkit_command("--verbose", "plugins", "check", file, "--only", "turned: contract").err


def test_json_is_one_object_whatever_components_print(gadkit_command: CommandLine, file: Path) -> None:
    done = gadkit_command("plugins", "check", file, "--only", "contract", "--json")
    assert done.code == 1
    document = json.loads(done.out)
    assert document["ok"] is False
    sound, turned = document["checks"]
    assert (sound["status"], sound["promised"], sound["mend"]) == ("kept", "", "")
    assert (turned["kind"], turned["name"], turned["aspect"]) == ("loss", "own_games.py:turned", "contract")
    assert turned["status"] == "broken"
    assert turned["found"].startswith("slopes are ")


def test_settings_are_what_components_are_built_with(gadkit_command: CommandLine, file: Path) -> None:
    done = gadkit_command("plugins", "check", file, "--set", "sound.temperature=-2", "--only", "record")
    assert done.code == 1
    assert "loss.temperature: found -2, expected a number greater than 0" in done.out
    assert gadkit_command("plugins", "check", file, "--set", "sound.temperature=2", "--only", "record").code == 0
    assert "expected key=value" in gadkit_command("plugins", "check", file, "--set", "temperature").error
    assert (
        "whose setting this is is not said" in gadkit_command("plugins", "check", file, "--set", "temperature=2").error
    )


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("no-such-thing",), "There is no component, distribution, file or folder 'no-such-thing'."),
        (("hinge", "--kind", "generator"), "There is no generator 'hinge'."),
        (("hinge", "--only", "colours"), "--only 'colours': no check has this in its name; they are about: imports,"),
        (("./no_such_file.py",), "there is no such file or folder"),
    ],
)
def test_what_is_not_there_ends_with_two(gadkit_command: CommandLine, arguments: tuple[str, ...], found: str) -> None:
    assert found in gadkit_command("plugins", "check", *arguments).error


def test_what_cannot_be_tried_is_said_and_breaks_nothing(gadkit_command: CommandLine) -> None:
    done = gadkit_command("plugins", "check", "frames", "--kind", "dataset", "--only", "training")
    assert done.code == 0
    first, reason, summary = done.out.splitlines()
    assert first.startswith("skip  dataset gadkit:frames: training  ")
    label, _, words = reason.strip().partition(" ")
    assert label == "because"
    assert words.strip() == "gadkit:frames needs data to be tried on: conformance(..., data=...), --data"
    assert summary.startswith("0 kept, 0 broken, 1 not tried, in ")


def test_a_plugin_that_fails_is_a_broken_promise(gadkit_command: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "own_broken.py").write_text("raise SystemExit('no licence')")
    done = gadkit_command("plugins", "check", tmp_path / "own_broken.py")
    assert done.code == 1
    assert "fail  plugin own_broken.py: loads" in done.out
    assert "no licence" in done.out


def broken() -> None:
    raise Broken("a promise of some length, " * 6, "another\nthing with \x1b[31mcolour", "do it")


@pytest.mark.parametrize("width", [60, 90])
def test_a_terminal_gets_lines_that_fit_and_are_safe(width: int) -> None:
    (done,) = plugins_check._run([Check("loss", "acme:own", "contract", broken)])
    shown = plugins_check._lines(done, width)
    assert all(len(line) <= width for line in shown)
    assert "\x1b" not in "".join(shown)
    words = " ".join("\n".join(shown).split())
    assert "promised " + " ".join(done.promised.split()) in words
    assert words.endswith("to mend do it")


def test_a_name_between_colons_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    class Recorded(Console):
        def status(self, status: Any, **more: Any) -> Any:
            told.append(status)
            return super().status(status, **more)

    monkeypatch.setattr("rich.console.Console", Recorded)
    plugins_check._print_rich([Check("generator", "acme:sparkle", "contract", lambda: None)])
    shown = Console(file=StringIO(), width=80)
    shown.print(told[0])
    assert "generator acme:sparkle: contract" in shown.file.getvalue()
