"""What surrounds the import of a plugin: its output, the one that hangs, the one that ended a process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from plugins_fixtures.processes import beside

from gadkit.registry import importing
from gadkit.registry.importing import ImportWatch, quiet


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GADKIT_CACHE", str(tmp_path))
    return tmp_path / "importing"


def told(caplog):
    return [record.getMessage() for record in caplog.records]


def test_everything_that_is_printed_goes_to_standard_error(capfd):
    print("before")
    with quiet():
        print("python")
        os.write(1, b"descriptor\n")
        subprocess.run([sys.executable, "-c", "print('child')"], check=True)
    print("after")
    sys.stdout.flush()
    captured = capfd.readouterr()
    assert captured.out.split() == ["before", "after"]
    assert set(captured.err.split()) == {"python", "descriptor", "child"}


@pytest.mark.parametrize("closing", ["exec python -c '{}' >&-", "exec python -c 'import os; os.close(1); {}'"])
def test_a_process_whose_output_is_closed_goes_on(tmp_path, closing):
    text = (
        "from gadkit.registry.importing import quiet; made = quiet(); made.__enter__(); made.__exit__(None, None, None)"
    )
    command = closing.format(text).replace("python", sys.executable, 1)
    done = subprocess.run(["sh", "-c", command], env=beside(tmp_path), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_an_import_that_takes_long_is_named_once_and_others_are_not(folder, monkeypatch, caplog):
    monkeypatch.setattr(importing, "PATIENCE", 0.2)
    with ImportWatch() as watch:
        watch.begin("plugin 'quick' of acme 1.0", "acme")
        time.sleep(0.05)
        watch.begin("plugin 'late' of acme-late 1.0", "acme-late")
        time.sleep(1)
        watch.begin("plugin 'last' of acme 1.0", "acme")
    time.sleep(0.5)
    (line,) = told(caplog)
    assert "plugin 'late' of acme-late 1.0 has been importing for" in line
    assert line.endswith("gadkit plugins disable acme-late")


def test_nothing_is_left_behind_and_nothing_is_done_for_nothing(folder):
    before = threading.active_count()
    with ImportWatch():
        assert threading.active_count() == before
    assert not folder.exists()
    with ImportWatch() as watch:
        watch.begin("plugin 'a' of b 1.0", "b")
        assert len(list(folder.iterdir())) == 1
    assert list(folder.iterdir()) == []


ENDED = """
import os, sys
from gadkit.registry.importing import ImportWatch
with ImportWatch() as watch:
    watch.begin("plugin 'first' of acme 1.0", "acme")
    watch.begin("plugin 'bomb\\x1b[2J' of acme-bomb 1.0", "acme-bomb")
    {}
"""


def test_the_one_that_ended_a_process_is_told_once(folder, tmp_path, caplog):
    done = subprocess.run([sys.executable, "-c", ENDED.format("os._exit(9)")], env=beside(tmp_path), timeout=60)
    assert done.returncode == 9
    with ImportWatch() as watch:
        watch.begin("plugin 'a' of b 1.0", "b")
    (line,) = told(caplog)
    assert "ended while it imported plugin 'bomb\\x1b[2J' of acme-bomb 1.0; " in line
    assert line.endswith("gadkit plugins disable acme-bomb")
    with ImportWatch() as watch:
        watch.begin("plugin 'a' of b 1.0", "b")
    assert len(told(caplog)) == 1


def test_one_that_is_importing_now_is_no_end(folder, tmp_path, caplog):
    text = ENDED.format("print('now', flush=True); sys.stdin.read()")
    with subprocess.Popen(
        [sys.executable, "-c", text], env=beside(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"now\n"
        with ImportWatch() as watch:
            watch.begin("plugin 'a' of b 1.0", "b")
            assert len(list(folder.iterdir())) == 2
        assert told(caplog) == []
        other.communicate(timeout=60)
    assert other.returncode == 0
    assert list(folder.iterdir()) == []


def test_a_cache_that_cannot_be_written_costs_the_note_alone(folder, caplog):
    folder.parent.joinpath("importing").write_text("a file")
    with ImportWatch() as watch:
        watch.begin("plugin 'a' of b 1.0", "b")
        watch.begin("plugin 'c' of d 1.0", "d")
    assert told(caplog) == []
