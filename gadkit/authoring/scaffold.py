"""New packages: everything that an author begins with, rendered from templates.

A template is a file `*.in` in which `@word@` stands for a value, as with configure scripts.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from packaging.version import Version

from gadkit.authoring.naming import Names, check_free, check_kinds, names_of
from gadkit.authoring.sketches import SKETCHES
from gadkit.component import API_VERSION, KINDS
from gadkit.errors import ConfigError, RunError, nearest
from gadkit.registry import Registry

#: `--license` to the SPDX identifier.
LICENSES = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause", "isc": "ISC"}
#: The oldest Python that gadkit supports.
_PYTHON = "3.11"
_TEMPLATES = resources.files("gadkit.authoring") / "templates"
_WORD = re.compile(r"@([a-z]+)@")
_AUTHOR = re.compile(r"([^<>]+?)\s*(?:<([^<>@\s]+@[^<>@\s]+)>)?")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a new package is to be.

    Attributes:
        names: What it is called.
        kinds: The kinds of its components, in the order of `KINDS`.
        author: Who holds the rights, `"Ada"` or `"Ada <ada@example.org>"`.
        license: A key of `LICENSES`.
        year: Of the licence.
        gadkit: The version of gadkit that it is made with.
    """

    names: Names
    kinds: tuple[str, ...]
    author: str
    license: str
    year: int
    gadkit: str


def scaffold(
    name: str,
    *,
    kinds: Sequence[str] = ("generator",),
    out: Path | None = None,
    author: str | None = None,
    license: str = "apache-2.0",
    registry: Registry,
    commands: Collection[str] = (),
) -> tuple[Order, Path]:
    """Writes a new package, whole or not at all.

    Args:
        name: `my-gan`, or `gadkit-my-gan`.
        kinds: Keys of `KINDS`.
        out: Its folder, which must not be there; by default `gadkit-NAME` in the current one.
        author: `"Ada"` or `"Ada <ada@example.org>"`; by default git's user, else the authors of the package.
        license: A key of `LICENSES`.
        registry: What there is already.
        commands: gadkit's own subcommands.

    Returns:
        What was ordered, and the folder.

    Raises:
        ConfigError: A name is taken or cannot be one; a kind or a licence is unknown.
        RunError: The folder is there, or cannot be written.
    """
    import gadkit

    names = names_of(name)
    chosen = check_kinds(kinds)
    check_free(names.name, chosen, registry, commands)
    if license not in LICENSES:
        raise ConfigError(
            f"--license: found {license!r}.{nearest(license, LICENSES)} Expected one of {', '.join(LICENSES)}; for "
            "another, take one of these and put yours in its place."
        )
    order = Order(
        names=names,
        kinds=tuple(chosen),
        author=author if author is not None else _git_user() or f"the authors of {names.distribution}",
        license=license,
        year=datetime.date.today().year,
        gadkit=gadkit.__version__,
    )
    folder = Path(names.distribution) if out is None else out
    if os.path.lexists(folder):
        raise RunError(f"{folder}: is there already, and stays as it is; choose another folder with --out, or move it.")
    _write(folder, render(order))
    return order, folder


def render(order: Order) -> dict[str, str]:
    """Every file of a new package: its path within the folder, with `/`, to its text."""
    names, package = order.names, order.names.package
    values = _values(order)
    files = {
        "pyproject.toml": _fill("package/pyproject.toml", values),
        "README.md": _fill("package/README.md", values),
        "LICENSE": _fill(f"licenses/{order.license}.txt", values),
        ".gitignore": _fill("package/gitignore", values),
        ".github/workflows/test.yml": _fill("package/workflow.yml", values),
        f"{package}/__init__.py": _fill("package/init.py", values),
        f"{package}/py.typed": "",
        "tests/test_conformance.py": _fill("package/conformance.py", values),
    }
    targets = {}
    for kind in order.kinds:
        if KINDS[kind].is_file:
            files[f"{package}/{kind}.toml"] = _fill(f"kinds/{kind}.toml", values)
            targets[kind] = f"{package}:{kind}.toml"
            continue
        template = f"kinds/{kind}.py"
        own = {**values, "class": names.class_of(kind, _template(template), alone=len(order.kinds) == 1)}
        files[f"{package}/{kind}.py"] = _fill(template, own)
        files[f"tests/test_{kind}.py"] = _fill(f"tests/{kind}.py", own)
        targets[kind] = f"{package}.{kind}:{'draw' if kind == 'command' else own['class']}"
    files[f"{package}/plugin.py"] = _plugin(names, targets)
    return files


def commands_of(order: Order) -> list[str]:
    """What shows the package's components at work, a command a line, once it is installed."""
    lines = [line for kind in order.kinds for line in SKETCHES[kind].commands]
    return [line.replace("@name@", order.names.name) for line in lines]


def requirement(version: str) -> str:
    """Which gadkit a package made with `version` works with.

    Versions of one minor number are compatible before 1.0, those of one major number from then on.

    Args:
        version: Such as `0.3.2`, which gives `gadkit>=0.3,<0.4`; `1.4.0` gives `gadkit>=1.4,<2`.
    """
    found = Version(version)
    lowest = str(found.public) if found.is_prerelease else f"{found.major}.{found.minor}"
    end = f"{found.major + 1}" if found.major else f"0.{found.minor + 1}"
    return f"gadkit>={lowest},<{end}"


def _oldest(version: str) -> str:
    """The lowest version that `requirement` allows."""
    found = Version(version)
    return str(found.public) if found.is_prerelease else f"{found.major}.{found.minor}.0"


def _values(order: Order) -> dict[str, str]:
    names, sketches = order.names, {kind: SKETCHES[kind] for kind in order.kinds}
    holder, mail = _author(order.author)
    author = f"{{ name = {_toml(holder)}{f', email = {_toml(mail)}' if mail else ''} }}"
    commands = commands_of(order)
    return {
        "name": names.name,
        "distribution": names.distribution,
        "package": names.package,
        "description": f"{_listed(order.kinds)} for gadkit",
        "spdx": LICENSES[order.license],
        "author": author,
        "holder": holder,
        "year": str(order.year),
        "python": _PYTHON,
        "requirement": requirement(order.gadkit),
        "oldest": _oldest(order.gadkit),
        "commands": "\n".join(commands),
        "workflow": "\n".join(f"          {line}" for line in commands),
        "table": "\n".join(f"| {kind} | `{names.name}` | {sketch.summary} |" for kind, sketch in sketches.items()),
    }


def _plugin(names: Names, targets: Mapping[str, str]) -> str:
    """The module that the entry point names."""
    text = f'"""What {names.distribution} offers. It imports no torch, so that listings and help stay quick."""\n\n'
    text += "from gadkit import Component, hookimpl\n"
    for kind, target in targets.items():
        fields = {"name": names.name, "summary": SKETCHES[kind].summary, "target": target}
        lines = [f"            {field}={json.dumps(value)},\n" for field, value in fields.items()]
        lines.append(
            f"            api={API_VERSION},  # the version of gadkit's plugin interface that it was written for\n"
        )
        if source := SKETCHES[kind].source:
            lines.append(f"            source={json.dumps(source)},\n")
        hook = KINDS[kind].hook
        text += f'\n\n@hookimpl\ndef {hook}() -> list[Component]:\n    """See `gadkit.hookspecs.{hook}`."""\n'
        text += f"    return [\n        Component(\n{''.join(lines)}        ),\n    ]\n"
    return text


def _author(text: str) -> tuple[str, str | None]:
    found = _AUTHOR.fullmatch(text.strip())
    if found is None or not text.isprintable():
        raise ConfigError(
            f"--author: found {text!r:.80}, expected a name, or a name and an address: 'Ada <ada@x.org>'."
        )
    return found[1], found[2]


def _git_user() -> str | None:
    """Who git takes the user for; `None` where it is not there, or does not know."""
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    name = done.stdout.decode("utf-8", "replace").strip()
    return name if name.isprintable() and _AUTHOR.fullmatch(name) else None


def _listed(kinds: Sequence[str]) -> str:
    """`A generator, a loss and features`, say."""
    if len(kinds) > 4:
        return f"{len(kinds)} components"
    words = [each if each == "features" else f"{'an' if each[0] in 'aeiou' else 'a'} {each}" for each in kinds]
    text = words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
    return text[0].upper() + text[1:]


def _toml(text: str) -> str:
    """A TOML string of printable text."""
    return json.dumps(text, ensure_ascii=False)


def _template(name: str) -> str:
    return _TEMPLATES.joinpath(*f"{name}.in".split("/")).read_text(encoding="utf-8")


def _fill(name: str, values: Mapping[str, str]) -> str:
    return _WORD.sub(lambda found: values[found[1]], _template(name))


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Writes beside the place, and moves into it what is whole."""
    parent = folder.absolute().parent
    partial = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=parent))
        for name, text in files.items():
            path = partial.joinpath(*name.split("/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        partial.chmod(0o777 & ~_umask())  # a temporary folder is its maker's alone
        partial.rename(folder)
    except BaseException as error:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, OSError):
            raise RunError(f"{folder}: cannot be written ({error.strerror}); mend that, or choose --out.") from error
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
