"""The reference is what the docstrings say, and every public name says what it takes, gives and raises."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from test_docs import ROOT

import gadkit
from gadkit import hookspecs
from gadkit.component import KINDS


@pytest.fixture(scope="module")
def reference() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "docs"))
    yield importlib.import_module("reference")
    sys.path.remove(str(ROOT / "docs"))
    for name in ("reference", "docstrings"):
        del sys.modules[name]


def test_the_pages_are_up_to_date(reference: ModuleType) -> None:
    folder = ROOT / "docs/reference"
    expected = reference.pages()
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    others = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    assert not others, f"renew {', '.join(others)}: run `python docs/reference.py`, and commit what it writes"


def test_every_hook_and_public_name_says_what_it_takes_gives_and_raises(reference: ModuleType) -> None:
    assert not list(reference.undocumented())


def test_every_hook_has_an_example_that_compiles(reference: ModuleType) -> None:
    hooks, sections = reference.hooks(), sys.modules["docstrings"].sections
    assert {kind.hook for kind in KINDS.values()} <= {hook.last for hook in hooks}
    assert len(hooks) == len([name for name in vars(hookspecs) if name.startswith("gadkit_")])
    for hook in hooks:
        (example,) = (body for head, body in sections(hook.text) if head == "Example")
        code = example.strip().removeprefix("```python\n").removesuffix("```")
        assert f"def {hook.last}(" in code
        compile(code, hook.last, "exec")


def test_every_public_name_stands_on_a_page(reference: ModuleType) -> None:
    pages = reference.pages()
    for name in gadkit.__all__:
        assert f"## `{name}`\n" in pages["names.md"] + pages["interfaces.md"]
    for module in ("engine", "testing"):
        for name in importlib.import_module(f"gadkit.{module}").__all__:
            assert f"## `{name}`\n" in pages[f"{module}.md"]
    kinds = set(re.findall(r"^## (\w+)$", pages["components.md"], re.MULTILINE))
    assert set(KINDS) - kinds == {"command"}  # of which gadkit brings none


def told(reference: ModuleType, tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The gaps of the function `planted` of a file."""
    (tmp_path / "planted.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("planted", None)
    return list(reference.gaps("planted", importlib.import_module("planted").planted))


@pytest.mark.parametrize(
    ("code", "gap"),
    [
        ("def planted(x: int) -> None: ...", "planted has no docstring."),
        ('def planted(x: int) -> None:\n    """Does it."""', "planted does not say what its argument x is."),
        ('def planted() -> int:\n    """Counts them."""', "planted does not say what it returns (Returns:)."),
        (
            'from gadkit import DataError\ndef planted() -> None:\n    """Tries."""\n    raise DataError("no")',
            "planted does not say that it raises DataError (Raises:).",
        ),
    ],
)
def test_a_gap_is_found(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, gap: str
) -> None:
    assert told(reference, tmp_path, code, monkeypatch) == [gap]


def test_what_says_all_has_no_gap(reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = '''
from gadkit import DataError

def planted(path: str, count: int = 3) -> int:
    """Counts.

    Args:
        path: The file.
        count: At least so many.

    Returns:
        How many.

    Raises:
        DataError: There is none.
    """
    try:
        raise ValueError("caught here")
    except ValueError:
        raise DataError("no")
'''
    assert told(reference, tmp_path, code, monkeypatch) == []
    name = reference.Name("planted", importlib.import_module("planted").planted, "planted")
    assert reference.described(name) == (
        "## `planted`\n\n```python\ndef planted(path: str, count: int = 3) -> int: ...\n```\n\nCounts.\n\nArgs:\n\n"
        "- `path`: The file.\n- `count`: At least so many.\n\n"
        "Returns: How many.\n\nRaises:\n\n- `DataError`: There is none.\n"
    )
    sys.modules.pop("planted")
