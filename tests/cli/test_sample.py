"""`gadkit sample` and `gadkit export`: every format, the right pixels, and a sentence for what cannot be."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from plugins_fixtures import importable, write_package
from small_evaluations import footage, write_videos
from small_runs import DISCRIMINATOR, NETS, PLUGIN, SMALL, files_of, folder_of_clips, own_registry

import gadkit
from gadkit.checkpoints.store import MANIFEST
from gadkit.cli.app import app, run
from gadkit.data.labels import held_out


def train(data, out, *arguments, nets=NETS):
    """A run, made beside the tests' own output."""
    if nets is NETS:  # without batch normalisation and with a quick walk, untrained frames differ from each other
        nets = (
            *nets,
            *("--set", "generator.norm=none", "--set", "generator.motion_dim=0", "--set", "assembler.spacing=0.3"),
        )
    words = ("gadkit", "train", "--data", data, *SMALL, *nets, "--out", out, *arguments)
    with pytest.MonkeyPatch.context() as patch, own_registry():
        patch.setattr(sys, "argv", [str(word) for word in words])
        assert run(app) == 0
    return out


@pytest.fixture(scope="module")
def trained(clips, tmp_path_factory) -> Path:
    """A run with the checkpoints of steps 1 and 2."""
    return train(clips, tmp_path_factory.mktemp("trained") / "run", "--set", "run.checkpoint_every=1")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    """A run on data with the classes cats and dogs."""
    data = tmp_path_factory.mktemp("labelled")
    folder_of_clips(data / "cats", 2)
    folder_of_clips(data / "dogs", 2)
    return train(data, tmp_path_factory.mktemp("trained") / "run", "--labels", "folders")


def pixels(path, **arguments):
    """What Python makes of the same model: `(num, T, H, W, C)`."""
    return gadkit.load(path, device="cpu").sample(**arguments).permute(0, 1, 3, 4, 2).numpy()


def strip(path):
    """The frames of a PNG strip of 16×16 frames, `(T, H, W, C)`."""
    array = np.asarray(Image.open(path))
    return array.reshape(array.shape[0], -1, 16, 3).transpose(1, 0, 2, 3)


def grids(path, columns):
    """The grids of a PNG strip, `(T, H, W, C)`, each of which ends in a grey bar."""
    array = np.asarray(Image.open(path))
    whole = array.reshape(array.shape[0], -1, 16 * columns + 4, 3).transpose(1, 0, 2, 3)
    assert (whole[:, :, -4:] == 128).all()
    return whole[:, :, :-4]


def frames(path):
    """The frames of a file, `(T, H, W, C)`."""
    if path.suffix == ".webp":
        with Image.open(path) as image:
            return np.stack([np.asarray((image.seek(n), image.convert("RGB"))[1]) for n in range(image.n_frames)])
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


# --- formats ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".mp4", ".webm", ".gif", ".webp"])
def test_a_video_of_every_format_has_the_frames_of_the_model(gadkit_command, trained, ending):
    done = gadkit_command("sample", trained, "--length", 20, "--seed", 3, "--out", f"a{ending}")
    assert (done.code, done.out, done.err) == (0, f"wrote a{ending}\n", "")
    made, expected = frames(Path(f"a{ending}")), pixels(trained, length=20, seed=3)[0]
    assert made.shape == expected.shape == (20, 16, 16, 3)
    # Blocks of 4×4, because most formats keep colour at half the resolution: a frame is near to its own, not to others.
    blocks = [array.reshape(20, 4, 4, 4, 4, 3).mean((2, 4)) for array in (made, expected)]
    apart = np.abs(blocks[0][:, None] - blocks[1][None]).mean((2, 3, 4))
    assert apart.diagonal().mean() < 0.5 * apart[~np.eye(20, dtype=bool)].mean()


def test_a_strip_has_exactly_the_frames_of_the_model(gadkit_command, trained):
    assert gadkit_command("sample", trained, "--out", "a.png").code == 0
    assert np.array_equal(strip("a.png"), pixels(trained)[0])  # eight frames, the training length


def test_an_ending_may_be_in_capitals(gadkit_command, trained):
    assert gadkit_command("sample", trained, "--out", "A.PNG").code == 0
    assert np.array_equal(strip("A.PNG"), pixels(trained)[0])


def test_several_videos_are_numbered_files(gadkit_command, trained, tmp_path):
    done = gadkit_command("sample", trained, "--num", 11, "--length", 3, "--seed", 5, "--out", "a.png")
    assert done.out.splitlines()[:2] == ["wrote a-00.png", "wrote a-01.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a-{number:02d}.png" for number in range(11)]
    expected = pixels(trained, num=11, length=3, seed=5)
    for number in range(11):
        assert np.array_equal(strip(f"a-{number:02d}.png"), expected[number])


def test_a_grid_is_one_file_with_the_videos_in_rows(gadkit_command, trained, tmp_path):
    assert gadkit_command("sample", trained, "--num", 5, "--length", 4, "--grid", "--out", "a.png").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    made = grids("a.png", 3)
    expected = pixels(trained, num=5, length=4)
    for number in range(5):
        row, column = divmod(number, 3)
        cell = made[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        assert np.array_equal(cell, expected[number])
    assert not made[:, 16:, 32:].any()


def test_real_clips_stand_beside_a_grid(gadkit_command, tmp_path_factory):
    """Held-out ones, frame by frame those of their files, over and over; what is generated stays what it was."""
    root = tmp_path_factory.mktemp("real")
    data = write_videos(root / "data", range(20), length=9)
    run = train(data, root / "run", "--held-out", "0.5")
    more = ("--num", 4, "--length", 20, "--grid", "--out")
    assert gadkit_command("sample", run, *more, "a.png").code == 0
    assert gadkit_command("sample", run, *more, "b.png", "--real").code == 0
    array = np.asarray(Image.open("b.png"))
    whole = array.reshape(32, 20, 32 + 4 + 32 + 4, 3).transpose(1, 0, 2, 3)
    assert np.array_equal(whole[:, :, 36:-4], grids("a.png", 2))
    assert (whole[:, :, 32:36] == 128).all()
    names = [path.name for path in sorted(data.iterdir())]
    kept = [number for number, out in enumerate(held_out(names, [{}] * 20, "file", 0.5)) if out]
    clips = {number: [footage(number)[first : first + 8] for first in range(2)] for number in kept}
    found = set()
    for row, column in np.ndindex(2, 2):
        cell = whole[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        assert np.array_equal(cell, cell[np.arange(20) % 8])
        found |= {number for number, own in clips.items() if any(np.array_equal(cell[:8], each) for each in own)}
    assert len(found) == 4
    assert "expected --grid" in gadkit_command("sample", run, "--num", 2, "--real").error
    assert "there are" in gadkit_command("sample", run, "--num", 30, "--grid", "--real").error
    gadkit.load(run, device="cpu").export(root / "model")
    assert "which is no run" in gadkit_command("sample", root / "model", "--real").error


def test_the_frame_rate_is_the_datas_or_the_one_asked_for(gadkit_command, trained):
    for flags, rate in (((), 25), (("--fps", "12.5"), 12.5)):
        assert gadkit_command("sample", trained, "--out", "a.mp4", *flags).code == 0
        with av.open("a.mp4") as container:
            assert float(container.streams.video[0].average_rate) == rate


# --- which model -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_by_step(gadkit_command, trained):
    for name in ("1", "step-000001", "000001"):
        assert gadkit_command("sample", trained, "--checkpoint", name, "--out", "first.png").code == 0
        assert np.array_equal(strip("first.png"), pixels(trained / "checkpoints" / "step-000001")[0])
    assert gadkit_command("sample", trained, "--out", "latest.png").code == 0
    assert np.array_equal(strip("latest.png"), pixels(trained / "checkpoints" / "step-000002")[0])
    assert not np.array_equal(strip("first.png"), strip("latest.png"))


def test_samples_of_the_training_are_those_of_the_loaded_model(clips, tmp_path, monkeypatch):
    """Frame for frame, as they go to the encoder: x264 itself may code the same frames in two ways."""
    shown = {}

    def keep(path, chunks, fps, *, length):
        shown[path.name] = np.concatenate(list(chunks))

    monkeypatch.setattr("gadkit.runs.writing.write_video", keep)
    run = train(clips, tmp_path / "run", "--set", "run.sample_every=1", "--set", "run.checkpoint_every=1")
    assert sorted(shown) == ["step-000001.mp4", "step-000002.mp4"]
    for step in (1, 2):
        made = np.concatenate(list(gadkit.load(run, checkpoint=str(step), device="cpu").grid(2, 16, seed=0)))
        assert np.array_equal(shown[f"step-{step:06d}.mp4"], made)
    assert not np.array_equal(*shown.values())


def test_labels_choose_the_class(gadkit_command, labelled):
    made = {}
    for name in ("cats", "dogs", "0", "1"):
        assert gadkit_command("sample", labelled, "--label", name, "--out", "a.png").code == 0
        made[name] = strip("a.png")
    assert np.array_equal(made["cats"], made["0"])
    assert np.array_equal(made["dogs"], made["1"])
    assert not np.array_equal(made["cats"], made["dogs"])
    assert gadkit_command("sample", labelled, "--num", 2, "--label", "dogs", "--out", "a.png").code == 0
    assert np.array_equal(strip("a-0.png"), made["dogs"])
    both = ("--num", 2, "--label", "dogs", "--label", "cats")
    assert gadkit_command("sample", labelled, *both, "--out", "b.png").code == 0
    assert np.array_equal(strip("b-0.png"), made["dogs"])
    assert np.array_equal(strip("b-1.png"), pixels(labelled, num=2, labels=["dogs", "cats"])[1])
    assert gadkit_command("sample", labelled, "--num", 2, "--out", "c.png").code == 0  # the classes in turn
    assert np.array_equal(strip("c-0.png"), made["cats"])
    assert np.array_equal(strip("c-1.png"), pixels(labelled, num=2, labels=[0, 1])[1])


def test_an_exported_model_makes_identical_pixels(gadkit_command, labelled, tmp_path):
    done = gadkit_command("export", labelled, tmp_path / "model")
    assert (done.code, done.out) == (0, f"wrote {tmp_path / 'model'}\n")
    assert sorted(files_of(tmp_path / "model")) == ["README.md", "config.json", "manifest.json", "model.safetensors"]
    one, other = (pixels(path, num=3, length=40, seed=9) for path in (labelled, tmp_path / "model"))
    assert np.array_equal(one, other)
    flags = ("--num", 2, "--length", 5, "--label", "dogs")
    for source in (labelled, tmp_path / "model"):
        assert gadkit_command("sample", source, *flags, "--out", f"{source.name}.png").code == 0
    assert np.array_equal(strip("run-1.png"), strip("model-1.png"))
    card = (tmp_path / "model" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: gadkit\n")
    assert "Classes: cats, dogs." in card
    assert "16×16 pixels, trained on clips of 8 frames at 25 Hz" in card
    (command,) = [line for line in card.splitlines() if line.startswith("gadkit sample .")]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "model")
        assert gadkit_command(*command.split()[1:]).code == 0
    assert len(frames(tmp_path / "model" / "videos.mp4")) == 24


def test_an_older_checkpoint_can_be_exported(gadkit_command, trained, tmp_path):
    assert gadkit_command("export", trained, "model", "--checkpoint", "1").code == 0
    assert json.loads(Path("model/config.json").read_text())["step"] == 1
    assert np.array_equal(pixels("model"), pixels(trained / "checkpoints" / "step-000001"))


def test_export_never_writes_over_anything(gadkit_command, trained, tmp_path):
    assert gadkit_command("export", trained, "model").code == 0
    before = files_of(Path("model"))
    assert "model: exists and is not empty, expected a new folder" in gadkit_command("export", trained, "model").error
    assert files_of(Path("model")) == before
    Path("file").write_text("dear")
    assert "file: is a file, expected a new folder" in gadkit_command("export", trained, "file").error
    assert Path("file").read_text() == "dear"
    Path("empty").mkdir()
    assert gadkit_command("export", trained, "empty").code == 0


# --- what cannot be --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--out", "a.avi"], ["a.avi: the ending '.avi' is unknown", ".mp4, .webm, .gif, .webp, .png"]),
        (["--out", "video"], ["the ending '' is unknown"]),
        (["--out", "no/a.mp4"], ["no/a.mp4 cannot be written: there is no folder no; make it first"]),
        (
            ["--out", "a.png", "--length", "257"],
            [".png is limited to 256 frames", ".mp4, .webm and .gif have no limit"],
        ),
        (["--out", "a.webp", "--length", "1001"], [".webp is limited to 1000 frames", "no limit"]),
        (["--out", "a.gif", "--fps", "60"], ["GIF plays at most 50 frames a second, not 60; use .mp4"]),
        (["--fps", "0"], ["fps is 0.0; it must lie in (0, 1000]"]),
        (["--fps", "nan"], ["fps is nan"]),
        (["--checkpoint", "77"], ["checkpoint: found '77'", "step-000001, step-000002", "or latest"]),
        (["--checkpoint", "beste"], ["checkpoint: found 'beste'", "step-000002"]),
        (["--label", "cats"], ["labels: this model was trained without classes"]),
        (["--device", "gpu"], ["device: found 'gpu', expected auto, cpu, cuda, cuda:N or mps"]),
        (["--plugin", "no.py"], ["'no.py' cannot be read"]),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_a_wrong_value(gadkit_command, trained, tmp_path, arguments, expected):
    error = gadkit_command("sample", trained, *arguments).error
    assert [text for text in expected if text not in error] == [], error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--label", "cows"], "labels: found 'cows', expected one of cats, dogs, or its number"),
        (["--label", "2"], "labels: found '2', expected one of cats, dogs, or its number"),
        (["--num", "3", "--label", "cats", "--label", "dogs"], "labels: found 2 for 3 videos"),
        (["--num", "2", "--label", "cats", "--label", "cows"], "labels: found 'cows'"),
        (["--label", "cats", "--label", "dogs"], "labels: found 2 for 1 videos"),
    ],
    ids=" ".join,
)
def test_a_wrong_label_is_told_before_anything_is_written(gadkit_command, labelled, tmp_path, arguments, expected):
    assert expected in gadkit_command("sample", labelled, *arguments, "--out", "a.png").error
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_model(gadkit_command, clips, tmp_path):
    (tmp_path / "file").write_text("")
    for path, found in (("nothing", "no folder"), (clips, "a folder without config.json"), ("file", "a file")):
        error = gadkit_command("sample", path).error
        assert error == f"{path}: found {found}, expected a run, an exported model, or owner/name on the Hub."


def test_a_name_that_is_not_on_the_hub(gadkit_command, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def download(name, **arguments):
        assert name == "someone/something"
        raise LocalEntryNotFoundError("no\nconnection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    error = gadkit_command("sample", "someone/something").error
    assert "someone/something: is no folder here, and the Hugging Face Hub does not give it" in error


def test_a_model_from_the_hub(gadkit_command, trained, monkeypatch, tmp_path):
    import huggingface_hub

    gadkit_command("export", trained, "model")
    asked = []

    def download(name, **arguments):
        asked.append((name, sorted(arguments["allow_patterns"])))
        return str(tmp_path / "model")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert gadkit_command("sample", "someone/something", "--out", "a.png").code == 0
    assert np.array_equal(strip("a.png"), pixels(trained)[0])
    assert asked == [
        ("someone/something", ["config.json", "discriminator.safetensors", "manifest.json", "model.safetensors"])
    ]


def test_one_model_has_one_step(gadkit_command, trained):
    folder = trained / "checkpoints" / "step-000001"
    assert "of step 1, and no run" in gadkit_command("sample", folder, "--checkpoint", "2").error
    assert gadkit_command("sample", folder, "--checkpoint", "1", "--out", "a.png").code == 0


def test_an_altered_model_is_refused_by_the_file(gadkit_command, trained):
    for name in ("model.safetensors", "config.json"):
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree(trained, "run")
        path = Path("run/checkpoints/step-000002") / name
        content = bytearray(path.read_bytes())
        content[-2] ^= 1
        path.write_bytes(content)
        error = gadkit_command("sample", "run", "--checkpoint", "2").error
        assert f"{path}: its SHA-256 is" in error
        assert "use another checkpoint" in error
        done = gadkit_command("sample", "run")  # the latest that is whole
        (line,) = done.err.splitlines()
        assert done.code == 0
        assert line.startswith(f"gadkit: warning: {path}: its SHA-256 is")
        assert line.endswith("step-000001 is loaded in its place.")
    (path.parent / MANIFEST).unlink()
    error = gadkit_command("sample", "run", "--checkpoint", "2").error
    assert f"{path.parent}: is no whole checkpoint or model" in error


def test_a_model_whose_package_is_not_installed_names_the_package(gadkit_command, clips, tmp_path):
    text = PLUGIN.replace('target=f"parts:', 'target=f"acme_parts:')
    with importable(tmp_path / "site"):
        write_package(tmp_path / "site", "acme-gan", text, version="2.1", module="acme_parts")
        train(clips, tmp_path / "run", "--generator", "linear", nets=DISCRIMINATOR)
        assert gadkit_command("sample", "run", "--out", "a.png").code == 0
        assert gadkit_command("export", "run", "model").code == 0
    assert "pip install gadkit acme-gan" in Path("model/README.md").read_text()
    versions = json.loads(Path("run/environment.json").read_text())["components"]["generator"]
    assert versions == {"use": "acme-gan:linear", "distribution": "acme-gan", "version": "2.1"}
    for command in (("sample", "run"), ("sample", "model"), ("train", "--resume", "run", "--steps", "3")):
        error = gadkit_command(*command).error
        assert "generator 'acme-gan:linear' is not available" in error
        assert "'acme-gan'" in error
        assert "install it" in error


def test_a_generator_of_one_length_says_so(gadkit_command, clips, tmp_path, plugin_file):
    text = plugin_file.read_text().replace(
        '"""One linear map a frame.', 'context = "fixed"\n    """One linear map a frame.'
    )
    plugin_file.write_text(text)
    plugin = ("--plugin", plugin_file)
    done = gadkit_command.train(clips, *plugin, "--generator", "linear", "--out", "run", nets=DISCRIMINATOR)
    assert done.code == 0
    error = gadkit_command("sample", "run", *plugin, "--length", "9").error
    assert "length: found 9, but Linear makes videos of exactly 8 frames; ask for at most 8" in error
    assert gadkit_command("sample", "run", *plugin, "--length", "5", "--out", "a.png").code == 0
    assert gadkit_command("export", "run", "model", *plugin).code == 0
    assert "--length 8 " in Path("model/README.md").read_text()
