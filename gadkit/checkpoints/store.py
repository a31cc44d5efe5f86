"""Checkpoints: safetensors and JSON in a folder that is whole or not there.

A checkpoint is written beside its place, synced, and renamed into it. `manifest.json` holds the SHA-256 of every other
file. Reading one executes nothing and opens nothing outside its folder.

Beside the folders `step-000500`, hidden ones of their names may lie after a writer was killed: `.step-000500.partial`,
which was being written, `.step-000500.replaced`, whose place a new one was about to take, and `.step-000500.removed`,
which was being deleted. None of them is a checkpoint, and the next write settles them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gadkit.checkpoints.documents import check_length, dump, parse
from gadkit.checkpoints.tensors import check_tensors, parse_tensors, pick_tensors, read_shapes_of, save_tensors
from gadkit.checkpoints.trees import flatten as flatten
from gadkit.checkpoints.trees import snapshot as snapshot
from gadkit.checkpoints.trees import tensor_names as tensor_names
from gadkit.checkpoints.trees import unflatten as unflatten
from gadkit.errors import DamagedError, RunError

MANIFEST = "manifest.json"
_LEFT = re.compile(r"\.(.+)\.(partial|replaced|removed)", re.DOTALL)
_STEP = re.compile(r"step-\d{6,}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NO_NAME = re.compile(r"[/\\:\x00-\x1f\x7f]")
#: What the system says of a file that is not there or lies on a bad spot. Others, such as a lack of rights, pass.
_DAMAGE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EIO, errno.ENXIO}
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "mend the rights of its folder"),
}


# --- writing ---------------------------------------------------------------------------------------------------------


def write_folder(
    folder: Path, tensors: Mapping[str, Mapping[str, Tensor]], documents: Mapping[str, Any], texts: Mapping[str, str]
) -> None:
    """Writes a folder of files with their manifest, atomically, and settles what killed writers left beside it.

    Whenever the process or the machine stops, the folder is the old one, the new one, or (in the moment in which a new
    one takes an old one's place) not there, and then `settle` and the next write bring the old one back.

    Args:
        folder: Its place; what lies there is replaced once the new folder is whole.
        tensors: File name (`*.safetensors`) to named tensors.
        documents: File name (`*.json`) to what is written into it.
        texts: File name to text.

    Raises:
        RunError: The disk is full, the place is read-only, or the like; or `tensors` or `documents` hold what the
            files cannot. What was at `folder` stays.
    """
    contents: dict[str, bytes] = {}
    for name in (*tensors, *documents, *texts):
        with _describing(folder / name):
            if name in tensors:
                check_tensors(tensors[name])
            else:
                contents[name] = dump(documents[name]) if name in documents else texts[name].encode()
    partial, sums = _beside(folder, "partial"), {}
    try:
        _make(folder.parent)
        _settle(folder.parent, folder.name)
        partial.mkdir()
        for name, named in tensors.items():
            with _describing(folder / name):
                sums[name] = save_tensors(partial / name, named)
        for name, content in contents.items():
            sums[name] = _write(partial / name, content)
        _write(partial / MANIFEST, dump({"sha256": sums}))
        _sync(partial)
        _swap(partial, folder)
    except RunError:
        _delete(partial, patient=True)
        raise
    except OSError as error:
        _delete(partial, patient=True)
        raise RunError(
            f"{folder}: cannot be written ({error.strerror or error}); nothing that was there is lost: "
            f"{_ADVICE.get(error.errno or 0, 'check the disk')}, and try again."
        ) from error


def remove_folder(folder: Path) -> None:
    """Deletes a checkpoint so that a reader never finds a part of it; what cannot be deleted now goes later."""
    removed = _beside(folder, "removed")
    _delete(removed, patient=True)
    with contextlib.suppress(OSError):
        os.rename(folder, removed)
    _delete(removed, patient=True)


def settle(parent: Path) -> None:
    """Deletes what killed writers of checkpoints left in a folder, and puts back one that was not replaced in the end.

    Only for the one process that writes there: what another is writing would be deleted.
    """
    with contextlib.suppress(OSError):
        _settle(parent, None)


def _settle(parent: Path, own: str | None) -> None:
    """Settles leftovers of checkpoints as far as it can, and those of `own`, which stand in the way, or raises."""
    for path in sorted(parent.iterdir()):
        left = _LEFT.fullmatch(path.name)
        if left is None or not (left[1] == own or _STEP.fullmatch(left[1])):
            continue
        try:
            if left[2] == "replaced" and not os.path.lexists(parent / left[1]):
                os.rename(path, parent / left[1])
            else:
                _delete(path)
        except OSError:
            if left[1] == own:
                raise


def _swap(partial: Path, folder: Path) -> None:
    """Renames a whole folder into its place, and deletes the one that was there only then."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    replaced, there = _beside(folder, "replaced"), os.path.lexists(folder)
    if there:
        os.rename(folder, replaced)
    try:
        os.rename(partial, folder)
    except OSError:
        if there:
            with contextlib.suppress(OSError):
                os.rename(replaced, folder)
        raise
    _sync(folder.parent)
    if there:
        _delete(replaced, patient=True)


def _beside(folder: Path, kind: str) -> Path:
    return folder.with_name(f".{folder.name}.{kind}")


def _make(folder: Path) -> None:
    """Makes a folder and those above it, so that they last."""
    for path in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        path.mkdir(exist_ok=True)
        _sync(path.parent)


@contextlib.contextmanager
def _describing(path: Path) -> Iterator[None]:
    """Turns what is wrong with that which is to be written into one sentence."""
    try:
        yield
    except ValueError as error:
        raise RunError(
            f"{path}: cannot be written, because {error}; mend the part of the training that keeps it."
        ) from error


def _write(path: Path, content: bytes) -> str:
    """Writes a new file and syncs it; returns the SHA-256 of what it was given, and not of what the disk made of it."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def _sync(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows cannot open a folder to sync it
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems have no sync of folders
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(descriptor)


def _delete(path: Path, patient: bool = False) -> None:
    """Deletes a file, a link or a folder with all in it; `patient`: as far as it can."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=patient)
        else:
            path.unlink(missing_ok=True)
    except OSError:
        if not patient:
            raise


# --- reading ---------------------------------------------------------------------------------------------------------


def verify(folder: Path) -> None:
    """Checks that a folder holds what its manifest names, every file with its SHA-256, and nothing else.

    Hidden files (`.DS_Store`), which a file manager leaves and gadkit never reads, do not count.

    Raises:
        DamagedError: A file is missing, altered, cut or too much; the sentence names it.
        RunError: A file cannot be read for a reason that is not its own, such as a lack of rights.
    """
    named = read_manifest(folder)
    with _failing(folder):
        there = {path.name for path in folder.iterdir() if not path.name.startswith(".")} - {MANIFEST}
    for name in sorted(there - named.keys()):
        raise _damaged(folder / name, f"{MANIFEST} does not name it")
    for name in named:
        with _reading(folder, name) as source:
            source.check()


def read_document(folder: Path, name: str) -> Any:
    """One JSON file of a folder, checked against its manifest.

    Raises:
        DamagedError: It is missing, altered, no JSON, too long or too deep.
        RunError: It cannot be read for a reason that is not its own.
    """
    with _reading(folder, name) as source:
        check_length(source.size)
        document = parse(source.read())
    return document


def read_tensors(folder: Path, name: str, only: Container[str] | None = None) -> dict[str, Tensor]:
    """One safetensors file of a folder, checked against its manifest; tensors on the CPU, with memory of their own.

    Args:
        folder: The folder.
        name: The file.
        only: The tensors that are wanted, where it is not all of them: the others take no memory.

    Raises:
        DamagedError: It is missing, altered, cut, or no safetensors file.
        RunError: It cannot be read for a reason that is not its own.
    """
    with _reading(folder, name) as source:
        read_shapes_of(source.path, source.file)
        tensors = parse_tensors(source.read() if only is None else source.pick(only))
    return tensors


def read_shapes(folder: Path, name: str) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Dtype and shape of every tensor of a safetensors file, from its header alone: nothing is allocated for them.

    The header is held against the file's size, but not yet against the manifest, for which all of it has to be read.

    Raises:
        DamagedError: It is missing, cut, or no safetensors file.
        RunError: It cannot be read for a reason that is not its own.
    """
    with _reading(folder, name) as source:
        shapes = read_shapes_of(source.path, source.file)
    return shapes


class _Source:
    """A file of a folder, whose content is held against the SHA-256 that is expected before it is used."""

    def __init__(self, path: Path, descriptor: int, expected: str | None) -> None:
        self.path = path
        self.size = os.fstat(descriptor).st_size
        self.file = open(descriptor, "rb", closefd=False)  # noqa: SIM115, the descriptor's owner closes it
        self._expected = expected

    def read(self) -> bytes:
        """All of the file; `ValueError` where it is another than expected, or has become shorter or longer."""
        data = self.file.read(self.size)
        if len(data) < self.size or self.file.read(1):
            raise ValueError("its size has changed while it was read")
        self._compare(hashlib.sha256(data))
        return data

    def pick(self, names: Container[str]) -> bytes:
        """As `read`, of a safetensors file whose tensors are these alone."""
        digest = hashlib.sha256()
        data = pick_tensors(self.file, names, digest.update)
        self._compare(digest)
        return data

    def check(self) -> None:
        """Holds the file against the manifest, piece by piece."""
        self._compare(hashlib.file_digest(self.file, "sha256"))

    def _compare(self, digest: Any) -> None:
        found = digest.hexdigest()
        if self._expected not in (None, found):
            raise ValueError(f"its SHA-256 is {found[:12]}…, but {MANIFEST} says {str(self._expected)[:12]}…")


@contextlib.contextmanager
def _reading(folder: Path, name: str) -> Iterator[_Source]:
    named = read_manifest(folder)
    if name not in named:
        raise _damaged(folder / name, f"{MANIFEST} does not name it")
    with _failing(folder / name), _opened(folder, name) as descriptor:
        yield _Source(folder / name, descriptor, named[name])


def read_manifest(folder: Path) -> dict[str, str]:
    """File names and their SHA-256, none of them a name that could lead out of the folder; else `DamagedError`."""
    try:
        with _opened(folder, MANIFEST) as descriptor:
            source = _Source(folder / MANIFEST, descriptor, None)
            check_length(source.size)
            document = parse(source.read())
        sums = document.get("sha256") if isinstance(document, dict) else None
        if not isinstance(sums, dict):
            raise ValueError("it names no files")
        for name, digest in sums.items():
            if _NO_NAME.search(name) or name in ("", ".", "..", MANIFEST):
                raise ValueError(f"it names {name!r}, which is no plain name of a file")
            if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
                raise ValueError(f"it has no SHA-256 for {name!r}")
    except ValueError as error:
        raise _no_checkpoint(folder, str(error)) from error
    except OSError as error:
        if error.errno not in _DAMAGE:
            raise _unreadable(folder / MANIFEST, error) from error
        raise _no_checkpoint(folder, str(error.strerror)) from error
    return sums


@contextlib.contextmanager
def _opened(folder: Path, name: str) -> Iterator[int]:
    """Opens a file of a folder, and nothing but a plain file inside of it; `ValueError` names what else it is."""
    path = folder / name
    if path.is_symlink():
        path = Path(os.path.realpath(path, strict=True))
        if path.parent not in map(Path.resolve, _homes(folder)):
            raise ValueError("it is a link that leads out of its folder")
    flags = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")  # a pipe must not make it wait
    descriptor = os.open(path, os.O_RDONLY | sum(getattr(os, flag, 0) for flag in flags))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        yield descriptor
    finally:
        os.close(descriptor)


def _homes(folder: Path) -> Iterator[Path]:
    """Where the files of a folder may lie: in it, or, in the cache of the Hugging Face Hub, where all files are."""
    yield folder
    snapshots = folder.absolute().parent
    if snapshots.name == "snapshots":
        yield snapshots.parent / "blobs"


@contextlib.contextmanager
def _failing(path: Path) -> Iterator[None]:
    """Turns what goes wrong with a file into one sentence about it."""
    try:
        yield
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    except MemoryError as error:  # which another machine may have
        raise _unreadable(path, OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))) from error
    except OSError as error:
        if error.errno in _DAMAGE:
            raise _damaged(path, str(error.strerror)) from error
        raise _unreadable(path, error) from error


def _no_checkpoint(folder: Path, reason: str) -> DamagedError:
    return DamagedError(f"{folder}: is no whole checkpoint or model ({MANIFEST}: {reason}); use another one.")


def _damaged(path: Path, reason: str) -> DamagedError:
    return DamagedError(f"{path}: {reason}: the file is missing, altered or damaged; use another checkpoint.")


def _unreadable(path: Path, error: OSError) -> RunError:
    return RunError(f"{path}: cannot be read ({error.strerror or error}); mend that, and try again.")
