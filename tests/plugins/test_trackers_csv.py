"""The table of a run: whole at any moment, with the rows of the log, whatever happens to the run."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path

import pytest

from gadkit import DataError
from gadkit_plugins.trackers.csv_table import Csv


def table(folder, name="metrics.csv"):
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def begin(folder, step=0, **settings):
    tracker = Csv(**settings)
    tracker.gadkit_run_started(folder, step)
    return tracker


def steps(folder):
    return [int(row["step"]) for row in table(folder)]


def test_a_row_a_step_with_every_digit(tmp_path):
    tracker = begin(tmp_path)
    values = {1: {"loss": 0.1, "fvd[i3d]": 1 / 3}, 2: {"loss": math.nan, "fvd[i3d]": -math.inf}, 30: {"loss": 1e-300}}
    for step, each in values.items():
        tracker.gadkit_step_logged(step, each)
    found = table(tmp_path)
    assert [row["step"] for row in found] == ["1", "2", "30"]
    assert [row["fvd[i3d]"] for row in found] == [repr(1 / 3), "-inf", ""]
    assert float(found[0]["loss"]) == 0.1
    assert math.isnan(float(found[1]["loss"]))
    assert float(found[2]["loss"]) == 1e-300


def test_a_row_is_there_as_soon_as_it_is_logged(tmp_path):
    tracker = begin(tmp_path)
    assert table(tmp_path) == []
    tracker.gadkit_step_logged(1, {"loss": 1.0})
    assert table(tmp_path) == [{"step": "1", "loss": "1.0"}]


def test_columns_come_when_their_values_do_and_the_table_is_whole_all_the_while(tmp_path, monkeypatch):
    tracker = begin(tmp_path)
    tracker.gadkit_step_logged(1, {"a": 1.0})
    before = (tmp_path / "metrics.csv").read_text()

    def fail(*arguments):
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        tracker.gadkit_step_logged(2, {'b, "c"\nd': 2.0})
    assert (tmp_path / "metrics.csv").read_text() == before
    monkeypatch.undo()
    tracker = begin(tmp_path, step=1)
    tracker.gadkit_step_logged(2, {'b, "c"\nd': 2.0})
    tracker.gadkit_step_logged(3, {"a": 3.0, "z": 4.0})
    assert table(tmp_path) == [
        {"step": "1", "a": "1.0", 'b, "c"\nd': "", "z": ""},
        {"step": "2", "a": "", 'b, "c"\nd': "2.0", "z": ""},
        {"step": "3", "a": "3.0", 'b, "c"\nd': "", "z": "4.0"},
    ]


def test_only_a_new_column_writes_the_table_anew(tmp_path):
    tracker = begin(tmp_path)
    tracker.gadkit_step_logged(1, {"a": 1.0, "b": 2.0})
    inode = (tmp_path / "metrics.csv").stat().st_ino
    tracker.gadkit_step_logged(2, {"b": 2.0})
    assert (tmp_path / "metrics.csv").stat().st_ino == inode


def test_steps_that_are_made_again_stand_there_once(tmp_path):
    tracker = begin(tmp_path)
    for step in range(1, 7):
        tracker.gadkit_step_logged(step, {"a": float(step)})
    tracker.gadkit_event_logged(6, "warning")
    assert steps(tmp_path) == [1, 2, 3, 4, 5, 6]
    tracker.gadkit_event_logged(4, "rollback")
    assert steps(tmp_path) == [1, 2, 3, 4]
    tracker.gadkit_step_logged(5, {"a": 50.0})
    assert [row["a"] for row in table(tmp_path)] == ["1.0", "2.0", "3.0", "4.0", "50.0"]
    begin(tmp_path, step=2).gadkit_step_logged(3, {"a": 0.0})
    assert steps(tmp_path) == [1, 2, 3]
    begin(tmp_path, step=2).gadkit_event_logged(1, "given up")
    assert steps(tmp_path) == [1]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_row_that_was_cut_off_with_its_process_is_dropped(tmp_path, cut):
    tracker = begin(tmp_path)
    tracker.gadkit_step_logged(1, {"a": 1.0, "b": 2.0})
    tracker.gadkit_step_logged(2, {"a": 11.0, "b": 22.5})
    path = tmp_path / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-cut])
    begin(tmp_path, step=9).gadkit_step_logged(10, {"b": 5.0})
    rows = [("1", "1.0", "2.0"), ("10", "", "5.0")]
    assert [tuple(row.values()) for row in table(tmp_path)] == rows


def test_another_files_content_is_not_lost(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("name,age\nAda,36\n")
    with pytest.raises(DataError, match=r"metrics\.csv: is no table of logged values, and is left as it is"):
        begin(tmp_path)
    assert path.read_text() == "name,age\nAda,36\n"
    begin(tmp_path, file="other.csv")
    assert (tmp_path / "other.csv").read_text() == "step\n"


def test_nothing_else_is_left_in_the_folder(tmp_path):
    tracker = begin(tmp_path)
    tracker.gadkit_step_logged(1, {"a": 1.0})
    tracker.gadkit_event_logged(1, "rollback")
    assert [each.name for each in Path(tmp_path).iterdir()] == ["metrics.csv"]
