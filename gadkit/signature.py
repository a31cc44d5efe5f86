"""Settings read from a component's signature: the keyword-only arguments of `__init__`, their types and docstring.

Nothing is declared twice: listings describe what `settings_of` finds, and `validate` checks values against it.
"""

from __future__ import annotations

import inspect
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from gadkit.errors import ConfigError, PluginError, nearest
from gadkit.schedules import is_scheduled, schedulable

if TYPE_CHECKING:
    from pydantic import BaseModel

#: The key that a section of a configuration uses itself.
RESERVED = "use"

_BOUNDS = (
    ("gt", "greater than", ">"),
    ("ge", "at least", "≥"),
    ("lt", "less than", "<"),
    ("le", "at most", "≤"),
    ("multiple_of", "a multiple of", "multiple of"),
    ("min_length", "of length at least", "length ≥"),
    ("max_length", "of length at most", "length ≤"),
    ("pattern", "matching", "matching"),
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a component.

    Attributes:
        name: Its key.
        annotation: Its type, `Annotated` with its range where it has one.
        default: Its default; `None` where it is required.
        required: Whether it has no default.
        description: From the docstring's `Args:`, one paragraph; may be empty.
    """

    name: str
    annotation: Any
    default: Any
    required: bool
    description: str

    @property
    def type(self) -> str:
        """Its type for people: `"int"`, `"float or none"`, `"'a' or 'b'"`, `"list of 2 floats"`."""
        return type_text(self.annotation)

    @property
    def range(self) -> str:
        """Its range in symbols: `"> 0, ≤ 1"`, `"each ≥ 0"`."""
        each, bounds = _bounds(self.annotation)
        return ("each " if each else "") + ", ".join(f"{symbol} {bound}" for _, symbol, bound in bounds)

    @property
    def constraint(self) -> str:
        """Its range in words, such as `"greater than 0"`; may be empty."""
        return _constraint(self.annotation)

    @property
    def scheduled(self) -> bool:
        """Whether it may change during a run: see `gadkit.schedules`."""
        return schedulable(self.annotation)

    @property
    def expected(self) -> str:
        """What it takes, for an error: `"an integer greater than 0"`."""
        return expected_text(self.annotation)


def settings_of(cls: type[Any]) -> dict[str, Setting]:
    """The settings of a component's class, in the order of its signature.

    Args:
        cls: A class whose settings are the keyword-only arguments of `__init__`. An argument without an annotation
            takes the type of its default.

    Returns:
        Name to `Setting`.

    Raises:
        PluginError: An annotation cannot be resolved, or a setting has a name that configurations use themselves.
    """
    function = inspect.unwrap(cls.__init__)
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # built in, without a signature
        return {}
    wanted = [parameter for parameter in parameters if parameter.kind is inspect.Parameter.KEYWORD_ONLY]
    described = _described(cls)
    found = {}
    for parameter in wanted:
        if parameter.name == RESERVED:
            raise PluginError(f"{_label(cls)} has a setting named {RESERVED!r}, which gadkit uses itself: rename it.")
        annotation = _annotation(cls, function, parameter)
        required = parameter.default is inspect.Parameter.empty
        found[parameter.name] = Setting(
            name=parameter.name,
            annotation=annotation,
            default=None if required else parameter.default,
            required=required,
            description=described.get(parameter.name, ""),
        )
    return found


def fields_of(model: type[BaseModel]) -> dict[str, Setting]:
    """The fields of a pydantic model, described as settings."""
    described = _described(model)
    return {
        name: Setting(
            name=name,
            annotation=Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation,
            default=None if info.is_required() else info.default,
            required=info.is_required(),
            description=described.get(name, ""),
        )
        for name, info in model.model_fields.items()
    }


def validate(cls: type[Any], values: Mapping[str, Any], where: str, label: str = "") -> dict[str, Any]:
    """Checks values against a component's signature.

    Values are what TOML holds: a whole number may stand for a float and a list for a tuple; text never stands for a
    number, nor `true` for 1.

    Args:
        cls: The component's class.
        values: Setting to value.
        where: The section, such as `"generator"`, for messages.
        label: What owns the settings, such as `"generator 'dcgan'"`; by default `where` and the class's name.

    Returns:
        Every setting of the signature with its value, defaults included, in the order of the signature.

    Raises:
        ConfigError: Names each faulty key with what was found and what was expected.
    """
    return check(settings_of(cls), values, where, label or f"{where} {cls.__name__!r}")


def check(settings: Mapping[str, Setting], values: Mapping[str, Any], where: str, label: str) -> dict[str, Any]:
    """`validate` for settings that are at hand already; `where` may be empty."""
    from pydantic import ConfigDict, ValidationError, create_model

    prefix = f"{where}." if where else ""
    faults = [
        f"{prefix}{name} is no setting of {label}.{nearest(name, settings)} "
        + (f"It has: {', '.join(settings)}" if settings else "It has none")
        for name in values
        if name not in settings
    ]
    fields: dict[str, Any] = {
        f"s{number}": (setting.annotation, ... if setting.required else setting.default)
        for number, setting in enumerate(settings.values())  # a setting's own name might be one of pydantic's
    }
    fields_of = dict(zip(settings, fields, strict=True))
    try:
        model = create_model("Settings", __config__=ConfigDict(strict=True, arbitrary_types_allowed=True), **fields)
    except Exception as error:
        raise PluginError(f"{label} has a setting whose type cannot be checked: {error}") from error
    given = {fields_of[name]: value for name, value in values.items() if name in fields_of}
    for name, value in list(values.items()):
        if name in fields_of and not _storable(value):
            faults.append(f"{prefix}{name}: found {value!r:.200}, expected {settings[name].expected}")
            del given[fields_of[name]]
    try:
        # strictness as JSON has it is what TOML needs: 1 is a float too, and a list may become a tuple
        checked = model.model_validate_json(json.dumps(given, default=_json))
    except ValidationError as error:
        names = list(settings)
        for fault in error.errors(include_url=False):
            name = names[int(str(fault["loc"][0])[1:])]
            if name in values and fields_of[name] not in given:
                continue  # told above
            faults.append(prefix + _fault(settings[name], values, fault))
    if faults:
        raise ConfigError("; ".join(dict.fromkeys(faults)) + ".")  # one of a union's faults a member, told once
    return {name: getattr(checked, field) for name, field in fields_of.items()}


def _fault(setting: Setting, values: Mapping[str, Any], fault: Mapping[str, Any]) -> str:
    if setting.name not in values:
        return f"{setting.name}: not given and without a default, expected {setting.expected}"
    expected = setting.expected
    if fault["type"] in ("value_error", "assertion_error"):  # the component's own validator
        expected = f"{expected} ({str(fault['msg']).partition(', ')[2] or fault['msg']})"
    return f"{setting.name}: found {values[setting.name]!r:.200}, expected {expected}"


def _json(value: Any) -> Any:
    if callable(getattr(value, "item", None)):  # a NumPy number
        return value.item()
    return str(value)


def _storable(value: Any) -> bool:
    """Whether a configuration file can hold the value."""
    import datetime
    from pathlib import PurePath

    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _storable(part) for key, part in value.items())
    if isinstance(value, list | tuple):
        return all(_storable(part) for part in value)
    if callable(getattr(value, "item", None)):
        return getattr(value, "ndim", None) == 0
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)  # no UTF-8: an argument of odd bytes
    plain = (bool, int, float, PurePath, datetime.date, datetime.time)
    return value is None or isinstance(value, plain)


def _label(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _annotation(cls: type[Any], function: Any, parameter: inspect.Parameter) -> Any:
    if parameter.annotation is inspect.Parameter.empty:
        default = parameter.default
        return type(default) if isinstance(default, bool | int | float | str) else Any
    # one at a time: another argument's type may be imported for type checkers only
    holder = types.SimpleNamespace(__annotations__={"it": parameter.annotation})
    try:
        return typing.get_type_hints(holder, getattr(function, "__globals__", {}), vars(cls), include_extras=True)["it"]
    except Exception as error:
        raise PluginError(
            f"{_label(cls)}: the type {parameter.annotation!r} of its setting {parameter.name!r} cannot be resolved "
            f"({error}); import it at the top of the module."
        ) from error


def _parts(annotation: Any) -> list[Any]:
    """The members of a union but nothing, or the annotation itself."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [part for part in typing.get_args(annotation) if part is not type(None)]
    return [annotation]


def _own_bounds(annotation: Any) -> list[tuple[str, str, Any]]:
    """The ranges that `Annotated` states outermost, as words, symbol and bound."""
    found = []
    for item in getattr(annotation, "__metadata__", ()):
        for part in getattr(item, "metadata", None) or [item]:  # pydantic's Field holds a list of them
            for attribute, words, symbol in _BOUNDS:
                bound = getattr(part, attribute, None)
                if bound is not None and not (attribute == "min_length" and bound == 0):
                    found.append((words, symbol, bound))
    return found


def _items(annotation: Any) -> list[Any]:
    """The annotations of a list's places; one where they are all the same."""
    annotation = typing.get_args(annotation)[0] if typing.get_origin(annotation) is Annotated else annotation
    if typing.get_origin(annotation) not in _LISTS:
        return []
    places = [place for place in typing.get_args(annotation) if place is not Ellipsis]
    return places[:1] if all(place == places[0] for place in places) else places


def _bounds(annotation: Any) -> tuple[bool, list[tuple[str, str, Any]]]:
    """A setting's ranges, and whether they hold for each entry of a list rather than for the value itself."""
    own = [bound for part in (annotation, *_parts(annotation)) for bound in _own_bounds(part)]
    if own:
        return False, list(dict.fromkeys(own))
    inner = [bound for part in _parts(annotation) if len(_items(part)) == 1 for bound in _own_bounds(_items(part)[0])]
    return bool(inner), inner


def _constraint(annotation: Any) -> str:
    each, bounds = _bounds(annotation)
    return ("each " if each else "") + " and ".join(f"{words} {bound}" for words, _, bound in bounds)


_LISTS = (tuple, list, set, frozenset)
_WORDS = {
    int: ("int", "an integer", "integers"),
    float: ("float", "a number", "numbers"),
    bool: ("bool", "true or false", "truth values"),
    str: ("str", "a string", "strings"),
    dict: ("table", "a table", "tables"),
    type(None): ("none", "nothing", "values"),
}


def _words(annotation: Any) -> tuple[str, str, str]:
    """A type's name in a table, in a sentence, and in the plural."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        inner = _words(arguments[0])
        return (f"schedulable {inner[0]}", *inner[1:]) if is_scheduled(annotation) else inner
    if annotation in (Any, inspect.Parameter.empty):
        return "any", "any value", "values"
    if origin is typing.Literal:
        choices = [repr(choice) for choice in arguments]
        several = f"one of {', '.join(choices)}" if len(choices) > 1 else choices[0]
        return " or ".join(choices), several, "choices"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(type_text, arguments)), " or ".join(map(expected_text, _parts(annotation))), "values"
    if origin in _LISTS or annotation in _LISTS:
        items = _items(annotation)
        count = f"{len(arguments)} " if origin is tuple and Ellipsis not in arguments else ""
        plain = f"{type_text(items[0])}s" if len(items) == 1 else "values"
        several = _words(items[0])[2] if len(items) == 1 else "values"
        return f"list of {count}{plain}", f"a list of {count}{several}", "lists"
    words = _WORDS.get(dict if origin is dict else annotation)
    name = getattr(annotation, "__name__", str(annotation))
    return words or (name, f"a {name}", f"{name} values")


def type_text(annotation: Any) -> str:
    """A type in short, for a table."""
    return _words(annotation)[0]


def expected_text(annotation: Any) -> str:
    """A type with its range in words, for an error: `"a list of 2 numbers, each at least 0"`."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(map(expected_text, _parts(annotation)))
    constraint = _constraint(annotation)
    comma = "," if constraint.startswith("each") else ""
    return f"{_words(annotation)[1]}{comma} {constraint}".strip() if constraint else _words(annotation)[1]


def _described(cls: type[Any]) -> dict[str, str]:
    """What docstrings say about arguments; `__init__`'s own wins over its class's, a class's over its bases'."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__[:-1]):
        found |= arguments_in(base.__dict__.get("__doc__") or "")
        found |= arguments_in(getattr(base.__dict__.get("__init__"), "__doc__", None) or "")
    return found


_SECTION = re.compile(r"(Args|Arguments|Parameters|Keyword Args|Settings):\s*$")
_ITEM = re.compile(r"\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.*)$")


def arguments_in(docstring: str) -> dict[str, str]:
    """The `Args:` of a docstring in Google's style: name to description, each as one paragraph."""
    found: dict[str, str] = {}
    inside, item_indent, name = False, math.inf, ""
    for line in inspect.cleandoc(docstring).splitlines():
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if not text:
            continue
        if indent == 0:
            inside, item_indent, name = _SECTION.match(text) is not None, math.inf, ""
        elif inside:
            item_indent = min(item_indent, indent)
            match = _ITEM.match(text) if indent == item_indent else None
            if match:
                name = match[1]
                found[name] = match[2]
            elif name:
                found[name] = f"{found[name]} {text}".strip()
    return found
