"""A discriminator in a model's files that is not what they say: its use is refused in a sentence, and nothing else."""

import json

import pytest
import torch
from hostile_runs import seal
from small_judges import GENERATOR, JUDGE, STATE, Looks, Own, Pulls, Unsaid, file_of, rewritten
from small_runs import own_registry, small
from torch import nn

import gadkit
from gadkit import PluginError, RunError
from gadkit.checkpoints.store import flatten, read_document, read_tensors, write_folder
from gadkit.errors import GadkitError
from gadkit.registry import Registry
from gadkit.runs import judges
from gadkit.runs.judges import judge_of

PART = {"use": "gadkit:dcgan-clip", "version": "", "settings": {}}


@pytest.mark.parametrize("kind", ["discriminator", "refiner"])
@pytest.mark.parametrize(
    ("part", "found"),
    [
        (None, ".use names no component"),
        ([], ".use names no component"),
        ("gadkit:dcgan-clip", ".use names no component"),
        (7, ".use names no component"),
        ({}, ".use names no component"),
        (PART | {"use": None}, ".use names no component"),
        (PART | {"use": 10**4000}, ".use names no component"),
        (PART | {"use": ["gadkit:dcgan-clip"]}, ".use names no component"),
        (PART | {"use": "x" * (1 << 20)}, ".use has 1,048,576 letters, more than 1,024"),
        (PART | {"version": "x" * 1025}, ".version has 1,025 letters, more than 1,024"),
        (PART | {"version": None}, ".version is None, and must be text"),
        (PART | {"version": [1, 2]}, ".version is [1, 2], and must be text"),
        (PART | {"version": {"a": "b" * 1000}}, "…, and must be text"),
        (PART | {"settings": None}, " has no settings"),
        (PART | {"settings": []}, " has no settings"),
        (PART | {"settings": "width=8"}, " has no settings"),
        ({"use": "gadkit:dcgan-clip", "version": ""}, " has no settings"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_an_entry_that_is_none_is_refused_when_the_model_is_loaded(judged, kind, part, found):
    document = json.loads((judged / "config.json").read_bytes())
    (judged / "config.json").write_text(json.dumps(document | {kind: part}))
    seal(judged)
    with pytest.raises(RunError) as caught:
        gadkit.load(judged, device="cpu")
    sentence = str(caught.value)
    assert f"{judged / 'config.json'}: does not describe a model of gadkit: its {kind}" in sentence
    assert found in sentence
    assert len(sentence) < 1000


@pytest.mark.parametrize("gone", ["discriminator", "refiner"])
def test_either_may_be_missing(judged, gone):
    document = json.loads((judged / "config.json").read_bytes())
    del document[gone]
    (judged / "config.json").write_text(json.dumps(document))
    seal(judged)
    loaded = gadkit.load(judged, device="cpu")
    assert loaded.has_discriminator is (gone == "refiner")
    assert loaded.sample(length=2).shape == (1, 2, 3, 16, 16)


def described(folder, **changes):
    """A model whose discriminator is described otherwise; `None` takes a key out."""
    document = json.loads((folder / "config.json").read_bytes())
    part = document["discriminator"] | changes
    document["discriminator"] = {key: value for key, value in part.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(document))
    seal(folder)
    return gadkit.load(folder, device="cpu", registry=Registry.discover())


def test_a_package_that_is_not_installed_is_named(judged):
    loaded = described(judged, use="acme-gan:critic")
    with pytest.raises(PluginError, match=r"discriminator 'acme-gan:critic' is not available: .*'acme-gan'.* install"):
        loaded.discriminator  # noqa: B018


@pytest.mark.parametrize("use", ["evil:Evil", "python:evil.Evil", "evil.py:evil", "evil", "../evil:Evil", "os:system"])
def test_its_name_imports_nothing(judged, tmp_path, monkeypatch, use):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'touched')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    loaded = described(judged, use=use)
    with pytest.raises(PluginError):
        loaded.discriminator  # noqa: B018
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"depth": 3}, "discriminator.depth is no setting of discriminator"),
        ({"width": "wide"}, "discriminator.width: found 'wide'"),
        ({"width": -1}, "discriminator.width: found -1"),
        ({"width": 10**6, "max_width": 10**6}, "does not fit discriminator 'gadkit:dcgan-clip' as it is here ("),
        ({"width": 10**18, "max_width": 10**18}, "config.json: discriminator: its settings make no net"),
        ({"width": 4}, "has the shape"),
        ({}, "does not fit discriminator"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit(judged, settings, found):
    with pytest.raises(GadkitError) as caught:
        described(judged, settings=settings).discriminator  # noqa: B018
    assert found in str(caught.value)
    assert len(str(caught.value)) < 1000


def changed_tensors(folder, change):
    """A model whose discriminator has other tensors, in files that are whole."""
    files = {name: read_tensors(folder, name) for name in ("model.safetensors", file_of(folder).name)}
    documents = {name: read_document(folder, name) for name in ("config.json", STATE) if (folder / name).exists()}
    before = "discriminator." if JUDGE in files else "nets.discriminator."
    held = files[file_of(folder).name]
    net = {name: held.pop(name) for name in list(held) if name.startswith(before)}
    net = change({name.removeprefix(before): value for name, value in net.items()})
    if JUDGE not in files:
        documents[STATE]["nets"]["discriminator"], _ = flatten(net, "nets.discriminator")
    held |= {before + name: value for name, value in net.items()}
    write_folder(folder, files, documents, {})
    return gadkit.load(folder, device="cpu")


def test_weights_in_other_floating_point_numbers_fit(judged):
    loaded = changed_tensors(
        judged, lambda net: {k: v.double() if v.is_floating_point() else v for k, v in net.items()}
    )
    assert {value.dtype for value in loaded.discriminator.parameters()} == {torch.float32}


def first(net):
    return next(name for name, value in net.items() if value.ndim > 3 and value.shape[0] != value.shape[1])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda net: {k: v for k, v in net.items() if k != first(net)}, "there is no "),
        (lambda net: net | {"more": torch.ones(1)}, "'more' is nothing that it has"),
        (lambda net: net | {first(net): net[first(net)].transpose(0, 1)}, "has the shape"),
        (lambda net: net | {first(net): net[first(net)].int()}, "is torch.int32, not torch.float32"),
        (lambda net: net | {first(net): net[first(net)].to(torch.complex64)}, "is torch.complex64, not torch.float32"),
        (lambda net: {}, "there is no "),
    ],
    ids=["too few", "too many", "turned", "integers", "complex", "none"],
)
def test_weights_of_another_net_are_told_from_the_header(judged, monkeypatch, change, found):
    loaded = changed_tensors(judged, change)
    monkeypatch.setattr(judges, "read_tensors", None)  # it never comes to that
    with pytest.raises(RunError) as caught:
        loaded.discriminator  # noqa: B018
    assert found in str(caught.value)
    assert f"{file_of(judged)}: does not fit discriminator" in str(caught.value)


@pytest.mark.parametrize(
    "net",
    [None, [], 5, "x", {"a": 1}, {"a": {"$tensor": "no such"}}, {"a": {"$tensor": 5}}, {"a": {"$tensor": ["x"]}}, {}],
    ids=str,
)
def test_a_state_that_says_something_else(judged_checkpoint, net):
    def change(document, state):
        state["nets"]["discriminator"] = net

    loaded = rewritten(judged_checkpoint, change)
    with pytest.raises(RunError) as caught:
        loaded.discriminator  # noqa: B018
    assert str(judged_checkpoint) in str(caught.value)


def test_a_state_that_names_anothers_tensors_is_refused(judged_checkpoint):
    """The generator's, of which none is of that shape."""

    def change(document, state):
        state["nets"]["discriminator"] = state["nets"]["generator"]

    with pytest.raises(RunError, match="does not fit discriminator"):
        rewritten(judged_checkpoint, change).discriminator  # noqa: B018


@pytest.mark.parametrize("extra", [5, None, [], {}, {"count": {"$tensor": "nets.discriminator.last.bias"}, "more": 1}])
def test_what_a_net_makes_of_a_state_that_somebody_made_up_is_a_sentence(tmp_path, extra):
    small(tmp_path / "run", discriminator=Unsaid, steps=1, set=GENERATOR)

    def change(document, state):
        state["nets"]["discriminator"]["_extra_state"] = extra

    loaded = rewritten(tmp_path / "run" / "checkpoints" / "step-000001", change)
    if extra and isinstance(extra, dict):  # it can be taken for what it says
        assert torch.equal(loaded.discriminator.count, loaded.discriminator.last.bias)
        return
    with pytest.raises(RunError, match=r"training\.safetensors: does not fit discriminator 'python:.*Unsaid'"):
        loaded.discriminator  # noqa: B018


def test_a_net_that_looks_at_its_numbers_while_it_is_built(tmp_path):
    small(tmp_path / "run", discriminator=Looks, steps=1, set=GENERATOR)
    model = gadkit.load(tmp_path / "run", device="cpu", discriminator=Looks)
    assert model.discriminator.last.weight.shape == (1, 4)
    folder = model.export(tmp_path / "model", discriminator=True)
    document = json.loads((folder / "config.json").read_bytes())
    document["discriminator"]["settings"] = {"width": 5}
    (folder / "config.json").write_text(json.dumps(document))
    seal(folder)
    with pytest.raises(RunError, match=r"discriminator\.safetensors: does not fit discriminator .*size mismatch"):
        gadkit.load(folder, device="cpu", discriminator=Looks).discriminator  # noqa: B018


# --- classes of one's own --------------------------------------------------------------------------------------------


def test_a_class_of_a_program_is_passed_again(tmp_path):
    small(tmp_path / "run", discriminator=Own, steps=1, refiner=Pulls, set=GENERATOR)
    folder = gadkit.load(tmp_path / "run", device="cpu").export(tmp_path / "model", discriminator=True)
    loaded = gadkit.load(folder, device="cpu", registry=Registry.discover())
    assert loaded.sample(length=3, refine=0).shape == (1, 3, 3, 16, 16)
    with pytest.raises(PluginError, match=r"pass it to gadkit\.load\(\.\.\., discriminator=\.\.\.\), or publish it"):
        loaded.discriminator  # noqa: B018
    assert gadkit.load(folder, device="cpu", discriminator=Own, registry=Registry.discover()).discriminator
    card = (folder / "README.md").read_text()
    assert 'gadkit.load(".", discriminator=Own)' in card
    assert "It needs its author's Python class `Pulls`." in card
    assert "gadkit sample" not in card  # which cannot know the classes
    assert "refine=10" in card


def test_a_class_that_is_no_discriminator_is_refused_at_once(judged_checkpoint):
    with pytest.raises(PluginError, match=r"discriminator 'Linear' does not implement gadkit\.Discriminator"):
        gadkit.load(judged_checkpoint, device="cpu", discriminator=nn.Linear)


def test_judges_are_made_anew_for_every_model(judged_checkpoint):
    with own_registry():
        one, other = (gadkit.load(judged_checkpoint, device="cpu") for _ in range(2))
        assert one.discriminator is not other.discriminator
        make = judge_of(gadkit.registry.get_registry(), judged_checkpoint, one.document, one.video)
        assert make() is not make()
