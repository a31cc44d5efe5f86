"""The command line beside good and broken plugins, as a user meets it: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from plugins_fixtures import BAD, HERE, install, write_package

from gadkit.component import KINDS
from gadkit.errors import PluginError

ROOT = Path(__file__).parents[2]


def gadkit(site, *arguments, module="gadkit", **environ):
    """Runs the command line with `site` on the import path."""
    path = os.pathsep.join(map(str, (site, ROOT, ROOT / "plugins")))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GADKIT_")}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=kept | {"PYTHONPATH": path, "COLUMNS": "200"} | environ,
        capture_output=True,
        text=True,
        timeout=120,
    )


def acme(text):
    """The lines that speak of the broken packages."""
    return [line for line in text.splitlines() if "acme" in line]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    install(folder, "good_package", *BAD)
    return folder


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    return tmp_path_factory.mktemp("nothing")


def test_a_package_of_under_fifty_lines_is_installed_by_pip_and_used(tmp_path):
    files = [path for path in (HERE / "good_package").rglob("*") if path.suffix in (".py", ".toml")]
    assert sum(len(path.read_text().splitlines()) for path in files) < 50
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(HERE / "good_package")], check=True, timeout=120)
    done = gadkit(target, "plugins", "show", "generator", "sparkle", "--json")
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["qualified"], shown["version"]) == ("gadkit-sparkle:sparkle", "1.2.0")
    assert shown["settings"] == [
        {
            "name": "latent_dim",
            "type": "int",
            "required": False,
            "default": 8,
            "range": "> 0",
            "scheduled": False,
            "meaning": "Entries of a code.",
        }
    ]
    program = (
        "import torch, gadkit; from gadkit.registry import get_registry as r\n"
        "video = gadkit.VideoSpec(height=4, width=6, frames=2)\n"
        "made = r().find('generator', 'sparkle').load()(video, latent_dim=3)(torch.zeros(5, 2, 3))\n"
        "assert made.shape == (5, 2, 3, 4, 6) and made.abs().max() <= 1\n"
        "loss = r().find('loss', 'logistic').load()().generator(torch.zeros(5, 1), None)\n"
        "assert loss.isclose(torch.tensor(2.0).log())\n"
    )
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (target, ROOT, ROOT / "plugins")))}
    subprocess.run([sys.executable, "-c", program], env=environ, check=True, timeout=120)


def test_listing_beside_bad_packages(site):
    done = gadkit(site, "plugins", "list")
    assert done.returncode == 0
    rows = [line.split(maxsplit=6) for line in done.stdout.splitlines()]
    assert ["generator", "sparkle", "gadkit-sparkle", "1.2.0", "1", "ready", "One linear map a frame"] in rows
    warned, listed = acme(done.stderr), acme(done.stdout)
    assert len(warned) == len(listed) == len(BAD)
    for provider, why in BAD.values():
        (warning,) = [line for line in warned if provider in line]
        assert warning.startswith("gadkit: warning: plugin ")
        assert why in warning
        assert [line for line in listed if provider in line and why in line]
    assert "Traceback" not in done.stderr


def test_every_command_works_beside_bad_packages(site):
    for arguments in (["plugins", "show", "loss", "logistic"], ["plugins", "list", "--kind", "loss"]):
        done = gadkit(site, *arguments)
        assert done.returncode == 0, done.stderr
        assert len(acme(done.stderr)) == len(BAD)
        assert "logistic" in done.stdout
    for arguments in (["--help"], ["--version"], ["train", "--help"], ["plugins", "show", "--help"]):
        done = gadkit(site, *arguments)
        assert (done.returncode, acme(done.stderr)) == (0, [])


def test_json_is_json_whatever_plugins_do(site, tmp_path):
    write_package(tmp_path, "acme-loud", "print('loud')\n1/0")
    done = gadkit(os.pathsep.join(map(str, (site, tmp_path))), "plugins", "list", "--json")
    document = json.loads(done.stdout)
    assert {"gadkit-sparkle:sparkle", "gadkit-sparkle:logistic"} <= {
        each["qualified"] for each in document["components"]
    }
    failures = {f"{each['distribution']} {each['version']}": each["reason"] for each in document["failures"]}
    assert all(why in failures[provider] for provider, why in BAD.values())
    assert "loud" in done.stderr
    only = json.loads(gadkit(site, "plugins", "list", "--json", "--kind", "loss").stdout)
    assert {each["kind"] for each in only["components"]} == {"loss"}


def test_verbose_prints_the_tracebacks(site):
    done = gadkit(site, "--verbose", "plugins", "show", "loss", "no-such")
    assert done.returncode == 2
    assert done.stderr.count("Traceback") >= len(BAD) + 1
    assert "acme_raises.py" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("gadkit: error: There is no loss 'no-such'.")


def test_plugins_can_be_switched_off(site):
    for arguments, environ in ((["--no-plugins"], {}), ([], {"GADKIT_NO_PLUGINS": "1"})):
        done = gadkit(site, *arguments, "plugins", "list", **environ)
        assert done.returncode == 0
        assert acme(done.stderr) == []
        assert "switched off: plugin 'sparkle' of gadkit-sparkle" in done.stdout
        assert "One linear map" not in done.stdout
    names = ",".join(BAD[package][0].split()[0] for package in BAD)
    done = gadkit(site, "plugins", "list", GADKIT_DISABLED_PLUGINS=names)
    assert acme(done.stderr) == []
    assert "One linear map" in done.stdout


def test_strict_makes_any_failure_fatal(site):
    done = gadkit(site, "plugins", "list", GADKIT_STRICT_PLUGINS="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert "gadkit: error: GADKIT_STRICT_PLUGINS is set, and plugin" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["plugins", "show", "generator", "sparkl"], "There is no generator 'sparkl'. Did you mean 'sparkle'?"),
        (["plugins", "show", "genrator", "x"], "There is no kind 'genrator'. Did you mean 'generator'?"),
        (["plugins", "list", "--kind", "los"], "There is no kind 'los'. Did you mean 'loss'?"),
        (
            ["plugins", "show", "loss", "acme-hook:typo"],
            "plugin 'acme_hook' of acme-hook 0.2 is left out: it implements",
        ),
    ],
)
def test_errors_are_one_sentence_and_exit_2(site, arguments, expected):
    done = gadkit(site, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("gadkit: error: ")]
    assert expected in error
    assert "Traceback" not in done.stderr


def test_wrong_usage_exits_2(nothing):
    done = gadkit(nothing, "plugins", "lst")
    assert done.returncode == 2
    assert "lst" in done.stderr


@pytest.mark.parametrize(
    ("statement", "code", "expected"),
    [
        ("raise KeyboardInterrupt", 130, ""),
        ("raise RuntimeError('odd')", 1, "RuntimeError: odd\ngadkit: error: this is a bug in gadkit or in a plugin"),
        ("raise GadkitError('mend it.')", 2, "gadkit: error: mend it.\n"),
        ("raise typer.Exit(7)", 7, ""),
        ("sys.exit('stop')", 1, "stop\n"),
        ("print('fine')", 0, ""),
    ],
)
def test_what_becomes_of_errors(nothing, tmp_path, statement, code, expected):
    program = f"""
import sys
import typer
from gadkit.cli.app import run
from gadkit.errors import GadkitError

app = typer.Typer(pretty_exceptions_enable=False)

@app.command()
def command():
    {statement}

sys.exit(run(app))
"""
    (tmp_path / "program.py").write_text(program)
    done = gadkit(tmp_path, module="program")
    assert done.returncode == code
    assert expected in done.stderr
    assert ("Traceback" in done.stderr) == ("odd" in statement)


def test_start_up_imports_no_torch(site):
    for arguments in (["plugins", "list"], ["--help"], ["train", "--help"]):
        program = (
            f"import sys; sys.argv = ['gadkit', *{arguments!r}]\n"
            "from gadkit.cli.app import run, app\n"
            "code = run(app)\n"
            "heavy = {'torch', 'numpy', 'av', 'accelerate', 'gadkit_sparkle.nets'} & set(sys.modules)\n"
            "assert code == 0 and not heavy, (code, heavy)\n"
        )
        path = os.pathsep.join(map(str, (site, ROOT, ROOT / "plugins")))
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


def test_shown_settings_leave_the_docstring_s_arguments_to_the_table(site):
    done = gadkit(site, "plugins", "show", "generator", "sparkle")
    assert "Args:" not in done.stdout
    assert done.stdout.count("Entries of a code.") == 1
    assert [line.split() for line in done.stdout.splitlines()][-1][:5] == ["latent_dim", "int", "8", ">", "0"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_bundled_component_can_be_shown(kind, nothing, capsys):
    from gadkit.cli.plugins_show import show
    from gadkit.registry import get_registry

    own = [entry for entry in get_registry().entries(kind) if entry.distribution == "gadkit"]
    assert own or kind == "command", f"gadkit brings along no {kind}"
    for entry in own:
        if entry.lacking():  # its code is not imported without what it needs
            with pytest.raises(PluginError, match="run `gadkit plugins install"):
                show(kind, entry.qualified, None, None, None, "dcgan", as_json=True)
            continue
        show(kind, entry.qualified, None, None, None, "dcgan", as_json=True)
        shown = json.loads(capsys.readouterr().out)
        assert shown["qualified"] == entry.qualified
        assert all(setting["meaning"] for setting in shown.get("settings", ())), "a setting without a description"


def test_every_bundled_recipe_resolves():
    from gadkit.config import RunConfig
    from gadkit.registry import get_registry

    registry = get_registry()
    for entry in registry.entries("recipe"):
        if entry.distribution == "gadkit":
            first = entry.text().splitlines()[0]
            assert first.startswith("# "), "a recipe says in its first line what it is for"
            config = RunConfig.resolve(registry, recipe=entry.qualified)
            assert config.recipe == entry.name


def test_completion_offers_what_the_registry_has(site):
    words = {"_GADKIT_COMPLETE": "complete_bash", "COMP_CWORD": "3"}
    names = gadkit(site, **words, COMP_WORDS="gadkit train --generator sp").stdout.split()
    assert names == ["sparkle"]
    kinds = gadkit(site, **words, COMP_WORDS="gadkit plugins show gen").stdout.split()
    assert kinds == ["generator"]
    shown = gadkit(site, **words | {"COMP_CWORD": "4"}, COMP_WORDS="gadkit plugins show loss logis").stdout.split()
    assert shown == ["logistic"]
