"""What `gadkit train` shows on a terminal: a live bar that leaves the screen tidy."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import signal
import subprocess
import sys

import pytest
from small_runs import NETS, SMALL, environment

from gadkit.runs.folder import Run


class Screen:
    """A terminal of the few codes that a live bar uses; any other makes it fail."""

    CODE = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])")

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.lines = [""]
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        position = 0
        while position < len(text):
            letter = text[position]
            if letter == "\x1b":
                code = self.CODE.match(text, position)
                assert code, text[position : position + 12]
                self._control(*code.groups())
                position = code.end()
                continue
            position += 1
            if letter == "\r":
                self.column = 0
            elif letter == "\n":
                self._down()
            else:
                assert letter.isprintable(), repr(letter)
                if self.column == self.columns:
                    self.column = 0
                    self._down()
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + letter + line[self.column + 1 :]
                self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")

    def _control(self, private: str, number: str, letter: str) -> None:
        if letter == "m" or private:  # colours, and whether the cursor shows
            return
        if letter == "A":
            self.row -= int(number or 1)
            assert self.row >= 0
        elif (letter, number) == ("K", "2"):
            self.lines[self.row] = ""
        else:
            raise AssertionError(f"code {number}{letter}")


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
@pytest.mark.parametrize("interrupt", [False, True], ids=["to the end", "interrupted"])
def test_a_terminal_shows_a_live_bar_and_is_left_tidy(tmp_path, clips, interrupt):
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    count = "1000000" if interrupt else "40"
    arguments = ("--data", clips, *SMALL, *NETS, "--steps", count, "--log-every", "2", "--out", "run")
    variables = environment(TERM="xterm-256color", COLUMNS="80", LINES="40")
    variables.pop("CI", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "gadkit", "train", *map(str, arguments)],
        cwd=tmp_path,
        env=variables,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    raw, sent = b"", False
    with contextlib.suppress(OSError):  # the end of a pseudo-terminal
        while select.select([ours], [], [], 60)[0] and (piece := os.read(ours, 65536)):
            raw += piece
            if interrupt and not sent and b"D(fake)" in raw:
                process.send_signal(signal.SIGINT)
                sent = True
    os.close(ours)
    assert process.wait(timeout=60) == (130 if interrupt else 0)
    text = raw.decode()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor was hidden and is back
    screen = Screen(80)
    screen.feed(text)
    shown = [line.rstrip() for line in screen.lines if line.strip()]
    assert re.fullmatch(r"part +name +provider +parameters", shown[0])
    (bar,) = [line for line in shown if line.startswith("training ━")]
    assert re.fullmatch(r"training ━+[╸╺━]* \d+/\d+ [\d.]+ steps/s \d+:\d\d:\d\d", bar)
    numbers = shown[shown.index(bar) + 1]
    assert re.match(r"D -?[\d.e-]+  D\(real\) \S+  D\(fake\) \S+  penalty \S+  G \S+$", numbers)
    assert [line for line in shown if line.startswith("D ")] == [numbers]
    assert any(line.startswith("wrote run/checkpoints/step-") for line in shown[: shown.index(bar)])
    step = int(Run(tmp_path / "run").find_checkpoint().name.removeprefix("step-"))
    assert f" {step}/{count} " in bar
    ending = " ".join(shown[shown.index(numbers) + 1 :])  # the last line is longer than the screen is wide
    if interrupt:
        assert ending == f"Stopped with the checkpoint of step {step}. Go on with: gadkit train --resume run"
    else:
        assert ending == "Done: run. Make videos with: gadkit sample run --num 16 --grid --out videos.mp4"


def test_what_a_terminal_shows_while_the_last_step_is_made(tmp_path):
    from rich.console import Console

    from gadkit.cli.progress import LiveReporter

    file = io.StringIO()
    reporter = LiveReporter(Console(file=file, force_terminal=True, width=80), dry_run=False)
    with reporter.bar:
        reporter.started(0, 9)
        reporter.logged(1, {"loss/generator": 0.25})
        reporter.stopping()
        reporter.logged(2, {"loss/generator": 0.5})  # which must not hide that the end is near
        reporter.bar.refresh()
        seen = file.getvalue()
        reporter.ended(tmp_path, 0, "stopped")
    assert "finishing the step and saving; Ctrl-C again to stop at once." in seen
    assert "G 0.5" not in seen
    screen = Screen(80)
    screen.feed(file.getvalue().replace("\n", "\r\n"))
    bar, numbers, *ending = (line.rstrip() for line in screen.lines if line.strip())
    assert bar.startswith("training ━")
    assert numbers == "G 0.5"
    sentence = f"Stopped at the beginning. Go on with: gadkit train --resume {tmp_path}"
    assert "".join(line.strip() for line in ending).replace(" ", "") == sentence.replace(" ", "")


def test_no_live_bar_in_ci_or_on_a_dumb_terminal(monkeypatch):
    from gadkit.cli import progress

    class Terminal:
        encoding = "utf-8"

        def isatty(self):
            return True

        def write(self, text):
            return len(text)

        def flush(self):
            pass

    monkeypatch.setattr(sys, "stdout", Terminal())
    kinds = []
    for variables in ({"TERM": "xterm"}, {"TERM": "dumb"}, {"TERM": "xterm", "CI": "true"}):
        monkeypatch.delenv("CI", raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with progress.console_reporter(dry_run=False) as reporter:
            kinds.append(type(reporter))
    assert kinds == [progress.LiveReporter, progress.ConsoleReporter, progress.ConsoleReporter]
