"""A model's promises: a seed and a number mean one video, however it is asked for, and loading it runs no code."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import gadkit
from gadkit import ConfigError, Generator, Model, PluginError, RunError, VideoAssembler, VideoSpec
from gadkit.checkpoints.store import write_folder
from gadkit.interfaces.assembler import BLOCK
from gadkit.registry import Registry, get_registry
from gadkit.runs.loading import load

ROOT = Path(__file__).parents[2]
VIDEO = VideoSpec(height=16, width=16, frames=8, fps=10.0)


class Neighbours(Generator):
    """A convolution over time: every frame depends on two codes on each side."""

    latent_dim, context = 6, 2

    def __init__(self, video):
        super().__init__(video)
        self.time = nn.Conv1d(6, 6, 5, padding=2, padding_mode="replicate")
        self.map = nn.Linear(6, 3 * video.height * video.width)

    def forward(self, codes, labels=None):
        mixed = self.time(codes.transpose(1, 2)).transpose(1, 2)
        pixels = torch.sin(3 * self.map(mixed))
        return pixels.view(*codes.shape[:2], 3, self.video.height, self.video.width)


class Whole(Neighbours):
    """Makes its training length alone, all frames at once."""

    context = "fixed"

    def forward(self, codes, labels=None):
        assert codes.shape[1] == self.video.frames
        return super().forward(codes - codes.mean(dim=1, keepdim=True), labels)


class Recurrent(VideoAssembler):
    """Every code depends on all before it."""

    def __init__(self, video, latent_dim, motion_dim):
        super().__init__(video, latent_dim, motion_dim)
        self.cell = nn.GRUCell(latent_dim, latent_dim)

    def codes(self, noise, times, labels=None, state=None):
        drawn = noise.normal("steps", self.latent_dim, times.to(torch.int64))
        state = torch.zeros_like(drawn[:, 0]) if state is None else state
        made = []
        for step in drawn.unbind(1):
            state = self.cell(step, state)
            made.append(2 * state)
        return torch.stack(made, dim=1), state


def make(generator="dcgan", assembler="walk", video=VIDEO, classes=()):
    """A model with fresh weights that differ from frame to frame."""
    torch.manual_seed(0)
    if isinstance(generator, str):
        cls = get_registry().find("generator", generator).load()
        net = cls(video, width=8, latent_dim=12, motion_dim=4, norm="none")
    else:
        net = generator(video)
    if isinstance(assembler, str):
        joining = get_registry().find("assembler", assembler).load()(video, net.latent_dim, net.motion_dim)
    else:
        joining = assembler(video, net.latent_dim, net.motion_dim)
    return Model(net, joining, video, classes)


MODELS = {
    "walk": ("dcgan", "walk"),
    "independent": ("dcgan", "independent"),
    "context": (Neighbours, "walk"),
    "context, independent": (Neighbours, "independent"),
    "recurrent": ("dcgan", Recurrent),
    "context, recurrent": (Neighbours, Recurrent),
}
every_model = pytest.mark.parametrize("model", [make(*parts) for parts in MODELS.values()], ids=list(MODELS))


@every_model
def test_a_longer_video_begins_with_the_shorter_one(model):
    longest = model.sample(num=2, length=64, seed=1)
    assert longest.shape == (2, 64, 3, 16, 16)
    assert longest.dtype == torch.uint8
    for length in (1, BLOCK - 1, BLOCK, BLOCK + 1, 32, 33, 63):
        assert torch.equal(model.sample(num=2, length=length, seed=1), longest[:, :length])
    changes = (longest[:, 1:] != longest[:, :-1]).flatten(2).any(dim=2)
    assert changes.all()  # so that equal frames were no accident


@every_model
@pytest.mark.parametrize("chunk", [1, 7, 16, 100])
def test_chunks_change_no_pixel(model, chunk):
    pieces = list(model.stream(50, num=2, seed=4, chunk=chunk))
    assert [piece.shape[1] for piece in pieces[:-1]] == [chunk] * (len(pieces) - 1)
    assert torch.equal(torch.cat(pieces, dim=1), model.sample(num=2, length=50, seed=4))


@every_model
def test_a_video_is_its_own_whatever_is_made_beside_it(model):
    together = model.sample(num=4, length=20, seed=7)
    for number in range(4):
        assert torch.equal(model.sample(num=1, length=20, seed=7, first=number), together[number : number + 1])
    assert torch.equal(model.sample(num=2, length=20, seed=7, first=1), together[1:3])
    assert not any(torch.equal(together[i], together[j]) for i in range(4) for j in range(i))


@every_model
def test_seeds_make_other_videos_and_the_same_seed_the_same(model):
    seeds = [0, 1, 2**31, 2**40, -1]
    videos = [model.sample(length=9, seed=seed) for seed in seeds]
    assert not any(torch.equal(videos[i], videos[j]) for i in range(len(seeds)) for j in range(i))
    torch.manual_seed(99)  # whatever state generators of random numbers are in
    np.random.seed(99)
    assert torch.equal(model.sample(length=9, seed=2**31), videos[2])


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 40), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_every_length_chunk_and_number_mean_the_same_frames(one, other, chunk, first):
    model = make(Neighbours, "walk")
    wanted = model.sample(num=2, length=max(one, other), first=first)
    made = torch.cat(list(model.stream(one, num=2, chunk=chunk, first=first)), dim=1)
    assert torch.equal(made, wanted[:, :one])


def test_context_reaches_the_frames_beyond_a_block():
    model = make(Neighbours, "independent")
    noise = gadkit.Noise(gadkit.Key.of(0, "sample"), torch.tensor([0]))
    codes, _ = model.assembler.codes(noise, torch.arange(40.0, dtype=torch.float64)[None])
    with torch.no_grad():
        whole = model.generator(codes)[0, 2:-2]
        streamed = torch.cat(list(model.assembler.stream(model.generator, noise, 38)), dim=1)[0, 2:]
    torch.testing.assert_close(streamed, whole, rtol=0, atol=1e-5)


def test_a_generator_of_one_length_makes_it_or_less():
    model = make(Whole, "independent")
    whole = model.sample(num=2, seed=3)
    assert whole.shape[1] == model.longest == 8
    for length in (1, 5, 8):
        assert torch.equal(model.sample(num=2, length=length, seed=3), whole[:, :length])
    assert torch.equal(torch.cat(list(model.stream(8, num=2, seed=3, chunk=3)), dim=1), whole)
    with pytest.raises(ConfigError, match="found 9, but Whole makes videos of exactly 8 frames; ask for at most 8"):
        model.sample(length=9)
    assert make().longest is None


def test_the_grid_holds_the_videos_row_by_row():
    model = make()
    videos = model.sample(num=3, length=20, seed=2)
    grid = torch.cat([torch.as_tensor(piece) for piece in model.grid(3, 20, seed=2)])
    assert grid.shape == (20, 32, 32, 3)
    for number, (top, left) in enumerate([(0, 0), (0, 16), (16, 0)]):
        cell = grid[:, top : top + 16, left : left + 16].permute(0, 3, 1, 2)
        assert torch.equal(cell, videos[number])


def test_classes():
    model = make(video=VideoSpec(height=16, width=16, frames=8, classes=3), classes=("a", "b", "1"))
    assert model.class_numbers(None, 5) == [0, 1, 2, 0, 1]
    assert model.class_numbers(None, 2, first=2) == [2, 0]
    assert model.class_numbers(["b", 0, "2", "1"], 4) == [1, 0, 2, 2]  # a name before a number
    one, other = model.sample(labels=["a"]), model.sample(labels=["b"])
    assert not torch.equal(one, other)
    assert torch.equal(model.sample(num=2)[1:], model.sample(first=1))
    for labels, num, found in ((["c"], 1, "'c'"), ([3], 1, "3"), ([-1], 1, "-1"), (["a"], 2, "found 1 for 2 videos")):
        with pytest.raises(ConfigError, match=found):
            model.sample(num, labels=labels)
    with pytest.raises(ConfigError, match="without classes"):
        make().sample(labels=[0])


@pytest.mark.parametrize("name", ["length", "num", "chunk"])
def test_numbers_are_at_least_one(name):
    with pytest.raises(ConfigError, match=f"{name}: found 0, expected at least 1"):
        next(make().stream(**({"length": 4} | {name: 0})))


def test_zero_frames_and_negative_numbers_are_no_defaults():
    with pytest.raises(ConfigError, match="length: found 0"):
        make().sample(length=0)
    with pytest.raises(ConfigError, match="first: found -1"):
        make().sample(first=-1)


def test_a_model_without_a_tensor_of_its_own_renders():
    class Plain(Generator):
        latent_dim = 3

        def forward(self, codes, labels=None):
            return codes.tanh()[..., None, None].expand(-1, -1, -1, 4, 4)

    model = make(Plain, "walk", VideoSpec(height=4, width=4, frames=4))
    assert model.device == torch.device("cpu")
    assert model.sample().shape == (1, 4, 3, 4, 4)


# --- files -----------------------------------------------------------------------------------------------------------


def document(**changes):
    settings = {"latent_dim": 12, "motion_dim": 4, "width": 8, "max_width": 512, "norm": "none", "label_dim": 32}
    video = {"channels": 3, "height": 16, "width": 16, "frames": 8, "fps": 10.0, "classes": 0}
    return {
        "format": 1,
        "gadkit": gadkit.__version__,
        "step": 5,
        "recipe": "dcgan",
        "video": video,
        "classes": [],
        "generator": {"use": "gadkit:dcgan", "version": gadkit.__version__, "settings": settings},
        "assembler": {"use": "gadkit:walk", "version": gadkit.__version__, "settings": {"spacing": 8.0}},
    } | changes


def write(folder, description, model=None):
    """A model's folder with a manifest that fits, whatever the description says."""
    model = model or make()
    parts = {"generator": model.generator, "assembler": model.assembler}
    weights = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    write_folder(folder, {"model.safetensors": weights}, {"config.json": description}, {})
    return folder


def test_a_written_model_makes_the_same_pixels(tmp_path):
    model = make()
    loaded = load(write(tmp_path / "one", document(), model), device="cpu")
    assert torch.equal(loaded.sample(num=2, length=40), model.sample(num=2, length=40))
    exported = load(loaded.export(tmp_path / "two"), device="cpu")
    assert torch.equal(exported.sample(num=2, length=40), model.sample(num=2, length=40))
    assert exported.video == model.video
    with pytest.raises(RunError, match=r"no description to export; load it with gadkit\.load"):
        model.export(tmp_path / "three")


def test_loading_unpickles_nothing(tmp_path, monkeypatch):
    def refuse(*arguments, **named):
        raise AssertionError("unpickled")

    write(tmp_path / "model", document())
    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    assert load(tmp_path / "model", device="cpu").sample(length=2).shape == (1, 2, 3, 16, 16)


@pytest.mark.parametrize("kind", ["generator", "assembler"])
@pytest.mark.parametrize("use", ["evil:Evil", "python:evil.Evil", "evil.py:evil", "evil", "../evil:Evil", "os:system"])
def test_a_name_in_a_model_imports_nothing_that_is_not_installed_as_a_plugin(tmp_path, monkeypatch, kind, use):
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'touched')!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    changed = document()
    changed[kind] |= {"use": use}
    with pytest.raises(PluginError):
        load(write(tmp_path / "model", changed))
    assert "evil" not in sys.modules
    assert not (tmp_path / "touched").exists()


def test_a_class_of_a_program_is_passed_again(tmp_path):
    folder = write(tmp_path / "model", document(), make(Neighbours, Recurrent))
    description = document()
    description["generator"] = {"use": "python:__main__.Neighbours", "version": "", "settings": {}}
    description["assembler"] = {"use": "python:__main__.Recurrent", "version": "", "settings": {}}
    folder = write(tmp_path / "own", description, make(Neighbours, Recurrent))
    with pytest.raises(PluginError, match=r"pass it to gadkit\.load\(\.\.\., generator=\.\.\.\), or publish it"):
        load(folder, registry=Registry.discover())
    loaded = load(folder, device="cpu", generator=Neighbours, assembler=Recurrent, registry=Registry.discover())
    assert torch.equal(loaded.sample(length=40), make(Neighbours, Recurrent).sample(length=40))
    card = (loaded.export(tmp_path / "exported") / "README.md").read_text()
    assert 'gadkit.load(".", generator=Neighbours, assembler=Recurrent)' in card
    assert "pip install gadkit\n" in card
    assert "gadkit sample" not in card  # which cannot know the class


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"format": 2}, "format is 2, and this gadkit reads 1; upgrade gadkit"),
        ({"video": None}, "its video does not have the fields"),
        ({"video": document()["video"] | {"frames": "8"}}, "its video.frames is '8'"),
        ({"video": document()["video"] | {"depth": 8}}, "its video does not have the fields"),
        ({"step": None}, "its step is None, and must be an integer from 0 on"),
        ({"generator": {"use": 3, "settings": {}}}, "its generator.use names no component"),
        ({"assembler": {"use": "gadkit:walk"}}, "its assembler has no settings"),
    ],
    ids=str,
)
def test_a_description_that_is_none(tmp_path, changes, found):
    with pytest.raises(RunError) as caught:
        load(write(tmp_path / "model", document(**changes)))
    assert found in str(caught.value)
    assert str(tmp_path / "model" / "config.json") in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "3", "{}", '"x"'])
def test_a_config_json_of_another_program(tmp_path, text):
    folder = write(tmp_path / "model", json.loads(text))
    with pytest.raises(RunError, match=r"config\.json: does not describe a model of gadkit: it has no format"):
        load(folder)
    (folder / "manifest.json").unlink()
    with pytest.raises(RunError, match="is no whole checkpoint or model"):
        load(folder)


def test_settings_are_checked_against_the_component_that_is_here(tmp_path):
    changed = document()
    changed["generator"]["settings"] = {"width": 8, "depth": 3}
    with pytest.raises(ConfigError, match=r"generator\.depth is no setting of generator 'dcgan'"):
        load(write(tmp_path / "model", changed))


def test_weights_of_another_net_name_the_file_and_the_version(tmp_path):
    changed = document()
    changed["generator"]["settings"] |= {"width": 16}
    changed["generator"]["version"] = "7.1"
    with pytest.raises(RunError) as caught:
        load(write(tmp_path / "model", changed))
    sentence = str(caught.value)
    assert str(tmp_path / "model" / "model.safetensors") in sentence
    assert "does not fit generator 'gadkit:dcgan' as it is here" in sentence
    assert "made with version 7.1" in sentence
    assert "\n" not in sentence


def test_an_altered_file_is_refused(tmp_path):
    folder = write(tmp_path / "model", document())
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"model\.safetensors: its SHA-256 is"):
        load(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["model.safetensors"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert load(folder, device="cpu")


# --- memory ----------------------------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_length():
    """The benchmark's own measurement, shortened: the peak of 3,000 frames is near the peak of 200."""
    script = ROOT / "benchmarks" / "streaming_memory.py"
    done = subprocess.run(
        [sys.executable, str(script), "--long", "3000", "--width", "8", "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=280,
    )
    measured = json.loads(done.stdout)
    assert measured["frames"] == [200, 3000]
    # 2,800 more frames of 64×64 would be 34 MB of bytes, and 138 MB as the floats that they are rendered in.
    assert measured["difference_mb"] < 20
