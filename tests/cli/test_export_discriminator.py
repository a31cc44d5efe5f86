"""`gadkit export --discriminator`: the model folder brings what it was trained against, or a sentence says why not."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from plugins_fixtures import importable, write_package
from small_runs import GENERATOR, PLUGIN, files_of, own_registry

import gadkit

FILES = ["README.md", "config.json", "discriminator.safetensors", "manifest.json", "model.safetensors"]
#: The plugin file, one of whose discriminators gives what is due.
WORKING = PLUGIN.replace("self.map(self.features(video))[:, 0]", "self.map(self.features(video))")


@pytest.fixture
def trained(gadkit_command, clips):
    assert gadkit_command.train(clips, "--refiner", "proximal", "--out", "run").code == 0
    return Path("run")


def said(path, **arguments):
    """What its discriminator says of one batch."""
    model = gadkit.load(path, device="cpu", **arguments)
    video = torch.rand((2, 8, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.discriminator(video)


def test_it_is_exported_with_the_model_where_that_is_asked_for(gadkit_command, trained, tmp_path):
    done = gadkit_command("export", trained, "model", "--discriminator")
    assert (done.code, done.out) == (0, "wrote model\n")
    files = files_of(Path("model"))
    assert sorted(files) == FILES
    sums = json.loads(files["manifest.json"])["sha256"]
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "manifest.json"}
    shutil.move("model", "elsewhere")
    assert torch.equal(said("elsewhere"), said(trained))
    card = files["README.md"].decode()
    assert "discriminator `gadkit:dcgan-clip`" in card
    assert "along its gradient, by `gadkit:proximal`." in card
    commands = [line for line in card.splitlines() if line.startswith("gadkit sample .")]
    assert [("--refine 10" in command) for command in commands] == [False, True]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "elsewhere")
        for command in commands:
            done = gadkit_command(*command.split()[1:])
            assert done.code == 0, done.err
            assert Path(command.split()[-1]).stat().st_size > 0


def test_without_it_the_model_is_what_it_was(gadkit_command, trained):
    assert gadkit_command("export", trained, "model").code == 0
    files = files_of(Path("model"))
    assert sorted(files) == [name for name in FILES if not name.startswith("discriminator")]
    assert not {"discriminator", "refiner"} & json.loads(files["config.json"]).keys()
    card = files["README.md"].decode()
    assert "refine" not in card
    assert "discriminator" not in card
    error = gadkit_command("export", "model", "other", "--discriminator").error
    assert error == (
        f"{Path('model').absolute()}: was exported without its discriminator; export the run again with "
        "`gadkit export RUN DEST --discriminator`."
    )
    assert not Path("other").exists()
    assert gadkit_command("export", "model", "other").code == 0


def test_a_damaged_one_is_refused_and_the_rest_is_made(gadkit_command, trained):
    path = trained / "checkpoints" / "step-000002" / "training.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert f"{path.absolute()}: its SHA-256 is" in gadkit_command("export", trained, "model", "--discriminator").error
    assert not Path("model").exists()
    assert gadkit_command("export", trained, "model").code == 0


def test_that_of_another_package_is_named_and_needed_by_its_use_alone(gadkit_command, clips, tmp_path):
    with importable(tmp_path / "site"):
        text = WORKING.replace('target=f"parts:', 'target=f"acme_parts:')
        write_package(tmp_path / "site", "acme-gan", text, version="2.1", module="acme_parts")
        done = gadkit_command.train(clips, "--discriminator", "flat", "--out", "run", nets=GENERATOR)
        assert done.code == 0, done.err
        assert gadkit_command("export", "run", "model", "--discriminator").code == 0
        with own_registry():
            assert torch.equal(said("model"), said("run"))
    card = Path("model/README.md").read_text()
    assert "pip install gadkit acme-gan\n" in card
    assert json.loads(Path("model/config.json").read_text())["discriminator"] == {
        "use": "acme-gan:flat",
        "version": "2.1",
        "settings": {},
    }
    for number, source in enumerate(("run", "model")):
        assert gadkit_command("sample", source, "--out", f"{source}.png").code == 0
        error = gadkit_command("export", source, f"other-{number}", "--discriminator").error
        assert "discriminator 'acme-gan:flat' is not available" in error
        assert error.endswith("install it: `gadkit plugins install acme-gan`.")
        assert gadkit_command("export", source, f"plain-{number}").code == 0
    assert Path("run.png").read_bytes() == Path("model.png").read_bytes()


def test_that_of_a_plugin_file_needs_the_file(gadkit_command, clips, plugin_file):
    plugin_file.write_text(WORKING)
    plugin = ("--plugin", plugin_file)
    done = gadkit_command.train(clips, *plugin, "--discriminator", "flat", "--out", "run", nets=GENERATOR)
    assert done.code == 0, done.err
    assert gadkit_command("export", "run", "model", "--discriminator", *plugin).code == 0
    with own_registry():
        assert torch.equal(said("model", plugins=[plugin_file]), said("run"))
    card = Path("model/README.md").read_text()
    assert "It needs its author's plugin file `parts.py`." in card
    assert "gadkit sample . --plugin parts.py --num 16" in card
    assert (
        "discriminator 'parts.py:flat' is not available"
        in gadkit_command("export", "run", "other", "--discriminator").error
    )
    assert gadkit_command("sample", "model", "--out", "a.png").code == 0
