"""WebDataset's samples: members of a tar that share a key, and what the small ones say of the videos.

The key is a member's path up to the first dot of its file name, so that `cats/7.mp4`, `cats/7.json` and `cats/7.cls`
are one sample. A sample may hold several videos, as `7.left.mp4` and `7.right.mp4`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from gadkit import DataError, UnavailableError
from gadkit.video.stills import is_animation
from gadkit_plugins.data.tree import VIDEO_ENDINGS, ending
from gadkit_plugins.data.webdataset.tarindex import DamageError, Member, Reader, members

_SPOKEN = ("cls", "json", "txt")
#: Larger documents are no labels.
_LARGEST = 1 << 20
_MAGIC = 64


@dataclass(frozen=True, slots=True)
class Video:
    """A video in a shard.

    Attributes:
        member: Its path in the shard.
        offset: Where its bytes begin.
        size: How many there are.
        label: From `.cls`, or `label` of `.json`; `None` without either.
        columns: The text of `.txt` as `txt`, and the other plain values of `.json`.
    """

    member: str
    offset: int
    size: int
    label: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contents:
    """What a shard holds.

    Attributes:
        videos: In the shard's order.
        faults: `(name, reason)` of what is damaged, the name being a member's, or empty for the shard.
    """

    videos: list[Video]
    faults: list[tuple[str, str]]


def split(name: str) -> tuple[str, str]:
    """A member's key and the rest of its name, in lower case: `"a/7.left.mp4"` gives `("a/7", "left.mp4")`."""
    folder, slash, file = name.rpartition("/")
    stem, _, rest = file.partition(".")
    return f"{folder}{slash}{stem}", rest.lower()


def is_video(name: str) -> bool:
    """Whether a member's ending is that of a video; WebP may be a picture, and PNG is one."""
    return ending(name) == ".webp" or ending(name) in VIDEO_ENDINGS


def is_moving(name: str, head: bytes) -> bool:
    """Whether what ends like a video is no picture, told from its first bytes."""
    return ending(name) != ".webp" or is_animation(Path(name), BytesIO(head))


def spoken(name: str, size: int) -> str:
    """The kind of a member that says something of its sample: `cls`, `json` or `txt`; empty for any other."""
    kind = split(name)[1]
    return kind if kind in _SPOKEN and size <= _LARGEST else ""


def walk(reader: Reader, faults: list[tuple[str, str]]) -> Iterator[Member]:
    """The members of a shard up to its end or its first damage, which is added to `faults`."""
    refused: list[str] = []
    try:
        yield from members(reader, refused)
    except DamageError as error:
        faults.append(("", f"the archive {error}; what came before is kept."))
    faults += [(name, "its name leads out of the archive or cannot be printed; it is left out.") for name in refused]


def survey(reader: Reader, shard: str) -> Contents:
    """What a shard holds, from its headers and its small members.

    Args:
        reader: Its bytes, of a known size.
        shard: Its name, for messages.

    Raises:
        DataError: It is no tar.
    """
    found: dict[str, Member] = {}
    notes: dict[str, dict[str, bytes]] = {}
    faults: list[tuple[str, str]] = []
    try:
        for member in walk(reader, faults):
            if kind := spoken(member.name, member.size):
                notes.setdefault(split(member.name)[0], {})[kind] = reader.read(member.offset, member.size)
            elif not is_video(member.name):
                continue
            elif member.name in found:
                faults.append((member.name, "it is there a second time, and only the first is kept."))
            elif is_moving(member.name, _head(reader, member)):
                found[member.name] = member
    except UnavailableError:
        raise
    except DataError as error:
        raise DataError(f"{shard} {error}.") from error
    said = {}
    for key, note in notes.items():
        label, columns, problem = describe(note)
        said[key] = label, columns
        if problem:
            faults.append((f"{key}.json", problem))
    videos = []
    for member in found.values():
        label, columns = said.get(split(member.name)[0], (None, {}))
        videos.append(Video(member.name, member.offset, member.size, label, columns))
    return Contents(videos, faults)


def _head(reader: Reader, member: Member) -> bytes:
    return reader.read(member.offset, min(_MAGIC, member.size)) if ending(member.name) == ".webp" else b""


def describe(note: Mapping[str, bytes]) -> tuple[str | None, dict[str, str], str]:
    """What the small members of a sample say: its label, its columns, and what is wrong with them.

    Args:
        note: Their bytes by kind.
    """
    label: str | None = None
    columns: dict[str, str] = {}
    problem = ""
    if "json" in note:
        try:
            document = json.loads(note["json"])
            if not isinstance(document, dict):
                raise ValueError(f"it holds a {type(document).__name__} where an object was expected")
            columns = {key: _plain(value) for key, value in document.items() if isinstance(value, str | int | float)}
            label = columns.pop("label", None)
        except (ValueError, RecursionError) as error:
            problem = f"it cannot be read: {str(error)[:100]}; its video is kept without it."
    if "txt" in note:
        columns["txt"] = note["txt"].decode("utf-8", "replace").strip()
    if "cls" in note:
        label = note["cls"].decode("utf-8", "replace").strip() or label
    return label, columns, problem


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def to_json(contents: Contents) -> str:
    """Text from which `from_json` makes an equal value."""
    videos = [[each.member, each.offset, each.size, each.label, dict(each.columns)] for each in contents.videos]
    return json.dumps({"videos": videos, "faults": contents.faults})


def from_json(text: str, size: int) -> Contents:
    """What `to_json` wrote.

    Args:
        text: The text.
        size: Bytes of the shard, which no video passes.

    Raises:
        ValueError: It is not what `to_json` writes.
    """
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError("no object")
    try:
        videos = [Video(*row) for row in document["videos"]]
        faults = [(str(name), str(reason)) for name, reason in document["faults"]]
    except (KeyError, TypeError) as error:
        raise ValueError(str(error)) from error
    if not all(map(_is_sound, videos)) or any(video.offset + video.size > size for video in videos):
        raise ValueError("a row that makes no sense")
    return Contents(videos, faults)


def _is_sound(video: Video) -> bool:
    return (
        isinstance(video.member, str)
        and all(type(number) is int and number >= 0 for number in (video.offset, video.size))
        and isinstance(video.label, str | None)
        and isinstance(video.columns, dict)
        and all(isinstance(value, str) for value in video.columns.values())
    )
