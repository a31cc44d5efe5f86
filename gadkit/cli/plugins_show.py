"""`gadkit plugins show`: one component, its settings, where it comes from, and how large it is."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from gadkit.cli.completion import complete, complete_kind
from gadkit.cli.printing import print_json, print_table
from gadkit.component import KINDS
from gadkit.registry.entry import BUNDLED

if TYPE_CHECKING:
    from gadkit.authoring.provider import Provider
    from gadkit.comparison.counting import Size
    from gadkit.interfaces.spec import VideoSpec
    from gadkit.registry import Registry
    from gadkit.registry.entry import Entry
    from gadkit.signature import Setting


def _complete_first(incomplete: str) -> list[tuple[str, str]]:
    return complete_kind(incomplete)


def _complete_second(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    kind = ctx.params.get("first")
    return complete(kind)(incomplete) if kind in KINDS else []


def show(
    first: Annotated[
        str,
        typer.Argument(
            metavar="[KIND]",
            help="Such as generator; may be left out where one kind alone has the name.",
            autocompletion=_complete_first,
            show_default=False,
        ),
    ],
    second: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            metavar="NAME",
            help="Such as dcgan, or acme-gan:dcgan.",
            autocompletion=_complete_second,
            show_default=False,
        ),
    ] = None,
    resolution: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--resolution", help="Count the parameters at this size, such as 64 or 96x64.", metavar="SIZE"),
    ] = None,
    frames: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--frames", min=1, help="Count the parameters for clips of so many frames; 16 else."),
    ] = None,
    sets: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--set", metavar="KEY=VALUE", help="Count them with this setting, such as width=128; repeatable."),
    ] = None,
    generator: Annotated[
        str, typer.Option("--generator", help="Of an assembler: for the codes of this generator.")
    ] = "dcgan",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Show one component: what it does, where it comes from, what it needs, and its settings."""
    from gadkit.authoring.provider import provider_of
    from gadkit.cli.console import warn_failures
    from gadkit.registry import get_registry

    registry = get_registry()
    warn_failures(registry)
    entry = _find(registry, first, second)
    about = provider_of(entry.distribution)
    video = _video(resolution, frames) if resolution or frames or sets else None
    size = None if video is None else _count(registry, entry, video, sets or (), generator)
    if KINDS[entry.kind].form != "class":
        _show_without_settings(entry, about, as_json)
        return
    if not as_json:
        print_head(entry, about)  # what is known without its code, which may not be there to be loaded
    _show_class(entry, entry.load(), about, size, video, as_json)


def _find(registry: Registry, first: str, second: str | None) -> Entry:
    """The component of a kind and a name, or of a name that one kind alone has."""
    from gadkit.errors import PluginError, nearest

    if second is not None:
        return registry.find(first, second)
    if first in KINDS:
        known = ", ".join(registry.names(first)) or "none is here"
        raise PluginError(f"{first} is a kind: name one of its components too ({known}).")
    if (before := first.partition(":")[0]) in KINDS:
        raise PluginError(f"{first!r} is no name: write `gadkit plugins show {before} {first.partition(':')[2]}`.")
    names = [name for kind in KINDS for name in registry.names(kind)]
    having = named(registry, first)
    if not having:
        raise PluginError(
            f"No kind has a component {first!r}.{nearest(first, names)}"
            f"{registry.missing() or ' See `gadkit plugins list`.'}"
        )
    if len(having) > 1:
        ways = " or ".join(f"`gadkit plugins show {entry.kind} {first}`" for entry in having)
        raise PluginError(f"{first!r} is the name of several components: write {ways}.")
    return having[0]


def named(registry: Registry, name: str) -> list[Entry]:
    """What a name, bare or qualified, means in each kind that has it; in none it may be ambiguous."""
    from gadkit.registry.switches import canonical

    owner, _, bare = name.rpartition(":")
    spellings = {f"{owner}:{bare}", f"{canonical(owner)}:{bare}"}
    kinds = [
        kind
        for kind in KINDS
        if any(entry.qualified in spellings if owner else entry.name == bare for entry in registry.entries(kind))
    ]
    return [registry.find(kind, name) for kind in kinds]


def _video(resolution: str | None, frames: int | None) -> VideoSpec:
    from gadkit.cli.values import parse_size
    from gadkit.interfaces.spec import VideoSpec

    width, height = parse_size(resolution) or (64, 64)
    return VideoSpec(height=height, width=width, frames=frames or 16)


def _count(registry: Registry, entry: Entry, video: VideoSpec, sets: Sequence[str], generator: str) -> Size:
    from gadkit.comparison.counting import size_of
    from gadkit.errors import ConfigError
    from gadkit.layers import toml_value

    settings = {}
    for text in sets:
        key, equals, value = text.partition("=")
        key = key.strip().removeprefix(f"{entry.kind}.")
        if not equals or not key:
            raise ConfigError(f"--set {text!r}: expected key=value, such as width=128.")
        settings[key] = toml_value(value.strip())
    codes = size_of(registry.find("generator", generator), video) if entry.kind == "assembler" else None
    return size_of(entry, video, settings, codes=codes)


def _show_without_settings(entry: Entry, about: Provider, as_json: bool) -> None:
    """A file of settings with its text, or a command."""
    text = entry.text() if KINDS[entry.kind].is_file else ""
    if as_json:
        print_json({**_described(entry, about), **({"text": text} if text else {})})
        return
    print_head(entry, about)
    if text:
        typer.echo(f"\n{_lines(text)}")
    else:
        typer.echo(f"\n`gadkit {entry.name} --help` describes it.")


def _show_class(
    entry: Entry, cls: type[Any], about: Provider, size: Size | None, video: VideoSpec | None, as_json: bool
) -> None:
    from gadkit.signature import settings_of

    documentation = inspect.cleandoc(cls.__doc__ or "")
    settings = list(settings_of(cls).values())
    if as_json:
        document = {**_described(entry, about), "documentation": documentation, "code": _code(cls)}
        document["settings"] = [_setting(each) for each in settings]
        if size is not None and video is not None:
            document["size"] = {
                **{"height": video.height, "width": video.width, "frames": video.frames},
                **{"parameters": size.parameters, "trained": size.trained},
            }
        print_json(document)
        return
    if place := _code(cls):
        _line("code", place)
    if size is not None and video is not None:
        from gadkit.words import count_text, size_text

        told = f"{count_text(size.parameters, 'parameter')} ({size_text(4 * size.parameters)} in fp32)"
        fixed = "" if size.trained == size.parameters else f", {size.trained:,} of them learn"
        _line("size", f"{told}{fixed}, for {video.frames} frames of {video.width}x{video.height}")
    if told := _without_arguments(documentation):
        typer.echo(f"\n{_lines(told)}")
    typer.echo("\nsettings:" if settings else "\nno settings")
    rows = [(each.name, each.type, _default(each), each.range, each.description) for each in settings]
    if rows:
        print_table(("setting", "type", "default", "range", "meaning"), rows, whole=("setting",))
    if entry.kind != "refiner" and any(each.scheduled for each in settings):
        typer.echo(
            "\nA schedulable number may change during a run: {start = 1.0, end = 0.1}, where steps, after and shape "
            "('linear', 'cosine', 'exponential') may be added."
        )


def record(entry: Entry) -> dict[str, Any]:
    """A component and its provenance in plain values."""
    return {
        "kind": entry.kind,
        "name": entry.name,
        "qualified": entry.qualified,
        "distribution": entry.distribution,
        "version": entry.version,
        "plugin": entry.plugin,
        "api": entry.component.api,
        "summary": entry.component.summary,
        "source": entry.component.source,
        "target": entry.component.target,
        "requires": list(entry.component.requires),
    }


def _described(entry: Entry, about: Provider) -> dict[str, Any]:
    provider = {
        "licence": about.licence,
        "author": about.author,
        "addresses": about.addresses,
        "requires": list(about.requires),
        "unmet": about.unmet,
    }
    return {**record(entry), "lacking": entry.lacking(), "provider": provider}


def _code(cls: type[Any]) -> str:
    """File and line of a class; empty where Python cannot tell."""
    try:
        file = inspect.getsourcefile(cls)
        return f"{file}:{inspect.getsourcelines(cls)[1]}" if file else ""
    except (OSError, TypeError):
        return ""


def _setting(setting: Setting) -> dict[str, Any]:
    from gadkit.config import plain

    return {
        "name": setting.name,
        "type": setting.type,
        "required": setting.required,
        "default": plain(setting.default, setting.name),
        "range": setting.range,
        "scheduled": setting.scheduled,
        "meaning": setting.description,
    }


def _without_arguments(documentation: str) -> str:
    """A docstring without its `Args:`, which the table of settings tells better."""
    kept, inside = [], False
    for line in documentation.splitlines():
        if line and not line.startswith(" "):
            inside = line.rstrip() == "Args:"
        if not inside:
            kept.append(line)
    return "\n".join(kept).strip()


def _default(setting: Setting) -> str:
    if setting.required:
        return "required"
    if isinstance(setting.default, bool) or setting.default is None:
        return str(setting.default).lower()
    return str(setting.default)


def print_head(entry: Entry, about: Provider | None = None) -> None:
    """What a component is, where it comes from and what it needs."""
    component = entry.component
    typer.echo(f"{entry.kind} {entry.qualified}")
    _line("summary", component.summary)
    _line("provider", entry.provider)
    if about is not None:
        _line("licence", about.licence)
        _line("author", about.author)
        _line("page", about.page)
        brought = [each for each in about.requires if each in about.unmet or entry.distribution != BUNDLED]
        for name, wanted, missing in (
            ("needs", component.requires, entry.lacking()),
            ("requires", brought, about.unmet),
        ):
            _line(name, ", ".join(f"{each} ({missing[each]})" if each in missing else each for each in wanted))
    _line("source", component.source)
    _line("target", component.target)


def _line(name: str, value: str) -> None:
    from gadkit.words import printable

    if not value:
        return
    line = f"  {name:9} {printable(value)}"
    if sys.stdout.isatty():
        import shutil
        import textwrap

        width = max(40, shutil.get_terminal_size().columns)
        line = textwrap.fill(line, width, subsequent_indent=" " * 12, break_long_words=False, break_on_hyphens=False)
    typer.echo(line)


def _lines(text: str) -> str:
    """A text of several lines that a terminal can take."""
    from gadkit.words import printable

    return "\n".join(printable(line.expandtabs()) for line in text.rstrip().split("\n"))
