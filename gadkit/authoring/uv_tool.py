"""A tool that uv installed: its receipt, and the command that writes the same receipt with other packages beside it.

`uv tool install` takes what stands in the environment where that will do, removes what the receipt does not name, and
forgets every option that is not given again. So each is read from the receipt and given.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

from packaging.utils import canonicalize_name

from gadkit.authoring.environment import UV_FILE, Environment
from gadkit.authoring.requirements import Distribution, Package
from gadkit.errors import PluginError
from gadkit.tables import parse_toml

#: Options of a receipt that say where packages come from and which of them count; `uv pip` knows them, too.
_WHERE = (
    *("index-url", "index-strategy", "keyring-provider", "prerelease", "exclude-newer", "extra-index-url"),
    *("find-links", "no-index", "no-sources"),
)
#: The others. Tables are left out, but for those that are spelled out below.
_HOW = (
    *("resolution", "fork-strategy", "link-mode", "torch-backend", "compile-bytecode", "no-build", "no-binary"),
    *("no-build-package", "no-binary-package", "no-build-isolation", "no-build-isolation-package"),
)


def reinstall(
    environment: Environment,
    *,
    adding: Sequence[Package] = (),
    editable: bool = False,
    removing: Sequence[str] = (),
    present: Sequence[Distribution] = (),
    index_url: str | None = None,
    folder: Path,
) -> tuple[list[str], dict[str, str]]:
    """The command that makes uv's receipt name other packages beside gadkit, and the variables that it needs.

    Args:
        environment: gadkit's, whose prefix holds the receipt.
        adding: Packages that it is to name from now on.
        editable: Whether these are used where they lie.
        removing: Normalised names that it names no longer.
        present: Distributions that it keeps, whether it named them or not.
        index_url: Takes the place of the receipt's index.
        folder: Where constraints that the receipt holds are written to.

    Raises:
        PluginError: The receipt cannot be read.
    """
    tool = _receipt(environment)
    name = canonicalize_name(environment.name)
    told = {canonicalize_name(str(each["name"])): each for each in tool["requirements"]}
    own = told.pop(name, {"name": environment.name})
    fresh = {package.name for package in adding}
    command = [*environment.command, "tool", "install", "--python", environment.base]
    command += [*_where(tool, index_url), *_how(tool)]
    for key in ("constraints", "overrides", "build-constraints"):
        if lines := [_text(each) for each in tool.get(key, [])]:
            file = folder / f"receipt-{key}.txt"
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
            command += [f"--{key}", str(file)]
    command += ["--editable", str(own["editable"])] if "editable" in own else [_text(own)]
    for each, requirement in told.items():
        if each not in fresh and each not in removing:
            if "editable" in requirement:
                command += ["--with-editable", str(requirement["editable"])]
            else:
                command += ["--with", _text(requirement)]
    for package in adding:
        command += ["--with-editable" if editable else "--with", package.text]
    for kept in present:
        if kept.name not in {*told, *fresh, *removing, name} and not any(kept.is_meant_by(each) for each in adding):
            command += ["--with-editable" if kept.editable else "--with", kept.as_requirement]
    points = tool.get("entrypoints", [])
    for origin in dict.fromkeys(canonicalize_name(str(each.get("from") or name)) for each in points):
        if origin != name and origin not in removing:
            command += ["--with-executables-from", origin]
    variables = {"UV_TOOL_DIR": str(environment.prefix.parent)}
    for point in points:
        if place := point.get("install-path"):
            variables["UV_TOOL_BIN_DIR"] = str(Path(place).parent)
    return command, variables


def _receipt(environment: Environment) -> dict[str, Any]:
    file = environment.prefix / UV_FILE
    try:
        tool = parse_toml(file.read_bytes())["tool"]
        if all(isinstance(each["name"], str) for each in tool["requirements"]):
            return dict(tool)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PluginError(
            f"{file} cannot be read ({error}): run `{shutil.which('uv') or 'uv'} tool install gadkit --with PACKAGE` "
            "yourself, with each package that is to be there."
        ) from error
    raise PluginError(f"{file} names a requirement without a name: write it anew with `uv tool install gadkit`.")


def where(environment: Environment, index_url: str | None) -> list[str]:
    """The flags by which uv looks for packages where it looked for those of the receipt.

    Raises:
        PluginError: The receipt cannot be read.
    """
    return _where(_receipt(environment), index_url)


def _where(tool: Mapping[str, Any], index_url: str | None) -> list[str]:
    options = tool.get("options", {})
    flags: list[str] = []
    for index in options.get("index", []):
        if index.get("default"):
            if index_url is None:
                flags += ["--default-index", index["url"]]
        else:
            flags += ["--index", f"{index['name']}={index['url']}" if index.get("name") else index["url"]]
    flags += [flag for key in _WHERE if key != "index-url" or index_url is None for flag in _flags(options, key)]
    return flags if index_url is None else [*flags, "--default-index", index_url]


def _how(tool: Mapping[str, Any]) -> list[str]:
    options = tool.get("options", {})
    flags = [flag for key in _HOW for flag in _flags(options, key)]
    if options.get("build-isolation") == "shared":
        flags.append("--no-build-isolation")
    for key, value in options.get("config-settings", {}).items():
        flags += ["--config-setting", f"{key}={value}"]
    return flags


def _flags(options: Mapping[str, Any], key: str) -> list[str]:
    """The flags of one option: a text, a list of texts, or a switch."""
    value = options.get(key)
    if value is True:
        return [f"--{key}"]
    values = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    return [word for each in values for word in (f"--{key}", str(each))]


def _text(requirement: Mapping[str, Any]) -> str:
    """A requirement of a receipt as the command line takes it."""
    name = str(requirement["name"])
    extras = f"[{','.join(requirement['extras'])}]" if requirement.get("extras") else ""
    marker = f" ; {requirement['marker']}" if requirement.get("marker") else ""
    for key in ("directory", "path"):
        if key in requirement:
            return f"{name}{extras} @ {Path(requirement[key]).as_uri()}{marker}"
    if "url" in requirement:
        return f"{name}{extras} @ {requirement['url']}{marker}"
    if "git" in requirement:
        return f"{name}{extras} @ {_git(str(requirement['git']))}{marker}"
    return f"{name}{extras}{requirement.get('specifier', '')}{marker}"


def _git(url: str) -> str:
    """`https://host/a?tag=v1&subdirectory=b#commit`, as receipts have it, in the form that installers take."""
    parts = urlsplit(url)
    asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
    wanted = next((asked[key] for key in ("rev", "tag", "branch") if key in asked), "")
    place = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    below = f"#subdirectory={asked['subdirectory']}" if "subdirectory" in asked else ""
    return f"git+{place}{'@' + wanted if wanted else ''}{below}"
