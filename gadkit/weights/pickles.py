"""Pickles as data: the few instructions that write dictionaries of arrays, carried out without the module pickle.

A pickle is a program for a machine with a stack (`pickletools` describes its instructions). Here is a machine that
knows only those that make numbers, strings, tuples, lists and dictionaries. It imports nothing and calls nothing that a
file names: a name is a mere text, and where an instruction asks for a call, one of the functions that the reader hands
over is called, or the file is refused. Whatever else an instruction asks for is refused too.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

#: The most instructions of a pickle; each takes at most some hundred bytes beside its own in the file.
MOST = 1 << 18

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = {"BINPUT", "LONG_BINPUT"}
_GETS = {"BINGET", "LONG_BINGET"}
_IGNORED = {"PROTO", "FRAME"}


@dataclass(frozen=True)
class Name:
    """A name in a file, `"module attribute"`: never looked up."""

    text: str


class Buildable(Protocol):
    """What takes a state after it was made."""

    def build(self, state: object) -> None:
        """Takes the state; `ValueError` where it is none."""


#: What may be called in a file's name: each takes the arguments as the file gives them, to be checked.
Calls = Mapping[str, Callable[[tuple[Any, ...]], object]]


def run(
    file: io.BytesIO,
    calls: Calls,
    names: frozenset[str] = frozenset(),
    persistent: Callable[[object], object] | None = None,
) -> Any:
    """What a pickle makes.

    Args:
        file: Stands at its beginning, and afterwards behind its end.
        calls: By name, `"module attribute"`, what is called where the file asks for that name to be called.
        names: Names that may stand in the file beside those, as arguments.
        persistent: What is made of the identity of an object that lies outside of the pickle.

    Raises:
        ValueError: It is no pickle, is cut, or asks for anything else.
    """
    machine = _Machine(calls, names, persistent)
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(file)):
            if count == MOST:
                raise ValueError(f"its pickle has more than {MOST} instructions")
            if instruction.name == "STOP":
                return machine.end()
            machine.step(instruction.name, argument)
    except (IndexError, KeyError) as error:
        raise ValueError("its pickle takes what is not there") from error
    except struct.error as error:
        raise ValueError(f"its pickle is cut or broken: {error}") from error
    raise ValueError("its pickle has no end")


class _Machine:
    def __init__(self, calls: Calls, names: frozenset[str], persistent: Callable[[object], object] | None) -> None:
        self._calls = calls
        self._names = names
        self._persistent = persistent
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def end(self) -> Any:
        value = self._stack.pop()
        if self._stack or self._below:
            raise ValueError("its pickle leaves something over")
        return value

    def step(self, name: str, argument: Any) -> None:
        """One instruction; `ValueError`, `IndexError` or `KeyError` where it cannot be carried out."""
        stack = self._stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name == "MARK":
            self._below.append(stack)
            self._stack = []
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in _PUTS:
            self._memo[argument] = stack[-1]
        elif name in _GETS:
            stack.append(self._memo[argument])
        elif name in _TUPLES:
            stack.append(tuple([stack.pop() for _ in range(_TUPLES[name])][::-1]))
        elif name == "TUPLE":
            self._push_below(tuple(stack))
        elif name in ("APPEND", "APPENDS"):
            self._append([stack.pop()] if name == "APPEND" else self._marked())
        elif name in ("SETITEM", "SETITEMS"):
            self._set([stack.pop(), stack.pop()][::-1] if name == "SETITEM" else self._marked())
        elif name == "GLOBAL":
            stack.append(self._named(argument))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            if type(module) is not str or type(attribute) is not str:
                raise ValueError("its pickle has a name that is no text")
            stack.append(self._named(f"{module} {attribute}"))
        elif name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(self._called(called, arguments))
        elif name == "BUILD":
            state = stack.pop()
            self._build(stack[-1], state)
        elif name == "BINPERSID" and self._persistent is not None:
            stack.append(self._persistent(stack.pop()))
        elif name not in _IGNORED:
            raise ValueError(f"its pickle has the instruction {name}, which no dictionary of arrays needs")

    def _marked(self) -> list[Any]:
        """What was pushed since the last mark, which goes."""
        marked, self._stack = self._stack, self._below.pop()
        return marked

    def _push_below(self, value: object) -> None:
        self._marked()
        self._stack.append(value)

    def _append(self, values: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise ValueError("its pickle appends to what is no list")
        self._stack[-1].extend(values)

    def _set(self, items: list[Any]) -> None:
        keys = items[::2]
        if type(self._stack[-1]) is not dict or len(items) % 2 or any(type(key) not in (str, int) for key in keys):
            raise ValueError("its pickle has a dictionary whose keys are not names")
        self._stack[-1].update(zip(keys, items[1::2], strict=True))

    def _named(self, text: str) -> Name:
        if text not in self._calls and text not in self._names:
            shown = ".".join(text.split(" ", 1))[:100]
            raise ValueError(f"its pickle names {shown!r}, which no dictionary of arrays needs")
        return Name(text)

    def _called(self, called: object, arguments: object) -> object:
        if not isinstance(called, Name) or called.text not in self._calls or type(arguments) is not tuple:
            raise ValueError("its pickle calls what is not to be called")
        return self._calls[called.text](arguments)

    def _build(self, target: Any, state: object) -> None:
        if type(target) is dict and type(state) is dict:
            return  # the attributes of an ordered dictionary, which are no part of it
        if not hasattr(type(target), "build"):
            raise ValueError("its pickle gives a state to what has none")
        target.build(state)
