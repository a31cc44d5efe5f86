"""Who offers a component: what a distribution's metadata say of licence, author, addresses and needs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.message import Message
from email.utils import getaddresses
from importlib import metadata
from typing import cast

from gadkit.registry.entry import found_for
from gadkit.words import printable

#: Labels of Project-URL in the order of use, by meaning, in PyPI's normalised spelling ("well-known labels" of the
#: Python packaging specifications).
_LABELS = (
    ("documentation", "docs"),
    ("homepage",),
    ("source", "repository", "sourcecode", "github"),
)


@dataclass(frozen=True, kw_only=True)
class Provider:
    """What a distribution says of itself; every text can be shown on a terminal as it is.

    Attributes:
        licence: As SPDX has it where the distribution does; may be empty.
        author: Names, or the addresses of the nameless; may be empty.
        addresses: Normalised label to address, http and https alone.
        requires: What it needs here, as PEP 508 has it; what only its extras need is left out.
        unmet: Of these, what is not there, with what was found in its place.
    """

    licence: str = ""
    author: str = ""
    addresses: dict[str, str] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    unmet: dict[str, str] = field(default_factory=dict)

    @property
    def page(self) -> str:
        """The address that tells most of it: documentation, home page, sources; may be empty."""
        return next((self.addresses[label] for group in _LABELS for label in group if label in self.addresses), "")


def provider_of(distribution: str) -> Provider:
    """What the metadata of an installed distribution say; nothing where it is not installed or they cannot be read."""
    try:
        told = metadata.distribution(distribution)
        head: Message = cast("Message", told.metadata)
        wanted = told.requires or []
    except Exception:  # third parties' metadata may hold anything
        return Provider()
    requires, unmet = met(wanted)
    return Provider(
        licence=_one_line(head.get("License-Expression") or _licence(head.get("License"), head.get_all("Classifier"))),
        author=_author(head),
        addresses=_addresses(head.get_all("Project-URL") or (), head.get("Home-page") or ""),
        requires=tuple(map(printable, requires)),
        unmet={printable(text): printable(what) for text, what in unmet.items()},
    )


def met(wanted: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Which requirements ask for something here, and those of them that are not met, with what was found instead."""
    asked = [text for text in wanted if _applies(text)]
    return asked, {text: found for text in asked if (found := found_for(text))}


def _applies(text: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        marker = Requirement(text).marker
    except InvalidRequirement:
        return True
    return marker is None or marker.evaluate({"extra": ""})


def label_of(text: str) -> str:
    """A label of Project-URL in PyPI's normalised spelling: `"Source Code"` is `"sourcecode"`."""
    return re.sub(r"[\W_]+", "", text).lower()


def _addresses(urls: Iterable[str], home: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in urls:
        label, _, url = text.partition(",")
        if is_address(url.strip()):
            found.setdefault(label_of(label), url.strip())
    if is_address(home.strip()):
        found.setdefault("homepage", home.strip())
    return found


def is_address(text: str) -> bool:
    """Whether a browser may be sent there: http or https, without spaces and without what does not print."""
    return bool(re.fullmatch(r"https?://[^\s/]+\S*", text)) and text.isprintable()


def _licence(text: str | None, classifiers: Iterable[str] | None) -> str:
    if text and "\n" not in text.strip():
        return text
    licences = [each.rpartition("::")[2] for each in classifiers or () if each.startswith("License ::")]
    return ", ".join(each.strip() for each in licences) or (text or "").strip().partition("\n")[0]


def _author(head: Message) -> str:
    for key in ("Author", "Maintainer"):
        if name := head.get(key):
            return _one_line(name)
        if addresses := head.get(f"{key}-email"):
            return _one_line(", ".join(name or address for name, address in getaddresses([addresses])))
    return ""


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def source_address(source: str) -> str:
    """The first address that a component's `source` tells: a URL, an arXiv number or a DOI; empty where it has none."""
    patterns = (
        (r"https?://[^\s,;()<>]+", "{}"),
        (r"arXiv:\s*((?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?)", "https://arxiv.org/abs/{}"),
        (r"doi:\s*(10\.\d{4,9}/[^\s,;]+)", "https://doi.org/{}"),
    )
    found = [
        (match.start(), form.format(match[match.lastindex or 0].rstrip(".")))
        for pattern, form in patterns
        if (match := re.search(pattern, source, re.IGNORECASE))
    ]
    return next((url for _, url in sorted(found) if is_address(url)), "")
