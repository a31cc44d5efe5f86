"""`gadkit plugins install` and `uninstall`: for real in an environment of its own, and what is said of what came."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest
from plugins_fixtures import HERE, importable, write_metadata, write_package

from gadkit.authoring import installing

ROOT = Path(__file__).parents[2]
TORCH = metadata.version("torch")


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of a fresh environment that borrows this one's packages, pip among them."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)}, scheme="venv")
    own = sysconfig.get_path("purelib")
    Path(paths["purelib"], "borrowed.pth").write_text(f"{own}\n{ROOT}\n{ROOT / 'plugins'}\n")
    return Path(paths["scripts"]) / Path(sys.executable).name


def test_a_folder_comes_and_goes_again(python, tmp_path):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHONPATH", "GADKIT_"))}
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_CONFIG_FILE": os.devnull}
    own = {"GADKIT_CONFIG": str(tmp_path / "config"), "GADKIT_CACHE": str(tmp_path / "cache")}

    def plugins(*arguments):
        command = [str(python), "-m", "gadkit", "plugins", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=kept | offline | own, capture_output=True, text=True, timeout=120, check=False
        )
        assert "Traceback" not in done.stderr
        return done

    shutil.copytree(HERE / "good_package", tmp_path / "good_package", ignore=shutil.ignore_patterns("__pycache__"))
    done = plugins("install", "./good_package")
    assert done.returncode == 0, done.stderr
    assert "Successfully installed gadkit-sparkle-1.2.0" in done.stdout  # the installer's own words
    offered = done.stdout.partition("gadkit-sparkle 1.2.0 offers:\n")[2].splitlines()
    assert [line.split()[:2] for line in offered] == [["kind", "name"], ["generator", "sparkle"], ["loss", "logistic"]]
    assert "torch" not in done.stdout.partition("Successfully installed")[2].splitlines()[0]

    newer = tmp_path / "newer"
    shutil.copytree(tmp_path / "good_package", newer)
    project = (newer / "pyproject.toml").read_text().replace("1.2.0", "1.3.0")
    (newer / "pyproject.toml").write_text(
        project.replace("[project.entry", 'dependencies = ["torch>=99"]\n[project.entry')
    )
    done = plugins("install", "--upgrade", str(newer))
    assert done.returncode == 2
    assert f"failed with exit code 1, for the reason above; torch=={TORCH} and gadkit==" in done.stderr.splitlines()[-1]

    done = plugins("uninstall", "Gadkit_Sparkle")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "uninstalled: gadkit-sparkle.")
    done = plugins("uninstall", "gadkit-sparkle")
    assert done.returncode == 2
    assert "No package 'gadkit-sparkle' is installed here." in done.stderr


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """What an installer would leave behind: a folder on the import path of this process and of those it starts."""
    site = tmp_path / "site"
    site.mkdir()
    path = [str(site), str(ROOT), str(ROOT / "plugins")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    monkeypatch.setenv("GADKIT_STRICT_PLUGINS", "0")
    with importable(site):
        yield site


@pytest.fixture
def installs(gadkit_command, monkeypatch):
    """`gadkit plugins install` with an installer that only writes down what it was asked, and then does `leave`."""
    commands = []

    def plugins(*arguments, leave=lambda: None):
        def carry_out(steps):
            commands.extend(step.command for step in steps)
            leave()

        monkeypatch.setattr(installing, "carry_out", carry_out)
        return gadkit_command("plugins", *arguments)

    plugins.commands = commands
    return plugins


NEEDY = """
from gadkit import Component, hookimpl

@hookimpl
def gadkit_losses():
    return [Component(name="needy", summary="Needs", target="acme_needy:X", requires=("Acme_Plain>=1",))]
"""


def test_what_came_is_told(installs, offered):
    done = installs("install", "acme-needy", leave=lambda: write_package(offered, "acme-needy", NEEDY))
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1].split() == ["loss", "needy", "Needs"]
    done = installs("install", "acme-plain", leave=lambda: write_metadata(offered, "acme-plain", "1", {}))
    assert done.out == "\nacme-plain 1 is there, for loss acme-needy:needy.\n"
    assert len(installs.commands) == 2


def test_what_is_no_plugin_is_warned_of(installs, offered):
    done = installs("install", "acme-other", leave=lambda: write_metadata(offered, "acme-other", "1", {}))
    assert done.code == 0
    assert "warning: acme-other 1 is installed and offers no plugin: it has no entry point" in done.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "raise RuntimeError('by its own words')",
            "acme-bad 1.0 is left out: its import raised RuntimeError: by its own",
        ),
        ("import os; os._exit(0)", "a plugin ends gadkit when it is imported: run `gadkit plugins disable acme-bad`."),
        ("import time; time.sleep(60)", "takes over 2 s: run `gadkit plugins disable acme-bad`."),
    ],
)
def test_what_came_and_is_broken_is_an_error(installs, offered, monkeypatch, text, expected):
    look = installing.look
    monkeypatch.setattr(installing, "look", lambda names: look(names, 2.0 if "sleep" in text else 60.0))
    done = installs("install", "acme-bad", leave=lambda: write_package(offered, "acme-bad", text))
    assert "The packages are installed, but" in done.error
    assert expected in done.error


def test_what_is_switched_off_is_told(installs, offered, monkeypatch):
    monkeypatch.setenv("GADKIT_DISABLED_PLUGINS", "acme-needy")
    done = installs("install", "acme-needy", leave=lambda: write_package(offered, "acme-needy", NEEDY))
    assert "plugin 'acme_needy' of acme-needy 1.0 is switched off" in done.err


def test_a_dry_run_shows_commands_that_can_be_typed(installs, tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "setup.py").touch()
    done = installs("install", "-e", "./a b", "-i", "https://own/simple", "--dry-run")
    assert done.out.splitlines() == [
        f"{sys.executable} -m pip install -c constraints.txt --index-url https://own/simple -e '{tmp_path / 'a b'}'",
        f"where constraints.txt holds: torch=={TORCH}, gadkit=={metadata.version('gadkit')}",
    ]
    assert installs.commands == []


def test_a_folder_of_the_name_is_pointed_at(installs, tmp_path):
    (tmp_path / "acme-here").mkdir()
    assert "for the folder of this name write ./acme-here" in installs("install", "acme-here", "--dry-run").err


def test_what_another_environment_holds_is_still_there(installs, offered):
    write_metadata(offered, "acme-lent", "1", {"lent": "acme_lent"})
    assert "acme-lent is still there" in installs("uninstall", "acme-lent").error
    done = installs("uninstall", "acme-lent", leave=lambda: shutil.rmtree(offered / "acme_lent-1.dist-info"))
    assert done.out == "uninstalled: acme-lent.\n"
    assert installs.commands[-1][-3:] == ("uninstall", "--yes", "acme-lent")


def test_strict_plugins_do_not_hide_what_came(offered, monkeypatch):
    write_package(offered, "acme-bad", "1/0")
    monkeypatch.setenv("GADKIT_STRICT_PLUGINS", "1")
    plugins = installing.look(["acme-bad"])["plugins"]
    assert [each["status"] for each in plugins if each["distribution"] == "acme-bad"] == ["failed"]
