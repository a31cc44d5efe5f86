"""What the shell offers for the names of components."""

from __future__ import annotations

from collections.abc import Callable


def complete(kind: str) -> Callable[[str], list[tuple[str, str]]]:
    """A callback for Typer's `autocompletion=`: the names of a kind, each with its summary.

    Args:
        kind: A key of `gadkit.component.KINDS`.
    """

    def names(incomplete: str) -> list[tuple[str, str]]:
        from gadkit.errors import GadkitError
        from gadkit.registry import get_registry

        try:
            registry = get_registry()
        except GadkitError:  # a shell cannot show it; the command itself will
            return []
        offered = zip(registry.names(kind), registry.entries(kind), strict=True)
        return [(name, entry.component.summary) for name, entry in offered if name.startswith(incomplete)]

    return names


def complete_kind(incomplete: str) -> list[tuple[str, str]]:
    """A callback for Typer's `autocompletion=`: the kinds of component."""
    from gadkit.component import KINDS

    return [(kind.name, kind.summary) for kind in KINDS.values() if kind.name.startswith(incomplete)]
