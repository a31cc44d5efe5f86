"""Settings that change during a run: their shapes, and how configurations take and refuse them."""

from __future__ import annotations

import math
import tomllib
from itertools import pairwise
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plugins_fixtures.stand_ins import stand_in_registry
from pydantic import Field

import gadkit
from gadkit import ConfigError, Penalty, Scheduled
from gadkit.config import RunConfig
from gadkit.schedules import Schedule
from gadkit.signature import settings_of

Beta = Annotated[Scheduled, Field(ge=0, lt=1)]


class Pull(Penalty):
    """A penalty with schedulable settings of every kind.

    Args:
        weight: Plain.
        betas: Two.
        several: Any number of them.
        limit: May be nothing, or a word.
        fixed: Cannot change.
        pair: Only its second place can.
        table: A table of its own.
    """

    def __init__(
        self,
        *,
        weight: Annotated[Scheduled, Field(gt=0, le=100)] = 1.0,
        betas: tuple[Beta, Beta] = (0.5, 0.999),
        several: list[Scheduled] = [],  # noqa: B006
        limit: Annotated[Scheduled, Field(ge=0)] | Literal["auto"] | None = None,
        fixed: Annotated[int, Field(gt=0)] = 3,
        pair: tuple[float, Scheduled] = (1.0, 2.0),
        table: dict[str, float] = {},  # noqa: B006
    ) -> None:
        self.weight, self.betas, self.several, self.limit, self.pair = weight, betas, several, limit, pair

    def __call__(self, critic, real, fake, noise):
        return self.weight * critic(real).square().mean()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with stand_in_registry(tmp_path_factory.mktemp("site")) as registry:
        yield registry


def resolve(registry, settings, **more):
    flags = {"penalty.use": registry.adopt("penalty", Pull), "run.steps": 100, **more}
    return RunConfig.resolve(registry, recipe="dcgan", flags=flags | {f"penalty.{k}": v for k, v in settings.items()})


def penalty(registry, **settings):
    return resolve(registry, settings).parts["penalty"]


# --- values as functions of the step ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "quarter", "middle"),
    [
        ("linear", 6.5, 5.0),
        ("cosine", 2.0 + 6.0 * (0.5 + math.sqrt(0.125)), 5.0),
        ("exponential", 8.0 * 0.25**0.25, 4.0),
    ],
)
def test_shapes_have_their_closed_forms(shape, quarter, middle):
    schedule = Schedule(8.0, 2.0, steps=200, after=50, shape=shape)
    found = [schedule.at(step, 10**9) for step in (0, 50, 100, 150, 250, 251, 10**6)]
    assert found == pytest.approx([8.0, 8.0, quarter, middle, 2.0, 2.0, 2.0], rel=1e-14)
    assert (found[0], found[4]) == (8.0, 2.0)


def test_cosine_is_pytorch_s_annealing():
    parameter = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.SGD([parameter], lr=2e-4)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=30, eta_min=5e-5)
    schedule = Schedule(2e-4, 5e-5, shape="cosine")
    for step in range(31):
        assert schedule.at(step, 30) == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)
        optimiser.step()
        reference.step()


def test_exponential_takes_the_same_factor_in_every_step_on_either_side_of_zero():
    for sign in (1.0, -1.0):
        values = [Schedule(sign * 1e-3, sign * 1e2, shape="exponential").at(step, 50) for step in range(51)]
        factors = [b / a for a, b in pairwise(values)]
        assert factors == pytest.approx([10 ** (5 / 50)] * 50, rel=1e-9)


def test_steps_are_those_of_the_run_where_none_are_given():
    assert Schedule(4.0, 0.0).at(30, 40) == 1.0
    assert Schedule(4.0, 0.0, after=20).at(30, 40) == 2.0
    assert Schedule(4.0, 0.0, steps=5, after=20).at(30, 40) == 0.0
    for given_ in (Schedule(4.0, 0.0), Schedule(4.0, 0.0, after=20), Schedule(4.0, 0.0, steps=5, after=20)):
        assert [given_.over(40).at(step, 7) for step in range(60)] == [given_.at(step, 40) for step in range(60)]


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    NUMBERS, NUMBERS, st.integers(1, 1000), st.integers(0, 2000), st.sampled_from(["linear", "cosine", "exponential"])
)
def test_a_value_never_leaves_the_range_of_its_ends(start, end, steps, step, shape):
    if shape == "exponential":
        start, end = abs(start) or 1.0, abs(end) or 1.0
    value = Schedule(start, end, steps=steps, shape=shape).at(step, 1)
    assert min(start, end) <= value <= max(start, end)


@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential"])
def test_a_schedule_between_equal_ends_is_that_number(shape):
    for number in (3.0, 0.1, -0.7, 1e-300, 11.3):
        assert {Schedule(number, number, shape=shape).at(step, 7) for step in range(8)} == {number}


# --- in a configuration ----------------------------------------------------------------------------------------------


def test_a_component_is_built_with_the_starts_and_knows_the_values_of_each_step(registry):
    part = penalty(
        registry,
        weight={"start": 2, "end": np.float32(0.5), "shape": "exponential", "steps": 10},
        betas=[{"start": 0.0, "end": 0.8}, 0.9],
        several=[1, {"start": 0, "end": 100, "after": 50}],
        limit={"start": 3, "end": 1},
        pair=(0.5, {"start": 1, "end": 2}),
    )
    assert part.settings["weight"] == 2.0
    assert part.settings["betas"] == (0.0, 0.9)
    assert (part.settings["several"], part.settings["limit"], part.settings["fixed"]) == ([1.0, 0.0], 3.0, 3)
    now = part.at(75, 100)
    assert (now["weight"], now["several"], now["limit"]) == (0.5, [1.0, 50.0], 1.5)
    assert (now["betas"], now["pair"], now["fixed"]) == (pytest.approx((0.6, 0.9)), (0.5, 1.75), 3)
    assert isinstance(now["betas"], tuple)
    assert penalty(registry, weight=2).schedules == {}


def test_it_is_written_as_it_was_given_and_resolves_to_the_same(registry, tmp_path):
    tables = {
        "weight": {"start": 2.0, "end": 0.5, "steps": 10, "after": 5, "shape": "cosine"},
        "limit": {"start": 3.0, "end": 1.0},
        "betas": [0.0, {"start": 0.9, "end": 0.99}],
    }
    config = resolve(registry, tables)
    written = tomllib.loads(config.to_toml())["penalty"]
    assert {name: written[name] for name in tables} == tables
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml())
    again = RunConfig.resolve(registry, file=path)
    assert again == config
    assert again.parts["penalty"].at(33, 100) == config.parts["penalty"].at(33, 100)


def test_set_takes_a_table_and_a_number_puts_it_away(registry):
    use, table = {"penalty.use": registry.adopt("penalty", Pull)}, "penalty.weight={start = 2, end = 0.2}"
    config = RunConfig.resolve(registry, recipe="dcgan", flags=use, sets=[table])
    assert config.parts["penalty"].schedules["weight"] == Schedule(2.0, 0.2)
    config = RunConfig.resolve(registry, recipe="dcgan", flags=use, sets=[table, "penalty.weight=3"])
    assert (config.parts["penalty"].settings["weight"], config.parts["penalty"].schedules) == (3.0, {})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"weight": {"start": 1, "end": 2, "shape": "cosin"}},
            "penalty.weight: found shape = 'cosin' in its schedule, expected 'linear', 'cosine' or 'exponential'.",
        ),
        (
            {"weight": {"start": 1}},
            "penalty.weight: its schedule has no end; give both, such as {start = 1.0, end = 0.1}, or a number.",
        ),
        (
            {"weight": {"begin": 1, "end": 2}},
            "penalty.weight: a schedule has no 'begin'. It has: start, end, steps, after, shape.",
        ),
        ({"weight": {"start": "1", "end": 2}}, "penalty.weight: found start = '1' in its schedule, expected a finite"),
        ({"weight": {"start": 1, "end": True}}, "penalty.weight: found end = True in its schedule, expected a finite"),
        ({"weight": {"start": 1, "end": math.nan}}, "penalty.weight: found end = nan in its schedule"),
        ({"weight": {"start": 10**400, "end": 1}}, "penalty.weight: found start = 1000"),
        ({"weight": {"start": 1, "end": 2, "steps": 0}}, "found steps = 0 in its schedule, expected an integer from 1"),
        ({"weight": {"start": 1, "end": 2, "steps": 3.0}}, "found steps = 3.0 in its schedule, expected an integer"),
        (
            {"weight": {"start": 1, "end": 2, "after": -1}},
            "found after = -1 in its schedule, expected an integer from 0",
        ),
        (
            {"weight": {"start": 0, "end": 2}},
            "penalty.weight: found 0.0, expected a number greater than 0 and at most 1",
        ),
        (
            {"weight": {"start": 1, "end": 101}},
            "At the end of its schedule, penalty.weight: found 101.0, expected a number greater than 0 and at",
        ),
        (
            {"betas": [0.0, {"start": 0.9, "end": 1.0}]},
            "At the end of its schedule, penalty.betas: found [0.0, 1.0], expected a list of 2 numbers, each at",
        ),
        ({"betas": [{"start": 0.9}, 0.5]}, "penalty.betas.0: its schedule has no end; give both"),
        (
            {"limit": {"start": 1, "end": 0, "shape": "exponential"}},
            "penalty.limit: an exponential schedule cannot go from 1 to 0, for no factor leads through zero or to it;",
        ),
        (
            {"several": [{"start": -1, "end": 2, "shape": "exponential"}]},
            "penalty.several.0: an exponential schedule cannot go from -1 to 2, for no factor",
        ),
        (
            {"fixed": {"start": 1, "end": 2}},
            "penalty.fixed cannot change during a run; found {'start': 1, 'end': 2}, expected an integer greater than",
        ),
        (
            {"pair": {"start": 1, "end": 2}},
            "penalty.pair takes schedules in its places, not in place of all of it; found {'start': 1, 'end': 2}, "
            "expected a list of 2 values, of which some can be such tables.",
        ),
        ({"pair": [{"start": 1, "end": 2}, 1]}, "penalty.pair.0 cannot change during a run; found {'start': 1,"),
        (
            {"weight": {"start": 1, "end": 2, "after": 100}},
            "penalty.weight: its schedule begins after 100 steps, and the run has 100 (run.steps); let it",
        ),
        ({"weight": True}, "penalty.weight: found True, expected a number greater than 0 and at most 100."),
    ],
)
def test_what_is_no_schedule_is_refused_in_one_sentence(registry, settings, message):
    with pytest.raises(ConfigError) as caught:
        resolve(registry, settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_a_setting_takes_itself_stays_one(registry):
    part = penalty(registry, table={"start": 1.0, "end": 2.0})
    assert (part.settings["table"], part.schedules) == ({"start": 1.0, "end": 2.0}, {})


def test_a_refiner_has_no_steps_to_change_over():
    from gadkit.registry import Registry

    class Still(gadkit.Refiner):
        def __init__(self, *, steps: int = 1, rate: Scheduled = 1.0):
            self.steps, self.rate = steps, rate

        def refine(self, score, start, noise):
            return start

    registry = Registry()
    flags = {"refiner.use": registry.adopt("refiner", Still), "refiner.rate": {"start": 1, "end": 2}}
    with pytest.raises(ConfigError, match=r"refiner\.rate cannot change during a run, which no refiner takes part in"):
        RunConfig.resolve(registry, recipe="none", flags=flags | {"trainer.use": "minimax"})


def test_types_in_words():
    settings = settings_of(Pull)
    words = {name: (each.type, each.expected, each.scheduled) for name, each in settings.items()}
    assert words["weight"] == ("schedulable float", "a number greater than 0 and at most 100", True)
    assert words["betas"][0] == "list of 2 schedulable floats"
    assert settings["betas"].range == "each ≥ 0, < 1"
    assert words["several"] == ("list of schedulable floats", "a list of numbers", True)
    assert [name for name, (_, _, changes) in words.items() if not changes] == ["fixed", "table"]
