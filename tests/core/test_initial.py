"""A new run begins with an old model's weights, and nothing of the old one is run or moved."""

from __future__ import annotations

import json
import os
import pickle
import sys

import huggingface_hub
import pytest
import torch
from small_checkpoints import forge
from small_models import VIDEO, checkpoint, damage, description, matched, model, nets, report, run, same, states
from small_runs import SETTINGS, files_of, own_registry, small
from synthetic import Squares
from torch import nn

import gadkit
from gadkit import ConfigError, Model, RunError
from gadkit.checkpoints.store import read_document, read_tensors, write_folder
from gadkit.errors import DamagedError
from gadkit.runs.folder import Run
from gadkit.transfer.initial import begin_from

# --- the same nets ---------------------------------------------------------------------------------------------------


def test_equal_nets_begin_as_the_old_samples_and_the_old_discriminator(tmp_path):
    """The generator with the weights of the model, and not with those that were trained on beside them."""
    old, new = nets(), nets()
    source = checkpoint(tmp_path / "old", old, live={"generator": nets()["generator"]})
    transfer = begin_from(source, new)
    assert same(states(old), states(new))
    shown = [Model(made["generator"], made["assembler"], VIDEO).sample(2, length=9, seed=3) for made in (old, new)]
    assert torch.equal(*shown)
    assert [(net.net, net.found, net.items) for net in transfer.nets] == [
        ("generator", True, ()),
        ("discriminator", True, ()),
    ]
    for each in transfer.nets:
        assert each.parameters == each.total == sum(p.numel() for p in old[each.net].parameters())
        assert set(each.loaded) == old[each.net].state_dict().keys()
    assert transfer.step == 5


def test_the_files_are_named_with_their_digests(tmp_path):
    transfer = begin_from(checkpoint(tmp_path / "old", nets()), nets())
    assert transfer.files == json.loads((tmp_path / "old" / "manifest.json").read_text())["sha256"]
    document = transfer.to_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["sha256"] == transfer.files
    assert (document["source"], document["step"]) == (str(tmp_path / "old"), 5)


def test_an_exported_model_leaves_the_discriminator_as_it_is(tmp_path):
    old, new = nets(), nets()
    before = states(new)
    transfer = begin_from(model(tmp_path / "old", old), new)
    assert same({"generator": states(old)["generator"]}, states(new))
    assert same({"discriminator": before["discriminator"]}, states(new))
    assert not report(transfer, "discriminator").found
    assert "  left    discriminator: new, the source has none" in transfer.lines()


def test_numbers_keep_the_type_of_the_new_net(tmp_path):
    old, new = nets(), nets()
    old["generator"].half()
    begin_from(checkpoint(tmp_path / "old", old), new)
    for key, value in new["generator"].state_dict().items():
        assert value.dtype == (torch.int64 if key.endswith("num_batches_tracked") else torch.float32)
        assert torch.equal(value, old["generator"].state_dict()[key].to(value.dtype))


# --- sources ---------------------------------------------------------------------------------------------------------


def test_a_run_gives_its_newest_checkpoint_or_the_one_that_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old = nets(), nets(), nets()
    run(tmp_path / "r", *old)
    (tmp_path / "r" / "best.json").write_text('{"step": 100}')
    place = tmp_path.joinpath("r", "checkpoints")
    for source, number in (
        *(("r", 3), ("r@latest", 3), ("r@200", 2), ("r@step-000200", 2), ("r@best", 1)),
        *((f"{tmp_path / 'r'}@100", 1), ("r/checkpoints/step-000100", 1)),
    ):
        new = nets()
        transfer = begin_from(source, new)
        assert same(states(old[number - 1]), states(new)), source
        assert (transfer.source, transfer.step) == (source, number * 100)
        assert os.path.samefile(transfer.place, place / f"step-{number * 100:06d}")
    (tmp_path / "r").rename("a@b")  # a name that is there is that name
    assert begin_from("a@b", nets()).step == 300


def test_a_damaged_newest_checkpoint_is_passed_over_and_stays_where_it_is(tmp_path):
    old = nets(), nets(), nets()
    folder = run(tmp_path / "r", *old)
    damage(folder / "checkpoints/step-000300/training.safetensors")
    (folder / "checkpoints/step-000200/config.json").unlink()
    before, new = files_of(folder), nets()
    transfer = begin_from(str(folder), new)
    assert same(states(old[0]), states(new))
    assert transfer.step == 100
    assert ["training.safetensors" in transfer.warnings[0], "config.json" in transfer.warnings[1]] == [True, True]
    with pytest.raises(DamagedError, match=r"training\.safetensors"):  # nothing takes the place of a named one
        begin_from(f"{folder}@300", new)
    damage(folder / "checkpoints/step-000100/model.safetensors")
    after = files_of(folder)
    fresh = states(new)
    with pytest.raises(RunError, match=r"none of the checkpoints of .* is whole.*training\.safetensors"):
        begin_from(str(folder), new)
    assert same(fresh, states(new))
    assert before.keys() == after.keys() == files_of(folder).keys()


def test_a_model_of_the_hub(tmp_path, monkeypatch):
    old, new = nets(), nets()
    model(tmp_path / "cache", old)
    manifest = tmp_path / "cache" / "manifest.json"
    more = dict.fromkeys(("README.md", "state.json", "training.safetensors"), "0" * 64)  # not among what is downloaded
    manifest.write_text(json.dumps({"sha256": json.loads(manifest.read_text())["sha256"] | more}))
    asked = []
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda name, **_: asked.append(name) or tmp_path / "cache"
    )
    monkeypatch.chdir(tmp_path)
    transfer = begin_from("someone/model", new)
    assert asked == ["someone/model"]
    assert same({"generator": states(old)["generator"]}, states(new))
    assert transfer.place == "someone/model"


def test_a_source_that_is_not_there_is_said_before_the_data_are_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Squares, "sources", lambda self: pytest.fail("the data were opened"))
    with own_registry(), pytest.raises(RunError, match=r"run\.init_from: gone is nothing"):
        small("new", init_from="gone")
    assert not os.path.exists("new")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nowhere", r"run\.init_from: nowhere is nothing, expected a run"),
        ("nowhere@500", r"found 'nowhere@500', but nowhere is no run"),
        ("file", r"run\.init_from: file is a file"),
        (".", r"run\.init_from: \. is a folder that is neither"),
        ("x" * 5000, "is nothing"),
        ("nul\0l", "is nothing"),
        ("empty", "empty: has no checkpoint yet"),
        ("old@7", "checkpoint: found '7', but old has step-000100"),
    ],
)
def test_what_is_no_source_is_said(tmp_path, monkeypatch, source, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    run(tmp_path / "empty")
    run(tmp_path / "old", nets())
    with pytest.raises(RunError, match=sentence):
        begin_from(source, nets())


# --- what is refused -------------------------------------------------------------------------------------------------


class Other(gadkit.Generator):
    """A net with nothing in common with the dcgan plugin's."""

    latent_dim = 6

    def __init__(self, spec):
        super().__init__(spec)
        self.map = nn.Linear(6, 768)

    def forward(self, codes, labels=None):
        return self.map(codes).view(*codes.shape[:2], 3, 16, 16)


def test_a_source_of_which_nothing_fits_is_refused(tmp_path):
    source = checkpoint(tmp_path / "old", nets())
    new = {"generator": Other(VIDEO)}
    fresh = states(new)
    with pytest.raises(ConfigError) as caught:
        begin_from(source, new)
    assert str(caught.value) == (
        f"run.init_from: nothing of {source} fits: its generator has 'layers.0.weight' (6×8×4×4) where the new one has "
        "'map.weight' (768×6); choose the parts and sizes that it was trained with, or leave --init-from away."
    )
    assert same(fresh, states(new))
    with pytest.raises(ConfigError, match="because it has none of the nets discriminator"):
        begin_from(model(tmp_path / "model", nets()), {"discriminator": nets()["discriminator"]})


def test_a_count_of_batches_alone_is_nothing(tmp_path):
    """All that both have is a number without a size."""
    new = {"generator": Other(VIDEO)}
    new["generator"].layers = nn.ModuleDict({"1": nn.Module()})
    new["generator"].layers["1"].register_buffer("num_batches_tracked", torch.tensor(0))
    with pytest.raises(ConfigError, match="nothing of"):
        begin_from(checkpoint(tmp_path / "old", nets()), new)


@pytest.mark.parametrize("width", [4, 8], ids=["loaded", "resized"])
@pytest.mark.parametrize(
    ("net", "file"), [("generator", r"model\.safetensors"), ("discriminator", r"training\.safetensors")]
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, width, net, file, value):
    old, new = nets(), nets(width=width)
    key, tensor = list(old[net].state_dict().items())[1]
    tensor.view(-1)[-1] = value
    fresh = states(new)
    with pytest.raises(RunError, match=rf"{file}: tensor '{net}\.{key}' holds numbers that are not finite"):
        begin_from(checkpoint(tmp_path / "old", old), new)
    assert same(fresh, states(new))


def test_numbers_beyond_the_new_nets_type_are_refused(tmp_path):
    old = nets()
    old["generator"].double().layers[0].weight.data.view(-1)[0] = 1e300
    with pytest.raises(RunError, match=r"generator\.layers\.0\.weight"):
        begin_from(checkpoint(tmp_path / "old", old), nets())


def test_a_mask_of_infinities_that_the_new_net_has_too_is_none_of_them():
    old, new = nn.Linear(2, 2), nn.Linear(2, 2)
    for net in (old, new):
        net.register_buffer("mask", torch.full((3, 3), float("-inf")).triu(1))
    assert matched(old, new).report.items == ()


def test_a_state_that_names_a_tensor_that_is_not_there_is_damaged(tmp_path):
    checkpoint(tmp_path / "old", nets())
    made = nets()
    state = read_document(tmp_path / "old", "state.json")
    tensors = read_tensors(tmp_path / "old", "training.safetensors")
    state["nets"]["discriminator"]["last.weight"] = {"$tensor": "nets.discriminator.gone"}
    weights = {
        "model.safetensors": read_tensors(tmp_path / "old", "model.safetensors"),
        "training.safetensors": tensors,
    }
    write_folder(tmp_path / "bad", weights, {"config.json": description(VIDEO), "state.json": state}, {})
    with pytest.raises(DamagedError, match=r"bad.state\.json: the state names the tensor 'nets\.discriminator\.gone'"):
        begin_from(str(tmp_path / "bad"), made)


@pytest.mark.parametrize("nested", [None, 3, [], {"discriminator": 3}, {"discriminator": {"a": [1]}}, {}])
def test_a_state_of_another_shape_has_no_discriminator(tmp_path, nested):
    old, new = nets(), nets()
    source = model(tmp_path / "old", old, more={"nets": nested})
    before = states(new)
    begin_from(source, new)
    assert same({"discriminator": before["discriminator"]}, states(new))


def test_nothing_of_the_old_model_is_run(tmp_path, monkeypatch):
    """Its component is not even looked up, and a pickle in the place of tensors is no safetensors file."""
    monkeypatch.setattr("gadkit.registry.Registry.find", lambda *_: pytest.fail("a component was looked up"))
    old, loaded = nets(), set(sys.modules)
    source = checkpoint(tmp_path / "old", old)
    begin_from(source, nets())
    assert not {name for name in sys.modules.keys() - loaded if name.startswith("nobody")}

    class Canary:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "it ran"),)

    for name in ("model.safetensors", "training.safetensors"):
        checkpoint(tmp_path / "evil", old)
        forge(tmp_path / "evil", name, pickle.dumps(Canary()))
        with pytest.raises(DamagedError, match=name):
            begin_from(str(tmp_path / "evil"), nets())
    assert not (tmp_path / "it ran").exists()


# --- training --------------------------------------------------------------------------------------------------------


def test_a_run_begins_with_another_ones_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with own_registry():
        small("old", steps=3)
        small("new", init_from="old", seed=5, set=SETTINGS | {"run.keep": 9})
        first = Run.open(tmp_path / "new").checkpoints()[0]
        assert first.name == "step-000000"
        videos = [gadkit.load(path, device="cpu").sample(2, seed=1) for path in ("old", first)]
        assert torch.equal(*videos)
        newest = Run.open(tmp_path / "old").find_checkpoint()
        trained = [
            {k: v for k, v in read_tensors(each, "training.safetensors").items() if k.startswith("nets.discriminator.")}
            for each in (newest, first)
        ]
        assert same({"d": trained[0]}, {"d": trained[1]})
        noted = json.loads((tmp_path / "new" / "environment.json").read_text())["init_from"]
        assert noted["source"] == "old"
        assert noted["step"] == 3
        assert noted["sha256"] == json.loads((newest / "manifest.json").read_text())["sha256"]
        gadkit.train(resume="new", steps=3)  # goes on with its own weights, and still says what it began with
        assert json.loads((tmp_path / "new" / "environment.json").read_text())["init_from"] == noted
