"""Going on with a run: what may be another than before, and what may not."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gadkit.config import RunConfig
from gadkit.errors import ConfigError, RunError
from gadkit.runs.checkpoint import read_document
from gadkit.runs.folder import CONFIG, Run
from gadkit.runs.model import DESCRIPTION

#: Sections whose every setting shapes the weights in a checkpoint, and keys of others that do.
_SECTIONS = ("generator", "assembler", "discriminator")
_KEYS = ("video.height", "video.width", "video.frames", "direction.use", "trainer.use")


def check_resumable(run: Run, config: RunConfig) -> None:
    """Refuses a configuration that the run's checkpoints do not fit, before anything of the run is touched.

    Rates, batch size, loss, penalty, steps and where the data lie may change; the nets, the clips' shape, the trainer
    and the direction, whose memory a checkpoint holds, may not.

    Raises:
        ConfigError: Names the first key that differs, with both values.
        RunError: The run's own configuration cannot be read.
    """
    path = run.path / CONFIG
    try:
        before = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); restore it, or start a new run.") from error
    now = config.to_dict()
    for key in _keys(before, now):
        old, new = _value(before, key), _value(now, key)
        if old != new and not (key.endswith(".use") and _same_class(old, new)):
            raise ConfigError(
                f"{key}: found {new!r}, but {run.path} was trained with {old!r} and its checkpoints fit nothing else; "
                "leave it away to go on with that run, or start a new one with --out."
            )


def check_classes(run: Run, classes: Sequence[str]) -> None:
    """Refuses data whose classes are others than those that the run's newest checkpoint was trained with."""
    trained = read_document(run.find_checkpoint(), DESCRIPTION)["classes"]
    if list(classes) != trained:
        raise ConfigError(
            f"data: its classes are {', '.join(classes) or 'none'}, but {run.path} was trained with "
            f"{', '.join(trained) or 'none'}; go on with the same classes, or start a new run with --out."
        )


def _keys(*documents: Mapping[str, Any]) -> Iterator[str]:
    """The keys that must stay: a component's name before its settings."""
    yield from _KEYS
    for section in _SECTIONS:
        names = {name for document in documents for name in document.get(section, {})}
        yield from (f"{section}.{name}" for name in sorted(names, key=lambda name: (name != "use", name)))


def _value(document: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.partition(".")
    return document.get(section, {}).get(name)


def _same_class(old: Any, new: Any) -> bool:
    """Whether both are a program's own class of one name: the module of a script is another than the same imported."""
    own = all(str(name).startswith("python:") for name in (old, new))
    return own and str(old).rpartition(".")[2] == str(new).rpartition(".")[2]
