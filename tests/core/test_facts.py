"""What a run's files say of how it went is believed only where it can have been."""

import copy
import math

import pytest
import torch

from gadkit.engine.optimisers import load_optimiser_state, optimiser_state
from gadkit.errors import RunError
from gadkit.runs.attempt import Attempt
from gadkit.runs.facts import facts_of, values_of
from gadkit.runs.folder import Run
from gadkit.tables import DEEPEST, LONGEST, parse_toml

STATE = {
    "step": 5,
    "seconds": 1.5,
    "attempt": {"number": 1, "rate": 0.5, "tries": 1, "trouble": 7},
    "best": {"step": 4, "metric": "loss/generator", "value": 0.25, "logged": 4},
    "data": {"videos": 3, "content": "abc"},
    "nets": {"generator": {}},
    "training": {},
}


def changed(key, value):
    state = copy.deepcopy(STATE)
    *above, last = key.split(".")
    inner = state
    for name in above:
        inner = inner[name]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return state


def test_the_facts_of_a_state(tmp_path):
    facts = facts_of(tmp_path / "step-000005", STATE)
    assert (facts.step, facts.seconds, facts.best, facts.videos, facts.content) == (5, 1.5, STATE["best"], 3, "abc")
    assert facts.attempt == Attempt(number=1, rate=0.5, tries=1, trouble=7)
    assert facts_of(tmp_path / "step-000005", changed("best", None)).best is None


@pytest.mark.parametrize("value", [None, -1, 0.5, 2**63, math.inf, math.nan, "", "../x", [], {}, True])
@pytest.mark.parametrize("key", ["step", "attempt.number", "attempt.tries", "attempt.trouble", "best.logged"])
def test_counts_are_counts(tmp_path, key, value):
    with pytest.raises(RunError, match=r"step-000005.state\.json: is no state of a training that this gadkit knows"):
        facts_of(tmp_path / "step-000005", changed(key, value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seconds", math.inf),
        ("seconds", -1.0),
        ("seconds", "1"),
        ("attempt", []),
        ("attempt.rate", 0),
        ("attempt.rate", 1.5),
        ("attempt.rate", math.nan),
        ("attempt.more", 1),
        ("best", 3),
        ("best.value", math.nan),
        ("best.value", "0"),
        ("best.step", "../x"),
        ("data.videos", -1),
        ("data.content", None),
        ("data", ...),
        ("step", ...),
        ("attempt", ...),
        ("best.step", ...),
        ("nets", []),
        ("nets.generator", 3),
        ("step", 6),
    ],
    ids=str,
)
def test_other_facts_are_what_they_can_be(tmp_path, key, value):
    with pytest.raises(RunError, match=r"state\.json: is no state") as caught:
        facts_of(tmp_path / "step-000005", changed(key, value))
    assert key.split(".")[0] in str(caught.value)


@pytest.mark.parametrize("state", [None, [], 3, "x"])
def test_a_state_is_a_table(tmp_path, state):
    with pytest.raises(RunError, match="is no state of a training"):
        facts_of(tmp_path / "step-000005", state)


def test_the_values_of_a_line_are_numbers():
    line = {"step": 1, "a": 0.5, "b": True, "c": "1", "d": 10**400, "e": math.nan, "f": None, "g": -2}
    assert values_of(line) == {"step": 1.0, "a": 0.5, "g": -2.0}


@pytest.mark.parametrize(
    "line",
    [
        '{"step": -1}',
        '{"step": true}',
        '{"step": 2, "event": "rollback", "attempt": {"number": "1"}}',
        '{"step": 2, "event": "rollback", "attempt": 3}',
        '{"step": 2, "event": "rollback", "attempt": {"number": 1, "rate": 7}}',
        "[" * 100_000,
    ],
)
def test_a_log_is_read_up_to_a_line_that_cannot_have_been_written(tmp_path, line):
    (tmp_path / "log.jsonl").write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    assert Run(tmp_path).read_log() == [{"step": 1}]
    (tmp_path / "log.jsonl").unlink()
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(RunError, match=r"log\.jsonl: cannot be read"):
        Run(tmp_path).read_log()


@pytest.mark.parametrize("text", ['{"step": 1e400}', '{"step": "2"}', '{"step": -2}', "[" * 100_000, "{}", "3"])
def test_the_best_checkpoint_is_a_step(tmp_path, text):
    (tmp_path / "checkpoints" / "step-000002").mkdir(parents=True)
    (tmp_path / "best.json").write_text(text)
    with pytest.raises(RunError, match=r"best\.json: cannot be read"):
        Run(tmp_path).find_checkpoint("best")


# --- the memory of optimisers ----------------------------------------------------------------------------------------

ADAM = {"step": torch.tensor(3.0), "exp_avg": torch.ones(3, 4), "exp_avg_sq": torch.ones(3, 4)}


@pytest.mark.parametrize(
    "entry",
    [
        ADAM | {"exp_avg": torch.ones(1, 4)},
        ADAM | {"exp_avg": torch.tensor(1.0)},
        ADAM | {"exp_avg_sq": torch.ones(6, 4)},
        ADAM | {"exp_avg": 3},
        ADAM | {"step": torch.ones(3, 4)},
        ADAM | {"step": 3},
        ADAM | {"more": torch.ones(3, 4)},
        {"step": torch.tensor(3.0)},
        [],
        "x",
    ],
    ids=lambda entry: (
        str({name: getattr(value, "shape", value) for name, value in dict(entry or {}).items()})
        if isinstance(entry, dict)
        else str(entry)
    ),
)
def test_an_optimiser_takes_only_memory_of_its_own_kind_and_size(entry):
    """A fused one would read and write beyond the end of a tensor that is too small."""
    optimiser = torch.optim.Adam([torch.zeros(3, 4, requires_grad=True)], fused=True)
    with pytest.raises(ValueError, match=r"the shape|remembers|the memory"):
        load_optimiser_state(optimiser, [entry])
    with pytest.raises(ValueError, match="argument 2"):
        load_optimiser_state(optimiser, [ADAM, ADAM])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (torch.optim.Adam, {"fused": True}),
        (torch.optim.AdamW, {"amsgrad": True}),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
        (torch.optim.SGD, {"lr": 0.1}),
        (torch.optim.NAdam, {}),
        (torch.optim.RMSprop, {"momentum": 0.5, "centered": True}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_every_optimiser_goes_on_as_it_would_have(kind, settings):
    def steps(parameter, optimiser, count, first):
        for number in range(first, first + count):
            parameter.grad = torch.sin(torch.arange(12.0).reshape(3, 4) + number)
            optimiser.step()

    one = torch.ones(3, 4, requires_grad=True)
    optimiser = kind([one], **settings)
    steps(one, optimiser, 3, 0)
    other = one.detach().clone().requires_grad_()
    again = kind([other], **settings)
    load_optimiser_state(again, copy.deepcopy(optimiser_state(optimiser)))
    steps(one, optimiser, 3, 3)
    steps(other, again, 3, 3)
    assert torch.equal(one, other)


# --- TOML ------------------------------------------------------------------------------------------------------------


def test_toml_is_bounded_before_it_is_parsed():
    assert parse_toml(b"a.b.c = 1") == {"a": {"b": {"c": 1}}}
    deep = ".".join(["a"] * DEEPEST)
    assert parse_toml(f"{deep} = 1".encode())
    for key in (f"{deep}.a", f"{deep} . 'b'", f'{deep}."b"', f'"x".{deep}'):
        for text in (f"{key} = 1", f"\n[{key}]", f"[[{key}]]", f"b = {{{key} = 1}}"):
            with pytest.raises(ValueError, match=f"has a key of more than {DEEPEST} parts"):
                parse_toml(text.encode())
    assert parse_toml(b"#" * LONGEST) == {}
    with pytest.raises(ValueError, match="is longer than"):
        parse_toml(b"#" * (LONGEST + 1))
    for text in (b"a = " + b"[" * 100_000, b"a = " + b"9" * 5000, b"a", b"a = 1\na = 2"):
        with pytest.raises(ValueError, match="is not TOML"):
            parse_toml(text)
    with pytest.raises(ValueError, match=r"is not UTF-8 \(at line 2\)"):
        parse_toml(b"a = 1\nb = '\xff'")
