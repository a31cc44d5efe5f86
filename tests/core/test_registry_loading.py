"""From an entry to its code: installed classes, classes of a program, plugin files, recipes."""

import dataclasses
import hashlib
import os
import py_compile
import sys

import pytest
import torch
from plugins_fixtures import importable, write_package

from gadkit import API_VERSION, Component, Generator, Loss, PluginError
from gadkit.registry import Registry
from gadkit.registry.entry import Entry


class Margin(Loss):
    """A margin.

    More about it.
    """

    def discriminator(self, real, fake):
        return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()

    def generator(self, fake, real):
        return -fake.mean()


class Unfinished(Loss):
    def generator(self, fake, real):
        return -fake.mean()


def entry(target, kind="loss", **more):
    component = Component(name="x", summary="X", target=target, **more)
    return Entry(component=component, kind=kind, distribution="acme", version="2.0")


def test_load_gives_the_class_that_the_target_names():
    assert entry(f"{__name__}:Margin").load() is Margin


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (entry("no_such_module_here:X"), r"cannot be loaded from 'no_such_module_here:X': ModuleNotFoundError"),
        (entry(f"{__name__}:Nothing"), r"AttributeError: .*has no attribute 'Nothing'"),
        (entry(f"{__name__}:pytest"), r"is <module 'pytest'.*which is no class"),
        (entry("gadkit:Generator"), r"does not implement gadkit\.Loss; derive it"),
        (entry(f"{__name__}:Unfinished"), r"does not define discriminator, which gadkit\.Loss asks for"),
        (entry("gadkit:Loss"), r"does not define discriminator and generator"),
        (entry(f"{__name__}:Margin", kind="generator"), r"does not implement gadkit\.Generator"),
        (entry("a:b.toml", kind="recipe"), r"not a class; read its text"),
    ],
)
def test_load_says_why_it_cannot(given, expected):
    with pytest.raises(PluginError, match=expected) as error:
        given.load()
    assert "acme" in str(error.value)


def test_a_newer_interface_is_refused_before_the_import(tmp_path):
    write_package(tmp_path, "acme-late", "raise RuntimeError('imported')")
    with importable(tmp_path), pytest.raises(PluginError, match=r"written for version .* upgrade gadkit"):
        entry("acme_late:X", api=API_VERSION + 1).load()
    assert "acme_late" not in sys.modules


def test_adopted_classes_are_found_by_their_python_name_alone():
    registry = Registry()
    adopted = registry.adopt("loss", Margin)
    assert adopted.qualified == f"python:{__name__}.Margin"
    assert adopted.load() is Margin
    assert (adopted.component.summary, adopted.distribution, adopted.provider) == ("A margin.", "", "this program")
    assert registry.find("loss", adopted.qualified) == adopted == registry.adopt("loss", Margin)
    assert registry.entries("loss") == []
    with pytest.raises(PluginError, match="pass the class again"):
        Registry().find("loss", adopted.qualified)


@pytest.mark.parametrize(
    ("kind", "cls", "expected"),
    [
        ("loss", Unfinished, "loss 'Unfinished' does not define discriminator"),
        ("generator", Margin, "generator 'Margin' does not implement gadkit.Generator"),
        ("loss", Margin(), "which is no class"),
        ("recipe", Margin, "A recipe is a TOML file"),
        ("los", Margin, "Did you mean 'loss'"),
    ],
)
def test_adoption_is_checked_at_once(kind, cls, expected):
    with pytest.raises(PluginError, match=expected):
        Registry().adopt(kind, cls)


PLUGIN_FILE = """
from __future__ import annotations
import dataclasses
from typing import Annotated
from pydantic import Field
from torch import nn
from gadkit import Component, Generator, hookimpl

@hookimpl
def gadkit_generators():
    return [Component(name="flat", summary="One colour", target="flat_colour:Flat")]

@hookimpl
def gadkit_recipes():
    return [Component(name="flat", summary="One colour", target="flat_colour:flat.toml")]

class Flat(Generator):
    latent_dim = 3
    def __init__(self, video, *, gain: Annotated[float, Field(gt=0)] = 1.0):
        super().__init__(video)
    def forward(self, codes, labels=None):
        return codes
"""


@pytest.fixture
def plugin_file(tmp_path):
    path = tmp_path / "flat_colour.py"
    path.write_text(PLUGIN_FILE)
    (tmp_path / "flat.toml").write_text("seed = 3\n")
    yield path
    sys.modules.pop("flat_colour", None)


def test_a_plugin_file(plugin_file):
    registry = Registry()
    generator, recipe = registry.load_file(plugin_file)
    assert registry.find("generator", "flat") == registry.find("generator", "flat_colour.py:flat") == generator
    assert generator.file == plugin_file
    assert generator.sha256 == hashlib.sha256(plugin_file.read_bytes()).hexdigest()
    assert registry.files == {plugin_file: generator.sha256}
    assert issubclass(generator.load(), Generator)
    assert recipe.text() == "seed = 3\n"
    module = sys.modules["flat_colour"]
    assert registry.load_file(str(plugin_file)) == [generator, recipe]
    assert sys.modules["flat_colour"] is module
    plugin_file.write_text(PLUGIN_FILE + "\n# another\n")
    with pytest.raises(PluginError, match="changed after it was loaded"):
        registry.load_file(plugin_file)


def test_a_plugin_file_runs_as_it_was_hashed_and_not_from_a_stale_cache(plugin_file):
    plugin_file.write_text(PLUGIN_FILE + "VALUE = 1\n")
    py_compile.compile(str(plugin_file))
    stamp = plugin_file.stat()
    plugin_file.write_text(PLUGIN_FILE + "VALUE = 2\n")
    os.utime(plugin_file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    Registry().load_file(plugin_file)
    assert sys.modules["flat_colour"].VALUE == 2


def test_a_plugin_file_may_lie_on_the_import_path(plugin_file):
    with importable(plugin_file.parent):
        assert len(Registry().load_file(plugin_file)) == 2


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("broken_file.py", "1/0", "cannot be used: its import raised ZeroDivisionError"),
        ("broken_file.py", "def f(:", "cannot be used: its import raised SyntaxError"),
        ("broken_file.py", "x = 1", "implements no hook"),
        ("my-file.py", "", "has a name that cannot be imported"),
        ("my_file.txt", "", "has a name that cannot be imported"),
        ("json.py", "", "has the name of another Python module: rename"),
        ("wave.py", "", "has the name of another Python module: rename"),
    ],
)
def test_a_plugin_file_that_fails_is_an_error(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    registry = Registry()
    with pytest.raises(PluginError, match=expected):
        registry.load_file(tmp_path / name)
    assert registry.files == {}
    assert "broken_file" not in sys.modules


def test_a_plugin_file_that_is_not_there(tmp_path):
    with pytest.raises(PluginError, match=r"'.*gone\.py' cannot be read: No such file"):
        Registry().load_file(tmp_path / "gone.py")


def test_recipes_are_read_from_their_package(tmp_path):
    write_package(tmp_path, "acme-recipes", "")
    package = tmp_path / "acme_files"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "good.toml").write_bytes("# Grüße\r\nseed = 1\r\n".encode())
    (package / "bad.toml").write_bytes(b"\xff")
    with importable(tmp_path):
        assert entry("acme_files:good.toml", kind="recipe").text() == "# Grüße\r\nseed = 1\r\n"
        for target, why in (("bad", "UnicodeDecodeError"), ("gone", "FileNotFoundError")):
            with pytest.raises(
                PluginError, match=f"acme 2.0: its file 'acme_files:{target}.toml' cannot be read: {why}"
            ):
                entry(f"acme_files:{target}.toml", kind="recipe").text()
    with pytest.raises(PluginError, match="is a class, not a file"):
        entry(f"{__name__}:Margin").text()


def test_entries_are_values():
    first = entry("a:B")
    assert first == entry("a:B")
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.kind = "other"
