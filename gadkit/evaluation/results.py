"""Results: numbers with their manifests, written, read, and put side by side."""

from __future__ import annotations

import datetime
import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gadkit.checkpoints.documents import LONGEST, parse
from gadkit.errors import ConfigError, RunError
from gadkit.evaluation.manifest import differences, one_line
from gadkit.evaluation.scores import Score

FORMAT = 1
#: The folder of a run that results lie in.
FOLDER = "evaluations"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an evaluation found.

    Attributes:
        values: Score by name, such as `fvd[i3d]`.
        manifest: What they depend on.
        clips: The clips of each side, in plain values.
        warnings: What is to be known before a number is quoted, a sentence each.
        made: When, in ISO 8601.
        step: The step of the training whose model was judged.
        path: Where it was written, where it was.
    """

    values: Mapping[str, Score]
    manifest: Mapping[str, Any]
    clips: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    made: str = ""
    step: int | None = None
    path: Path | None = None

    @property
    def line(self) -> str:
        """The manifest in one line."""
        return one_line(self.manifest)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "format": FORMAT,
            "made": self.made,
            "step": self.step,
            "values": {name: value.to_dict() for name, value in self.values.items()},
            "line": self.line,
            "manifest": dict(self.manifest),
            "warnings": list(self.warnings),
            "clips": {side: list(clips) for side, clips in self.clips.items()},
        }

    def write(self, path: Path) -> Path:
        """Writes the result as JSON, whole or not at all; raises `RunError` where it cannot be written."""
        partial = path.with_name(f".{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="ascii")
            os.replace(partial, path)
        except OSError as error:
            raise RunError(
                f"{path}: cannot be written ({error.strerror}); free some space, or choose another place with --out."
            ) from error
        return path


def free_place(folder: Path, made: str, protocol: str) -> Path:
    """Where a result of a run is kept: a file that is not there yet, in the order of time."""
    stem = f"{made.replace(':', '').replace('+0000', 'Z')}-{protocol.rpartition(':')[2]}"
    places = itertools.chain([folder / f"{stem}.json"], (folder / f"{stem}-{n}.json" for n in itertools.count(2)))
    return next(place for place in places if not place.exists())


def now() -> str:
    """This moment, in ISO 8601 and UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def read_result(path: Path) -> Result:
    """Reads a result; raises `RunError` where the file holds none."""
    try:
        with path.open("rb") as file:
            found = parse(file.read(LONGEST + 1))
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']!r:.40}, and this gadkit reads {FORMAT}")
        values = {name: Score(**{**value, "clips": tuple(value["clips"])}) for name, value in found["values"].items()}
        result = Result(
            values={name: _checked(value) for name, value in values.items()},
            manifest=found["manifest"],
            clips=_listed(found["clips"]),
            warnings=[str(each) for each in found["warnings"]],
            made=str(found["made"]),
            step=_whole(found["step"]),
        )
        result.line  # noqa: B018 - a manifest without what every one has is none
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}); name a result of `gadkit evaluate`.") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise RunError(f"{path}: is no result of an evaluation ({error}); measure again.") from error
    return result


def find_results(place: Path) -> list[tuple[str, Result]]:
    """The results of a run, oldest first, or the one in a file, each with the name that it is shown by.

    Raises:
        RunError: There is none.
    """
    if not place.is_dir():
        return [(place.stem, read_result(place))]
    files = sorted((place / FOLDER).glob("*.json"))
    if not files:
        raise RunError(f"{place}: has no results yet; measure with `gadkit evaluate {place}`.")
    name = Path(os.path.abspath(place)).name
    found = [(f"{name}/{path.stem}", read_result(path)) for path in files]
    return sorted(found, key=lambda each: each[1].made)


def _checked(score: Score) -> Score:
    value, std, floor, floor_std = map(_number, (score.value, score.std, score.floor, score.floor_std))
    if not all(isinstance(text, str) for text in (score.best or "", score.literature)):
        raise ValueError("its words are no text")
    return replace(score, value=math.nan if value is None else value, std=std, floor=floor, floor_std=floor_std)


def _number(number: object) -> float | None:
    if number is None:
        return None
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise ValueError(f"it has the value {number!r:.40}")
    return float(number)


def _listed(clips: object) -> dict[str, list[Any]]:
    if not isinstance(clips, dict) or not all(isinstance(each, list) for each in clips.values()):
        raise ValueError("its clips are no lists by side")
    return clips


def _whole(step: object) -> int | None:
    if step is None:
        return None
    if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 1 << 53:
        raise ValueError(f"its step is {step!r:.40}")
    return step


def compare(results: Sequence[tuple[str, Result]], *, mixed: bool = False) -> list[str]:
    """Warnings of what differs between results that are put side by side, a sentence for each but the first.

    Args:
        results: Each with the name that it is shown by.
        mixed: Whether results of different protocols may stand together.

    Raises:
        ConfigError: They were measured by different protocols.
    """
    (first, one), *others = results
    warnings = []
    for name, other in others:
        protocols = [each.manifest["protocol"]["name"] for each in (one, other)]
        if protocols[0] != protocols[1] and not mixed:
            raise ConfigError(
                f"{name} was measured by protocol {protocols[1].removeprefix('gadkit:')}, and {first} by "
                f"{protocols[0].removeprefix('gadkit:')}: their numbers mean different things; measure both by one "
                "protocol, or put them side by side with --mixed."
            )
        if found := differences(one.manifest, other.manifest):
            warnings.append(f"{name} differs from {first} in {'; '.join(found)}.")
    return warnings
