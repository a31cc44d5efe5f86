"""Plugin files that the documentation shows, as a user would write them down."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_runs import own_registry
from test_docs import ROOT, blocks


@contextmanager
def documented_plugin(monkeypatch: pytest.MonkeyPatch, folder: Path, module: str, holds: str) -> Iterator[str]:
    """A block that stands in a folder with the one example of `docs/plugins.md` that holds a text; its file's name."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    (code,) = (block for block in blocks(ROOT / "docs/plugins.md", "python") if holds in block)
    Path(f"{module}.py").write_text(code, encoding="utf-8")
    with own_registry():
        yield f"{module}.py"
    sys.modules.pop(module, None)
