"""The trainer's step beside the loop of PyTorch's DCGAN example: the comparison that the benchmark makes first."""

import importlib.util
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "training_step.py"


def test_three_float64_steps_equal_the_examples(capsys, monkeypatch):
    """Independent nets, plain Adam, contiguous weights: `compare` ends the program where 1e-9 is passed."""
    spec = importlib.util.spec_from_file_location("training_step", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, script)  # where its dataclasses look themselves up
    spec.loader.exec_module(script)
    script.compare(8)
    assert "3 steps" in capsys.readouterr().out
