"""The feature network, metric and protocol of the documentation conform, and measure from the command line."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from small_runs import own_registry
from test_docs import blocks

from gadkit.cli import app
from gadkit.testing import check_features, check_metric

PAGE = Path(__file__).parents[2] / "docs/plugins.md"


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = (block for block in blocks(PAGE, "python") if "class Edges" in block)
    (settings,) = (block for block in blocks(PAGE, "toml") if "edges500.toml" in block)
    (tmp_path / "edges.py").write_text(code, encoding="utf-8")
    (tmp_path / "edges500.toml").write_text(settings, encoding="utf-8")
    with own_registry():
        yield tmp_path / "edges.py"
    sys.modules.pop("edges", None)


def test_they_conform(plugin, monkeypatch):
    monkeypatch.syspath_prepend(plugin.parent)
    import edges

    check_features(edges.Edges)
    check_metric(edges.Means)


def test_they_measure(plugin, monkeypatch):
    rng = np.random.default_rng(0)
    for name, height in (("made", 40), ("real", 200)):
        Path(name).mkdir()
        np.save(f"{name}/clips.npy", rng.integers(0, height, (40, 20, 16, 16, 3), dtype=np.uint8))
    command = "gadkit evaluate made --against real --plugin edges.py --protocol edges500 --out result.json"
    monkeypatch.setattr(sys, "argv", command.split())
    assert app.run(app.app) == 0
    found = json.loads(Path("result.json").read_text())
    value = found["values"]["means[edges]"]
    assert value["value"] > 100 * value["floor"] > 0
    assert value["literature"] == ""
    assert found["manifest"]["protocol"]["name"] == "edges.py:edges500"
