"""A model brings the discriminator that it was trained against: the same one, once it is asked for, or a sentence."""

import json
import shutil

import pytest
import torch
from hostile_runs import seal
from small_judges import (
    GENERATOR,
    JUDGE,
    REFINER,
    TENSORS,
    Own,
    Unsaid,
    clips,
    cut,
    file_of,
    flip,
    rewritten,
    said,
)
from small_runs import SETTINGS, same_tensors, small

import gadkit
from gadkit import Model, RunError
from gadkit.checkpoints.store import read_tensors
from gadkit.errors import DamagedError
from gadkit.registry import Registry
from gadkit.runs import judges
from gadkit.runs.folder import Run
from gadkit.runs.writing import Writer
from gadkit_plugins.minimax.trainer import MinimaxTrainer

WITHOUT = "was exported without its discriminator; export the run again with `gadkit export RUN DEST --discriminator`"


# --- the same one ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "settings"),
    [
        ("dcgan-frame", {"discriminator.width": 8, "discriminator.norm": "batch"}),
        ("dcgan-clip", {"discriminator.width": 8}),
        (Own, {}),
        (Unsaid, {}),
    ],
    ids=["dcgan-frame", "dcgan-clip", "of one's own", "more than tensors"],
)
def test_it_judges_as_the_one_that_was_trained_does(tmp_path, monkeypatch, use, settings):
    sessions = []
    fit = MinimaxTrainer.fit

    def kept(self, session):
        sessions.append(session)
        return fit(self, session)

    monkeypatch.setattr(MinimaxTrainer, "fit", kept)
    small(tmp_path / "run", discriminator=use, steps=3, set=GENERATOR | settings | REFINER)
    (session,) = sessions
    own = {} if isinstance(use, str) else {"discriminator": use}
    model = gadkit.load(tmp_path / "run", device="cpu", **own)
    assert model.has_discriminator
    found, trained = model.discriminator, session.discriminator.eval()
    assert found is model.discriminator
    assert found is not trained
    video = clips(model)
    assert same_tensors(said(found, video), said(trained, video))
    fresh = type(trained)(session.video, **session.config.parts["discriminator"].settings)
    assert not same_tensors(said(fresh.eval(), video), said(found, video))
    assert not any(module.training for module in found.modules())
    assert not any(value.requires_grad for value in found.parameters())
    if use is Own:
        assert found.first.weight.is_contiguous(memory_format=torch.channels_last)
    if use is Unsaid:
        assert found.count == 7
        with pytest.raises(RunError, match=r"discriminator: keeps '_extra_state', which is no tensor"):
            model.export(tmp_path / "model", discriminator=True)
        assert not (tmp_path / "model").exists()
        return
    model.export(tmp_path / "model", discriminator=True)
    exported = gadkit.load(tmp_path / "model", device="cpu", registry=Registry.discover(), **own)
    assert same_tensors(said(exported.discriminator, video), said(found, video))
    for kind in ("discriminator", "refiner"):
        assert exported.document[kind] == model.document[kind]
    assert exported.document["refiner"]["settings"]["steps"] == 3
    again = gadkit.load(exported.export(tmp_path / "again", discriminator=True), device="cpu", **own)
    assert (tmp_path / "again" / JUDGE).read_bytes() == (tmp_path / "model" / JUDGE).read_bytes()
    assert torch.equal(again.sample(length=4, refine=0), model.sample(length=4, refine=0))


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_it_is_in_float32_whatever_the_training_was_in(tmp_path, norm):
    small(tmp_path / "run", precision="fp64", set=SETTINGS | {"discriminator.norm": norm})
    net = gadkit.load(tmp_path / "run", device="cpu").discriminator
    assert {value.dtype for value in net.state_dict().values()} <= {torch.float32, torch.int64}
    checkpoint = Run(tmp_path / "run").checkpoints()[-1]
    held = read_tensors(checkpoint, TENSORS)
    assert all(
        value.equal(held[f"nets.discriminator.{name}"].to(value.dtype)) for name, value in net.state_dict().items()
    )


def test_a_model_that_is_frozen_brings_a_copy(judged_run):
    model = gadkit.load(judged_run, device="cpu")
    parts = {"generator": model.generator, "assembler": model.assembler}
    live = Own(model.video).double().train()
    frozen = Model.frozen(parts, model.video, discriminator=live)
    before = {name: value.float() for name, value in live.state_dict().items()}
    with torch.no_grad():
        live.last.bias += 1
    assert frozen.has_discriminator
    assert same_tensors(frozen.discriminator.state_dict(), before)
    assert live.training
    assert live.last.bias.requires_grad
    assert not frozen.discriminator.training
    assert not Model.frozen(parts, model.video).has_discriminator


# --- nothing is read before it is asked for --------------------------------------------------------------------------


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("harm", [flip, cut, lambda path, sealed: path.unlink()], ids=["flipped", "cut", "missing"])
def test_a_file_that_is_hurt_hinders_nothing_but_its_use(judged_run, judged, harm, sealed):
    whole = gadkit.load(judged_run, device="cpu")
    path = file_of(judged)
    harm(path, sealed and path.exists())
    loaded = gadkit.load(judged, device="cpu")
    assert loaded.has_discriminator  # which says what the description says
    assert torch.equal(loaded.sample(2, length=9, refine=0), whole.sample(2, length=9, refine=0))
    if harm is flip and sealed:
        assert loaded.discriminator  # whoever can write the files can write the manifest: it is what it says
        return
    for _ in range(2):  # it is not taken for made
        with pytest.raises(DamagedError) as caught:
            loaded.discriminator  # noqa: B018
        assert str(path) in str(caught.value)
    assert (loaded.export(judged.parent / "plain") / "model.safetensors").exists()
    with pytest.raises(DamagedError):
        loaded.export(judged.parent / "judged", discriminator=True)
    assert not (judged.parent / "judged").exists()


def test_nothing_of_it_is_read_and_looked_up_before(judged, monkeypatch):
    document = json.loads((judged / "config.json").read_bytes())
    document["discriminator"] |= {"use": "acme-gan:critic", "settings": {"depth": 3}}
    (judged / "config.json").write_text(json.dumps(document))
    seal(judged)
    for name in ("read_tensors", "read_shapes", "read_document", "component"):
        monkeypatch.setattr(judges, name, None)
    loaded = gadkit.load(judged, device="cpu")
    assert loaded.sample(length=2, refine=0).shape == (1, 2, 3, 16, 16)


def test_of_a_checkpoint_no_more_is_read_than_the_discriminator(judged_checkpoint, monkeypatch):
    asked = []

    def read(folder, name, only):
        asked.append((name, only))
        return read_tensors(folder, name, only)

    monkeypatch.setattr(judges, "read_tensors", read)
    net = gadkit.load(judged_checkpoint, device="cpu").discriminator
    assert asked == [(TENSORS, {f"nets.discriminator.{name}" for name in net.state_dict()})]


def test_it_is_never_that_of_another_checkpoint(judged):
    """Which may come in its place while a run goes on."""
    loaded = gadkit.load(judged, device="cpu")
    flip(file_of(judged), sealed=True)
    with pytest.raises(RunError, match=r"holds other files than when the model was loaded.*; load the model again"):
        loaded.discriminator  # noqa: B018
    shutil.rmtree(judged)
    with pytest.raises(DamagedError, match="is no whole checkpoint or model"):
        loaded.discriminator  # noqa: B018


def test_it_is_found_wherever_the_process_stands_by_then(judged, tmp_path, monkeypatch):
    monkeypatch.chdir(judged.parent)
    loaded = gadkit.load(judged.name, device="cpu")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert loaded.discriminator


# --- there is none ---------------------------------------------------------------------------------------------------


def refuses(model, found):
    assert not model.has_discriminator
    with pytest.raises(RunError) as caught:
        model.discriminator  # noqa: B018
    sentence = str(caught.value)
    assert found in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def test_a_model_that_was_exported_without_it_says_so(judged_checkpoint, tmp_path):
    loaded = gadkit.load(gadkit.load(judged_checkpoint, device="cpu").export(tmp_path / "model"), device="cpu")
    assert not {"discriminator", "refiner"} & loaded.document.keys()
    assert not (tmp_path / "model" / JUDGE).exists()
    assert str(tmp_path / "model") in refuses(loaded, WITHOUT)
    with pytest.raises(RunError, match="was exported without its discriminator"):
        loaded.export(tmp_path / "other", discriminator=True)
    assert not (tmp_path / "other").exists()
    assert "refine" not in (tmp_path / "model" / "README.md").read_text()


def test_a_model_that_was_made_in_python_has_the_one_that_it_is_given(judged_run):
    model = gadkit.load(judged_run, device="cpu")
    refuses(Model(model.generator, model.assembler, model.video), "was made in Python without a discriminator")
    made = []

    def make():
        made.append(Own(model.video).double())
        return made[-1]

    given = Model(model.generator, model.assembler, model.video, judge=make)
    assert given.has_discriminator
    assert made == []
    assert given.discriminator is given.discriminator is made[0]
    assert len(made) == 1
    assert {value.dtype for value in given.discriminator.parameters()} == {torch.float32}
    assert given.discriminator.first.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_training_without_one_says_so(judged_checkpoint):
    def change(document, state):
        del document["discriminator"], document["refiner"], state["nets"]["discriminator"]

    loaded = rewritten(judged_checkpoint, change)
    assert str(judged_checkpoint) in refuses(loaded, "comes from a training without a discriminator")
    assert loaded.sample(length=3).shape == (1, 3, 3, 16, 16)


def test_a_checkpoint_of_before_loads_and_says_how_to_have_one(judged_checkpoint, judged_run):
    def change(document, state):
        del document["discriminator"], document["refiner"]

    loaded = rewritten(judged_checkpoint, change)
    assert torch.equal(loaded.sample(2), gadkit.load(judged_run, device="cpu").sample(2, refine=0))
    sentence = refuses(loaded, "was saved by a gadkit that did not write down which discriminator it has")
    assert f"`gadkit train --resume {judged_checkpoint.parent.parent}`" in sentence
    gadkit.train(resume=judged_checkpoint.parent.parent, set={"run.steps": 3})
    assert gadkit.load(judged_checkpoint.parent.parent, device="cpu").discriminator


def test_only_a_training_that_keeps_one_is_said_to_bring_one(tmp_path, monkeypatch):
    """A configuration may name one that its trainer has no use for."""
    save = Writer.save

    def without(self, step, models, state, best):
        del state["nets"]["discriminator"]
        save(self, step, models, state, best)

    monkeypatch.setattr(Writer, "save", without)
    small(tmp_path / "run", set=SETTINGS | REFINER)
    refuses(gadkit.load(tmp_path / "run", device="cpu"), "comes from a training without a discriminator")
