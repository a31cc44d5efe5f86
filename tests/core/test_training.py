"""`gadkit.train` in Python: settings and their order, runs that are run again, and what a run records."""

from __future__ import annotations

import json
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_runs import PLUGIN, SETTINGS, config, files_of, folder_of_clips, own_registry, same_tensors, small
from synthetic import Squares
from torch import nn

import gadkit
from gadkit import ConfigError, Generator, PluginError, RunError
from gadkit.checkpoints.store import read_tensors
from gadkit.registry import get_registry
from gadkit.runs.choices import resolve_config
from gadkit.runs.folder import Run
from gadkit.runs.reporter import Reporter


@pytest.fixture(autouse=True)
def _registry():
    with own_registry():
        yield


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def recipe(name="dcgan"):
    """What a bundled recipe says."""
    return tomllib.loads(gadkit.registry.get_registry().find("recipe", name).text())


def end(run):
    """The tensors of a run's newest checkpoint."""
    return read_tensors(Run(Path(run)).find_checkpoint(), "training.safetensors")


class Waves(Generator):
    """A class of a program's own.

    Args:
        hidden: Width of the hidden layer.
    """

    def __init__(self, video, *, hidden: int = 12):
        super().__init__(video)
        self.latent_dim, self.hidden = 5, hidden
        pixels = video.channels * video.height * video.width
        self.net = nn.Sequential(nn.Linear(5, hidden), nn.SiLU(), nn.Linear(hidden, pixels), nn.Tanh())

    def forward(self, codes, labels=None):
        return self.net(codes).view(*codes.shape[:2], self.video.channels, self.video.height, self.video.width)


# --- settings --------------------------------------------------------------------------------------------------------


def test_the_later_setting_wins(tmp_path):
    """Defaults < recipe < config < flags < set, each step told apart by a key of its own."""
    first = recipe()
    file = tmp_path / "mine.toml"
    penalty = f"[penalty]\nuse = '{first['penalty']['use']}'\ngamma = 3.25\n"
    file.write_text(f"[trainer]\nbatch_size = 6\n[run]\nsteps = 7\nlog_every = 3\n{penalty}")
    settings = SETTINGS | {"run.log_every": 4}
    small("run", config=file, steps=2, batch_size=None, log_every=5, set=settings)
    written = config("run")
    assert "keep" not in first["run"]
    assert written["run"]["keep"] == 3  # the default
    assert written["loss"]["use"] == f"gadkit:{first['loss']['use']}"  # the recipe
    assert first["penalty"]["gamma"] != 3.25
    assert written["penalty"]["gamma"] == 3.25  # the file over the recipe
    assert first["trainer"]["batch_size"] != 6
    assert written["trainer"]["batch_size"] == 6  # the file over the recipe
    assert written["run"]["steps"] == 2  # the flag over the file's 7
    assert written["run"]["log_every"] == 4  # set over the flag's 5 and the file's 3
    assert Run(Path("run")).find_checkpoint().name == "step-000002"


def test_set_takes_texts_and_typed_values_alike():
    texts = [f"{key}={value}" for key, value in SETTINGS.items()]
    assert config(small("a", set=texts).path) == config(small("b", set=SETTINGS).path)


def test_a_choice_that_is_none_is_no_choice():
    assert config(small("run", loss=None, seed=None).path)["loss"]["use"] == f"gadkit:{recipe()['loss']['use']}"


def test_a_penalty_can_be_left_out():
    small("run", penalty="none")
    assert config("run")["penalty"] == {"use": "none"}
    assert "penalty" not in Run(Path("run")).read_log()[-1]


def test_unknown_names():
    with pytest.raises(TypeError, match="unexpected keyword argument 'generater'"):
        small("run", generater="dcgan")
    with pytest.raises(PluginError, match=r"There is no assembler 'wolk'\. Did you mean 'walk'"):
        small("run", assembler="wolk")
    assert not Path("run").exists()


# --- a run that is run again -----------------------------------------------------------------------------------------


def test_a_runs_own_configuration_makes_an_equal_run(tmp_path):
    """Everything that decides a run stands in its config.toml: another process needs nothing else."""
    data = folder_of_clips(tmp_path / "clips")
    flags = {"dataset": None, "data": data, "seed": 11, "loss": "hinge", "penalty": "r1", "generator_lr": 1e-3}
    small("first", discriminator_steps=2, ema=20.0, **flags)
    gadkit.train(config="first/config.toml", out="again")
    assert config("first") == config("again")
    assert same_tensors(end("first"), end("again"))
    first, again = (gadkit.load(name, device="cpu").sample(num=2, length=16) for name in ("first", "again"))
    assert torch.equal(first, again)
    gadkit.train(config="first/config.toml", out="other", seed=12)
    assert not same_tensors(end("first"), end("other"))
    changed = {key for key, value in config("first").items() if value != config("other")[key]}
    assert changed == {"seed"}


def test_every_setting_of_every_part_is_written():
    written = config(small("run").path)
    registry = gadkit.registry.get_registry()
    for kind in ("generator", "assembler", "discriminator", "loss", "penalty", "direction", "trainer"):
        from gadkit.signature import settings_of

        entry = registry.find(kind, written[kind]["use"])
        optional = {name for name, setting in settings_of(entry.load()).items() if setting.default is None}
        assert settings_of(entry.load()).keys() - optional <= written[kind].keys()


def test_resuming_may_change_rates_and_steps_but_not_nets():
    small("run")
    gadkit.train(resume="run", steps=3, generator_lr=1e-5, loss="hinge", penalty="r1", allow_changes=True)
    assert config("run")["trainer"]["generator_lr"] == 1e-5
    before = files_of(Path("run"))
    for choices, key in (
        ({"generator": Waves}, r"generator\.use: found 'python:.*Waves', but run was trained with 'gadkit:dcgan'"),
        ({"set": {"assembler.spacing": 2.0}}, r"assembler\.spacing: found 2\.0, but run was trained with 8\.0"),
        ({"frames": 4}, r"video\.frames: found 4, but run was trained with 8"),
    ):
        with pytest.raises(ConfigError, match=key):
            gadkit.train(resume="run", steps=4, **choices)
    with pytest.raises(ConfigError, match="leave out, config and recipe away"):
        gadkit.train(resume="run", out="other")
    assert files_of(Path("run")) == before
    gadkit.train(resume="run", steps=4)
    assert [path.name for path in Run(Path("run")).checkpoints()][-1] == "step-000004"


def test_weights_of_a_part_that_changed_since_name_the_checkpoint():
    class Changing(Waves):
        extra = 0

        def __init__(self, video):
            super().__init__(video, hidden=12 + self.extra)

    small("run", generator=Changing, set={"discriminator.width": 8, "run.samples": 2})
    Changing.extra = 3
    with pytest.raises(
        RunError, match=r"step-000002: its generator does not fit .* installed and set now \(net.0.weight has the shape"
    ):
        gadkit.train(resume="run", steps=3)


def test_resuming_leaves_no_file_of_a_checkpoint_mapped(tmp_path):
    """What stays mapped cannot be deleted on Windows, and takes the process with it where a disk goes away."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux tells what a process has mapped")
    small("run")
    seen = []

    class Watch(Reporter):
        def advanced(self, step):
            seen.append("training.safetensors" in maps.read_text())

    gadkit.train(resume="run", steps=4, reporter=Watch())
    assert seen == [False, False]


# --- classes of one's own --------------------------------------------------------------------------------------------


def test_a_class_trains_and_loads_in_the_same_process():
    settings = {"generator.hidden": 7, "discriminator.width": 8, "run.samples": 2}
    outcome = small("run", generator=Waves, set=settings)
    assert outcome.reason == "finished"
    model = gadkit.load(outcome.path, device="cpu")
    assert isinstance(model.generator, Waves)
    assert model.generator.hidden == 7
    assert model.sample(num=2, length=30).shape == (2, 30, 3, 16, 16)
    gadkit.train(resume="run", steps=3)
    assert same_tensors(end("run"), end(small("unbroken", generator=Waves, set=settings, steps=3).path))


def test_in_another_process_the_class_is_passed_again():
    small("run", generator=Waves, set={"discriminator.width": 8, "run.samples": 2})
    wanted = gadkit.load("run", device="cpu").sample()
    with own_registry():  # as another process has it
        with pytest.raises(PluginError, match=r"Waves' is a class that a Python program passed .*generator=\.\.\."):
            gadkit.load("run")
        with pytest.raises(PluginError, match="pass the class again"):
            gadkit.train(resume="run", steps=3)
        assert torch.equal(gadkit.load("run", device="cpu", generator=Waves).sample(), wanted)
        gadkit.train(resume="run", steps=3, generator=Waves, dataset=Squares)
    assert Run(Path("run")).find_checkpoint().name == "step-000003"


def test_a_class_that_is_no_component():
    with pytest.raises(PluginError, match=r"'Linear' does not implement gadkit\.Generator; derive it"):
        small("run", generator=nn.Linear)


def test_plugin_files(tmp_path):
    (tmp_path / "parts.py").write_text(PLUGIN)
    settings = {"discriminator.width": 8, "run.samples": 2, "generator.scale": 2.0}
    small("run", generator="linear", plugins=["parts.py"], set=settings)
    recorded = json.loads(Path("run/environment.json").read_text())["components"]["generator"]
    assert recorded["use"] == "parts.py:linear"
    assert recorded["sha256"] == config("run")["plugins"][0]["sha256"]
    wanted = gadkit.load("run", device="cpu").sample()
    with own_registry():
        with pytest.raises(PluginError, match="pass the file with --plugin"):
            gadkit.load("run")
        assert torch.equal(gadkit.load("run", device="cpu", plugins=["parts.py"]).sample(), wanted)


# --- what a run records and tells ------------------------------------------------------------------------------------


def test_the_environment_names_every_distribution_and_version():
    small("run")
    recorded = json.loads(Path("run/environment.json").read_text())
    for name in ("gadkit", "torch", "accelerate", "av", "numpy"):
        assert recorded["libraries"][name] == metadata.version(name)
    kinds = {"generator", "assembler", "discriminator", "loss", "penalty", "direction", "trainer", "dataset"}
    assert recorded["components"].keys() == kinds
    for kind in kinds - {"dataset"}:
        assert recorded["components"][kind] == {
            "use": config("run")[kind]["use"],
            "distribution": "gadkit",
            "version": gadkit.__version__,
        }
    assert recorded["components"]["dataset"]["use"] == "python:synthetic.Squares"
    assert recorded["device"].startswith("cpu")
    assert recorded["precision"] == "fp32"
    assert recorded["processes"] == 1


def test_a_library_under_another_name_does_not_stop_a_run(monkeypatch):
    version = metadata.version

    def missing(name):
        if name == "pillow":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("gadkit.runs.environment.metadata.version", missing)
    small("run", steps=1)
    assert json.loads(Path("run/environment.json").read_text())["libraries"]["pillow"] == "unknown"


def test_the_reporter_sees_the_run_from_beginning_to_end():
    seen = []

    class Watch(Reporter):
        def preparing(self, done, total, name):
            seen.append(("preparing", done, total))

        def plan(self, plan):
            seen.append(("plan", [kind for kind, *_ in plan.parts]))

        def started(self, step, steps):
            seen.append(("started", step, steps))

        def advanced(self, step):
            seen.append(("advanced", step))

        def logged(self, step, values):
            seen.append(("logged", step))

        def wrote(self, path):
            seen.append(("wrote", path))

        def ended(self, folder, step, reason):
            seen.append(("ended", folder, step, reason))

    outcome = small("run", reporter=Watch(), log_every=2, set=SETTINGS | {"data.videos": 7})
    assert outcome == gadkit.runs.training.Outcome(path=Path("run"), reason="finished")
    assert [item for item in seen if item[0] == "preparing"][-1] == ("preparing", 7, 7)
    rest = [item for item in seen if item[0] not in ("preparing", "plan", "wrote")]
    assert rest == [
        ("started", 0, 2),
        ("advanced", 1),
        ("advanced", 2),
        ("logged", 2),
        ("ended", Path("run"), 2, "finished"),
    ]
    run = Run(Path("run"))
    assert {item[1] for item in seen if item[0] == "wrote"} == {
        run.checkpoint_path(0),
        run.checkpoint_path(2),
        run.samples_path(2),
    }


def test_nothing_in_a_run_is_pickled():
    """Tensors are safetensors, the rest is text or video."""
    small("run")
    endings = {Path(name).suffix for name in files_of(Path("run"))}
    assert endings == {".toml", ".json", ".jsonl", ".safetensors", ".mp4", ".html", ""}  # the lock has no ending
    for path in Path("run").rglob("*.safetensors"):
        assert load_file(path)
    for path in Path("run").rglob("*.json*"):
        for line in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            json.loads(line)


def test_a_process_that_only_computes_writes_nothing(monkeypatch):
    monkeypatch.setattr("gadkit.engine.devices.Engine.main", property(lambda self: False))
    outcome = small("run")
    assert outcome.path is None
    assert not Path("run").exists()


def test_a_relative_data_path_is_written_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "choices.toml").write_text('[data]\npath = "clips"\n')
    config = resolve_config(get_registry(), "choices.toml", None, {}, (), (), None)
    assert config.data.path == str(tmp_path / "clips")
