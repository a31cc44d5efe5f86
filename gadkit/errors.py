"""The errors that a user can mend.

Each carries one sentence that names the key or the file, what was found, what was expected and what to do.
The command line prints that sentence and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: Characters of the longest sentence: what it quotes of a file may be of any length.
_LONGEST = 2000


class GadkitError(Exception):
    """Base of every error that a user can mend. A sentence that is far too long loses its middle."""

    def __str__(self) -> str:
        """The sentence."""
        text = super().__str__()
        half = _LONGEST // 2
        return text if len(text) <= _LONGEST else f"{text[:half]} … {text[-half:]}"


class ConfigError(GadkitError):
    """A setting is unknown, out of range or does not fit the others."""


class PluginError(GadkitError):
    """A component is unknown, ambiguous, or its plugin is broken."""


class DataError(GadkitError):
    """A video, a folder or a pack cannot be used."""


class UnavailableError(DataError):
    """Data cannot be reached now, or have changed under a run: no fault of a video, so none is left out for it."""


class RunError(GadkitError):
    """A run folder, a checkpoint or an exported model cannot be read or written."""


class DamagedError(RunError):
    """A file of a checkpoint or model is missing, altered or cut: another checkpoint may be whole."""


class DeviceError(GadkitError):
    """The asked-for device or precision is not available."""


class GadkitWarning(UserWarning):
    """What a user should know of, though gadkit went on."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint for a misspelled `word`: `" Did you mean 'width'?"`, or an empty string when nothing is near.

    The hint starts with a space, so that it can be appended to a sentence as it is.
    """
    found = difflib.get_close_matches(word, list(choices), n=2, cutoff=0.6)
    likeness = [difflib.SequenceMatcher(None, name, word).ratio() for name in found]
    found = [name for name, ratio in zip(found, likeness, strict=True) if ratio > likeness[0] - 0.2]
    return f" Did you mean {' or '.join(repr(name) for name in found)}?" if found else ""
