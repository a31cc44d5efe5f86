"""What a configuration writes is complete, and resolves to the same configuration."""

from __future__ import annotations

import dataclasses
import sys
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plugins_fixtures.stand_ins import stand_in_registry
from pydantic import ValidationError

from gadkit import ConfigError
from gadkit.config import PluginFile, RunConfig
from gadkit.registry import Registry


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


def test_a_complete_file_stands_without_its_recipe(registry, tmp_path):
    config = resolve(registry, recipe="dcgan", sets=["loss=none", "generator.use=other"])
    again = resolve(registry, config.to_toml(), tmp_path)
    assert again == config
    gone = config.to_toml().replace('recipe = "dcgan"', 'recipe = "acme-gone:dcgan"')
    assert resolve(registry, gone, tmp_path) == dataclasses.replace(config, recipe="acme-gone:dcgan")
    assert resolve(registry, config.to_toml(), tmp_path, recipe="gadkit:dcgan") == config
    with pytest.raises(ConfigError, match=r"recipe: found 'demo', but .* is complete and would override all of it"):
        resolve(registry, config.to_toml(), tmp_path, recipe="demo")


def test_what_is_written_names_every_choice(registry):
    document = tomllib.loads(resolve(registry, recipe="dcgan", sets=["generator.limit=3"]).to_toml())
    assert (document["format"], document["recipe"], document["seed"]) == (1, "dcgan", 5)
    assert document["generator"] == {
        "use": "gadkit:wide",
        "width": 128,
        "norm": "batch",
        "betas": [0.5, 0.999],
        "limit": 3.0,
        "taps": [1, 2],
        "table": {},
        "title": "",
        "cache": ".",
    }
    assert document["penalty"] == {"use": "none"}
    assert next(iter(document["generator"])) == "use"


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "generator.width": st.integers(min_value=1),
        "generator.norm": st.sampled_from(["batch", "none"]),
        "generator.betas": st.tuples(*[st.floats(0, 1, exclude_max=True)] * 2),
        "generator.limit": st.floats(min_value=0, exclude_min=True),
        "generator.taps": st.lists(st.integers()),
        "generator.table": st.dictionaries(st.text(), st.floats(allow_nan=False)),
        "generator.title": st.text(),
        "loss.use": st.sampled_from(["plain", "none"]),
        "run.steps": st.integers(min_value=1),
        "video.height": st.integers(min_value=1),
        "video.background": st.text(min_size=1),
        "seed": st.integers(),
        "device": st.text(),
        "precision": st.sampled_from(["auto", "fp32", "bf16", "fp16", "fp64"]),
        "data.path": st.text(),
        "data.loop": st.booleans(),
        "data.labels": st.text(min_size=1),
        "clips.per_video": st.integers(1, 1_000_000) | st.just("length"),
        "clips.held_out": st.floats(0, 1, exclude_max=True),
        "video.fps": st.floats(0, 1000, exclude_min=True),
        "data.use": st.just("clips"),
    },
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(flags=SETTINGS, recipe=st.sampled_from(["dcgan", "demo"]), plain=st.booleans())
def test_what_is_written_resolves_to_the_same(registry, tmp_path, flags, recipe, plain):
    if plain:
        flags = {key: value for key, value in flags.items() if not key.startswith("generator.")}
        flags |= {"generator.use": "other"}
    config = resolve(registry, recipe=recipe, flags=flags)
    again = resolve(registry, config.to_toml(), tmp_path)
    assert again == config
    assert again.to_toml() == config.to_toml()


def test_a_configuration_cannot_be_changed(registry):
    config = resolve(registry, recipe="dcgan")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 3
    with pytest.raises(ValidationError):
        config.video.height = 3


def test_plugin_files_are_asked_for_again(registry, tmp_path):
    path = tmp_path / "own_colours.py"
    text = "from gadkit import Component, hookimpl\n@hookimpl\ndef gadkit_run_started(): ...\n"
    path.write_text(text)
    fresh = Registry.discover({})
    try:
        fresh.load_file(path)
    finally:
        sys.modules.pop("own_colours", None)
    config = resolve(fresh, recipe="dcgan")
    assert config.plugins == (PluginFile(str(path), fresh.files[path]),)
    assert resolve(fresh, config.to_toml(), tmp_path) == config
    with pytest.raises(ConfigError, match=r"needs the plugin file '.*own_colours\.py': pass it with --plugin /"):
        resolve(registry, config.to_toml(), tmp_path)
    changed = config.to_toml().replace(fresh.files[path], "0" * 64)
    with pytest.raises(ConfigError, match=r"'own_colours\.py' with SHA-256 0+, found .*: it changed; restore it"):
        resolve(fresh, changed, tmp_path)
    without = "\n".join(line for line in config.to_toml().splitlines() if not line.startswith("sha256"))
    assert resolve(fresh, without, tmp_path) == config
