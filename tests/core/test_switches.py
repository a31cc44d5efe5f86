"""What the user switched off: the file, its damage, and that it is read before anything is imported."""

from __future__ import annotations

import os
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor

import pytest
from plugins_fixtures import importable, write_package

from gadkit import ConfigError, PluginError
from gadkit.errors import GadkitWarning
from gadkit.registry import Registry
from gadkit.registry.switches import matching, spelled, switch_off, switch_on, switched_off, switches_file

BOMB = "raise RuntimeError('imported')"
FINE = (
    "from gadkit import Component, hookimpl\n"
    "@hookimpl\ndef gadkit_losses():\n    return [Component(name='fine', summary='Fine', target='nowhere:Thing')]\n"
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GADKIT_CONFIG", str(tmp_path / "configuration"))
    return tmp_path / "configuration"


@pytest.fixture
def site(tmp_path):
    with importable(tmp_path / "site"):
        yield tmp_path / "site"


def write(folder, content):
    folder.mkdir(exist_ok=True)
    (folder / "plugins.toml").write_bytes(content.encode() if isinstance(content, str) else content)


def test_the_file_stands_in_the_configuration_folder(folder, monkeypatch):
    assert switches_file() == folder / "plugins.toml"
    monkeypatch.delenv("GADKIT_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    assert switches_file().name == "plugins.toml"
    assert "gadkit" in switches_file().parts[-2]


def test_nothing_is_switched_off_at_first_and_reading_makes_no_file(folder):
    assert switched_off() == ()
    assert not folder.exists()


def test_off_and_on(folder):
    assert switch_off("Acme_GAN") == folder / "plugins.toml"
    switch_off("acme-other:Shim.mer")
    switch_off("glitter")
    switch_off("acme-gan")
    assert switched_off() == ("acme-gan", "acme-other:shim-mer", "glitter")
    assert tomllib.loads((folder / "plugins.toml").read_text()) == {"disabled": list(switched_off())}
    switch_on("ACME.gan")
    switch_on("never-heard-of")
    assert switched_off() == ("acme-other:shim-mer", "glitter")
    switch_on("glitter")
    switch_on("acme-other:shim_mer")
    assert switched_off() == ()
    assert [path.name for path in folder.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize(
    ("off", "on", "left"),
    [
        (["acme:a", "acme:b", "other:a"], "acme", ("other:a",)),
        (["acme:a", "acme:b", "other:a"], "a", ("acme:b",)),
        (["a", "b"], "acme:a", ("b",)),
        (["acme:a", "acme"], "acme", ()),
    ],
)
def test_on_takes_out_whatever_means_the_name(off, on, left):
    for name in off:
        switch_off(name)
    switch_on(on)
    assert switched_off() == left


def test_one_of_a_distribution_that_is_off_as_a_whole_stays_off():
    switch_off("acme")
    with pytest.raises(ConfigError, match="switched off with all of acme: run `gadkit plugins enable acme`"):
        switch_on("acme:a")
    assert switched_off() == ("acme",)


@pytest.mark.parametrize("name", ["", "  ", "-", ":"])
@pytest.mark.parametrize("change", [switch_off, switch_on])
def test_a_name_must_be_one(change, name):
    with pytest.raises(ConfigError, match="expected the name of a distribution or of an entry point"):
        change(name)


def test_gadkit_itself_cannot_be_switched_off():
    with pytest.raises(ConfigError, match="such as gadkit:vae"):
        switch_off("Gadkit")
    switch_off("gadkit:vae")
    registry = Registry.discover({"GADKIT_NO_PLUGINS": "1"})
    with pytest.raises(PluginError, match=r"trainer 'vae' .* is switched off: `gadkit plugins enable gadkit:vae`"):
        registry.find("trainer", "vae")
    assert registry.find("trainer", "minimax")


@pytest.mark.parametrize(
    ("name", "distribution", "plugin", "found"),
    [
        ("acme-gan", "acme-gan", "shimmer", "acme-gan"),
        ("shimmer", "acme-gan", "shimmer", "shimmer"),
        ("my-shimmer", "acme-gan", "my_shimmer", "my-shimmer"),
        ("acme-gan:my-shimmer", "acme-gan", "my_shimmer", "acme-gan:my-shimmer"),
        ("acme-gan:other", "acme-gan", "shimmer", ""),
        ("acme", "acme-gan", "shimmer", ""),
    ],
)
def test_what_a_name_means(name, distribution, plugin, found):
    assert matching(["unrelated", name], distribution, plugin) == found


def test_the_spelling_can_be_typed():
    assert spelled("acme-gan", "x") == "acme-gan"
    assert spelled("gadkit", "vae") == "gadkit:vae"
    assert spelled("acme; rm", "x") == "'acme; rm'"


@pytest.mark.parametrize("name", ["acme-bomb", "acme_bomb", "acme-bomb:acme_bomb", "Acme.Bomb"])
def test_what_is_switched_off_is_not_imported(site, name):
    write_package(site, "acme-bomb", BOMB)
    write_package(site, "acme-fine", FINE)
    switch_off(name)
    registry = Registry.discover({"GADKIT_STRICT_PLUGINS": "1"})
    assert "acme_bomb" not in sys.modules
    assert registry.find("loss", "fine")
    (plugin,) = [plugin for plugin in registry.plugins if plugin.status == "disabled"]
    assert plugin.by == "plugins.toml"
    with pytest.raises(PluginError, match=r"is switched off: `gadkit plugins enable acme-bomb.*` switches it on"):
        registry.find("loss", "acme-bomb:x")
    switch_on(name)
    assert [failure.distribution for failure in Registry.discover({}).failures] == ["acme-bomb"]


DAMAGE = [
    ("disabled = [", "it is no TOML"),
    ("disabled = 'acme'", "found disabled = 'acme'"),
    ("disabled = [3]", r"found disabled = \[3\]"),
    ("disable = ['acme']", "found the key 'disable' Did you mean 'disabled'"),
    (b"\xff\xfe", "it cannot be read"),
    ("a = " + "[" * 100_000, "it is no TOML"),
]


@pytest.mark.parametrize(("content", "expected"), DAMAGE, ids=range(len(DAMAGE)))
def test_a_damaged_file_is_one_sentence_and_imports_nothing(site, folder, content, expected):
    write_package(site, "acme-bomb", BOMB)
    write(folder, content)
    with pytest.raises(ConfigError, match=expected) as error:
        Registry.discover({})
    assert "acme_bomb" not in sys.modules
    assert "plugins.toml" in str(error.value)
    assert "mend the file or delete it" in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert Registry.discover({"GADKIT_NO_PLUGINS": "1"}).find("trainer", "minimax"), "which imports no third party's"


@pytest.mark.parametrize("change", [switch_off, switch_on])
def test_a_damaged_file_is_set_aside_by_the_next_change(folder, change):
    write(folder, "disabled = [")
    with pytest.warns(GadkitWarning, match=r"It is plugins\.toml\.damaged now"):
        change("acme-gan")
    assert (folder / "plugins.toml.damaged").read_text() == "disabled = ["
    assert switched_off() == (("acme-gan",) if change is switch_off else ())


def test_a_file_behind_a_link_stays_behind_it(folder, tmp_path):
    folder.mkdir()
    kept = tmp_path / "kept.toml"
    kept.write_text("disabled = ['acme']\n")
    (folder / "plugins.toml").symlink_to(kept)
    switch_off("other")
    assert (folder / "plugins.toml").is_symlink()
    assert tomllib.loads(kept.read_text()) == {"disabled": ["acme", "other"]}


def test_where_nothing_can_be_written_the_sentence_says_what_to_do(folder, monkeypatch):
    folder.write_text("a file where a folder is due")
    assert switched_off() == ()
    with pytest.raises(ConfigError, match=r"set GADKIT_CONFIG to a folder of yours, or .* GADKIT_DISABLED_PLUGINS"):
        switch_off("acme")


def test_a_change_that_is_cut_off_leaves_the_file_as_it_was(folder, monkeypatch):
    switch_off("acme")

    def cut(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", cut)
    with pytest.raises(ConfigError, match="No space left on device"):
        switch_off("other")
    assert switched_off() == ("acme",)
    assert {path.name for path in folder.iterdir()} <= {"plugins.toml", ".plugins.toml.lock"}


def test_changes_at_once_lose_none():
    names = [f"acme-{number}" for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(switch_off, names))
    assert switched_off() == tuple(names)
