"""Writes `docs/reference/` from hook specifications, interfaces and public modules.

    python docs/reference.py            writes the pages
    python docs/reference.py FOLDER     writes them elsewhere

Every text on those pages is a docstring: mend it there and run this again. `tests/test_reference.py` holds the pages to
what this writes.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from docstrings import Name, function_of, gaps, markdown, members, signature, signature_parts

import gadkit
from gadkit import hookspecs
from gadkit.component import KINDS
from gadkit.registry import Registry
from gadkit.registry.entry import Entry
from gadkit.signature import Setting, settings_of

HEAD = "<!-- Written by docs/reference.py from docstrings: mend those, and run `python docs/reference.py`. -->\n"
#: Public beside the names of `gadkit.__all__`.
MODULES = ("engine", "randomness", "testing", "video", "data", "weights")
#: Public files of a module whose `__all__` names something else.
MORE = {"testing": ("gadkit.testing.games",)}


def names_of_gadkit() -> list[Name]:
    """`gadkit.__all__`, each with the module that it is defined in."""
    known = {"API_VERSION": "gadkit.component", "hookimpl": "gadkit.hookspecs", "__version__": "gadkit"}
    lazy = gadkit._LAZY
    return [
        Name(f"gadkit.{name}", value, known.get(name) or lazy.get(name) or value.__module__)
        for name in gadkit.__all__
        for value in [getattr(gadkit, name)]
    ]


def names_of_module(name: str) -> list[tuple[ModuleType, list[Name]]]:
    """The public names of `gadkit.NAME`: its `__all__`, or what each of the files that it names there defines."""
    module = importlib.import_module(f"gadkit.{name}")
    public = getattr(module, "__all__", None)
    if public is None:
        return [(module, list(_defined(module)))]
    files = {info.name for info in pkgutil.iter_modules(module.__path__)} & set(public)
    if files:
        found = [importlib.import_module(f"gadkit.{name}.{each}") for each in sorted(files)]
        return [(file, list(_defined(file))) for file in found]
    names = []
    for each in public:
        value = getattr(module, each)
        names.append(Name(f"gadkit.{name}.{each}", value, getattr(value, "__module__", module.__name__)))
    more = [importlib.import_module(file) for file in MORE.get(name, ())]
    return [(module, names), *((file, list(_defined(file))) for file in more)]


def _defined(module: ModuleType) -> Iterator[Name]:
    public = getattr(module, "__all__", vars(module))
    for name, value in vars(module).items():
        if name not in public:
            continue
        if isinstance(value, type | FunctionType) and value.__module__ == module.__name__ and not name.startswith("_"):
            yield Name(f"{module.__name__}.{name}", value, module.__name__)


def hooks() -> list[Name]:
    """The hook specifications, in the order of their module."""
    return [
        Name(name, value, hookspecs.__name__)
        for name, value in vars(hookspecs).items()
        if name.startswith("gadkit_") and isinstance(value, FunctionType)
    ]


def described(name: Name, level: int = 2) -> str:
    """One public name with its members, as Markdown."""
    mark = "#" * level
    value = name.value
    if isinstance(value, FunctionType):
        return f"{mark} `{name.last}`\n\n{_code(_function(name.last, value))}\n\n{markdown(name.text)}\n"
    if not isinstance(value, type):
        return f"{mark} `{name.last}`\n\n{markdown(name.text)}\n"
    parts = [f"{mark} `{name.last}`", _code(_class(value)), markdown(name.text)]
    started = inspect.getdoc(vars(value).get("__init__")) if "__init__" in vars(value) else None
    if started and "Args:" in started:
        parts.append(markdown(started))
    for member, inner in members(value):
        function = function_of(inner)
        if isinstance(inner, property | functools.cached_property):
            back = signature(function, drop=True).partition(" -> ")[2]
            head = f"`{member}`" + (f": `{back}`" if back else "")
        else:
            bound = not isinstance(inner, staticmethod)
            head = f"`{member}{signature(function, drop=bound)}`"
        parts.append(f"**{head}**\n\n{markdown(inspect.getdoc(function) or '')}")
    return "\n\n".join(parts) + "\n"


def _class(cls: type[Any]) -> str:
    """How a class is written down: its bases, and what it is made from."""
    bases = [base.__name__ for base in cls.__bases__ if base is not object]
    head = f"class {cls.__name__}" + (f"({', '.join(bases)})" if bases else "")
    # what another library's class is made from changes with that library's version
    made = next((base.__module__ for base in cls.__mro__ if "__init__" in vars(base)), "")
    if not made.startswith("gadkit.") or getattr(cls, "_is_protocol", False) or issubclass(cls, BaseException):
        return f"{head}: ..."
    return f"{head}:\n{_function('__init__', cls.__init__, '    ')}"


def _function(name: str, function: Callable[..., Any], indent: str = "") -> str:
    """How a function is written down, in lines as `ruff format` lays them out."""
    arguments, back = signature_parts(function)
    start, end = f"{indent}def {name}(", f"){back}: ..."
    if len(line := start + ", ".join(arguments) + end) <= 120:
        return line
    if len(line := f"{indent}    " + ", ".join(arguments)) <= 120:
        return f"{start}\n{line}\n{indent}{end}"
    return start + "".join(f"\n{indent}    {argument}," for argument in arguments) + f"\n{indent}{end}"


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def page(title: str, intro: str, bodies: Iterable[str]) -> str:
    """A page."""
    return f"{HEAD}\n# {title}\n\n{intro.strip()}\n\n" + "\n".join(bodies).rstrip() + "\n"


def pages() -> dict[str, str]:
    """Every page of the reference by its file name."""
    everything = names_of_gadkit()
    contracts = [name for name in everything if name.module.startswith("gadkit.interfaces.")]
    others = [name for name in everything if name not in contracts]
    found = {
        "hooks.md": page("Hooks", markdown(inspect.getdoc(hookspecs) or ""), map(described, hooks())),
        "interfaces.md": page(
            "Interfaces",
            "The classes that components implement and the objects that they are handed, names of `gadkit`. The pages "
            "of [the kinds](../plugins.md#kinds) show each at work.",
            map(described, contracts),
        ),
        "names.md": page("Other names of gadkit", inspect.getdoc(gadkit) or "", map(described, others)),
    }
    for module in MODULES:
        files = names_of_module(module)
        bodies = []
        for file, names in files:
            apart = len(files) > 1
            if apart:
                bodies.append(f"## `{file.__name__}`\n\n{markdown(inspect.getdoc(file) or '')}\n")
            bodies += [described(name, 3 if apart else 2) for name in names]
        whole = importlib.import_module(f"gadkit.{module}")
        found[f"{module}.md"] = page(f"gadkit.{module}", markdown(inspect.getdoc(whole) or ""), bodies)
    found["components.md"] = HEAD + "\n" + components()
    rows = [f"| [{file.removesuffix('.md')}]({file}) | {_contents(text)} |" for file, text in found.items()]
    found["index.md"] = page(
        "Reference",
        "What a plugin may use, from the docstrings. Everything else can change without notice; what stands here "
        "changes as [contracts](../plugins/contracts.md) says.",
        ["| page | what stands there |\n|---|---|\n" + "\n".join(rows)],
    )
    return found


def components() -> str:
    """The page, as Markdown: a section for each kind, in it every bundled component with its settings."""
    registry = Registry.discover({"GADKIT_NO_PLUGINS": "1"})
    parts = [
        "# Components that come with gadkit\n\n"
        "What `gadkit plugins show KIND NAME` says of each. Names of gadkit's own are written without a distribution.\n"
    ]
    for kind in KINDS.values():
        entries = registry.entries(kind.name)
        if entries:
            parts.append(f"## {kind.name}\n\n*{kind.summary}*\n")
            parts += [_component(entry, kind.form == "class") for entry in entries]
    return "\n".join(parts).rstrip() + "\n"


def _component(entry: Entry, is_class: bool) -> str:
    parts = [f"### `{entry.name}`", f"{entry.component.summary}."]
    if entry.component.source:
        parts.append(f"Source: {entry.component.source}.")
    if entry.component.requires:
        needed = ", ".join(f"`{text}`" for text in entry.component.requires)
        parts.append(f"It needs {needed}; where that is installed, `gadkit plugins show` has its settings.")
    elif is_class:
        cls = entry.load()
        text = re.split(r"^Args:$", inspect.getdoc(cls) or "", flags=re.MULTILINE)[0].strip()
        parts.append(markdown(text))
        if settings := settings_of(cls):
            rows = "\n".join(_row(setting) for setting in settings.values())
            parts.append(f"| setting | type | default | range | meaning |\n|---|---|---|---|---|\n{rows}")
    return "\n\n".join(parts) + "\n"


def _row(setting: Setting) -> str:
    default = "required" if setting.required else f"`{setting.default!r}`"
    cells = [f"`{setting.name}`", setting.type, default, setting.range, setting.description]
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _contents(text: str) -> str:
    heads = re.findall(r"^## `?([\w.-]+)", text, flags=re.MULTILINE)
    return ", ".join(f"`{head}`" for head in heads)


def undocumented() -> Iterator[str]:
    """What public names do not say: a missing docstring, an argument, a return, an error, each in a sentence."""
    modules = [name for module in MODULES for _, names in names_of_module(module) for name in names]
    for name in [*hooks(), *names_of_gadkit(), *modules]:
        if not name.text:
            yield f"{name.shown} has no docstring (or comment #: above it)."
        if isinstance(name.value, FunctionType):
            yield from gaps(name.shown, name.value)
        elif isinstance(name.value, type) and not issubclass(name.value, BaseException):
            for member, value in members(name.value):
                if not isinstance(value, property | functools.cached_property):
                    yield from gaps(f"{name.shown}.{member}", function_of(value), name.text)
                elif not inspect.getdoc(function_of(value)):
                    yield f"{name.shown}.{member} has no docstring."


def main(folder: Path) -> None:
    """Writes the pages into a folder, and removes those that there are no more."""
    folder.mkdir(parents=True, exist_ok=True)
    written = pages()
    for old in folder.glob("*.md"):
        if old.name not in written:
            old.unlink()
    for file, text in written.items():
        (folder / file).write_text(text, encoding="utf-8")
    for gap in undocumented():
        print(gap, file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "reference")
