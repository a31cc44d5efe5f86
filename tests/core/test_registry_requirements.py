"""What a plugin asks for: of gadkit by its distribution's metadata, of other packages by its record."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from plugins_fixtures import importable, write_metadata, write_package

import gadkit
from gadkit import Component, PluginError
from gadkit.registry import Registry
from gadkit.registry.entry import Entry
from gadkit.registry.installed import installed_plugins, misfit

BOMB = "raise RuntimeError('imported')"
FINE = (
    "from gadkit import Component, hookimpl\n"
    "@hookimpl\ndef gadkit_losses():\n    return [Component(name='fine', summary='Fine', target='nowhere:Thing')]\n"
)


@pytest.fixture
def site(tmp_path):
    with importable(tmp_path / "site"):
        yield tmp_path / "site"


@pytest.mark.parametrize(
    ("requires", "version", "fits"),
    [
        ((), "0.3.0", True),
        (("gadkit",), "0.3.0", True),
        (("gadkit>=0.1",), "0.3.0", True),
        (("gadkit>=0.1,<0.3",), "0.3.0", False),
        (("gadkit>=0.4",), "0.3.0", False),
        (("gadkit~=0.3.0",), "0.3.7", True),
        (("gadkit[extra]>=0.4",), "0.3.0", False),
        (("gadkit (>=0.4)",), "0.3.0", False),
        (("gadkit>=0.1", "gadkit<0.3"), "0.3.0", False),
        (("gadkit @ https://example.org/gadkit.whl",), "0.3.0", True),
        # markers and extras
        (('gadkit>=9; python_version < "3"',), "0.3.0", True),
        (('gadkit>=9; python_version >= "3"',), "0.3.0", False),
        (('gadkit>=9; extra == "dev"',), "0.3.0", True),
        # pre-releases count, as PEP 440 orders them
        (("gadkit>=0.3",), "0.4.0rc1", True),
        (("gadkit>=0.3",), "0.4.0.dev3+g12ab", True),
        (("gadkit>=0.3,<0.4",), "0.4.0rc1", False),
        (("gadkit>=0.4",), "0.4.0rc1", False),
        (("gadkit>=0.4.0rc1",), "0.4.0rc1", True),
        (("gadkit>=0.3",), "0.3.0+local", True),
    ],
)
def test_what_a_distribution_asks_of_gadkit(monkeypatch, requires, version, fits):
    monkeypatch.setattr(gadkit, "__version__", version)
    assert (misfit(requires, "acme") == "") is fits


@given(
    versions=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=3), min_size=1, max_size=3),
    operators=st.lists(st.sampled_from([">=", "<", "<=", ">", "~=", "==", "!="]), min_size=3, max_size=3),
    here=st.lists(st.integers(0, 2), min_size=1, max_size=3),
    suffix=st.sampled_from(["", "", "rc1", ".dev0", ".post1", "+local"]),
)
def test_plain_requirements_are_met_as_packaging_has_it(versions, operators, here, suffix):
    clauses = [f"{sign}{'.'.join(map(str, [*each, 0]))}" for sign, each in zip(operators, versions, strict=False)]
    version = ".".join(map(str, here)) + suffix
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gadkit, "__version__", version)
        found = misfit(("gadkit " + ", ".join(clauses),), "acme") == ""
    assert found is SpecifierSet(",".join(clauses)).contains(version, prereleases=True)


@pytest.mark.parametrize(
    ("requires", "mend"),
    [
        ("gadkit>=0.4", "upgrade gadkit"),
        ("gadkit>=0.4,<0.5", "upgrade gadkit"),
        ("gadkit==0.4.*", "upgrade gadkit"),
        ("gadkit<0.3", "upgrade acme-gan, or ask its author"),
        ("gadkit==0.2.*", "upgrade acme-gan, or ask its author"),
        ("gadkit!=0.3.0", "upgrade acme-gan, or ask its author"),
    ],
)
def test_the_sentence_says_what_is_asked_for_what_there_is_and_what_to_do(monkeypatch, requires, mend):
    monkeypatch.setattr(gadkit, "__version__", "0.3.0")
    told = misfit((requires,), "acme-gan")
    specifier = requires.removeprefix("gadkit")
    assert all(part in told for part in specifier.split(","))
    assert "and this is gadkit 0.3.0; " in told
    assert mend in told


def test_a_plugin_for_another_gadkit_costs_no_import(site):
    write_package(site, "acme-bomb", BOMB, requires=("torch>=2", "GadKit >=9.1"))
    write_package(site, "acme-odd", BOMB, requires=("gadkit>>1",))
    write_package(site, "acme-fine", FINE, requires=("gadkit-sparkle>=9", "gadkit>=0.0.1"))
    registry = Registry.discover({})
    assert not {"acme_bomb", "acme_odd"} & set(sys.modules)
    bomb, odd = (each.reason for each in registry.failures)
    assert bomb == f"it asks for gadkit>=9.1 and this is gadkit {gadkit.__version__}; upgrade gadkit"
    assert odd == "its distribution asks for 'gadkit>>1', which is no requirement; tell the author of acme-odd"
    assert registry.find("loss", "fine")


def test_metadata_are_read_as_the_standard_library_reads_them(site):
    write_metadata(site, "Acme_Fine", "2.0", {"a": "m"}, ("gadkit >=0.1",))
    info = site / "Acme_Fine-2.0.dist-info"
    head = (info / "METADATA").read_text()
    (info / "METADATA").write_text(head.replace("gadkit >=0.1", "gadkit\n >=0.1 ;\n\tpython_version >= '3'"))
    (found,) = [each for each in installed_plugins()[0] if each.plugin == "a"]
    assert found.point.dist is not None
    assert (found.distribution, found.version) == ("acme-fine", found.point.dist.version)
    assert [" ".join(each.split()) for each in found.requires] == ["gadkit >=0.1 ; python_version >= '3'"]


def test_the_first_of_two_installed_versions_counts(site, tmp_path):
    write_package(site, "acme", FINE, version="2.0")
    write_metadata(tmp_path / "later", "Acme", "1.0", {"gone": "no_such_module"})
    sys.path.append(str(tmp_path / "later"))
    try:
        found = [each for each in installed_plugins()[0] if each.distribution == "acme"]
    finally:
        sys.path.remove(str(tmp_path / "later"))
    assert [(each.plugin, each.version) for each in found] == [("acme", "2.0")]


def entry(*requires, target="no_such_module_here:X"):
    component = Component(name="board", summary="X", target=target, requires=requires)
    return Entry(component=component, kind="loss", distribution="acme", version="2.0")


@pytest.mark.parametrize(
    ("requires", "told", "install"),
    [
        (("no-such-package",), r"no-such-package \(not installed\)", "no-such-package"),
        (("no-such-package>=2.16",), r"no-such-package>=2.16 \(not installed\)", "'no-such-package>=2.16'"),
        (("pluggy>=99", "pluggy>=1"), r"pluggy>=99 \(found 1\.\d+\.\d+\)", "'pluggy>=99'"),
        (("a-b>=1", "c-d<2"), r"a-b>=1 \(not installed\) and c-d<2 \(not installed\)", "'a-b>=1' 'c-d<2'"),
        ((">>",), r">> \(which is no requirement", "'>>'"),
    ],
)
def test_what_a_record_asks_for_is_looked_for_before_the_import(requires, told, install):
    with pytest.raises(PluginError, match=rf"loss 'acme:board' of acme 2.0 needs {told}") as error:
        entry(*requires).load()
    assert str(error.value).endswith(f": run `gadkit plugins install {install}`.")


def test_what_is_there_or_not_asked_for_here_is_not_in_the_way():
    met = entry("pluggy>=1", 'no-such-package; python_version < "3"', "PyTest")
    assert met.lacking() == {}
    with pytest.raises(PluginError, match="cannot be loaded from 'no_such_module_here:X': ModuleNotFoundError"):
        met.load()


@pytest.mark.parametrize("requires", ["'tensorboard'", "3", "[b'x']", "None"])
def test_requirements_of_another_type_are_a_bad_record(site, requires):
    write_package(site, "acme-odd", FINE.replace("target=", f"requires={requires}, target="))
    (failure,) = Registry.discover({}).failures
    assert "expected a tuple such as ('tensorboard>=2.16',)" in failure.reason
