"""A run's folder: one training, everything that came of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gadkit.checkpoints.documents import LONGEST, parse
from gadkit.errors import RunError
from gadkit.runs.attempt import Attempt
from gadkit.sections import RunSettings

CONFIG = "config.toml"
ENVIRONMENT = "environment.json"
LOG = "log.jsonl"
#: What a line of the log says of the machine, and not of the training: seconds that it took, that steps waited for
#: clips, that an evaluation took; the most bytes of a GPU's memory that were held at once.
COSTS = ("seconds", "waited", "evaluated", "memory")
BEST = "best.json"
#: The page that shows the run.
REPORT = "report.html"
_STEP = re.compile(r"step-(\d{6,})")


class Run:
    """The folder of one training. `Run.create` makes a new one, `Run.open` takes one that is there.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path | None, name: str) -> Run:
        """A new run.

        Args:
            path: The folder, which must be empty or not there; `None` takes the next number under `runs/`.
            name: What a numbered run is called.

        Raises:
            RunError: The folder is not empty, or cannot be made.
        """
        try:
            if path is None:
                return cls(_numbered(Path("runs"), name))
            check_new(path)
            path.mkdir(parents=True, exist_ok=True)
            return cls(path)
        except OSError as error:
            raise RunError(
                f"{path or 'runs'}: cannot be made ({error.strerror}); mend that, or choose another folder with --out."
            ) from error

    @classmethod
    def open(cls, path: Path) -> Run:
        """The run at `path`; `RunError` where there is none."""
        if not (path / CONFIG).is_file():
            found = f"a folder without {CONFIG}" if path.is_dir() else "a file" if path.exists() else "no folder"
            raise RunError(
                f"{path}: found {found}, expected a run of gadkit; name the folder that `gadkit train` made."
            )
        return cls(path)

    def write_text(self, name: str, text: str) -> None:
        """Writes a file of the run, whole or not at all.

        Args:
            name: Its name in the folder.
            text: What it holds.
        """
        partial = self.path / f".{name}.partial"
        try:
            with partial.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, self.path / name)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise self._unwritable(name, error) from error

    def log(self, step: int, values: dict[str, Any]) -> None:
        """Appends one object to `log.jsonl`.

        Args:
            step: The step that it belongs to.
            values: Its other keys.
        """
        try:
            with (self.path / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        except OSError as error:
            raise self._unwritable(LOG, error) from error

    def sync_log(self) -> None:
        """Makes sure that the log is on the disk."""
        try:
            with (self.path / LOG).open("a", encoding="utf-8") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritable(LOG, error) from error

    def _unwritable(self, name: str, error: OSError) -> RunError:
        """Every checkpoint is still there: the run can go on from the newest."""
        return RunError(
            f"{self.path / name}: cannot be written ({error.strerror}); free some space or mend the rights, then go on "
            f"with `gadkit train --resume {self.path}`."
        )

    def read_log(self) -> list[dict[str, Any]]:
        """Every logged object in order; a last line that was cut off is left out.

        Raises:
            RunError: The log cannot be read.
        """
        path = self.path / LOG
        if not path.exists():
            return []
        try:
            content = path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise RunError(f"{path}: cannot be read ({error.strerror or error}); mend that, and try again.") from error
        lines = []
        for text in content.splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                break
            if not _is_line(line):
                break
            lines.append(line)
        return lines

    def write_log(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Writes the log anew, whole or not at all.

        Args:
            lines: Its objects in order.
        """
        self.write_text(LOG, "".join(json.dumps(line) + "\n" for line in lines))

    def checkpoint_path(self, step: int) -> Path:
        """Where the checkpoint of a step lies, or would."""
        return self.path / "checkpoints" / f"step-{step:06d}"

    def samples_path(self, step: int) -> Path:
        """Where the samples of a step go; makes their folder."""
        folder = self.path / "samples"
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise self._unwritable(folder.name, error) from error
        return folder / f"step-{step:06d}.mp4"

    def checkpoints(self) -> list[Path]:
        """The whole checkpoints, oldest first."""
        folder = self.path / "checkpoints"
        found = [(int(m[1]), path) for path in folder.glob("step-*") if (m := _STEP.fullmatch(path.name))]
        return [path for _, path in sorted(found)]

    def find_checkpoint(self, name: str = "latest") -> Path:
        """A checkpoint by name: `latest`, `best`, a step (`500`) or a folder's name (`step-000500`).

        Args:
            name: Which one.

        Raises:
            RunError: There is none.
        """
        there = self.checkpoints()
        if not there:
            raise RunError(
                f"{self.path}: has no checkpoint yet; train it further with `gadkit train --resume {self.path}`."
            )
        if name == "latest":
            return there[-1]
        if name == "best":
            return self._best()
        wanted = f"step-{int(name):06d}" if name.isdigit() else name
        for path in there:
            if path.name == wanted:
                return path
        raise RunError(
            f"checkpoint: found {name!r}, but {self.path} has {', '.join(path.name for path in there)}; "
            f"name one of these, or latest."
        )

    def _best(self) -> Path:
        try:
            with (self.path / BEST).open("rb") as file:
                step = parse(file.read(LONGEST + 1))["step"]
            if type(step) is not int or not 0 <= step < 1 << 53:
                raise ValueError(f"its step is {step!r:.80}")
            path = self.checkpoint_path(step)
        except FileNotFoundError:
            raise RunError(
                f"checkpoint: found 'best', but {self.path} was trained without a value to tell the best by; name one "
                "with --set run.best=VALUE when training, or take latest."
            ) from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RunError(f"{self.path / BEST}: cannot be read ({error}); take latest, or a step.") from error
        if not path.is_dir():
            raise RunError(f"{path}: is the best checkpoint by {BEST}, but is not there; take latest, or a step.")
        return path

    def prune(self, settings: RunSettings, best: int | None = None) -> None:
        """Deletes the checkpoints that the settings do not keep.

        Args:
            settings: How many are kept, and which.
            best: The step of the best one, which stays.
        """
        there = {step_of(path): path for path in self.checkpoints()}
        for step in there.keys() - retained(there, settings, best):
            self.discard(there[step])

    def set_aside(self, path: Path) -> Path:
        """Moves a damaged checkpoint to where it is none any more; its new place.

        Args:
            path: The checkpoint.

        Returns:
            Its new place.
        """
        aside = path.with_name(f"{path.name}.damaged")
        with contextlib.suppress(OSError):
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(path, aside)
        return aside

    def discard(self, path: Path) -> None:
        """Deletes a checkpoint, so that it is gone as a whole before its files go.

        Args:
            path: The checkpoint.
        """
        from gadkit.checkpoints.store import remove_folder

        remove_folder(path)


def retained(steps: Iterable[int], settings: RunSettings, best: int | None = None) -> set[int]:
    """The steps whose checkpoints stay: the newest, every so many, and the best."""
    ordered = sorted(steps)
    kept = set(ordered[-settings.keep :])
    if settings.keep_every is not None:
        kept |= {step for step in ordered if step and step % settings.keep_every == 0}
    return kept | ({best} if best is not None else set())


def _is_line(line: Any) -> bool:
    """Whether something can have been logged: it has a step, and an attempt that could have been, if one."""
    if not isinstance(line, dict) or type(line.get("step")) is not int or not 0 <= line["step"] < 1 << 53:
        return False
    try:
        return "attempt" not in line or Attempt(**line["attempt"]) is not None
    except (TypeError, ValueError):
        return False


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(checkpoint.name.removeprefix("step-"))


def check_new(path: Path) -> None:
    """Refuses an output folder that is a file, not empty, or below something that is no folder."""
    if path.is_dir():
        if (path / CONFIG).is_file():
            raise RunError(f"{path}: is a run already; continue it with --resume {path}, or choose another --out.")
        if any(not each.name.startswith(".") for each in path.iterdir()):  # a run that was cut off at once leaves some
            raise RunError(
                f"{path}: exists and is not empty, and a run needs a folder of its own; choose another --out."
            )
    elif path.exists():
        raise RunError(f"{path}: is a file, expected a folder for the run; choose another --out.")
    else:
        above = next(parent for parent in path.absolute().parents if parent.exists())
        if not above.is_dir():
            raise RunError(f"{path}: cannot be made, because {above} is a file; choose another --out.")


def _numbered(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    taken = [int(m[1]) for path in folder.iterdir() if (m := re.match(r"(\d{5})-", path.name))]
    number = max(taken, default=0) + 1
    while True:
        try:
            path = folder / f"{number:05d}-{name}"
            path.mkdir()
            return path
        except FileExistsError:  # another process took the number
            number += 1
