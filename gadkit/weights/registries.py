"""The package registries that pip is set up with, and how pip is told to reach them."""

from __future__ import annotations

import ast
import base64
import importlib
import importlib.util
import os
import re
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import cast

from gadkit.errors import DataError

PYPI = "https://pypi.org/simple"
#: Seconds without a byte after which a server is given up.
TIMEOUT = 30.0
_SCHEMES = ("https", "http", "file")
_SETTING = re.compile(r"(global|download)\.([a-z-]+)=(.*)")
_TRUE = ("1", "true", "yes", "on", "y", "t")
_PIP_SECONDS = 60


@dataclass(frozen=True)
class Registry:
    """A package registry's Simple API.

    Attributes:
        url: Where it is, without a name and password.
        authorization: The header that names and proves the user; empty where none is needed.
    """

    url: str
    authorization: str = ""

    def __str__(self) -> str:
        return self.url

    def page(self, package: str) -> str:
        """Where the files of a package are listed."""
        page = f"{self.url.rstrip('/')}/{re.sub(r'[-_.]+', '-', package).lower()}/"
        return page + "index.html" if page.startswith("file:") else page

    def authorization_for(self, url: str) -> str:
        """The header for a file: the registry's own, where it lies on the same server."""
        return self.authorization if _server(url) == _server(self.url) else ""


@dataclass(frozen=True)
class Setup:
    """What pip is set up with, from its environment variables and its files.

    Attributes:
        registries: In the order in which they are asked.
        opener: Opens URLs with the proxy and the certificates that are set up.
    """

    registries: tuple[Registry, ...]
    opener: urllib.request.OpenerDirector

    def open(self, url: str, *, accept: str = "*/*", authorization: str = "") -> HTTPResponse:
        """Asks for a URL; `OSError`, `ValueError` and `http.client.HTTPException` where it cannot be had."""
        if urllib.parse.urlsplit(url).scheme not in _SCHEMES:
            raise ValueError("its address begins with neither https:// nor http:// nor file://")
        request = urllib.request.Request(url, headers={"Accept": accept, "User-Agent": "gadkit"})
        if authorization:
            request.add_unredirected_header("Authorization", authorization)
        return cast(HTTPResponse, self.opener.open(request, timeout=TIMEOUT))


def setup() -> Setup:
    """What pip is set up with.

    Environment variables (`PIP_INDEX_URL`) come before what `pip config` says of `download`, and that before `global`.
    Proxies and certificates beside pip's own are those of the environment (`HTTPS_PROXY`, `SSL_CERT_FILE`,
    `REQUESTS_CA_BUNDLE`).

    Raises:
        DataError: pip is told to use no registry, or the certificates that are set up cannot be read.
    """
    settings = _of_pip()

    def setting(name: str) -> str:
        variable = os.environ.get(f"PIP_{name.upper().replace('-', '_')}")
        return variable or settings.get(("download", name)) or settings.get(("global", name)) or ""

    if setting("no-index").lower() in _TRUE:
        raise DataError("pip is set up to use no package registry (no-index); change that, or add --from FILE.")
    urls = [setting("index-url") or PYPI, *setting("extra-index-url").split()]
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=_trust(setting("cert")))]
    if proxy := setting("proxy"):
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    return Setup(tuple(map(_registry, dict.fromkeys(urls))), urllib.request.build_opener(*handlers))


def _of_pip() -> dict[tuple[str, str], str]:
    """What pip's files say, by section and key; nothing where pip is not there."""
    if importlib.util.find_spec("pip") is None:
        return {}
    command = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "config", "list"]
    try:
        said = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PIP_SECONDS,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found = {}
    for line in said.splitlines():
        if match := _SETTING.fullmatch(line):
            try:
                found[match[1], match[2]] = str(ast.literal_eval(match[3]))
            except (ValueError, SyntaxError):
                continue
    return found


def _registry(url: str) -> Registry:
    """A registry from its URL, which may hold a name and a password, as pip takes them."""
    parts = urllib.parse.urlsplit(url)
    user, at, server = parts.netloc.rpartition("@")
    bare = urllib.parse.urlunsplit(parts._replace(netloc=server))
    if not at:
        return Registry(bare)
    name, _, password = user.partition(":")
    pair = f"{urllib.parse.unquote(name)}:{urllib.parse.unquote(password)}"
    return Registry(bare, "Basic " + base64.b64encode(pair.encode()).decode("ascii"))


def _server(url: str) -> tuple[str, str]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


def _trust(certificates: str) -> ssl.SSLContext:
    """The certificates to trust: the system's, or those that pip or the environment names in their place."""
    place = certificates or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or ""
    if not place:
        context = ssl.create_default_context()
        named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
        if not named and not context.cert_store_stats()["x509_ca"] and importlib.util.find_spec("certifi"):
            # where Python finds no system's, as python.org's on macOS
            context.load_verify_locations(importlib.import_module("certifi").where())
        return context
    try:
        if Path(place).is_dir():
            return ssl.create_default_context(capath=place)
        return ssl.create_default_context(cafile=place)
    except OSError as error:  # ssl.SSLError too
        raise DataError(
            f"{place}: the certificates that PIP_CERT, pip's cert, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names cannot "
            f"be read ({error.strerror or error}); mend that setting."
        ) from error
