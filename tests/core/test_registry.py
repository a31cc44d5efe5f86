"""Discovery and names: one registry over fabricated installations."""

import sys

import pytest
from plugins_fixtures import BAD, importable, install, write_package

from gadkit import PluginError
from gadkit.component import KINDS
from gadkit.errors import ConfigError
from gadkit.registry import Registry, get_registry

HEAD = "from gadkit import Component, hookimpl\n"


def offers(kind, *names, summary="A thing"):
    """The text of a plugin module that offers components."""
    records = ", ".join(f"Component(name={name!r}, summary={summary!r}, target='nowhere:Thing')" for name in names)
    return f"{HEAD}\n@hookimpl\ndef {KINDS[kind].hook}():\n    return [{records}]\n"


@pytest.fixture
def site(tmp_path):
    with importable(tmp_path / "site"):
        yield tmp_path / "site"


def reason(registry, plugin):
    (failure,) = [failure for failure in registry.failures if failure.plugin == plugin]
    return failure.reason


def test_a_good_package_offers_its_components_with_their_provenance(site):
    install(site, "good_package")
    registry = Registry.discover({})
    entry = registry.find("generator", "sparkle")
    assert (entry.qualified, entry.provider) == ("gadkit-sparkle:sparkle", "gadkit-sparkle 1.2.0")
    assert registry.find("generator", "Gadkit_Sparkle:sparkle") is entry
    assert registry.find("loss", "logistic").plugin == "sparkle"
    assert entry.load().__module__ == "gadkit_sparkle.nets"


def test_each_bad_package_costs_only_itself(site):
    install(site, "good_package", *BAD)
    registry = Registry.discover({})
    failures = {failure.distribution: failure for failure in registry.failures if failure.distribution != "gadkit"}
    assert len(failures) == len(BAD)
    for provider, why in BAD.values():
        distribution, version = provider.split()
        assert why in failures[distribution].reason
        assert failures[distribution].version == version
        assert len(str(failures[distribution]).splitlines()) == 1
        assert "Traceback" in failures[distribution].traceback
    offering = {entry.distribution for entry in registry.entries()}
    assert "gadkit-sparkle" in offering
    assert not offering & set(failures)


def test_a_failed_plugin_is_unregistered_and_hears_of_no_run(site):
    called = "LOG = []\n@hookimpl\ndef gadkit_run_started(step):\n    LOG.append(step)\n"
    write_package(site, "acme-good", HEAD + called)
    write_package(site, "acme-bad", HEAD + called + "@hookimpl\ndef gadkit_losses():\n    raise RuntimeError\n")
    registry = Registry.discover({})
    registry.notify("gadkit_run_started", folder=None, config={}, step=7)
    assert sys.modules["acme_good"].LOG == [7]
    assert sys.modules["acme_bad"].LOG == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("1/0", "its import raised ZeroDivisionError: division by zero"),
        ("import no_such_module_here", "its import raised ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("raise BaseException('odd')", "its import raised BaseException: odd"),
        ("x = 1", "implements no hook"),
        ("def gadkit_losses(): return []", "'gadkit_losses' is not decorated with @gadkit.hookimpl"),
        ("@hookimpl\ndef gadkit_losses(size): return []", "Argument(s) {'size'}"),
        ("@hookimpl\ndef gadkit_losses(): return None", "returned None, expected a list of gadkit.Component"),
        ("@hookimpl\ndef gadkit_losses(): return [1]", "returned a list with 1 in it"),
        ("@hookimpl\ndef gadkit_losses(): raise SystemExit(3)", "its hook 'gadkit_losses' raised SystemExit: 3"),
        ("@hookimpl(wrapper=True)\ndef gadkit_losses():\n    return (yield)", "is a wrapper"),
        ("@hookimpl(wrapper=True)\ndef gadkit_run_ended():\n    return (yield)", "is a wrapper"),
        (offers("loss", "Bad Name"), "'Bad Name' has a bad name"),
        (offers("loss", "none"), "'none' has a bad name"),
        (offers("loss", "x", summary="two\nlines"), "needs a summary of one line"),
        (offers("loss", "x").replace("nowhere:Thing", "nowhere.Thing"), "expected 'module:Attribute'"),
        (offers("recipe", "x"), "expected 'package:file.toml'"),
        (offers("loss", "x").replace("name='x'", "name=3"), "name = 3, which is no string"),
        (offers("loss", "x").replace("name='x'", "name='x', api='1'"), "api = '1', expected a whole number"),
        ("import sys\nsys.modules[__name__] = None", "names nothing but None"),
    ],
)
def test_reasons_say_what_is_wrong(site, body, expected):
    write_package(site, "acme-odd", f"{HEAD}{body}\n")
    write_package(site, "acme-fine", offers("loss", "fine"))
    registry = Registry.discover({})
    assert expected in reason(registry, "acme_odd")
    assert registry.find("loss", "fine").distribution == "acme-fine"
    with pytest.raises(PluginError, match="GADKIT_STRICT_PLUGINS is set, and plugin"):
        Registry.discover({"GADKIT_STRICT_PLUGINS": "1"})


def test_an_optional_hook_of_a_later_version_is_no_fault(site):
    write_package(
        site, "acme-ahead", f"{offers('loss', 'ahead')}\n@hookimpl(optionalhook=True)\ndef gadkit_later(): ...\n"
    )
    assert Registry.discover({}).find("loss", "ahead")


def test_two_entry_points_of_one_distribution_may_not_declare_one_name(site):
    write_package(site, "acme", offers("loss", "one", "two"), module="acme_first")
    info = site / "acme-1.0.dist-info"
    (site / "acme_second.py").write_text(offers("loss", "two"))
    (info / "entry_points.txt").write_text("[gadkit]\na = acme_first\nb = acme_second\nc = acme_first\n")
    registry = Registry.discover({})
    assert reason(registry, "b") == "its distribution declares the loss 'two' twice"
    assert "same object as the plugin 'acme:a'" in reason(registry, "c")
    assert registry.find("loss", "two").plugin == "a"


def test_a_third_party_cannot_take_a_bundled_plugin_s_module(site):
    write_package(site, "gadkit", offers("loss", "own"), module="bundled_stand_in", version="9")
    write_package(site, "acme-thief", "")
    (site / "acme_thief-1.0.dist-info" / "entry_points.txt").write_text("[gadkit]\na = bundled_stand_in\n")
    registry = Registry.discover({})
    assert registry.find("loss", "own").distribution == "gadkit"
    assert [failure.distribution for failure in registry.failures] == ["acme-thief"]


def test_what_a_plugin_prints_stays_out_of_standard_output(site, capsys):
    write_package(site, "acme-loud", f"print('hello')\n{offers('loss', 'loud')}")
    Registry.discover({})
    captured = capsys.readouterr()
    assert (captured.out, "hello" in captured.err) == ("", True)


def test_texts_of_records_are_harmless_on_a_terminal(site):
    write_package(site, "acme-odd", offers("loss", "odd", summary="Red \x1b[31m\u202etext, grün"))
    component = Registry.discover({}).find("loss", "odd").component
    assert component.summary == "Red \\x1b[31m\\u202etext, grün"


def test_names(site):
    write_package(site, "acme-one", offers("loss", "shared", "alone"))
    write_package(site, "acme-two", offers("loss", "shared"))
    write_package(site, "gadkit", offers("loss", "alone", "shared2"), module="bundled_stand_in", version="9")
    registry = Registry.discover({})
    with pytest.raises(PluginError, match="choose one of acme-one:shared, acme-two:shared"):
        registry.find("loss", "shared")
    assert registry.find("loss", "acme-two:shared").distribution == "acme-two"
    assert registry.find("loss", "alone").distribution == "gadkit"
    assert registry.find("loss", "acme-one:alone").distribution == "acme-one"
    for name, entry in zip(registry.names("loss"), registry.entries("loss"), strict=True):
        assert registry.find("loss", name) == entry
        assert registry.find("loss", entry.qualified) == entry
    with pytest.raises(PluginError, match=r"There is no loss 'alon'\. Did you mean 'alone'.*Available: .*shared2"):
        registry.find("loss", "alon")
    with pytest.raises(PluginError, match=r"There is no loss 'acme-two:shard'\. Did you mean"):
        registry.find("loss", "acme-two:shard")
    with pytest.raises(PluginError, match=r"nothing called 'acme-three' offers plugins here; install it"):
        registry.find("loss", "acme-three:x")
    with pytest.raises(PluginError, match=r"no kind 'los'\. Did you mean 'loss'"):
        registry.find("los", "x")


def test_entries_are_sorted_by_kind_and_name(site):
    write_package(site, "acme-b", offers("loss", "zeta", "alpha"))
    write_package(site, "acme-a", offers("generator", "mid") + offers("loss", "alpha"))
    registry = Registry.discover({"GADKIT_DISABLED_PLUGINS": "gadkit"})
    found = [(entry.kind, entry.name, entry.distribution) for entry in registry.entries()]
    assert found == [
        ("generator", "mid", "acme-a"),
        ("loss", "alpha", "acme-a"),
        ("loss", "alpha", "acme-b"),
        ("loss", "zeta", "acme-b"),
    ]
    assert [entry.kind for entry in registry.entries("loss")] == ["loss"] * 3


def test_errors_tell_of_failed_plugins(site):
    install(site, "bad_raises")
    registry = Registry.discover({"GADKIT_DISABLED_PLUGINS": "gadkit"})
    with pytest.raises(PluginError, match=r"1 plugin failed to load: see `gadkit plugins list`"):
        registry.find("generator", "sparkle")
    with pytest.raises(PluginError, match=r"not available: plugin 'acme_raises' of acme-raises 0\.4.*KeyError"):
        registry.find("generator", "acme-raises:sparkle")


@pytest.mark.parametrize(
    ("environ", "by", "mend"),
    [
        ({"GADKIT_DISABLED_PLUGINS": "other, acme_import"}, "GADKIT_DISABLED_PLUGINS", "take it out of GADKIT"),
        ({"GADKIT_DISABLED_PLUGINS": "acme-import"}, "GADKIT_DISABLED_PLUGINS", "take it out of GADKIT"),
        ({"GADKIT_DISABLED_PLUGINS": "Acme.Import,"}, "GADKIT_DISABLED_PLUGINS", "take it out of GADKIT"),
        ({"GADKIT_DISABLED_PLUGINS": "acme-import:acme_import"}, "GADKIT_DISABLED_PLUGINS", "take it out of GADKIT"),
        ({"GADKIT_NO_PLUGINS": "1"}, "GADKIT_NO_PLUGINS", "leave --no-plugins or GADKIT_NO_PLUGINS away"),
    ],
)
def test_a_disabled_plugin_is_not_imported(site, environ, by, mend):
    write_package(site, "acme-import", "raise RuntimeError('imported')")
    write_package(site, "gadkit", offers("loss", "own"), module="bundled_stand_in", version="9")
    registry = Registry.discover(environ | {"GADKIT_STRICT_PLUGINS": "yes"})
    assert registry.disabled == [("acme_import", "acme-import")]
    (plugin,) = [plugin for plugin in registry.plugins if plugin.status == "disabled"]
    assert (plugin.by, plugin.seconds, plugin.components, plugin.api) == (by, 0, 0, None)
    assert registry.find("loss", "own").version == "9"
    with pytest.raises(PluginError, match=f"plugin 'acme_import' of acme-import is switched off: {mend}"):
        registry.find("loss", "acme-import:x")
    with pytest.raises(PluginError, match="1 plugin is switched off: see `gadkit plugins list`"):
        registry.find("loss", "x")


def test_plugins_tells_what_became_of_each(site):
    install(site, "good_package")
    write_package(site, "acme-slow", "import time\ntime.sleep(.6)\n" + offers("loss", "late"))
    write_package(site, "acme-bad", "1/0", version="0.3")
    write_package(site, "acme-off", "raise RuntimeError('imported')")
    write_package(site, "acme-still", HEAD + "@hookimpl\ndef gadkit_run_ended():\n    pass\n")
    registry = Registry.discover({"GADKIT_DISABLED_PLUGINS": "acme_off"})
    found = {plugin.distribution: plugin for plugin in registry.plugins if plugin.distribution != "gadkit"}
    assert list(found) == ["acme-bad", "acme-off", "acme-slow", "acme-still", "gadkit-sparkle"]
    told = {name: (each.name, each.version, each.status, each.api, each.components) for name, each in found.items()}
    assert told == {
        "acme-bad": ("acme_bad", "0.3", "failed", None, 0),
        "acme-off": ("acme_off", "1.0", "disabled", None, 0),
        "acme-slow": ("acme_slow", "1.0", "ready", 1, 1),
        "acme-still": ("acme_still", "1.0", "ready", None, 0),
        "gadkit-sparkle": ("sparkle", "1.2.0", "ready", 1, 2),
    }
    assert "ZeroDivisionError" in found["acme-bad"].reason
    assert found["gadkit-sparkle"].reason == found["gadkit-sparkle"].by == ""
    assert [plugin.distribution for plugin in registry.plugins if plugin.is_slow] == ["acme-slow"]
    assert 0.6 <= found["acme-slow"].seconds < 60
    own = [plugin for plugin in registry.plugins if plugin.distribution == "gadkit"]
    assert own == registry.plugins[: len(own)]
    assert sum(plugin.components for plugin in registry.plugins) == len(registry.entries())


def test_a_name_of_a_bundled_plugin_that_is_switched_off_comes_to_mean_no_other(site):
    write_package(site, "gadkit", offers("loss", "own"), module="bundled_stand_in", version="9")
    write_package(site, "acme-other", offers("loss", "own"))
    registry = Registry.discover({"GADKIT_DISABLED_PLUGINS": "gadkit:bundled_stand_in"})
    for name in ("own", "gadkit:own"):
        with pytest.raises(PluginError, match="plugin 'bundled_stand_in' of gadkit is switched off: take it out"):
            registry.find("loss", name)
    assert registry.find("loss", "acme-other:own").distribution == "acme-other"


def test_a_switch_must_be_a_switch():
    with pytest.raises(ConfigError, match="GADKIT_NO_PLUGINS: found 'maybe', expected 1 or 0"):
        Registry.discover({"GADKIT_NO_PLUGINS": "maybe"})


def test_unreadable_metadata_of_one_distribution_does_not_hide_the_others(site):
    write_package(site, "acme-fine", offers("loss", "fine"))
    write_package(site, "acme-rotten", offers("loss", "rotten"))
    (site / "acme_rotten-1.0.dist-info" / "entry_points.txt").write_bytes(b"[gadkit]\nx = \xff\xfe\n")
    registry = Registry.discover({})
    assert registry.find("loss", "fine")
    (failure,) = [failure for failure in registry.failures if failure.distribution == "acme-rotten"]
    assert "its metadata cannot be read: UnicodeDecodeError" in failure.reason


def test_a_lifecycle_hook_that_fails_is_dropped_and_the_others_go_on(site, caplog):
    good = f"{HEAD}LOG = []\n@hookimpl\ndef gadkit_step_logged(step, values):\n    LOG.append((step, values))\n"
    bad = "CALLS = []\n@hookimpl\ndef gadkit_step_logged(step):\n    CALLS.append(step)\n    exit(1)\n"
    write_package(site, "acme-a", good)
    write_package(site, "acme-b", offers("loss", "tracked") + bad)
    write_package(site, "acme-c", good)
    registry = Registry.discover({})
    for step in (1, 2):
        registry.notify("gadkit_step_logged", folder=site, step=step, values={"loss": 0.5})
    assert sys.modules["acme_a"].LOG == sys.modules["acme_c"].LOG == [(1, {"loss": 0.5}), (2, {"loss": 0.5})]
    assert sys.modules["acme_b"].CALLS == [1]
    (record,) = caplog.records
    assert "'acme-b:acme_b' is dropped" in record.getMessage()
    assert "SystemExit: 1" in record.getMessage()
    assert registry.find("loss", "tracked"), "what it offers stays"
    with pytest.raises(ValueError, match="Did you mean 'gadkit_step_logged'"):
        registry.notify("gadkit_step_loged")


def test_the_process_has_one_registry():
    assert get_registry() is get_registry()
