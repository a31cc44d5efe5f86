"""The trainer of the documentation trains, and a run of it goes on exactly."""

import sys
from pathlib import Path

import pytest
from small_runs import own_registry, same_tensors, small
from synthetic import Squares
from test_docs import blocks

import gadkit
from gadkit.checkpoints.store import read_tensors
from gadkit.runs.folder import Run

PAGE = Path(__file__).parents[2] / "docs/plugins.md"


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = (block for block in blocks(PAGE, "python") if "class Together" in block)
    (tmp_path / "together.py").write_text(code, encoding="utf-8")
    with own_registry():
        yield "together.py"
    sys.modules.pop("together", None)


def ends(run):
    return [read_tensors(path, "training.safetensors") for path in Run(Path(run)).checkpoints()]


def test_a_run_of_it_that_was_stopped_goes_on_exactly(plugin):
    choices = {"trainer": "together", "plugins": [plugin], "penalty": "none", "batch_size": None, "log_every": 4}
    small("unbroken", steps=9, **choices)
    small("stopped", steps=5, **choices)
    gadkit.train(resume="stopped", steps=9, plugins=[plugin], dataset=Squares)
    assert same_tensors(ends("unbroken")[-1], ends("stopped")[-1])
    assert not same_tensors(ends("unbroken")[-1], ends("unbroken")[0])
    unbroken, stopped = (
        {
            line["step"]: {k: v for k, v in line.items() if k not in ("seconds", "waited")}
            for line in Run(Path(run)).read_log()
        }
        for run in ("unbroken", "stopped")
    )
    assert stopped.keys() == {4, 5, 8, 9}  # a line for the last step of each
    assert {step: stopped[step] for step in (4, 9)} == {step: unbroken[step] for step in (4, 9)}
