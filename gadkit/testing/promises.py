"""How the kit says that a promise is broken: what was promised, what was found, how to mend it."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gadkit.errors import GadkitError

#: How to mend what several kinds of component get wrong in the same way.
SAME = "remember nothing from call to call, and take randomness from what is handed over alone"
ALONE = "compute nothing over the batch, no mean, norm or maximum, and use each row's own label and times"
LAYOUT = "give dimensions by name, with reshape, flatten and permute; read no strides and no order of memory"
SAVED = "hold what the result depends on in parameters, and in buffers (register_buffer) where it is not trained"
ON_GRAPH = "detach nothing that the value depends on, and compute it outside of no_grad"
IN_AUTOCAST = "bring both sides of an operation to one type, `.to(x.dtype)`, where values of two layers meet"


def promise(kept: bool, promised: str, found: str, mend: str) -> None:
    """Raises `AssertionError` where a promise is not kept."""
    if not kept:
        raise AssertionError(f"Promised: {promised}. Found: {found}. To mend it: {mend}.")


def told(error: BaseException) -> str:
    """An error in a few words, with the place that raised it."""
    (*_, last) = traceback.extract_tb(error.__traceback__) or [None]
    place = f" ({Path(last.filename).name}:{last.lineno})" if last is not None else ""
    first = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {first}{place}" if first else f"{type(error).__name__}{place}"


@contextmanager
def works(promised: str, mend: str) -> Iterator[None]:
    """The block raises nothing; a sentence of gadkit's own errors, and another broken promise, pass as they are."""
    try:
        yield
    except (AssertionError, GadkitError):
        raise
    except Exception as error:
        raise AssertionError(f"Promised: {promised}. Found: {told(error)}. To mend it: {mend}.") from error
