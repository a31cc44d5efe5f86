"""What is to go works as before, and says what to write in its place."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
from plugins_fixtures import importable, write_package
from plugins_fixtures.processes import beside

import gadkit
from gadkit import hookspecs
from gadkit.deprecations import NAMES, Deprecated, GadkitDeprecationWarning
from gadkit.hookspecs import hookspec
from gadkit.registry import Registry

OLD = Deprecated(since="0.4", instead="gadkit.Component", target="gadkit.component:Component")
PLUGIN = (
    "from gadkit import OldComponent, hookimpl\n"
    "@hookimpl\ndef gadkit_losses():\n    return [OldComponent(name='fine', summary='Fine', target='nowhere:Thing')]\n"
)


@pytest.fixture
def site(tmp_path):
    with importable(tmp_path / "site"):
        yield tmp_path / "site"


def test_a_deprecated_name_is_the_thing_itself_and_warns_where_it_is_used(monkeypatch):
    monkeypatch.setitem(NAMES, "OldComponent", OLD)
    with pytest.warns(GadkitDeprecationWarning) as caught:
        assert gadkit.OldComponent is gadkit.Component
    (warning,) = caught
    assert str(warning.message) == (
        "gadkit.OldComponent is deprecated since gadkit 0.4: write gadkit.Component instead"
    )
    assert warning.filename == __file__
    assert "OldComponent" not in dir(gadkit)
    with pytest.raises(AttributeError, match="no attribute 'OlderComponent'"):
        gadkit.OlderComponent  # noqa: B018


def test_what_stands_among_them_can_be_had():
    for name, deprecated in NAMES.items():
        assert name not in gadkit.__all__
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GadkitDeprecationWarning)
            assert getattr(gadkit, name) is not None, deprecated


def test_a_plugin_that_uses_it_works_and_its_author_s_tests_can_fail(site, monkeypatch):
    monkeypatch.setitem(NAMES, "OldComponent", OLD)
    write_package(site, "acme-old", PLUGIN)
    with pytest.warns(GadkitDeprecationWarning, match="write gadkit.Component instead") as caught:
        registry = Registry.discover({})
    assert registry.find("loss", "fine").component == gadkit.Component(
        name="fine", summary="Fine", target="nowhere:Thing"
    )
    assert {warning.filename for warning in caught} == {str(site / "acme_old.py")}
    assert issubclass(GadkitDeprecationWarning, DeprecationWarning)


def test_a_deprecated_hook_and_a_deprecated_argument_still_count(site, monkeypatch):
    hook = Deprecated(since="0.4", instead="gadkit_losses").warning("the hook 'gadkit_later'")
    argument = Deprecated(since="0.4", instead="folder").warning("the argument 'path'")

    def gadkit_later(): ...

    def gadkit_run_ended(folder, step, reason, path): ...

    monkeypatch.setattr(hookspecs, "gadkit_later", hookspec(gadkit_later, warn_on_impl=hook), raising=False)
    monkeypatch.setattr(hookspecs, "gadkit_run_ended", hookspec(gadkit_run_ended, warn_on_impl_args={"path": argument}))
    write_package(
        site,
        "acme-old",
        "from gadkit import hookimpl\nLOG = []\n@hookimpl\ndef gadkit_later(): ...\n"
        "@hookimpl\ndef gadkit_run_ended(path):\n    LOG.append(path)\n",
    )
    with pytest.warns(GadkitDeprecationWarning) as caught:
        registry = Registry.discover({"GADKIT_STRICT_PLUGINS": "1"})
    assert [str(warning.message).partition(" is")[0] for warning in caught] == [
        "the hook 'gadkit_later'",
        "the argument 'path'",
    ]
    assert {warning.filename for warning in caught} == {str(site / "acme_old.py")}
    registry.notify("gadkit_run_ended", folder=1, step=2, reason="finished", path=3)
    assert sys.modules["acme_old"].LOG == [3]


def test_the_command_line_says_it_once(tmp_path):
    write_package(
        tmp_path, "acme-old", PLUGIN.replace("    return", "    import gadkit\n    gadkit.OldComponent\n    return")
    )
    program = (
        "import sys\nfrom gadkit.deprecations import NAMES, Deprecated\n"
        f"NAMES['OldComponent'] = {OLD!r}\n"
        "sys.argv = ['gadkit', 'plugins', 'list']\nfrom gadkit.cli.app import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=beside(tmp_path), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "fine" in done.stdout
    assert done.stderr == (
        "gadkit: warning: gadkit.OldComponent is deprecated since gadkit 0.4: write gadkit.Component instead "
        f"({tmp_path / 'acme_old.py'}, line 1).\n"
    )
