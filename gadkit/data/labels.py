"""Labels and groups: what a table, a folder or the data themselves say of a video beside its frames."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import overload

from gadkit.errors import ConfigError, DataError, nearest
from gadkit.interfaces.dataset import ENDLESS, Dataset, Source

_NAMES = ("name", "path", "file", "video")
_SHOWN = 3


def labelled(dataset: Dataset, sources: Sequence[Source], how: str) -> Sequence[Source]:
    """The sources with the labels that were asked for.

    Args:
        dataset: Where they come from; a table is looked for at the root of its data, then as a file of its own.
        sources: Its videos.
        how: `none`; `own`, as the dataset gives them; `folders`, the first part of a video's path; or a file: a CSV
            with a header, a column `name` or `path` (the video's path in the data) and a column `label`, its other
            columns being kept; or a JSON file with `{"labels": [[path, label], ...]}`, as StyleGAN's `dataset.json`,
            where a path is a video's or that of one of its frames.

    Returns:
        Equal sources but for `label` and `columns`.

    Raises:
        DataError: A video has no label, or the table cannot be read.
    """
    if how == "own":
        return _own(sources)
    if how == "none":
        return _Bare(sources)
    if how == "folders":
        return [dataclasses.replace(source, label=_folder(source)) for source in sources]
    text = dataset.document(how)
    if text is None:
        text = _read(how)
    rows = _from_json(how, text) if how.lower().endswith(".json") else _from_csv(how, text)
    return _joined(how, sources, rows)


def check_pipe(how: str) -> None:
    """Refuses labels that a pipe cannot have: its videos are not known before they come.

    Raises:
        ConfigError: `how` is neither `none` nor `own`.
    """
    if how not in ("none", "own"):
        raise ConfigError(
            f"data.labels: found {how!r}, but the videos of a pipe are not known before they come; use none or own."
        )


class _Bare(Sequence[Source]):
    """Sources without their labels, made when they are asked for: there may be no end of them."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> Source: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Source]: ...
    def __getitem__(self, index: int | slice) -> Source | Sequence[Source]:
        if isinstance(index, slice):
            return _Bare(self._sources[index])
        return dataclasses.replace(self._sources[index], label=None)


def _own(sources: Sequence[Source]) -> Sequence[Source]:
    if len(sources) > ENDLESS:
        return sources
    bare = [source.name for source in sources if source.label is None]
    if bare:
        raise DataError(
            f"data.labels: found 'own', but {len(bare)} of {len(sources)} videos have no label of their own, such as "
            f"{bare[0]}; use 'folders' or a CSV file."
        )
    return sources


def _folder(source: Source) -> str:
    parts = PurePosixPath(source.name).parts
    if len(parts) < 2:
        raise DataError(
            f"data.labels: found 'folders', but {source.name} lies in no folder; every video must lie in a folder "
            "named after its class."
        )
    return parts[0]


def _read(how: str) -> str:
    try:
        return Path(how).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise DataError(
            f"data.labels: {how} cannot be read: {getattr(error, 'strerror', None) or error}; give none, own, folders, "
            "or a CSV or JSON file at the root of the data or elsewhere."
        ) from error


def _from_csv(how: str, text: str) -> dict[str, tuple[str | None, dict[str, str]]]:
    """Name to label and the other columns."""
    try:
        reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        header = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = header
        name = next((column for column in header if column.lower() in _NAMES), None)
        label = next((column for column in header if column.lower() in ("label", "class")), None)
        if name is None or label is None or len(set(header)) < len(header):
            raise DataError(
                f"{how} has the columns {', '.join(header) or 'none'}; expected a header with `name` (or `path`), "
                "`label`, and others as you like, each once."
            )
        rows = {}
        for row in reader:
            if None in row or None in row.values():
                raise DataError(f"{how}, line {reader.line_num}: has {len(row)} values; expected {len(header)}.")
            key = PurePosixPath(row[name].strip().replace("\\", "/")).as_posix()
            if key in rows:
                raise DataError(f"{how}, line {reader.line_num}: names {key} a second time; keep one line of it.")
            rows[key] = row[label].strip(), {column: row[column] for column in header if column not in (name, label)}
        return rows
    except csv.Error as error:
        raise DataError(f"{how}, line {reader.line_num}: is no CSV: {error}.") from error


def _from_json(how: str, text: str) -> dict[str, tuple[str | None, dict[str, str]]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{how} is no JSON: {str(error)[:100]}.") from error
    labels = document.get("labels") if isinstance(document, dict) else None
    pairs = list(labels.items()) if isinstance(labels, dict) else labels
    if not isinstance(pairs, list) or not all(map(_is_pair, pairs)):
        raise DataError(f'{how} has no labels; expected {{"labels": [["video or frame", label], ...]}}.')
    return {PurePosixPath(name.replace("\\", "/")).as_posix(): (str(label), {}) for name, label in pairs}


def _is_pair(pair: object) -> bool:
    return (
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and isinstance(pair[0], str)
        and isinstance(pair[1], int | str)
    )


def _joined(how: str, sources: Sequence[Source], rows: Mapping[str, tuple[str | None, dict[str, str]]]) -> list[Source]:
    """The sources with what the table says of each: of its path, of its path without ending, or of a frame in it."""
    frames: dict[str, set[str | None]] = {}
    for name, (label, _) in rows.items():
        frames.setdefault(PurePosixPath(name).parent.as_posix(), set()).add(label)
    found, bare = [], []
    for source in sources:
        row = rows.get(source.name) or rows.get(PurePosixPath(source.name).with_suffix("").as_posix())
        if row is None and source.name in frames:
            labels = frames[source.name]
            if len(labels) > 1:
                raise DataError(f"{how} gives the frames of {source.name} {len(labels)} labels; expected one.")
            row = next(iter(labels)), {}
        if row is None:
            bare.append(source.name)
        else:
            found.append(dataclasses.replace(source, label=row[0], columns={**source.columns, **row[1]}))
    if bare:
        shown = ", ".join(bare[:_SHOWN]) + (", ..." if len(bare) > _SHOWN else "")
        raise DataError(
            f"{how} says nothing of {len(bare)} of {len(sources)} videos: {shown}; add a line for each, or take them "
            f"out of the data.{nearest(bare[0], rows)}"
        )
    return found


def grouping(how: str) -> Callable[[str, Mapping[str, str]], str]:
    """A function from a video's name and columns to its group.

    Videos of one group come from one source, such as a film that was cut into scenes, and are never split between
    training and held-out.

    Args:
        how: `file`: each video is a group; `folder`: the folder that it lies in; `column:NAME`: the value of a column
            of the table of labels; `regex:PATTERN`: what the pattern's first group finds in the name, or the whole
            match.

    Raises:
        ConfigError: For anything else.
    """
    kind, _, argument = how.partition(":")
    if how == "file":
        return lambda name, columns: name
    if how == "folder":
        return lambda name, columns: PurePosixPath(name).parent.as_posix()
    if kind == "column" and argument:
        return lambda name, columns: _column(argument, name, columns)
    if kind == "regex" and argument:
        try:
            pattern = re.compile(argument)
        except re.error as error:
            raise ConfigError(f"clips.group: {argument!r} is no regular expression: {error}.") from error
        return lambda name, columns: _match(pattern, name)
    raise ConfigError(f"clips.group: found {how!r}, expected file, folder, regex:PATTERN or column:NAME.")


def _column(column: str, name: str, columns: Mapping[str, str]) -> str:
    if column not in columns:
        there = ", ".join(columns) or "none; name a CSV with --labels"
        raise DataError(f"clips.group: {name} has no column {column!r}; its columns are {there}.")
    return columns[column]


def _match(pattern: re.Pattern[str], name: str) -> str:
    match = pattern.search(name)
    if match is None:
        raise DataError(f"clips.group: the pattern {pattern.pattern!r} finds nothing in {name}; widen it.")
    return match[1] if pattern.groups and match[1] is not None else match[0]


def is_held_out(group: str, fraction: float) -> bool:
    """Whether a group belongs to the held-out part: a function of its name alone, the same on every machine.

    A larger fraction holds out what a smaller one does, and more.
    """
    digest = hashlib.sha256(group.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


def held_out(names: Sequence[str], columns: Sequence[Mapping[str, str]], group: str, fraction: float) -> list[bool]:
    """Which videos belong to the held-out part.

    Args:
        names: The videos' names.
        columns: What a table says of each.
        group: As for `grouping`.
        fraction: The share of groups to hold out, in [0, 1).

    Raises:
        DataError: A video has no group, or one of the two parts is empty.
    """
    group_of = grouping(group)
    groups = [group_of(name, row) for name, row in zip(names, columns, strict=True)]
    out = [is_held_out(each, fraction) for each in groups]
    if fraction and (all(out) or not any(out)):
        part = "training" if all(out) else "the held-out part"
        raise DataError(
            f"clips.held_out: with {fraction:g}, no video is left for {part} ({len(set(groups))} groups by "
            f"{group!r}); choose another fraction, or smaller groups with clips.group."
        )
    return out
