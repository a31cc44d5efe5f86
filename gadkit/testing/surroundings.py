"""What a component shares with everything else in its process, and has to leave as it is."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gadkit.testing.promises import promise


@dataclass(frozen=True)
class _Global:
    """A setting of the whole process.

    Attributes:
        what: What it is called in a message.
        read: Gives it.
        write: Sets it.
        mend: What to do in place of changing it.
    """

    what: str
    read: Callable[[], Any]
    write: Callable[[Any], None]
    mend: str


def _flag(holder: Any, name: str, what: str) -> _Global:
    return _Global(
        f"torch.backends.{what}.{name}",
        lambda: getattr(holder, name),
        lambda value: setattr(holder, name, value),
        "leave the choice of kernels to whoever runs gadkit",
    )


# Variables that PyTorch sets by itself once it imports its compiler, for checkpointed activations among others.
_OF_TORCH = ("TORCHINDUCTOR_", "TRITON_")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_TORCH)}


def _set_environment(before: Mapping[str, str]) -> None:
    for name in _environment().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


_ENVIRONMENT = _Global(
    "the environment variables",
    _environment,
    _set_environment,
    "take what is needed as a setting of the component",
)
_GLOBALS = (
    _Global(
        "torch's default dtype",
        torch.get_default_dtype,
        torch.set_default_dtype,
        "say `dtype=` where a tensor is made, in place of torch.set_default_dtype",
    ),
    _Global(
        "torch's default device",
        torch.get_default_device,
        torch.set_default_device,
        "say `device=` where a tensor is made, in place of torch.set_default_device",
    ),
    _Global(
        "whether gradients are recorded",
        torch.is_grad_enabled,
        torch._C._set_grad_enabled,
        "use `with torch.no_grad():` or `with torch.enable_grad():` in place of torch.set_grad_enabled",
    ),
    _Global(
        "torch.use_deterministic_algorithms",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
        "leave it to whoever runs gadkit",
    ),
    _Global("torch's number of threads", torch.get_num_threads, torch.set_num_threads, "leave it to gadkit"),
    _Global(
        "the precision of float32 products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
        "leave it to gadkit's setting of precision",
    ),
    _Global("torch's anomaly mode", torch.is_anomaly_enabled, torch.set_anomaly_enabled, "use it while you debug"),
    _flag(torch.backends.cudnn, "benchmark", "cudnn"),
    _flag(torch.backends.cudnn, "deterministic", "cudnn"),
    _flag(torch.backends.cudnn, "enabled", "cudnn"),
    _flag(torch.backends.mkldnn, "enabled", "mkldnn"),
    _Global(
        "NumPy's handling of errors",
        np.geterr,
        lambda value: np.seterr(**value) and None,
        "use `with np.errstate(...):`",
    ),
    _ENVIRONMENT,
    _Global("the working directory", os.getcwd, os.chdir, "use absolute paths"),
)


def _random_state() -> tuple[Any, bytes]:
    kind, words, *rest = np.random.get_state()
    return random.getstate(), repr((kind, rest)).encode() + np.asarray(words).tobytes()


@contextmanager
def surroundings(name: str, *, environment: bool = True) -> Iterator[None]:
    """The block changes no setting of the process and draws from neither Python's nor NumPy's global generator.

    What was changed is put back, for the sake of whatever comes after.

    Args:
        name: Of the component that works inside.
        environment: Whether environment variables count: libraries set some when they are imported.

    Raises:
        AssertionError: A broken promise.
    """
    watched = _GLOBALS if environment else [each for each in _GLOBALS if each is not _ENVIRONMENT]
    before, drawn = [each.read() for each in watched], _random_state()
    try:
        yield
    finally:
        after = [each.read() for each in watched]
        changed = [(each, old, new) for each, old, new in zip(watched, before, after, strict=True) if old != new]
        for each, old, _ in changed:
            each.write(old)
    for each, old, new in changed:
        promise(
            False,
            f"{name} leaves what the whole process shares as it is, {each.what} among it",
            f"it was {_short(old, new)} and became {_short(new, old)}",
            each.mend,
        )
    promise(
        drawn == _random_state(),
        f"{name} draws no number from Python's `random` or NumPy's global generator",
        "the state of one of them changed",
        "draw from what the interface hands over, or from gadkit.randomness: those two are seeded by nobody",
    )


def _short(value: Any, other: Any) -> str:
    """A setting for a message; of a table, what the other one has not."""
    if isinstance(value, dict) and isinstance(other, dict):
        return str({key: entry for key, entry in value.items() if key not in other or other[key] != entry})
    return str(value)


@contextmanager
def unshared(cls: type[Any]) -> Iterator[None]:
    """The block, in which instances of `cls` are made and used, leaves nothing behind on the class.

    What stands there belongs to all instances: two runs in one process, or two parts of one run, would change each
    other.

    Raises:
        AssertionError: A broken promise.
    """
    before = _class_state(cls)
    yield
    for place, value in _class_state(cls).items():
        promise(
            place in before and before[place] == value,
            f"an instance of {cls.__name__} shares nothing that changes with another one",
            f"{place} changed while instances were made and used",
            "make it in __init__ and keep it in `self`",
        )


def _class_state(cls: type[Any]) -> dict[str, tuple[Any, ...]]:
    """What stands on a class and its bases, without those of gadkit and torch: who each thing is, and its content."""
    found = {}
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] in ("builtins", "abc", "torch", "torchmetrics", "gadkit", "typing"):
            continue
        for name, value in vars(base).items():
            if not name.startswith(("__", "_abc_")):
                found[f"{base.__name__}.{name}"] = id(value), *_content(value)
        for name, default in (getattr(vars(base).get("__init__"), "__kwdefaults__", None) or {}).items():
            found[f"{base.__name__}.__init__, the default of {name}"] = _content(default)
    return found


def _content(value: Any) -> tuple[Any, ...]:
    if isinstance(value, torch.Tensor):
        return (value._version,)
    if isinstance(value, np.ndarray):
        return (value.tobytes(),)
    if isinstance(value, Mapping):
        return tuple((key, id(entry)) for key, entry in value.items())
    if isinstance(value, list | set):
        return tuple(id(entry) for entry in value)
    return ()
