"""A plugin that was written against contract 1 is loaded, trained, sampled and measured, and outlives new arguments.

The plugin (`plugins_fixtures/contract_1`) is kept as it was written. Where a test here can only be mended by changing
it, `API_VERSION` grows, and a `contract_2` is put beside it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from plugins_fixtures import importable, install
from small_runs import own_registry
from typer.testing import CliRunner

import gadkit
from gadkit import PluginError, engine, hookspecs
from gadkit.component import API_VERSION, KINDS, OLDEST_API
from gadkit.hookspecs import hookspec
from gadkit.registry import Registry, discovery, entry, get_registry

#: What contract 1 had: the kinds, the lifecycle hooks with their arguments, and the public names.
KINDS_1 = {
    *("generator", "assembler", "discriminator", "loss", "penalty", "augmentation", "direction", "refiner", "trainer"),
    *("dataset", "features", "metric", "protocol", "recipe", "tracker", "command"),
}
LIFECYCLE_1 = {
    "gadkit_run_started": {"folder", "config", "step"},
    "gadkit_step_logged": {"folder", "step", "values"},
    "gadkit_event_logged": {"folder", "step", "event", "text"},
    "gadkit_samples_written": {"folder", "step", "path"},
    "gadkit_run_ended": {"folder", "step", "reason"},
}
NAMES_1 = [
    *("API_VERSION", "Augmentation", "Component", "ConfigError", "Critic", "DataError", "Dataset"),
    *("DeviceError", "Direction", "Discriminator", "Features", "Footage", "Footprint", "GadkitError", "Game"),
    *("Generator", "Key", "Logits", "Loss", "Model", "Noise", "Penalty", "Player", "PluginError", "Refiner"),
    *("Reporter", "Run", "RunError", "Scheduled", "Score", "Session", "Source", "Tracker", "Trainer"),
    *("Training", "UnavailableError", "VideoAssembler", "VideoMetric", "VideoSpec", "Weights", "__version__"),
    *("compare", "evaluate", "hookimpl", "load", "load_features", "train", "write_video"),
]
ENGINE_1 = [
    *("Adversary", "Augmenter", "Average", "Batch", "Batches", "BoundCritic", "BoundPlayer", "Choice", "Clips"),
    *("Cut", "Engine", "Finding", "GroupedBatchNorm", "Meter", "Watch", "commit_statistics", "cut_batch"),
    *("describe_device", "graph_bytes", "group_batchnorm", "judge", "laid_out_like", "lay_out"),
    *("load_optimiser_state", "make_ready", "optimiser_state", "passing", "refused", "statistics_groups"),
    "total",
]


@pytest.fixture
def site(tmp_path):
    with importable(tmp_path / "site"), own_registry():
        install(tmp_path / "site", "contract_1")
        yield tmp_path / "site"


@pytest.fixture
def ramps(tmp_path, monkeypatch):
    folder = tmp_path / "ramps"
    folder.mkdir()
    (folder / "ramps.txt").write_text("6 7 8 9 6 7 8 9\n")
    monkeypatch.chdir(tmp_path)
    return folder


def calls():
    return sys.modules["contract_1.plugin"].CALLS


def test_this_gadkit_keeps_to_contract_1():
    assert OLDEST_API <= 1 <= API_VERSION
    assert set(KINDS) >= KINDS_1
    assert set(NAMES_1) <= {*gadkit.__all__, *gadkit._DEPRECATED}
    for name in NAMES_1:
        getattr(gadkit, name)
    for name in ENGINE_1:
        getattr(engine, name)


def test_hooks_have_at_least_the_arguments_of_contract_1():
    manager = discovery.new_manager()
    for name, arguments in LIFECYCLE_1.items():
        spec = getattr(manager.hook, name).spec
        assert arguments <= set(spec.argnames)
    for kind in KINDS_1:
        assert getattr(manager.hook, KINDS[kind].hook).spec.argnames == ()


def test_every_kind_of_it_is_loaded(site):
    registry = Registry.discover({"GADKIT_STRICT_PLUGINS": "1"})
    own = [each for each in registry.entries() if each.distribution == "contract-1"]
    assert {each.kind for each in own} == KINDS_1
    for each in own:
        assert each.text() if KINDS[each.kind].is_file else each.load()
    (plugin,) = [plugin for plugin in registry.plugins if plugin.distribution == "contract-1"]
    assert (plugin.status, plugin.api, plugin.components) == ("ready", 1, len(KINDS_1))


def test_all_of_its_parts_train_together_go_on_sample_and_are_measured(site, ramps):
    registry = get_registry()
    recipe = registry.find("recipe", "contract").qualified
    small = {"recipe": recipe, "data": ramps, "device": "cpu", "precision": "fp32"}
    whole = gadkit.train(out="whole", tracker=["contract-1:contract"], **small)
    assert whole.reason == "finished"
    told = calls()
    assert [call for call in told if call[0] in ("started", "ended")] == [
        ("started", True, 3, 0),
        ("ended", 4, "finished"),
    ]
    assert [call[1] for call in told if call[0] == "logged"] == [2, 4]
    assert ("samples", 4, True) in told
    notes = Path("whole/notes.txt").read_text().splitlines()
    assert (notes[0], notes[-1]) == ("started 3 0", "ended 4 finished")
    gadkit.train(out="halves", steps=2, **small)
    gadkit.train(resume="halves", steps=4)
    model, other = gadkit.load("whole"), gadkit.load("halves")
    for name, tensor in model.generator.state_dict().items():
        assert tensor.equal(other.generator.state_dict()[name]), "it goes on exactly"
    plain = model.sample(2, length=6, refine=0)
    assert plain.shape == (2, 6, 3, 16, 16)
    assert model.sample(2, length=4, refine=0).equal(plain[:, :4])
    assert not model.sample(2, length=6).equal(plain), "the recipe's refiner moves them"
    result = gadkit.evaluate("whole", protocol="contract-1:contract", split="all", device="cpu")
    (value,) = result.values
    assert "gap" in value


def test_its_trainer_trains(site, ramps):
    recipe = get_registry().find("recipe", "contract").qualified
    small = {"recipe": recipe, "data": ramps, "device": "cpu", "precision": "fp32", "penalty": "none"}
    small |= {"trainer": "contract-1:contract", "augmentation": "none", "direction": "none"}
    assert gadkit.train(out="run", **small).reason == "finished"
    gadkit.train(out="halves", steps=2, **small)
    gadkit.train(resume="halves", steps=4)
    one, other = (
        torch.cat([each.flatten() for each in gadkit.load(run).generator.parameters()]) for run in ("run", "halves")
    )
    assert one.equal(other)


def test_its_command_runs(site):
    from gadkit.cli.app import app

    done = CliRunner().invoke(app, ["contract", "word", "--times", "2"])
    assert (done.exit_code, done.output) == (0, "word word\n")


def test_a_hook_that_gains_an_argument_calls_it_as_before(site, monkeypatch, tmp_path):
    def gadkit_step_logged(folder, step, values, seconds): ...

    def gadkit_generators(size): ...

    for grown in (gadkit_step_logged, gadkit_generators):
        monkeypatch.setattr(hookspecs, grown.__name__, hookspec(grown))
    registry = Registry.discover({"GADKIT_STRICT_PLUGINS": "1"})
    assert registry.find("generator", "contract").distribution == "contract-1"
    registry.notify("gadkit_step_logged", folder=tmp_path, step=7, values={"loss": 1.0}, seconds=0.5)
    assert calls() == [("logged", 7, ["loss"])]
    registry.hook.gadkit_step_logged(folder=tmp_path, step=8, values={}, seconds=0.5)
    assert calls()[1:] == [("logged", 8, [])]
    tracker = registry.find("tracker", "contract-1:contract").load()()
    with registry.attached("contract", tracker):
        registry.notify("gadkit_step_logged", folder=tmp_path, step=9, values={}, seconds=0.5)
    assert (tmp_path / "notes.txt").read_text() == "logged 9\n"


def test_a_hook_that_loses_an_argument_would_be_seen(site, monkeypatch):
    def gadkit_step_logged(folder, step): ...

    monkeypatch.setattr(hookspecs, "gadkit_step_logged", hookspec(gadkit_step_logged))
    (failure,) = Registry.discover({}).failures
    assert "Argument(s) {'values'}" in failure.reason


def test_an_interface_that_asks_for_more_would_be_seen(site, monkeypatch):
    loss = Registry.discover({}).find("loss", "contract")
    assert loss.load()
    monkeypatch.setattr(loss.load(), "__abstractmethods__", frozenset({"conjugate"}))
    with pytest.raises(PluginError, match=r"does not define conjugate, which gadkit\.Loss asks for"):
        loss.load()


def test_a_contract_that_is_no_longer_kept_to_is_refused(site, monkeypatch):
    monkeypatch.setattr(entry, "OLDEST_API", 2)
    (failure,) = [each for each in Registry.discover({}).failures if each.distribution == "contract-1"]
    assert "written for version 1 of the plugin interface and this gadkit takes versions from 2 on" in failure.reason
    assert failure.reason.endswith("upgrade the plugin")
