"""What a browser makes of a page's HTML: its tags with their attributes, what they load, and its text."""

from __future__ import annotations

import html.parser

_VOID = {"meta", "br", "img", "input", "source", "link", "hr"}
_LOADING = ("src", "href", "srcset", "data", "xlink:href", "poster", "action", "formaction")


class Page(html.parser.HTMLParser):
    """A page that was read.

    Attributes:
        elements: Tag and attributes of each element, in order.
        loaded: What its elements load.
        text: All of its text, with the contents of scripts and styles.
        cells: The rows of its tables, each the texts of its cells.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.loaded: list[str | None] = []
        self.text = ""
        self.cells: list[list[str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    @property
    def tags(self) -> set[str]:
        """The kinds of elements."""
        return {tag for tag, _ in self.elements}

    def of(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        """The attributes of all elements of a tag, and of a class."""
        return [each for name, each in self.elements if name == tag and kind in (each.get("class") or "").split(" ")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        assert not any(name.startswith("on") for name in names), f"<{tag}> runs a script: {names}"
        self.elements.append((tag, dict(attrs)))
        self.loaded += [value for name, value in attrs if name in _LOADING]

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data: str) -> None:
        self.text += data
        if {"td", "th"} & set(self._open):
            self.cells[-1][-1] += data
