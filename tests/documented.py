"""Plugin files that the documentation shows, as a user would write them down."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_runs import own_registry
from test_docs import BLOCK, ROOT

TUTORIALS = ROOT / "docs/plugins"


def files_of(page: str) -> dict[str, str]:
    """The files that a page of `docs/plugins/` shows, by name: the blocks that begin with a file's name."""
    found = {}
    for _, text in BLOCK.findall((TUTORIALS / f"{page}.md").read_text(encoding="utf-8")):
        if match := re.match(r"# ([\w.-]+\.\w+)\n", text):
            found[match[1]] = text
    return found


def plugin_of(page: str) -> str:
    """The name of the page's plugin file: the one with a hook."""
    (name,) = (name for name, text in files_of(page).items() if re.search(r"^@hookimpl$", text, re.MULTILINE))
    return name


@contextmanager
def documented(monkeypatch: pytest.MonkeyPatch, folder: Path, page: str) -> Iterator[str]:
    """A block that stands in a folder with the files of a page, importable; the plugin file's name."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    files = files_of(page)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    with own_registry():
        yield plugin_of(page)
    for name in files:
        sys.modules.pop(name.removesuffix(".py"), None)
