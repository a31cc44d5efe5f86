"""`gadkit plugins list`: its filters, its widths, and what third parties' texts may do to a terminal."""

from __future__ import annotations

import json
import os
import sys

import pytest
from plugins_fixtures import importable, write_package

ESCAPES = "\\x1b[31mred\\x9b2J\\u202e"
LOUD = f"""
from gadkit import Component, hookimpl

@hookimpl
def gadkit_losses():
    return [
        Component(name="loud", summary="{ESCAPES} [bold]", target="acme_loud:X", source="{ESCAPES}"),
        Component(name="quiet", summary="Softly", target="acme_loud:X", requires=("no-such-thing>=1",)),
    ]

@hookimpl
def gadkit_generators():
    return [Component(name="loud", summary="Loudly", target="acme_loud:Y")]
"""


@pytest.fixture
def listed(gadkit_command, tmp_path, monkeypatch):
    """The command beside one package that works, one that fails and one that is switched off."""
    site = tmp_path / "site"
    write_package(site, "acme-loud", LOUD, version="1.5")
    write_package(site, "acme-bad", f"raise RuntimeError('{ESCAPES}')")
    write_package(site, "acme-off", "raise AssertionError")
    monkeypatch.setenv("GADKIT_DISABLED_PLUGINS", "acme-off")
    with importable(site):
        yield lambda *arguments: gadkit_command("plugins", "list", *arguments)


def components(done):
    return {(each["kind"], each["qualified"]) for each in json.loads(done.out)["components"]}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--provider", "Acme_Loud"], {("loss", "loud"), ("loss", "quiet"), ("generator", "loud")}),
        (["--provider", "acme-loud", "--kind", "loss"], {("loss", "loud"), ("loss", "quiet")}),
        (["SOFT", "--kind", "loss", "--provider", "acme-loud"], {("loss", "quiet")}),
        (["--grep", "acme loud", "--kind", "generator"], {("generator", "loud")}),
        (["loss", "--grep", "quiet"], {("loss", "quiet")}),
        (["--status", "failed"], set()),
    ],
)
def test_filters(listed, arguments, expected):
    found = components(listed("--json", *arguments))
    assert found == {(kind, f"acme-loud:{name}") for kind, name in expected}


def test_kinds_are_repeated(listed):
    found = {kind for kind, _ in components(listed("--json", "--kind", "loss", "--kind", "penalty"))}
    assert found == {"loss", "penalty"}


def test_json_tells_of_every_plugin(listed):
    document = json.loads(listed("--json").out)
    plugins = {plugin["distribution"]: plugin for plugin in document["plugins"]}
    assert (plugins["acme-loud"]["status"], plugins["acme-loud"]["components"]) == ("ready", 3)
    assert plugins["acme-loud"]["seconds"] > 0
    assert (plugins["acme-off"]["status"], plugins["acme-off"]["by"]) == ("disabled", "GADKIT_DISABLED_PLUGINS")
    assert plugins["acme-bad"]["status"] == "failed"
    assert [each["distribution"] for each in document["failures"]] == ["acme-bad"]
    assert document["disabled"] == [{"plugin": "acme_off", "distribution": "acme-off"}]
    quiet = next(each for each in document["components"] if each["name"] == "quiet")
    assert (quiet["requires"], quiet["api"]) == (["no-such-thing>=1"], 1)


@pytest.mark.parametrize(
    ("status", "expected", "others"),
    [
        ("failed", "failed: plugin 'acme_bad' of acme-bad 1.0 is left out: its import raised", "acme-off"),
        (
            "disabled",
            "switched off: plugin 'acme_off' of acme-off 1.0: take it out of GADKIT_DISABLED_PLUGINS",
            "acme-bad",
        ),
        ("ready", "Softly", "acme-off"),
    ],
)
def test_status(listed, status, expected, others):
    out = listed("--status", status).out
    assert expected in out
    assert others not in out
    assert ("Softly" in out) == (status == "ready")


def test_a_failed_plugin_is_told_beside_any_kind_and_where_it_is_meant(listed):
    assert "acme_bad" in listed("--kind", "penalty").out
    assert "acme_bad" in listed("bad").out
    assert "acme_bad" not in listed("quiet").out


def test_slow_plugins_are_told_with_their_time(listed, tmp_path):
    write_package(tmp_path / "site", "acme-slow", f"import time\ntime.sleep(0.6)\n{LOUD}")
    (line,) = [line for line in listed("--provider", "acme-slow").out.splitlines() if line.startswith("slow: ")]
    assert line.startswith("slow: plugin 'acme_slow' of acme-slow 1.0 took 0.")


def test_nothing_and_nobody(listed):
    assert listed("no such words").out == "Nothing here is like that.\n"
    told = listed("--provider", "acme-lout").err
    assert "nothing called 'acme-lout' offers plugins here. Did you mean 'acme-loud'" in told


@pytest.mark.parametrize(
    "arguments", [["list"], ["list", "--json"], ["show", "quiet"], ["show", "loss", "acme-loud:loud"]]
)
def test_control_characters_stay_away_from_terminals(listed, gadkit_command, arguments):
    done = gadkit_command("plugins", *arguments)
    for text in (done.out, done.err):
        assert all(letter.isprintable() or letter == "\n" for letter in text)
    if arguments == ["list", "--json"]:
        summaries = {each["summary"] for each in json.loads(done.out)["components"]}
        assert any("red" in summary and "[bold]" in summary for summary in summaries)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize("columns", [80, 140])
def test_lines_fit_the_terminal(tmp_path, columns):
    import fcntl
    import pty
    import struct
    import termios

    write_package(tmp_path, "acme-loud", LOUD)
    pid, terminal = pty.fork()
    if pid == 0:  # the command, in a terminal of its own
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        path = os.pathsep.join([str(tmp_path), root, os.path.join(root, "plugins")])
        own = {"PYTHONPATH": path, "TERM": "xterm", "PYTHONUTF8": "1", "COLUMNS": str(columns)}
        os.execve(sys.executable, [sys.executable, "-m", "gadkit", "plugins", "list"], {**os.environ, **own})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    told = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        told += part
    _, code = os.waitpid(pid, 0)
    assert code == 0
    lines = plain(told.decode()).splitlines()
    assert max(map(len, lines)) <= columns
    (loud,) = [line for line in lines if line.startswith("generator") and " loud " in line]
    words = loud.split()
    if columns >= 120:
        assert words == ["generator", "loud", "acme-loud", "1.0", "1", "ready", "Loudly"]
    else:  # who offers it stands above its components
        assert words == ["generator", "loud", "Loudly"]
        assert "acme-loud 1.0, ready, API 1" in lines
    assert not any("\x1b" in line or "\x9b" in line for line in lines)


def plain(text: str) -> str:
    """Without the terminal's own bold and colours."""
    import re

    return re.sub(r"\x1b\[(?:0|1)?m", "", text).replace("\r\n", "\n")
