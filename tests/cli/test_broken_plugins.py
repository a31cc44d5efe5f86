"""Whatever a plugin does: help, the list and `plugins disable` work, and the user learns which one it was.

Real processes, beside packages that lie in a folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib

import pytest
from plugins_fixtures import write_metadata, write_package
from plugins_fixtures.processes import beside, gadkit_beside

HEAD = "from gadkit import Component, hookimpl\n"
HOOK = "@hookimpl\ndef gadkit_losses():\n"


def offers(name, summary="A thing", target="nowhere:Thing", kind="losses"):
    """The text of a plugin module that offers one component."""
    record = f"Component(name={name!r}, summary={summary!r}, target={target!r})"
    return f"{HEAD}@hookimpl\ndef gadkit_{kind}():\n    return [{record}]\n"


ODD = """
class Evil:
    def __repr__(self):
        raise RuntimeError("no words")
    __hash__ = None

class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("no words")
"""
#: What each package does, and what its reason says.
BROKEN = {
    "acme-import": ("1/0", "its import raised ZeroDivisionError: division by zero"),
    "acme-exit": ("raise SystemExit('no licence')", "its import raised SystemExit: no licence"),
    "acme-base": ("raise BaseException", "its import raised BaseException"),
    "acme-speechless": (f"{ODD}raise Speechless", "its import raised Speechless"),
    "acme-hook": (f"{HEAD}{HOOK}    raise KeyError('sparkle')", "its hook 'gadkit_losses' raised KeyError: 'sparkle'"),
    "acme-hook-exit": (f"{HEAD}{HOOK}    exit(3)", "its hook 'gadkit_losses' raised SystemExit: 3"),
    "acme-type": (f"{HEAD}{HOOK}    return 3", "returned 3, expected a list of gadkit.Component"),
    "acme-evil": (f"{HEAD}{ODD}{HOOK}    return [Evil()]", "something of the type Evil in it"),
    "acme-newer": (offers("x").replace("name=", "api=9, name="), "written for version 9 of the plugin interface"),
    "acme-escape": ("raise ValueError('\\x1b[2J\\u202ered')", "ValueError: \\x1b[2J\\u202ered"),
    "acme-stdout": ("import sys\nsys.stdout = None\nraise RuntimeError('x')", "its import raised RuntimeError: x"),
    "acme-module": ("def __getattr__(name):\n    raise RuntimeError(name)", "using it raised RuntimeError"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name, (text, _) in BROKEN.items():
        write_package(folder, name, text)
    write_package(folder, "acme-object", "things = [1]")
    (folder / "acme_object-1.0.dist-info" / "entry_points.txt").write_text("[gadkit]\na = acme_object:things\n")
    write_package(folder, "acme-point", "")
    (folder / "acme_point-1.0.dist-info" / "entry_points.txt").write_text("[gadkit]\na = not a module\n")
    write_package(folder, "acme-rotten", "")
    (folder / "acme_rotten-1.0.dist-info" / "METADATA").write_bytes(b"Name: \xff\n")
    write_package(folder, "acme-fine", offers("fine"))
    write_package(
        folder,
        "acme-loud",
        "import os, subprocess, sys\nprint('loud')\nos.write(1, b'raw\\n')\nsubprocess.run(['echo', 'child'])\n"
        + offers("loud", target="acme_loud_code:Loud"),
    )
    (folder / "acme_loud_code.py").write_text(
        "import os, gadkit\nprint('loud code')\nos.write(1, b'raw code\\n')\n"
        "class Loud(gadkit.Loss):\n    '''Loud.'''\n"
        "    def discriminator(self, real, fake): ...\n    def generator(self, fake, real): ...\n"
    )
    return folder


@pytest.fixture
def own(tmp_path):
    """Variables that give a process its own configuration and cache."""
    return {"GADKIT_CONFIG": str(tmp_path / "configuration"), "GADKIT_CACHE": str(tmp_path / "cache")}


def test_help_works_and_counts_them(site):
    done = gadkit_beside(site, "--help")
    assert done.returncode == 0
    assert "  plugins " in done.stdout
    assert f"gadkit: warning: {len(BROKEN) + 3} plugins failed to load: see `gadkit plugins list`." in done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_names_each_with_its_reason_and_json_stays_json(site):
    done = gadkit_beside(site, "plugins", "list", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert {"acme-fine:fine", "acme-loud:loud"} <= {each["qualified"] for each in document["components"]}
    reasons = {each["distribution"]: each["reason"] for each in document["failures"]}
    for name, (_, expected) in BROKEN.items():
        assert expected in reasons.pop(name)
    assert "unhashable type: 'list'" in reasons.pop("acme-object")
    assert reasons.pop("acme-point") == "its entry point names 'not a module', expected 'module' or 'module:attribute'"
    assert "its metadata cannot be read: UnicodeDecodeError" in reasons.pop("acme-rotten")
    assert reasons == {}
    assert "\x1b" not in done.stderr
    assert {"loud", "raw", "child"} <= set(done.stderr.splitlines())
    done = gadkit_beside(site, "--verbose", "plugins", "list")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr.count("Traceback") >= len(BROKEN)


def test_what_a_component_prints_at_load_stays_out_of_json(site):
    done = gadkit_beside(site, "plugins", "show", "loss", "loud", "--json")
    assert json.loads(done.stdout)["qualified"] == "acme-loud:loud"
    assert {"loud code", "raw code"} <= set(done.stderr.splitlines())


def test_a_component_that_cannot_be_loaded_is_one_sentence(site):
    done = gadkit_beside(site, "plugins", "show", "loss", "fine")
    assert done.returncode == 2
    assert "loss 'acme-fine:fine' of acme-fine 1.0 cannot be loaded from 'nowhere:Thing': ModuleNotFound" in done.stderr


def test_they_can_be_switched_off(site, own):
    for name in ("acme-import", "acme-exit"):
        done = gadkit_beside(site, "plugins", "disable", name, **own)
        assert (done.returncode, done.stderr) == (0, ""), "it imports none"
    done = gadkit_beside(site, "plugins", "list", "--json", **own)
    document = json.loads(done.stdout)
    assert not {"acme-import", "acme-exit"} & {each["distribution"] for each in document["failures"]}
    assert {"acme-import", "acme-exit"} == {each["distribution"] for each in document["disabled"]}


def test_a_slow_import_is_named_with_its_time(tmp_path):
    write_package(tmp_path, "acme-slow", f"import time\ntime.sleep(0.7)\n{offers('late')}")
    for arguments in (["--help"], ["plugins", "list"]):
        done = gadkit_beside(tmp_path, *arguments)
        assert done.returncode == 0
        (line,) = [line for line in done.stderr.splitlines() if "acme-slow" in line]
        assert line.startswith("gadkit: warning: plugin 'acme_slow' of acme-slow 1.0 took ")
        assert "to import; `gadkit plugins disable acme-slow` does without it." in line


def test_odd_names_are_shown_harmlessly(tmp_path, own):
    escape = "\x1b[31m\u202e"
    text = offers("fine", summary=f"Red {escape}text", kind="commands", target="nowhere:odd")
    write_package(tmp_path, "acme-odd", text, version=f"1.0{escape}")
    info = tmp_path / f"acme_odd-1.0{escape}.dist-info"
    (info / "entry_points.txt").write_text(f"[gadkit]\nod d{escape}\u00fc = acme_odd\n", encoding="utf-8")
    write_metadata(tmp_path, f"acme{escape};x", "1.0", {"a'b": "no_such_module"})
    for arguments in (["plugins", "list"], ["plugins", "list", "--json"], ["--help"], ["train", "--loss", "x"]):
        done = gadkit_beside(tmp_path, *arguments, **own)
        assert done.returncode == (2 if arguments[0] == "train" else 0), done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        assert "\u202e" not in done.stdout + done.stderr
    done = gadkit_beside(tmp_path, "plugins", "disable", "acme-odd", **own)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    listed = json.loads(gadkit_beside(tmp_path, "plugins", "list", "--json", **own).stdout)
    assert [each["distribution"] for each in listed["disabled"]] == ["acme-odd"]


def test_a_run_whose_plugin_was_removed_names_the_package_to_install(tmp_path):
    (tmp_path / "config.toml").write_text('format = 1\n[generator]\nuse = "gadkit-sparkle:sparkle"\n')
    done = gadkit_beside(tmp_path, "train", "--config", str(tmp_path / "config.toml"), "--dry-run")
    assert done.returncode == 2
    assert "generator 'gadkit-sparkle:sparkle' is not available" in done.stderr
    assert "install it: `gadkit plugins install gadkit-sparkle`" in done.stderr


def test_one_that_ends_the_process_is_named_by_the_next_and_got_rid_of(tmp_path, own):
    site = tmp_path / "site"
    write_package(site, "acme-before", offers("before"))
    write_package(site, "acme-end", "import os\nos._exit(7)")
    first = gadkit_beside(site, "plugins", "list", **own)
    assert (first.returncode, first.stdout) == (7, "")
    second = gadkit_beside(site, "plugins", "list", **own)
    assert second.returncode == 7
    assert second.stderr == (
        "gadkit: a process of gadkit ended while it imported plugin 'acme_end' of acme-end 1.0; if it happens again: "
        "gadkit plugins disable acme-end\n"
    )
    done = gadkit_beside(site, "plugins", "disable", "acme-end", **own)
    assert done.returncode == 0, done.stderr
    written = tomllib.loads((tmp_path / "configuration" / "plugins.toml").read_text())
    assert [name.partition(":")[0] for name in written["disabled"]] == ["acme-end"]
    third = gadkit_beside(site, "--help", **own)
    assert third.returncode == 0
    assert "acme-end" in third.stderr, "that the second process ended, too, is told once"
    fourth = gadkit_beside(site, "plugins", "list", **own)
    assert (fourth.returncode, fourth.stderr) == (0, "")
    assert list((tmp_path / "cache" / "importing").iterdir()) == []


def test_one_that_hangs_is_named_while_it_does_and_got_rid_of(tmp_path, own):
    site = tmp_path / "site"
    write_package(site, "acme-hang", "import time\ntime.sleep(600)")
    with subprocess.Popen(
        [sys.executable, "-m", "gadkit", "plugins", "list"],
        env=beside(site, **own),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line == (
            "gadkit: plugin 'acme_hang' of acme-hang 1.0 has been importing for 5 s; if it never ends: gadkit plugins "
            "disable acme-hang\n"
        )
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
    assert gadkit_beside(site, "plugins", "disable", "acme-hang", **own).returncode == 0
    for arguments in (["--help"], ["plugins", "list"]):
        done = gadkit_beside(site, *arguments, **own)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_damaged_file_of_switches_keeps_nobody_from_help_and_switching_off(tmp_path, own):
    site = tmp_path / "site"
    write_package(site, "acme-bomb", "import os\nos._exit(7)")
    (tmp_path / "configuration").mkdir()
    file = tmp_path / "configuration" / "plugins.toml"
    file.write_text("disabled = [")
    done = gadkit_beside(site, "--help", **own)
    assert done.returncode == 0
    assert "gadkit: warning: no plugin is loaded: " in done.stderr
    done = gadkit_beside(site, "plugins", "list", **own)
    assert done.returncode == 2
    assert f"gadkit: error: {file}: it is no TOML" in done.stderr
    assert gadkit_beside(site, "--no-plugins", "plugins", "list", **own).returncode == 0
    done = gadkit_beside(site, "plugins", "disable", "acme-bomb", **own)
    assert done.returncode == 0, done.stderr
    assert "It is plugins.toml.damaged now" in done.stderr
    assert gadkit_beside(site, "plugins", "list", **own).returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="reads descriptors")
def test_a_plugin_may_close_standard_output(tmp_path, own):
    write_package(tmp_path, "acme-close", f"import os\nos.close(1)\n{offers('fine')}")
    done = gadkit_beside(tmp_path, "plugins", "list", "--json", **own)
    assert "acme-close:fine" in {each["qualified"] for each in json.loads(done.stdout)["components"]}
