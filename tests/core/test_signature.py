"""Settings as a component's signature states them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field

from gadkit.errors import ConfigError, PluginError
from gadkit.signature import arguments_in, settings_of, validate

if TYPE_CHECKING:
    from nowhere import Never

Beta = Annotated[float, Field(ge=0, lt=1)]


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("it must be even")
    return value


class Thing:
    """A thing.

    Args:
        width: Channels of the last
            hidden layer.
        mode (str): How:
            one of two.
        rate: Adam's rate.

    Raises:
        nothing: At all.
    """

    def __init__(
        self,
        video: Never,
        *,
        size: int,
        width: Annotated[int, Field(gt=0)] = 64,
        rate: Annotated[float, Field(gt=0, le=1)] = 0.5,
        betas: tuple[Beta, Beta] = (0.5, 0.999),
        mode: Literal["soft", "hard"] = "soft",
        limit: Annotated[float, Field(gt=0)] | None = None,
        old: Optional[int] = None,  # noqa: UP045
        flag: bool = False,
        name: Annotated[str, Field(min_length=1)] = "x",
        steps: tuple[int, ...] = (),
        table: dict[str, int] = {},  # noqa: B006
        even: Annotated[int, AfterValidator(_even)] = 2,
        where: Path = Path("."),
        model_config: int = 1,
        plain=3,
    ) -> None:
        """Makes it.

        Args:
            size: In pixels.
            rate: Overrides the class's line.
        """


def complete(**values: Any) -> dict[str, Any]:
    return validate(Thing, {"size": 1, **values}, "generator", "generator 'thing'")


def test_settings_are_the_keyword_only_arguments():
    settings = settings_of(Thing)
    assert list(settings)[:3] == ["size", "width", "rate"]
    assert "video" not in settings
    assert settings["size"].required
    assert not settings["width"].required
    assert settings["width"].default == 64
    assert settings["width"].constraint == "greater than 0"
    assert settings["plain"].annotation is int


def test_descriptions_come_from_both_docstrings():
    settings = settings_of(Thing)
    assert settings["width"].description == "Channels of the last hidden layer."
    assert settings["mode"].description == "How: one of two."
    assert settings["size"].description == "In pixels."
    assert settings["rate"].description == "Overrides the class's line."
    assert settings["flag"].description == ""


@pytest.mark.parametrize(
    ("name", "type_", "range_", "expected"),
    [
        ("size", "int", "", "an integer"),
        ("width", "int", "> 0", "an integer greater than 0"),
        ("rate", "float", "> 0, ≤ 1", "a number greater than 0 and at most 1"),
        ("betas", "list of 2 floats", "each ≥ 0, < 1", "a list of 2 numbers, each at least 0 and less than 1"),
        ("mode", "'soft' or 'hard'", "", "one of 'soft', 'hard'"),
        ("limit", "float or none", "> 0", "a number greater than 0"),
        ("old", "int or none", "", "an integer"),
        ("flag", "bool", "", "true or false"),
        ("name", "str", "length ≥ 1", "a string of length at least 1"),
        ("steps", "list of ints", "", "a list of integers"),
        ("table", "table", "", "a table"),
    ],
)
def test_types_and_ranges_in_words(name, type_, range_, expected):
    setting = settings_of(Thing)[name]
    assert (setting.type, setting.range, setting.expected) == (type_, range_, expected)


def test_values_come_back_complete_in_the_signature_s_order():
    values = complete(width=3, rate=1, betas=[0, 0.9], limit=2, table={"a": 1}, steps=[1, 2], where="a/b")
    assert list(values) == list(settings_of(Thing))
    assert values["rate"] == 1.0
    assert isinstance(values["rate"], float)
    assert values["betas"] == (0.0, 0.9)
    assert values["steps"] == (1, 2)
    assert values["where"] == Path("a/b")
    assert (values["limit"], values["old"], values["mode"], values["model_config"]) == (2.0, None, "soft", 1)


def test_defaults_are_not_shared():
    complete()["table"]["a"] = 1
    assert complete()["table"] == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": "abc"}, "generator.width: found 'abc', expected an integer greater than 0."),
        ({"width": 0}, "generator.width: found 0, expected an integer greater than 0."),
        ({"width": True}, "generator.width: found True, expected an integer greater than 0."),
        ({"width": 3.0}, "generator.width: found 3.0, expected an integer greater than 0."),
        ({"width": "3"}, "generator.width: found '3', expected an integer greater than 0."),
        ({"width": None}, "generator.width: found None, expected an integer greater than 0."),
        ({"rate": True}, "generator.rate: found True, expected a number greater than 0 and at most 1."),
        ({"rate": "0.5"}, "generator.rate: found '0.5', expected a number greater than 0 and at most 1."),
        ({"rate": math.nan}, "generator.rate: found nan, expected a number greater than 0 and at most 1."),
        ({"flag": 1}, "generator.flag: found 1, expected true or false."),
        ({"mode": "sof"}, "generator.mode: found 'sof', expected one of 'soft', 'hard'."),
        ({"name": ""}, "generator.name: found '', expected a string of length at least 1."),
        ({"name": "\udcff"}, "generator.name: found '\\udcff', expected a string of length at least 1."),
        ({"limit": "none"}, "generator.limit: found 'none', expected a number greater than 0."),
        (
            {"betas": [0.5]},
            "generator.betas: found [0.5], expected a list of 2 numbers, each at least 0 and less than 1.",
        ),
        (
            {"betas": [0.5, 1]},
            "generator.betas: found [0.5, 1], expected a list of 2 numbers, each at least 0 and less than 1.",
        ),
        ({"even": 3}, "generator.even: found 3, expected an integer (it must be even)."),
        ({"table": {"a": "b"}}, "generator.table: found {'a': 'b'}, expected a table."),
        ({"plain": "x"}, "generator.plain: found 'x', expected an integer."),
        (
            {"width": 0, "flag": 2},
            "generator.width: found 0, expected an integer greater than 0; "
            "generator.flag: found 2, expected true or false.",
        ),
    ],
)
def test_faults_name_the_key_what_was_found_and_what_was_expected(values, message):
    with pytest.raises(ConfigError) as error:
        complete(**values)
    assert str(error.value) == message


def test_a_missing_setting_is_named():
    with pytest.raises(ConfigError, match=r"^generator\.size: not given and without a default, expected an integer\.$"):
        validate(Thing, {}, "generator")


def test_an_unknown_setting_gets_the_nearest_name():
    with pytest.raises(
        ConfigError,
        match=r"^generator\.widht is no setting of generator 'thing'\. Did you mean 'width'\? It has: size, width",
    ):
        complete(widht=3)
    with pytest.raises(ConfigError, match=r"loss\.x is no setting of loss 'object'\. It has none\.$"):
        validate(object, {"x": 1}, "loss")


def test_what_no_configuration_can_hold_is_refused():
    class Open:
        def __init__(self, *, anything: Any = None) -> None: ...

    with pytest.raises(ConfigError, match=r"where\.anything: found <function"):
        validate(Open, {"anything": complete}, "where")


def test_numbers_of_numpy_are_numbers():
    values = complete(width=np.int64(3), rate=np.float32(0.5), flag=np.bool_(True))
    assert [type(values[name]) for name in ("width", "rate", "flag")] == [int, float, bool]


@given(st.floats(min_value=0, exclude_min=True, max_value=1), st.integers(min_value=1), st.text(min_size=1))
def test_valid_values_come_back_exactly(rate, width, name):
    values = complete(rate=rate, width=width, name=name)
    assert (values["rate"], values["width"], values["name"]) == (rate, width, name)


def test_inherited_and_generated_signatures():
    class Child(Thing):
        """A child.

        Args:
            width: The child's word.
        """

    assert settings_of(Child)["width"].description == "The child's word."
    assert settings_of(Child)["mode"].description == "How: one of two."

    @dataclasses.dataclass(kw_only=True)
    class Record:
        margin: float = 1.0

    assert validate(Record, {"margin": 2}, "loss") == {"margin": 2.0}


def test_types_that_cannot_be_resolved_are_the_plugin_s_fault():
    class Lost:
        def __init__(self, *, thing: Never = None) -> None: ...

    with pytest.raises(PluginError, match=r"Lost: the type 'Never' of its setting 'thing' cannot be resolved"):
        settings_of(Lost)


def test_use_is_reserved():
    class Greedy:
        def __init__(self, *, use: int = 1) -> None: ...

    with pytest.raises(PluginError, match="Greedy has a setting named 'use'"):
        settings_of(Greedy)


def test_the_docstring_parser_keeps_to_its_section():
    found = arguments_in(
        """Summary.

        Args:
            one: First,
                with: a colon.

                And a second paragraph.
            *two: Second.

        Returns:
            three: No argument.

        Args:
            four: From a later section.
        """
    )
    assert found == {
        "one": "First, with: a colon. And a second paragraph.",
        "two": "Second.",
        "four": "From a later section.",
    }
