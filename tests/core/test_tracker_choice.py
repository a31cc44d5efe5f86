"""Which trackers a run has, with what settings: from recipe, file, flags and `--set`, and back from `config.toml`."""

from __future__ import annotations

import dataclasses

import pytest
from plugins_fixtures import importable, write_package
from small_runs import own_registry

from gadkit import ConfigError, PluginError, Tracker, hookimpl
from gadkit.config import RunConfig
from gadkit.registry import get_registry
from gadkit.runs.choices import resolve_config

#: Third parties' trackers, and recipes that name trackers.
PACKAGE = '''
from gadkit import Component, Tracker, hookimpl


class Board(Tracker):
    """A board.

    Args:
        room: Where it hangs.
        size: Its size.
    """

    def __init__(self, *, room: str, size: int = 1):
        pass

    @hookimpl
    def gadkit_run_ended(self):
        pass


class Plain(Board):
    def __init__(self):
        pass


@hookimpl
def gadkit_trackers():
    return [
        Component(name="board", summary="a board", target="acme_board:Board"),
        Component(name="csv", summary="another csv", target="acme_board:Plain"),
        Component(name="missing", summary="needs more", target="acme_board:Plain", requires=("no-such-thing>=2",)),
    ]


@hookimpl
def gadkit_recipes():
    return [Component(name="tracked", summary="a recipe", target="acme_board_files:tracked.toml")]
'''
RECIPE = """
[generator]
use = "dcgan"
[assembler]
use = "walk"
[discriminator]
use = "dcgan-clip"
[loss]
use = "hinge"
[direction]
use = "alternating"
[trainer]
use = "minimax"
[tracker.csv]
file = "recipe.csv"
[tracker."acme-board:board"]
room = "hall"
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    write_package(site, "acme-board", PACKAGE)
    (site / "acme_board_files").mkdir()
    (site / "acme_board_files/__init__.py").touch()
    (site / "acme_board_files/tracked.toml").write_text(RECIPE)
    with importable(site), own_registry():
        yield get_registry()


class Own(Tracker):
    """A program's own.

    Args:
        colour: Of it.
    """

    def __init__(self, *, colour: str = "red") -> None:
        pass

    @hookimpl
    def gadkit_run_started(self) -> None:
        pass


def chosen(registry, recipe="dcgan", **more):
    config = RunConfig.resolve(registry, recipe=None if "file" in more else recipe, **more)
    return {name: tracker.settings for name, tracker in config.trackers.items()}


def written(tmp_path, text):
    path = tmp_path / "given.toml"
    path.write_text(text)
    return path


CSV = {"csv": {"file": "metrics.csv"}}
HALL = {"acme-board:board": {"room": "hall", "size": 1}}


def test_none_unless_chosen(registry):
    assert chosen(registry) == {}
    assert "tracker" not in RunConfig.resolve(registry, recipe="dcgan").to_dict()


def test_flags_choose_and_sets_set(registry):
    assert chosen(registry, flags={"tracker.use": ["csv"]}) == CSV
    sets = ["tracker.csv.file=a.csv", 'tracker."acme-board:board".room=hall', "tracker.board.size=3"]
    found = chosen(registry, flags={"tracker.use": ["csv", "board", "csv"]}, sets=sets)
    assert found == {"csv": {"file": "a.csv"}, "acme-board:board": {"room": "hall", "size": 3}}
    assert chosen(registry, flags={"tracker.use": ["csv"], "tracker.csv.file": "b.csv"}) == {"csv": {"file": "b.csv"}}
    assert chosen(registry, sets=["tracker=csv"]) == chosen(registry, sets=['tracker=["csv"]']) == CSV
    assert chosen(registry, sets=["tracker.use=csv"]) == CSV


def test_a_bare_name_is_gadkits_own_and_anothers_is_qualified(registry):
    assert chosen(registry, flags={"tracker": ["acme-board:csv", "csv"]}) == {"acme-board:csv": {}, **CSV}


def test_a_file_names_trackers_by_its_tables(registry, tmp_path):
    path = written(tmp_path, "[tracker.csv]\n[tracker.'acme-board:board']\nroom = 'hall'\n")
    assert chosen(registry, file=path) == CSV | HALL
    assert chosen(registry, file=written(tmp_path, "tracker = 'csv'")) == CSV
    assert chosen(registry, file=written(tmp_path, "tracker = ['csv']")) == CSV
    more = "[tracker]\nuse = ['csv']\n[tracker.csv]\nfile = 'c.csv'\n"
    assert chosen(registry, file=written(tmp_path, more)) == {"csv": {"file": "c.csv"}}


def test_a_choice_replaces_the_one_below_and_keeps_the_settings_of_those_that_stay(registry, tmp_path):
    recipe = {"csv": {"file": "recipe.csv"}, **HALL}
    assert chosen(registry, "tracked") == recipe
    assert chosen(registry, "tracked", flags={"tracker.use": ["board"]}) == HALL
    assert chosen(registry, "tracked", flags={"tracker.use": ["none"]}) == {}
    file = written(tmp_path, "recipe = 'tracked'\n[tracker.csv]\n")
    assert chosen(registry, file=file) == {"csv": {"file": "recipe.csv"}}
    assert chosen(registry, file=file, flags={"tracker": "none"}) == {}
    again = chosen(registry, "tracked", flags={"tracker": "board"}, sets=["tracker=csv"])
    assert again == CSV  # what was let go in between comes without its settings


def test_the_written_configuration_gives_the_same_again(registry, tmp_path):
    flags = {"tracker.use": ["csv", "acme-board:board"], "tracker.board.room": "a ] \"b\" 'c'"}
    config = RunConfig.resolve(registry, recipe="dcgan", flags=flags)
    path = written(tmp_path, config.to_toml())
    again = RunConfig.resolve(registry, file=path)
    assert again == config
    assert again.to_toml() == config.to_toml()
    assert list(config.to_dict()["tracker"]) == ["csv", "acme-board:board"]
    assert dataclasses.replace(config, trackers={}) == RunConfig.resolve(registry, file=path, trackers=False)


def test_a_class_of_a_programs_own(registry, tmp_path):
    name = f"python:{__name__}.Own"
    choices = {"tracker": ["csv", Own]}
    config = resolve_config(registry, None, "dcgan", choices, {"tracker.Own.colour": "blue"}, (), None)
    assert {key: part.settings for key, part in config.trackers.items()} == {**CSV, name: {"colour": "blue"}}
    for choice in (Own, (Own,)):
        config = resolve_config(registry, None, "dcgan", {"tracker": choice}, (), (), None)
        assert list(config.trackers) == [name]
    path = written(tmp_path, config.to_toml())
    assert RunConfig.resolve(registry, file=path) == config
    with own_registry():
        with pytest.raises(PluginError, match=r"python:.*Own' is a class that a Python program passed"):
            RunConfig.resolve(get_registry(), file=path)
        assert RunConfig.resolve(get_registry(), file=path, flags={"tracker": "none"}).trackers == {}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"flags": {"tracker.use": ["cvs"]}}, r"There is no tracker 'cvs'\. Did you mean 'csv'\?"),
        ({"sets": ["tracker.cvs.file=a.csv"]}, r"There is no tracker 'cvs'\. Did you mean 'csv'\?"),
        ({"sets": ["tracker.csv.file=a.csv"]}, r"tracker\.csv\.file is set, but that tracker is not chosen: add --tra"),
        ({"flags": {"tracker.use": ["csv", "none"]}}, r"tracker: found 'none', expected names of trackers"),
        ({"flags": {"tracker.use": [""]}}, r"tracker: found '', expected names"),
        ({"flags": {"tracker.use": [3]}}, r"tracker: found 3, expected names"),
        ({"flags": {"tracker.use": ["csv"]}, "sets": ["tracker.csv.fil=a"]}, r"tracker\.csv\.fil is no setting of tra"),
        ({"flags": {"tracker": "csv"}, "sets": ["tracker.csv.file=a.txt"]}, r"tracker\.csv\.file: found 'a\.txt', exp"),
        ({"flags": {"tracker": "csv"}, "sets": ["tracker.csv.file=../a.csv"]}, r"tracker\.csv\.file: found '\.\./a\.c"),
        ({"flags": {"tracker": "board"}}, r"tracker\.acme-board:board\.room: not given and without a default"),
        ({"flags": {"tracker": "missing"}}, r"needs no-such-thing>=2"),
        ({"sets": ["tracker.csv=3"]}, r"tracker\.csv: found 3, expected a table of settings, such as \[tracker\.csv\]"),
        ({"sets": ["tracker.csv.=3"]}, r"tracker\.csv\. is no key of a tracker"),
        ({"sets": ["tracker=csv", "tracker.csv.file=a.csv", "tracker.csv.file.b=1"]}, r"not chosen|no tracker"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(registry, more, said):
    with pytest.raises((ConfigError, PluginError), match=said) as found:
        chosen(registry, **more)
    assert str(found.value).endswith(".")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tracker = 3", "tracker: found 3, expected names of trackers"),
        ("tracker = [['csv']]", "found .*'csv'.*, expected names of trackers"),
        ("[tracker]\ncsv = true", r"tracker\.csv: found True, expected a table"),
        ("[[tracker]]\nuse = 'csv'", "expected names of trackers"),
        ("[tracker]\nuse = ['csv']\n[tracker.wandb]\nproject = 'a'", "that tracker is not chosen"),
    ],
)
def test_a_file_that_is_at_fault_is_named(registry, tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=said) as found:
        chosen(registry, file=path)
    assert str(path) in str(found.value)


def test_an_object_is_no_choice(registry):
    with pytest.raises(ConfigError, match=r"tracker: found <.*Own object.*>, expected names of trackers"):
        resolve_config(registry, None, "dcgan", {"tracker": Own()}, (), (), None)
    with pytest.raises(PluginError, match=r"does not implement gadkit\.Tracker"):
        resolve_config(registry, None, "dcgan", {"tracker": dict}, (), (), None)
