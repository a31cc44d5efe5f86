"""What docstrings say: read, turned into Markdown, and searched for what they leave out; for `docs/reference.py`."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from types import FunctionType, ModuleType
from typing import Any

import gadkit

_SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Example):")
_ENTRY = re.compile(r"(\*{0,2}[\w.]+(?:, [\w.]+)*): (.*)", re.DOTALL)
#: What a method is called on instances, and is documented all the same.
_SPECIAL = ("__call__",)


@dataclass(frozen=True)
class Name:
    """A public name.

    Attributes:
        shown: As it is imported: `gadkit.Loss`, `gadkit.video.encode.write_video`.
        value: What it stands for.
        module: Where it is defined.
    """

    shown: str
    value: Any
    module: str

    @property
    def last(self) -> str:
        """The name without its module."""
        return self.shown.rpartition(".")[2]

    @property
    def text(self) -> str:
        """Its docstring, or the comment `#:` above a value; empty where there is none."""
        if isinstance(self.value, type | FunctionType | property | ModuleType):
            return inspect.getdoc(self.value) or ""
        homes = [self.module, *(name for name in sorted(sys.modules) if name.startswith(f"{self.module}."))]
        same = (name for name in homes if vars(importlib.import_module(name)).get(self.last) is self.value)
        return next((text for name in same if (text := comments(name).get(self.last))), "")


@functools.cache
def comments(module: str) -> dict[str, str]:
    """What `#:` says of the values of a module, by name."""
    lines = inspect.getsource(importlib.import_module(module)).splitlines()
    found: dict[str, str] = {}
    told: list[str] = []
    for line in lines:
        if line.startswith("#:"):
            told.append(line[2:].strip())
            continue
        if told and (match := re.match(r"(\w+)\s*(?::[^=]+)?=", line)):
            found[match[1]] = "\n".join(told)
        told = []
    return found


def members(cls: type[Any]) -> Iterator[tuple[str, Any]]:
    """The methods and properties that a class itself defines, without the private ones: `(name, function)`."""
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if isinstance(value, functools.cached_property):
            function = value.func
        if isinstance(function, FunctionType) and (name in _SPECIAL or not name.startswith("_")):
            yield name, value


def function_of(value: Any) -> FunctionType:
    """The function behind a method, a property, a class method or a static method."""
    inner = value.fget if isinstance(value, property) else getattr(value, "__func__", getattr(value, "func", value))
    assert isinstance(inner, FunctionType)
    return inner


def signature(function: Callable[..., Any], drop: bool = False) -> str:
    """A signature as it is written, the same under every version of Python: `(x: Tensor, *, scale: float = 1) -> None`.

    Args:
        function: Whose it is.
        drop: Whether its first argument is left out: `self`, `cls`.
    """
    arguments, back = signature_parts(function)
    return f"({', '.join(arguments[int(drop) :])}){back}"


def signature_parts(function: Callable[..., Any]) -> tuple[list[str], str]:
    """A signature's arguments, each as it is written, and what it returns, with the arrow."""
    told = inspect.signature(function)
    parts, starred = [], False
    for parameter in told.parameters.values():
        name = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            name, starred = f"*{name}", True
        elif parameter.kind is parameter.VAR_KEYWORD:
            name = f"**{name}"
        elif parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        noted = parameter.annotation is not parameter.empty
        note = f": {_annotation(parameter.annotation)}" if noted else ""
        if parameter.default is not parameter.empty:
            note += (" = " if noted else "=") + _default(parameter.default)
        parts.append(name + note)
    back = told.return_annotation
    return parts, "" if back is told.empty else f" -> {_annotation(back)}"


def _annotation(annotation: Any) -> str:
    if isinstance(annotation, str):
        return re.sub(r"^(['\"])(.*)\1$", r"\2", annotation)
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _default(value: Any) -> str:
    if isinstance(value, type | FunctionType):
        return value.__name__
    if isinstance(value, PurePath):
        return f'Path("{value.as_posix()}")'
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    text = repr(value)
    return "..." if text.startswith("<") else text


def sections(text: str) -> list[tuple[str, str]]:
    """A docstring cut at its headings: `("", prose)`, `("Args", entries)`, ..."""
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        if match := _SECTION.fullmatch(line):
            found.append((match[1], []))
        elif found[-1][0] and line and not line.startswith(" "):  # the heading's block is over
            found.append(("", [line]))
        else:
            found[-1][1].append(line)
    return [(head, inspect.cleandoc("\n".join(lines))) for head, lines in found if "".join(lines).strip()]


def entries(body: str) -> list[tuple[str, str]]:
    """What stands under `Args:` and its like, as `(name, text)`; a text without a name has the name `""`."""
    blocks: list[list[str]] = []
    for line in body.splitlines():
        if blocks and (line.startswith(" ") or not line):
            blocks[-1].append(line.strip())
        else:
            blocks.append([line])
    found = []
    for block in blocks:
        text = " ".join(filter(None, block))
        match = _ENTRY.fullmatch(text)
        found.append((match[1], match[2]) if match else ("", text))
    return found


def markdown(text: str) -> str:
    """A docstring as Markdown."""
    parts = []
    for head, body in sections(text):
        if head in ("Args", "Attributes", "Raises"):
            listed = [f"- `{name}`: {plain(told)}" if name else f"- {plain(told)}" for name, told in entries(body)]
            parts.append(f"{head}:\n\n" + "\n".join(listed))
        elif head == "Example":
            parts.append(spaced(body))
        else:
            parts.append(f"{head}: {plain(body)}" if head else plain(body))
    return "\n\n".join(parts)


def spaced(code: str) -> str:
    """Code with two empty lines before what is defined at its top level, as it stands in a file."""
    return re.sub(r"\n\n+(?=@|def |class )", "\n\n\n", code)


def plain(text: str) -> str:
    """Prose in which nothing but `code` is markup."""
    pieces = re.split(r"(```.*?```|`[^`]*`)", text, flags=re.DOTALL)
    return "".join(spaced(piece) if piece.startswith("`") else re.sub(r"([*<])", r"\\\1", piece) for piece in pieces)


def gaps(shown: str, function: FunctionType, around: str = "") -> Iterator[str]:
    """What a function's docstring does not say.

    Args:
        shown: What the function is called in messages.
        function: The function.
        around: The docstring of its class, which may say some of it.
    """
    text = inspect.getdoc(function) or ""
    if not text:
        yield f"{shown} has no docstring."
        return
    refers = re.search(r"(?:[Ss]ee|[Aa]s for|as in) (?:the )?`", text)  # another docstring says it
    for name, parameter in inspect.signature(function).parameters.items():
        if name in ("self", "cls") or refers or (parameter.kind is parameter.VAR_KEYWORD and name.startswith("_")):
            continue
        stem = re.escape(name if name.endswith("ss") else name.removesuffix("s"))  # `parts` may be told as "a part"
        if not re.search(rf"\b{stem}(?:s|es)?\b", text, re.IGNORECASE):
            yield f"{shown} does not say what its argument {name} is."
    gives = inspect.signature(function).return_annotation not in ("None", None, inspect.Signature.empty)
    verb = re.match(
        r"(?!Its |This |Thus |Was |Has |Is |As )[A-Z][a-z]+s\b", text
    )  # "Renders ...", and not "The pixels"
    if (
        gives
        and verb
        and not refers
        and not re.search(r"^(?:Returns|Yields):$|\b[Rr]eturn|\bgives\b", text, re.MULTILINE)
    ):
        yield f"{shown} does not say what it returns (Returns:)."
    for error in raised(function):
        if not any(told in text + around for told in (error, "GadkitError")):
            yield f"{shown} does not say that it raises {error} (Raises:)."


def raised(function: FunctionType) -> list[str]:
    """The names of gadkit's exceptions, and `ValueError`, that a function's own lines raise and do not catch."""
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(inspect.unwrap(function))))
    names = {
        node.exc.func.id
        for node in _uncaught(tree)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name)
    }
    return sorted(name for name in names if name in dir(gadkit) or name == "ValueError")


def _uncaught(node: ast.AST) -> Iterator[ast.AST]:
    """A syntax tree's nodes, without those in the body of a `try`."""
    yield node
    for field, value in ast.iter_fields(node):
        if not (isinstance(node, ast.Try) and field == "body"):
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, ast.AST):
                    yield from _uncaught(inner)
