"""The tracker that the documentation shows, as a user would write it down: it keeps its promises, and tracks a run."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest
from small_runs import SETTINGS, own_registry, small
from synthetic import Squares
from test_docs import ROOT, blocks

import gadkit
from gadkit.runs.folder import Run
from gadkit.testing import check_tracker


@pytest.fixture
def file(monkeypatch, tmp_path):
    """`database.py` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (code,) = (block for block in blocks(ROOT / "docs/trackers.md", "python") if "class Database" in block)
    assert len(code.splitlines()) < 60
    Path("database.py").write_text(code, encoding="utf-8")
    with own_registry():
        yield "database.py"
    sys.modules.pop("database", None)


def test_it_keeps_the_promises_of_trackers(file):
    from database import Database

    check_tracker(Database, path=str(Path("check.db").resolve()))


def test_it_tracks_a_run_that_goes_on(file):
    settings = SETTINGS | {"tracker.database.path": "all.db"}
    for out in ("one", "two"):
        small(out, plugins=[file], tracker="database", log_every=1, set=settings)
    gadkit.train(resume="one", plugins=[file], dataset=Squares, steps=4)
    table = sqlite3.connect("all.db")
    for out in ("one", "two"):
        kept = table.execute(
            "SELECT step, name, value FROM logged WHERE run = ?", (str(Path(out).resolve()),)
        ).fetchall()
        log = Run(Path(out)).read_log()
        expected = [
            (line["step"], name, value)
            for line in log
            if "event" not in line
            for name, value in line.items()
            if name not in ("step", "seconds", "waited")
        ]
        assert kept == expected
    table.close()
