"""Byte ranges of objects over HTTP: connections kept alive, retried, resumed, and checked for change."""

from __future__ import annotations

import base64
import http.client
import ssl
import threading
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass, field

from gadkit import UnavailableError, __version__

#: Seconds without a byte before a request counts as lost.
TIMEOUT = 30.0
#: Seconds before the first repetition; it doubles at each further one.
BACK_OFF = 0.25
#: Repetitions without much progress, after which a server counts as gone.
TRIES = 5

_PROGRESS = 1 << 20
#: Fewer bytes than this in `TIMEOUT` seconds count as none.
_LEAST = 1 << 14
_REDIRECTS = (301, 302, 303, 307, 308)
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT = 30.0
_IDLE = 32
_DOCUMENT = 64 << 20
_REST = 1 << 16
_SAFE = "/%:@!$&'()*+,;=~-._"


class MissingError(UnavailableError):
    """The server says that there is no such object, or that it may not be read."""


class _Lost(Exception):
    """A request that may succeed when it is repeated; `wait` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _Stalled(_Lost):
    """A request whose answer comes so slowly that its rest is not worth waiting for."""


@dataclass(frozen=True)
class Version:
    """What tells one version of an object from another.

    Attributes:
        size: In bytes.
        tag: The server's ETag, or the time of change where it has none; may be empty.
    """

    size: int
    tag: str


@dataclass(frozen=True)
class _Endpoint:
    """Where a connection leads."""

    scheme: str
    host: str
    port: int


@dataclass
class _Range:
    """A range on its way: what has come of it, and what its object is."""

    url: str
    first: int
    size: int
    version: Version | None
    got: bytearray = field(default_factory=bytearray)


def is_url(text: str) -> bool:
    """Whether a text is an `http` or `https` URL."""
    try:
        parts = urllib.parse.urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def public(url: str) -> str:
    """A URL without what may be secret: user, password and query."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class Web:
    """Reads objects over HTTP. All methods are safe to call from several threads.

    Proxies are taken from the environment (`http_proxy`, `https_proxy`, `no_proxy`), user and password from the URL.
    Messages show neither these nor a URL's query.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[_Endpoint, list[http.client.HTTPConnection]] = {}
        self._proxies = urllib.request.getproxies()

    def read(self, url: str, offset: int, size: int, version: Version | None = None) -> tuple[bytes, Version]:
        """`size` bytes from `offset`, fewer at the object's end, and what the object is.

        Args:
            url: An `http` or `https` URL.
            offset: In bytes.
            size: In bytes, at least 1.
            version: What the object must still be.

        Raises:
            UnavailableError: The object cannot be reached, is not there, is another than `version`, or its server
                cannot send parts of files.
        """
        part = _Range(url, offset, size, version)
        failures, mark = 0, 0
        while True:
            try:
                self._attempt(part)
                assert part.version is not None
                return bytes(part.got), part.version
            except (OSError, http.client.HTTPException, _Lost) as error:
                failures = 1 if len(part.got) - mark >= _PROGRESS else failures + 1
                mark = len(part.got)
                if failures > TRIES or isinstance(error, ssl.SSLCertVerificationError):
                    raise UnavailableError(
                        f"{public(url)} cannot be read: {str(error) or type(error).__name__} ({failures} times); "
                        "see to the network or the server, and start again."
                    ) from error
                asked = error.wait if isinstance(error, _Lost) else 0.0
                time.sleep(min(_LONGEST_WAIT, max(asked, BACK_OFF * 2 ** (failures - 1))))

    def document(self, url: str) -> bytes | None:
        """A small object; `None` where there is none, or one of more than 64 MiB."""
        try:
            data, version = self.read(url, 0, _DOCUMENT)
        except MissingError:
            return None
        return data if version.size <= _DOCUMENT else None

    def _attempt(self, part: _Range) -> None:
        """One request for what is missing of a range, which follows redirects."""
        url = part.url
        for _ in range(6):
            endpoint, connection, response = self._request(url, part)
            try:
                if response.status not in _REDIRECTS:
                    self._take(part, response)
                    return
                url = _redirected(part.url, url, response.getheader("Location", ""))
            except _Stalled:
                response.close()
                connection.close()
                raise
            finally:
                self._release(endpoint, connection, response)
        raise UnavailableError(f"{public(part.url)} redirects more than 5 times; check the URL.")

    def _request(
        self, url: str, part: _Range
    ) -> tuple[_Endpoint, http.client.HTTPConnection, http.client.HTTPResponse]:
        """Sends a request; a connection that was idle may have been closed meanwhile, and another takes its place."""
        parts = urllib.parse.urlsplit(url)
        target = urllib.parse.quote(parts.path or "/", safe=_SAFE)
        target += parts.query and f"?{urllib.parse.quote(parts.query, safe=_SAFE + '/?')}"
        headers = {
            "Range": f"bytes={part.first + len(part.got)}-{part.first + part.size - 1}",
            "Accept-Encoding": "identity",
            "User-Agent": f"gadkit/{__version__}",
        }
        endpoint = _endpoint(url)
        if endpoint == _endpoint(part.url):  # never to where a redirect leads
            headers |= _authorization("Authorization", part.url)
        proxy = self._proxy(endpoint)
        if proxy and endpoint.scheme == "http":
            target = f"http://{parts.netloc.rpartition('@')[2]}{target}"
            headers |= _authorization("Proxy-Authorization", proxy)
        while True:
            with self._lock:
                idle = self._idle.get(endpoint)
                kept = idle.pop() if idle else None
            connection = kept or _connect(endpoint, proxy)
            try:
                connection.request("GET", target, headers=headers)
                return endpoint, connection, connection.getresponse()
            except (OSError, http.client.HTTPException):
                connection.close()
                if kept is None:
                    raise

    def _take(self, part: _Range, response: http.client.HTTPResponse) -> None:
        """Reads a response into its range."""
        version, first = _check(part, response), part.first + len(part.got)
        part.version = version
        end = min(part.first + part.size, version.size)
        since, mark = time.monotonic(), first
        while first < end and (piece := response.read1(min(_PROGRESS, end - first))):
            part.got += piece
            first += len(piece)
            if time.monotonic() - since > TIMEOUT:
                if first < end and first - mark < _LEAST:
                    raise _Stalled(f"{first - mark} bytes came in {TIMEOUT:g} seconds")
                since, mark = time.monotonic(), first
        if first < end:
            raise _Lost(f"the connection was cut after {len(part.got)} bytes")

    def _release(
        self, endpoint: _Endpoint, connection: http.client.HTTPConnection, response: http.client.HTTPResponse
    ) -> None:
        """Keeps a connection whose response is read to its end, and closes any other."""
        try:
            if not response.isclosed() and response.length is not None and response.length <= _REST:
                response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
        if response.isclosed() and not response.will_close:
            with self._lock:
                idle = self._idle.setdefault(endpoint, [])
                if len(idle) < _IDLE:
                    idle.append(connection)
                    return
        connection.close()

    def _proxy(self, endpoint: _Endpoint) -> str:
        """The URL of the proxy that leads there; empty where there is none."""
        proxy = self._proxies.get(endpoint.scheme, "")
        if not proxy or urllib.request.proxy_bypass(f"{endpoint.host}:{endpoint.port}"):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"


def _check(part: _Range, response: http.client.HTTPResponse) -> Version:
    """What the object is by a response's headers; raises where the response is no part of it."""
    status, name = response.status, public(part.url)
    if status in _TRANSIENT:
        asked = response.getheader("Retry-After", "")
        raise _Lost(f"the server answers {status}", float(asked) if asked.isdigit() else 0.0)
    if status in (401, 403, 407):
        raise MissingError(f"{name} cannot be read: the server answers {status}; check user and password.")
    if status not in (200, 206, 416):
        raise MissingError(f"{name} cannot be read: the server answers {status}; check the URL.")
    if response.getheader("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnavailableError(f"{name} is sent compressed, so that parts of it cannot be read; use another server.")
    if status == 200 and response.getheader("Content-Length") != "0":
        raise UnavailableError(
            f"{name} comes from a server that sends whole files only (it takes no Range requests); use another "
            "server, or download the shards."
        )
    begin, _, total = response.getheader("Content-Range", "").removeprefix("bytes ").partition("/")
    total = "0" if status == 200 else total
    if status != 416 and not (total.isascii() and total.isdigit()):
        raise UnavailableError(f"{name} is sent without its size; use another server, or download the shards.")
    version = Version(
        int(total) if total.isdigit() else 0, response.getheader("ETag") or response.getheader("Last-Modified") or ""
    )
    if part.version is not None and (status != 206 or version != part.version):
        raise UnavailableError(
            f"{name} has changed since it was indexed; start again with the data as they are now, or put back the "
            "old ones."
        )
    if status == 206 and begin.partition("-")[0] != str(part.first + len(part.got)):
        raise _Lost(f"the server sends the bytes {begin} where those from {part.first + len(part.got)} were asked for")
    return version


def _redirected(origin: str, url: str, place: str) -> str:
    """Where a redirect leads: to a web address, and never from `https` to `http`."""
    target = urllib.parse.urljoin(url, place)
    if not place or not is_url(target) or (_endpoint(url).scheme == "https" != _endpoint(target).scheme):
        raise UnavailableError(f"{public(origin)} redirects to what is no secure web address; check the URL.")
    return target


def _connect(endpoint: _Endpoint, proxy: str) -> http.client.HTTPConnection:
    near = _endpoint(proxy) if proxy else endpoint
    if endpoint.scheme == "http":
        return http.client.HTTPConnection(near.host, near.port, timeout=TIMEOUT)
    secure = http.client.HTTPSConnection(near.host, near.port, timeout=TIMEOUT)
    if proxy:
        secure.set_tunnel(endpoint.host, endpoint.port, _authorization("Proxy-Authorization", proxy))
    return secure


def _endpoint(url: str) -> _Endpoint:
    parts = urllib.parse.urlsplit(url)
    return _Endpoint(parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def _authorization(header: str, url: str) -> dict[str, str]:
    """The header that carries a URL's user and password, where it has them."""
    parts = urllib.parse.urlsplit(url)
    if not parts.username:
        return {}
    pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    return {header: "Basic " + base64.b64encode(pair.encode()).decode()}
