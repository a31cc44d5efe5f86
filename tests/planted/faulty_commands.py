"""Commands that break one promise each."""

from __future__ import annotations

from planted.table import FAULTS, Fault, Plugin

_MODULE = """
from gadkit import Component, hookimpl

@hookimpl
def gadkit_commands():
    return [Component(name="NAME", summary="greets somebody", target="NAME:greet")]

"""
_SOUND = '''
def greet(name: str = "you") -> None:
    """Greets somebody."""
    print(f"hello {name}")
'''


def _command(name: str, text: str = _SOUND) -> Plugin:
    return Plugin(f"planted-{name}".replace("-", ""), _MODULE + text)


for _fault, _aspect, _name, _text, _promised, _mend in (
    ("neither a function nor an application", "record", "number", "greet = 3\n", "is a command", "the record's target"),
    (
        "no words on what it does",
        "contract",
        "silent",
        _SOUND.replace('    """Greets somebody."""\n', ""),
        "says what it does",
        "it is shown by --help",
    ),
    (
        "an argument that no command line has",
        "contract",
        "table",
        _SOUND.replace('str = "you"', "list[list[int]]"),
        "--help` says how it is used",
        "parameters Typer can take",
    ),
):
    FAULTS.append(Fault("command", _fault, _command(_name, _text), _command("command"), _aspect, _promised, _mend, {}))
