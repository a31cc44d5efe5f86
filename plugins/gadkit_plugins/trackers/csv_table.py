"""All logged values of a run in one table."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from gadkit import DataError, Tracker, hookimpl


class Csv(Tracker):
    """A table in the run's folder with a row for every logged step, in UTF-8 with commas.

    The first column is `step`, the others are the logged values by name, in the order in which they first appeared;
    a cell is empty where a step has no such value. Rows are added as they come. Where a run goes on or goes back, the
    rows of the steps that it makes again are dropped.

    Args:
        file: Its name in the run's folder; it ends with .csv.
    """

    def __init__(self, *, file: Annotated[str, Field(pattern=r"^[^/\\]+\.csv$")] = "metrics.csv") -> None:
        self._name = file
        self._path = Path()
        self._columns: list[str] = []

    @hookimpl
    def gadkit_run_started(self, folder: Path, step: int) -> None:
        """Takes up the table, or begins one."""
        self._path = folder / self._name
        self._columns = ["step"]
        self._rewind(step)

    @hookimpl
    def gadkit_step_logged(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a row; a value that was not there before gets a column."""
        new = [name for name in values if name not in self._columns]
        if new:
            rows = self._read()
            self._columns += new
            self._write(rows)
        with self._path.open("a", encoding="utf-8", newline="") as file:
            row = {**values, "step": step}
            csv.writer(file, lineterminator="\n").writerow([row.get(name, "") for name in self._columns])

    @hookimpl
    def gadkit_event_logged(self, step: int, event: str) -> None:
        """Drops the rows of steps that are made again."""
        if event in ("rollback", "given up"):
            self._rewind(step)

    def _rewind(self, step: int) -> None:
        """Keeps the rows up to a step; one that was cut off with its process is none."""
        self._write([row for row in self._read() if row[0].isdecimal() and int(row[0]) <= step])

    def _read(self) -> list[list[str]]:
        """The whole rows of the table, whose columns are known then.

        Raises:
            DataError: There is a file, and it is no such table.
        """
        if not self._path.exists():
            return []
        text = self._path.read_text(encoding="utf-8", errors="replace")
        rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
        if not rows or rows[0][:1] != ["step"]:
            raise DataError(
                f"{self._path}: is no table of logged values, and is left as it is; move it, or set tracker.csv.file."
            )
        self._columns = rows[0]
        return [row for row in rows[1:] if len(row) == len(self._columns)]

    def _write(self, rows: Iterable[Sequence[str]]) -> None:
        """Writes the table anew, whole or not at all."""
        partial = self._path.with_name(f".{self._name}.partial")
        with partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self._columns)
            writer.writerows([*row, *[""] * (len(self._columns) - len(row))] for row in rows)
        os.replace(partial, self._path)
