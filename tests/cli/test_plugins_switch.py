"""`gadkit plugins disable` and `enable`: by metadata alone, whatever a plugin does to those who import it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from plugins_fixtures import importable, write_metadata, write_package
from small_runs import environment

from gadkit.registry.switches import switch_off, switched_off, switches_file

#: What ends or hangs the process that imports it.
DEADLY = {"acme-ends": "import os\nos._exit(7)", "acme-hangs": "import time\ntime.sleep(600)"}


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    for name in ("acme-one", "acme-two"):
        write_package(folder, name, f"open({str(tmp_path / 'imported')!r}, 'w')")
    write_metadata(folder, "acme-both", "2.0", {"shine": "acme_one", "glitter": "acme_two"})
    write_metadata(folder, "acme-other", "1.0", {"glitter": "acme_one", "metrics": "acme_two"})
    monkeypatch.setenv("GADKIT_CONFIG", str(tmp_path / "config"))
    for name in ("GADKIT_DISABLED_PLUGINS", "GADKIT_NO_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    with importable(folder):
        yield folder
    assert not (tmp_path / "imported").exists(), "a plugin was imported"


@pytest.fixture
def plugins(gadkit_command, site):
    return lambda *arguments: gadkit_command("plugins", *arguments)


@pytest.mark.parametrize(
    ("name", "stored", "told"),
    [
        ("Acme_Both", "acme-both", "plugin 'glitter' of acme-both 2.0 and plugin 'shine' of acme-both 2.0"),
        ("shine", "acme-both:shine", "plugin 'shine' of acme-both 2.0"),
        ("acme-both:glitter", "acme-both:glitter", "plugin 'glitter' of acme-both 2.0"),
        ("gadkit:vae", "gadkit:vae", "plugin 'vae' of gadkit 0.1.0"),
        ("acme_one", "acme-one", "plugin 'acme_one' of acme-one 1.0"),
    ],
)
def test_names(plugins, name, stored, told):
    done = plugins("disable", name)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"switched off: {told}, in {switches_file()}.\n")
    assert f"gadkit plugins enable {stored}\n" in done.out
    assert ("It is gadkit's own" in done.out) == stored.startswith("gadkit:")
    assert switched_off() == (stored,)
    assert "switched off already" in plugins("disable", name).out
    assert plugins("enable", name).out == f"switched on: {told}, in {switches_file()}.\n"
    assert switched_off() == ()
    assert "not switched off" in plugins("enable", name).out


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("glitter", "'glitter' means several plugins: name one of acme-both:glitter, acme-other:glitter."),
        ("metrics", "'metrics' means several plugins: name one of gadkit:metrics, acme-other:metrics."),
        ("acme-noe", "is called 'acme-noe'. Did you mean 'acme-one'"),
        ("acme-both:shin", "Did you mean 'acme-both:shine'"),
        ("gadkit", "gadkit cannot do without all of its own plugins"),
    ],
)
def test_what_is_refused(plugins, name, expected):
    assert expected in plugins("disable", name).error
    assert switched_off() == ()


def test_a_part_of_what_is_off_as_a_whole(plugins):
    plugins("disable", "acme-both")
    assert "`gadkit plugins enable acme-both`" in plugins("enable", "acme-both:shine").error
    assert switched_off() == ("acme-both",)


def test_what_is_not_installed_any_more_is_forgotten(plugins):
    switch_off("acme-gone")
    assert plugins("enable", "acme-gone").out == f"switched on: acme-gone, in {switches_file()}.\n"
    assert switched_off() == ()


def test_variables_that_switch_off_all_the_same(plugins, monkeypatch):
    monkeypatch.setenv("GADKIT_DISABLED_PLUGINS", "other, Acme_One")
    assert "GADKIT_DISABLED_PLUGINS says so" in plugins("enable", "acme-one").err
    assert plugins("enable", "shine").err == ""
    monkeypatch.setenv("GADKIT_NO_PLUGINS", "1")
    assert "GADKIT_NO_PLUGINS is set" in plugins("enable", "shine").err
    assert plugins("enable", "vae").err == ""


def test_a_damaged_file_is_set_aside_and_told(plugins):
    switches_file().parent.mkdir()
    switches_file().write_text("disabled = 3")
    done = plugins("disable", "shine")
    assert (done.code, switched_off()) == (0, ("acme-both:shine",))
    assert "plugins.toml.damaged" in done.err


@pytest.mark.parametrize("name", DEADLY)
def test_what_ends_or_hangs_the_process_is_got_rid_of(tmp_path, name):
    write_package(tmp_path / "site", name, DEADLY[name])
    own = environment(GADKIT_CONFIG=str(tmp_path / "config"), GADKIT_CACHE=str(tmp_path / "cache"))
    own["PYTHONPATH"] = os.pathsep.join([str(tmp_path / "site"), own["PYTHONPATH"]])

    def gadkit(*arguments):
        command = [sys.executable, "-m", "gadkit", "plugins", *arguments]
        return subprocess.run(command, env=own, capture_output=True, text=True, timeout=60, check=False)

    if name == "acme-ends":
        assert gadkit("list").returncode == 7
    done = gadkit("disable", name)
    assert done.returncode == 0, done.stderr
    listed = gadkit("list", "--provider", name)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert f"switched off: plugin {name.replace('-', '_')!r} of {name} 1.0" in listed.stdout
