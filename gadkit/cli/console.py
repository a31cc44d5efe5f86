"""What every command says on standard error: warnings about plugins, and errors."""

from __future__ import annotations

import contextlib
import sys
import traceback
import warnings
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gadkit.errors import GadkitError, GadkitWarning

if TYPE_CHECKING:
    from gadkit.registry import Registry

#: Whether `--verbose` was given: tracebacks are printed.
verbose = False

_warned: weakref.WeakSet[Registry] = weakref.WeakSet()


def say(text: str) -> None:
    """One line on standard error; where nobody reads it any more, none."""
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


def warn_failures(registry: Registry) -> None:
    """One line for each plugin that failed, once for a registry; with `--verbose` its traceback too."""
    if registry in _warned:
        return
    _warned.add(registry)
    for failure in registry.failures:
        say(f"gadkit: warning: {failure}.")
        if verbose:
            say(failure.traceback.rstrip())


def warn_pending() -> None:
    """`warn_failures` for the process's registry, where some command has made it and has not warned."""
    from gadkit.registry import get_registry

    if get_registry.cache_info().currsize:
        warn_failures(get_registry())


@contextlib.contextmanager
def telling() -> Iterator[None]:
    """A block in which gadkit's own warnings are said, one line each; others are shown as ever."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def say_own(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, GadkitWarning):
                say(f"gadkit: warning: {message}")
            else:
                show(message, category, *place, **more)

        warnings.simplefilter("always", GadkitWarning)
        warnings.showwarning = say_own
        yield


def tell(error: GadkitError) -> None:
    """The sentence of an error that the user can mend; with `--verbose` its traceback before it."""
    if verbose:
        say("".join(traceback.format_exception(error)).rstrip())
    say(f"gadkit: error: {error}")
