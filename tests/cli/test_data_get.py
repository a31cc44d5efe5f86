"""`gadkit data get`: sets that fetch themselves."""

from __future__ import annotations

import pytest
from small_runs import files_of

PLUGIN = '''
from gadkit import Component, DataError, Dataset, hookimpl


class Whole(Dataset):
    """Fetches two files."""

    licence = "CC-BY-4.0"
    homepage = "a museum of clips"

    def __init__(self, path):
        self.path = path

    def sources(self):
        return []

    def open(self, source):
        raise NotImplementedError

    @classmethod
    def get(cls, folder, progress=None):
        assert folder.is_dir() and not list(folder.iterdir())
        for number, name in enumerate(("a.txt", "LICENSE")):
            (folder / name).write_text("x" * 600)
            progress(number + 1, 2, name)


class Failing(Whole):
    """Fetches half of it."""

    licence = ""

    @classmethod
    def get(cls, folder, progress=None):
        (folder / "half").write_text("")
        raise DataError("the museum is closed; come back tomorrow.")


class Interrupted(Whole):
    """Somebody presses Ctrl-C."""

    @classmethod
    def get(cls, folder, progress=None):
        (folder / "half").write_text("")
        raise KeyboardInterrupt


@hookimpl
def gadkit_datasets():
    names = {"whole": "Whole", "failing": "Failing", "interrupted": "Interrupted", "missing": "Missing"}
    return [Component(name=name, summary=f"is {name}", target=f"museum:{to}") for name, to in names.items()]
'''


@pytest.fixture
def plugin(tmp_path) -> tuple[str, str]:
    path = tmp_path / "elsewhere" / "museum.py"
    path.parent.mkdir()
    path.write_text(PLUGIN)
    return "--plugin", str(path)


def test_a_list_names_what_can_be_fetched_with_its_licence(gadkit_command, plugin):
    done = gadkit_command("data", "get", *plugin)
    assert done.code == 0
    rows = {line.split()[0]: line for line in done.out.splitlines()}
    assert "CC-BY-4.0" in rows["whole"]
    assert "is whole" in rows["whole"]
    assert "not said" in rows["failing"]
    assert "videos" not in rows
    assert "missing" not in rows
    assert "missing" in done.err  # a plugin that cannot be imported costs only itself


def test_a_set_is_fetched_whole_and_its_licence_shown(gadkit_command, plugin, tmp_path):
    done = gadkit_command("data", "get", "whole", *plugin)
    assert done.code == 0
    assert set(files_of(tmp_path / "whole")) == {"a.txt", "LICENSE"}
    assert done.err.splitlines() == ["fetching 1/2: a.txt", "fetching 2/2: LICENSE"]
    assert done.out.splitlines() == [
        "got whole: 2 files, 1.17 KiB",
        "licence: CC-BY-4.0, in LICENSE",
        "homepage: a museum of clips",
        "next: gadkit train --data whole",
    ]


def test_the_folder_may_be_named_and_may_be_empty(gadkit_command, plugin, tmp_path):
    (tmp_path / "here").mkdir()
    assert gadkit_command("data", "get", "whole", tmp_path / "here", *plugin).code == 0
    assert gadkit_command("data", "get", "whole", tmp_path / "deep" / "er", *plugin).code == 0
    assert set(files_of(tmp_path / "here")) == set(files_of(tmp_path / "deep" / "er")) == {"a.txt", "LICENSE"}


def test_nothing_is_overwritten_and_nothing_is_left_behind(gadkit_command, plugin, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo").write_text("dear")
    assert "no empty folder" in gadkit_command("data", "get", "whole", tmp_path / "mine", *plugin).error
    assert files_of(tmp_path / "mine") == {"photo": b"dear"}
    before = sorted(tmp_path.iterdir())
    assert "museum is closed" in gadkit_command("data", "get", "failing", tmp_path / "new", *plugin).error
    assert gadkit_command("data", "get", "interrupted", tmp_path / "new", *plugin).code == 130
    assert sorted(tmp_path.iterdir()) == before


def test_what_cannot_be_fetched_is_told(gadkit_command, plugin, tmp_path):
    error = gadkit_command("data", "get", "videos", *plugin).err
    assert "videos" in error
    assert "whole" in error
    assert "hole" in gadkit_command("data", "get", "hole", *plugin).err
    assert not (tmp_path / "videos").exists()
