"""WebDataset shards, from files or over HTTP: indexed first, then read video by video in any order."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Literal

from gadkit import DataError, Dataset, Footage, Source
from gadkit.video.decode import open_video
from gadkit.video.stills import is_animation, open_animation
from gadkit_plugins.data import tree
from gadkit_plugins.data.archives.tars import holds_samples
from gadkit_plugins.data.webdataset import samples
from gadkit_plugins.data.webdataset.remote import Version, Web
from gadkit_plugins.data.webdataset.samples import Contents, Video
from gadkit_plugins.data.webdataset.shards import (
    LocalShard,
    ReadAhead,
    Shard,
    document_of,
    is_text_of_shards,
    shards_of,
)

#: Grows by one when an index of the same shard would be another.
FORMAT = 1
_AT_ONCE = 16
_LOOKED_AT = 4


class WebDataset(Dataset):
    """Tar files whose members are samples: `7.mp4`, `7.json` and `7.cls` are one video with what is known of it.

    A first pass reads the tars' headers and small members; what it finds is kept in the user's cache, and used as long
    as the shards are what they were. Then every video is read at its place, so that the order of training, resuming
    and several processes are the same as for a folder. Labels come from `.cls`, or the key `label` of `.json`; the
    other plain values of `.json`, and the text of `.txt`, become columns.

    Args:
        path: A tar, a folder of tars, or text: a pattern such as `shard-{000..099}.tar`, or URLs of such, `http` or
            `https`.
    """

    access: ClassVar[Literal["pack", "stream", "pipe"]] = "stream"
    remote: ClassVar[bool] = True

    def __init__(self, path: Path | str) -> None:
        self.path = tree.existing(path) if isinstance(path, Path) else path
        if isinstance(path, str) and "://" in path and not is_text_of_shards(path):
            raise DataError(
                f"{path.partition('://')[0]}:// is no place that shards are read from; expected http:// or https:// "
                "and the name of a .tar."
            )
        self._lock = threading.Lock()
        self._web = Web()
        self._shards: dict[str, Shard] | None = None
        self._found: tuple[list[Source], list[tuple[str, str]]] | None = None

    @classmethod
    def accepts(cls, path: Path | str) -> bool:
        """Text that names tars; a tar with videos among its first members, or a folder of such."""
        if isinstance(path, str):
            return is_text_of_shards(path)
        if path.is_dir():
            tars = (file for file in tree.glimpse(path) if tree.ending(file) == ".tar")
            return any(map(holds_samples, itertools.islice(tars, _LOOKED_AT)))
        return holds_samples(path)

    def sources(self) -> Sequence[Source]:
        """The videos in natural order of their names.

        A name is the member's path; where shards repeat each other's names, the shard's name stands before it.
        """
        return self._index()[0]

    def faults(self) -> Sequence[tuple[str, str]]:
        """The shards and members that are damaged, each with the reason."""
        return self._index()[1]

    def open(self, source: Source) -> Footage:
        """Reads a video at its place in its shard."""
        try:
            name, offset, size, total, tag = json.loads(source.locator)
            shard = self._places()[name]
        except (ValueError, KeyError) as error:
            raise DataError(f"{source.name} is no video of these shards: its place is {source.locator!r}.") from error
        file = shard.body(offset, size, Version(total, tag))
        path = Path(source.name)
        return open_animation(path, file) if is_animation(path, file) else open_video(path, file)

    def document(self, name: str) -> str | None:
        """The text of a file that lies beside the shards."""
        return document_of(self.path, self._web, name)

    def _places(self) -> dict[str, Shard]:
        """The shards by name."""
        with self._lock:
            if self._shards is None:
                self._shards = {shard.name: shard for shard in shards_of(self.path, self._web)}
            return self._shards

    def _index(self) -> tuple[list[Source], list[tuple[str, str]]]:
        shards = list(self._places().values())
        with self._lock:
            if self._found is None:
                with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="gadkit-index") as pool:
                    self._found = _gather(shards, list(pool.map(_contents, shards)))
                if not self._found[0]:
                    reasons = "; ".join(f"{name}: {reason}" for name, reason in self._found[1][:3])
                    raise DataError(
                        f"{shards[0] if len(shards) == 1 else f'{len(shards)} shards such as {shards[0]}'} "
                        f"hold{'s' * (len(shards) == 1)} no videos; expected members such as 000001.mp4. {reasons}"
                    )
            return self._found


def _gather(shards: list[Shard], found: list[tuple[Version, Contents]]) -> tuple[list[Source], list[tuple[str, str]]]:
    """The sources of all shards, and what is damaged in them."""
    counts = Counter(video.member for _, contents in found for video in contents.videos)
    repeated = any(count > 1 for count in counts.values())
    sources, faults = [], []
    for shard, (version, contents) in zip(shards, found, strict=True):
        for video in contents.videos:
            sources.append(_source(shard, version, video, repeated))
        for name, reason in contents.faults:
            faults.append((f"{shard.name}.tar/{name}" if name else f"{shard.name}.tar", reason))
    return sorted(sources, key=lambda source: tree.natural(source.name)), faults


def _source(shard: Shard, version: Version, video: Video, repeated: bool) -> Source:
    return Source(
        name=f"{shard.name}/{video.member}" if repeated else video.member,
        label=video.label,
        files=(shard.path,) if isinstance(shard, LocalShard) else (),
        locator=json.dumps([shard.name, video.offset, video.size, version.size, version.tag]),
        columns=video.columns,
    )


def _contents(shard: Shard) -> tuple[Version, Contents]:
    """A shard's contents, from the cache where it has not changed since."""
    from gadkit.data.cache import INDEXES, cache_folder  # the processes that only decode do without what it imports

    version = shard.version()
    key = hashlib.sha256(json.dumps([FORMAT, shard.identity(), version.size, version.tag]).encode()).hexdigest()[:32]
    place = cache_folder() / INDEXES / f"{key}.json"
    with contextlib.suppress(OSError, ValueError, RecursionError):
        contents = samples.from_json(place.read_text(encoding="utf-8"), version.size)
        os.utime(place)
        return version, contents
    contents = samples.survey(ReadAhead(shard, version), str(shard))
    with contextlib.suppress(OSError):  # without a cache, the next start indexes again
        _write(place, samples.to_json(contents))
    return version, contents


def _write(place: Path, text: str) -> None:
    """Writes a file that is there whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".partial-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
