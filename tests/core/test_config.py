"""How a configuration is put together from its sources, and what becomes of faults in them."""

from __future__ import annotations

import dataclasses

import pytest
from plugins_fixtures.stand_ins import Wide, stand_in_registry

from gadkit import ConfigError, PluginError
from gadkit.config import RunConfig
from gadkit.sections import VideoSettings


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with stand_in_registry(tmp_path_factory.mktemp("site")) as registry:
        yield registry


def resolve(registry, text=None, tmp_path=None, **more):
    if text is None:
        return RunConfig.resolve(registry, **more)
    path = tmp_path / "given.toml"
    path.write_text(text, encoding="utf-8")
    return RunConfig.resolve(registry, file=path, **more)


def generator(config):
    return config.parts["generator"].settings


def test_defaults_and_recipe(registry):
    config = resolve(registry, recipe="dcgan")
    assert (config.recipe, config.seed, config.device, config.precision) == ("dcgan", 5, "auto", "auto")
    assert config.video == VideoSettings(height=32, width=64, frames=16, stride=1, background="white")
    assert (generator(config)["width"], generator(config)["limit"], generator(config)["norm"]) == (128, 2.0, "batch")
    assert set(config.parts) == {"generator", "discriminator", "loss", "trainer"}
    assert (config.data.path, config.data.use, config.plugins) == (None, None, ())


def test_the_later_source_wins(registry, tmp_path):
    text = "recipe = 'dcgan'\nseed = 7\n[generator]\nwidth = 7\n[video]\nheight = 7\nwidth = 7\nframes = 7\n"
    file = resolve(registry, text, tmp_path)
    assert (file.seed, generator(file)["width"], file.video.height) == (7, 7, 7)
    flags = resolve(
        registry, text, tmp_path, flags={"seed": 8, "generator.width": 8, "video.height": 8, "device": None}
    )
    assert (flags.seed, generator(flags)["width"], flags.video.height, flags.video.width) == (8, 8, 8, 7)
    assert flags.device == "auto"
    sets = resolve(
        registry,
        text,
        tmp_path,
        flags={"seed": 8, "generator.width": 8, "video.height": 8, "video.frames": 8},
        sets=["seed=9", "generator.width=1", "generator.width = 9", "video.height=9"],
    )
    assert (sets.seed, generator(sets)["width"], sets.video.height) == (9, 9, 9)
    assert (sets.video.width, sets.video.frames) == (7, 8)
    assert generator(sets)["limit"] == 2.0


@pytest.mark.parametrize(
    ("more", "recipe"),
    [
        ({}, "demo"),
        ({"flags": {"data.path": "clips"}}, "dcgan"),
        ({"flags": {"data.path": None}}, "demo"),
        ({"sets": ["data.path=clips"]}, "dcgan"),
        ({"flags": {"data.path": "clips"}, "recipe": "demo"}, "demo"),
    ],
)
def test_the_default_recipe(registry, more, recipe):
    assert resolve(registry, **more).recipe == recipe


def test_the_file_names_the_recipe_unless_the_caller_does(registry, tmp_path):
    assert resolve(registry, "recipe = 'dcgan'", tmp_path).seed == 5
    assert resolve(registry, "recipe = 'dcgan'", tmp_path, recipe="demo").seed == 6
    assert resolve(registry, "[data]\npath = 'x'", tmp_path).recipe == "dcgan"


def test_another_component_drops_the_settings_below_it(registry, tmp_path):
    config = resolve(registry, recipe="dcgan", flags={"generator.use": "other"})
    assert generator(config) == {"width": 8, "depth": 3}
    beside = resolve(registry, recipe="dcgan", flags={"generator.use": "other", "generator.width": 9})
    assert generator(beside) == {"width": 9, "depth": 3}
    above = resolve(registry, recipe="dcgan", flags={"generator.use": "other"}, sets=["generator.depth=1"])
    assert generator(above) == {"width": 8, "depth": 1}
    below = resolve(registry, "[generator]\nuse = 'other'\ndepth = 9", tmp_path, sets=["generator.use=wide"])
    assert generator(below)["width"] == 64, "neither the file's nor the recipe's settings are for this choice"
    same = resolve(registry, recipe="dcgan", flags={"generator.use": "gadkit:wide"})
    assert generator(same)["width"] == 128, "another spelling is no other component"
    assert config.parts["loss"].settings == {"scale": 3.0}


def test_a_lower_source_may_name_what_is_not_there(registry, tmp_path):
    text = "[generator]\nuse = 'acme-gone:x'\nwidth = 3"
    assert generator(resolve(registry, text, tmp_path, sets=["generator=other"])) == {"width": 8, "depth": 3}
    with pytest.raises(PluginError, match="acme-gone"):
        resolve(registry, text, tmp_path)


def test_none_leaves_a_part_out(registry):
    assert "loss" not in resolve(registry, recipe="dcgan", flags={"loss.use": "none"}).parts
    with pytest.raises(ConfigError, match=r"loss\.scale is set, but loss\.use is 'none'"):
        resolve(registry, recipe="dcgan", flags={"loss.use": "none"}, sets=["loss.scale=1"])
    with pytest.raises(ConfigError, match=r"penalty\.gamma is set, but no component is chosen"):
        resolve(registry, recipe="dcgan", sets=["penalty.gamma=1"])
    with pytest.raises(ConfigError, match=r"generator\.use: found none, but trainer 'short' needs a generator"):
        resolve(registry, recipe="dcgan", sets=["generator=none"])
    with pytest.raises(ConfigError, match=r"trainer\.use: found none"):
        resolve(registry, recipe="none")
    bare = resolve(registry, recipe="none", sets=["generator=other", "trainer=short"])
    assert (bare.recipe, set(bare.parts)) == ("none", {"generator", "trainer"})


def test_adopted_classes(registry):
    class Own(Wide):
        def __init__(self, video, *, tone: int = 1):
            super().__init__(video)

    entry = registry.adopt("generator", Own)
    config = resolve(registry, recipe="dcgan", flags={"generator.use": entry, "generator.tone": 2})
    assert config.parts["generator"].entry is entry
    assert generator(config) == {"tone": 2}
    with pytest.raises(ConfigError, match=r"loss\.use: found the generator 'Own', expected the name of a loss"):
        resolve(registry, recipe="dcgan", flags={"loss.use": entry})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        (".5", 0.5),
        ("-.5e-1", -0.05),
        ("5.", 5.0),
        (".", "."),
        ("1.2.3", "1.2.3"),
        ("true", True),
        ("[0.1, 0.2]", [0.1, 0.2]),
        ("{a = 1}", {"a": 1}),
        ("'3'", "3"),
        ("white", "white"),
        ("#ff0000", "#ff0000"),
        ("a=b", "a=b"),
        ("", ""),
        ("1\nseed = 2", "1\nseed = 2"),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_values_of_set_are_toml_or_bare_strings(text, expected):
    from gadkit.layers import from_sets

    (layer,) = (from_sets([f"generator.title={text}"]),)
    assert layer.sections == {"generator": {"title": expected}}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"sets": ["width"]}, r"^--set 'width': expected key=value, such as generator\.width=128\.$"),
        ({"sets": ["=3"]}, r"^--set '=3': expected key=value"),
        ({"sets": ["generator.=3"]}, r"^--set 'generator\.=3': 'generator\.' is no key"),
        ({"sets": ["generator.a.b=3"]}, r"^--set 'generator\.a\.b=3': 'generator\.a\.b' is no key"),
        ({"sets": ["sed=3"]}, r"^--set: sed is no key of a configuration\. Did you mean 'seed'\?"),
        ({"sets": ["generatr.width=3"]}, r"Did you mean 'generator'\?"),
        ({"sets": ["dataset.path=3"]}, r"dataset is no key of a configuration\. Did you mean 'data'\?"),
        ({"sets": ["recipe=demo"]}, r"recipe is no key"),
        (
            {"flags": {"video.hight": 3}},
            r"^video\.hight is no setting of the section \[video\]\. Did you mean 'height'",
        ),
        ({"flags": {"video": 3}}, r"^Command line: video: found 3, expected a section, such as \[video\]"),
        (
            {"sets": ["generator.widht=3"]},
            r"^generator\.widht is no setting of generator 'wide'\. Did you mean 'width'",
        ),
        ({"sets": ["generator.width=wide"]}, r"^generator\.width: found 'wide', expected an integer greater than 0\.$"),
        ({"flags": {"video.frames": 0}}, r"^video\.frames: found 0, expected an integer greater than 0\.$"),
        ({"sets": ["seed=true"]}, r"^seed: found True, expected an integer\.$"),
        ({"flags": {"precision": "fp8"}}, r"^precision: found 'fp8', expected one of 'auto', 'fp32', 'bf16'"),
        ({"sets": ["generator.use=3"]}, r"^generator\.use: found 3, expected the name of a generator\.$"),
        ({"flags": {"data.path": 3}}, r"^data\.path: found 3, expected a path\.$"),
        ({"flags": {"data.path": "\udcff"}}, r"^data\.path: '\\udcff' is not valid UTF-8"),
        ({"sets": ["data.use=clips", "data.lables=true"]}, r"data\.lables is no setting of dataset 'clips'.*'labels'"),
        ({"recipe": "odd"}, r"^Recipe 'odd': generatr is no key of a configuration\. Did you mean 'generator'"),
    ],
)
def test_faults_are_one_sentence(registry, more, message):
    with pytest.raises(ConfigError, match=message):
        resolve(registry, **{"recipe": "dcgan", **more})


def test_unknown_names_are_plugin_errors(registry):
    with pytest.raises(PluginError, match=r"There is no generator 'wid'\. Did you mean 'wide'"):
        resolve(registry, recipe="dcgan", flags={"generator.use": "wid"})
    with pytest.raises(PluginError, match=r"There is no recipe 'dcgn'\. Did you mean 'dcgan'"):
        resolve(registry, recipe="dcgn")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"seed = 1\n[video\n", r"given\.toml' is not TOML: .*line 2"),
        (b"seed = 1\n\ntitle = '\xff'\n", r"given\.toml' is not UTF-8 \(at line 3\): save it as UTF-8"),
        (b"sede = 1\n", r"given\.toml': sede is no key of a configuration\. Did you mean 'seed'"),
        (b"format = 2\n", r"given\.toml': format: found 2, expected 1; upgrade gadkit"),
        (b"recipe = 3\n", r"given\.toml': recipe: found 3"),
        (b'recipe = ""\n', r"given\.toml': recipe: found ''"),
        (b"plugins = 'x.py'\n", r"given\.toml': plugins: found 'x\.py', expected tables"),
    ],
)
def test_a_faulty_file_is_named(registry, tmp_path, content, message):
    (tmp_path / "given.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        RunConfig.resolve(registry, file=tmp_path / "given.toml")


def test_a_missing_file_is_named(registry, tmp_path):
    with pytest.raises(ConfigError, match=r"'.*gone\.toml' cannot be read: No such file"):
        RunConfig.resolve(registry, file=tmp_path / "gone.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        RunConfig.resolve(registry, file=tmp_path)


def test_the_dataset_is_chosen_now_or_later(registry, tmp_path):
    later = resolve(registry, flags={"data.path": "clips", "data.loop": True})
    assert (later.data.use, later.data.settings) == (None, {"loop": True})
    chosen = later.with_data(registry.find("dataset", "clips"))
    assert (chosen.data.use, chosen.data.settings) == ("gadkit:clips", {"loop": True, "fps": 25.0})
    assert later.data.use is None
    assert dataclasses.replace(chosen, data=later.data) == later
    assert resolve(registry, flags={"data.path": "clips", "data.use": "clips", "data.loop": True}) == chosen
    other = later.with_data(registry.find("dataset", "clips"), {"fps": 5})
    assert other.data.settings == {"loop": False, "fps": 5.0}
    moved = resolve(registry, chosen.to_toml(), tmp_path, flags={"data.path": "elsewhere"})
    assert (moved.data.path, moved.data.use) == ("elsewhere", None), "another place may be another kind of dataset"
