"""What the tests of the commands share: clips, a command line, and a run that is only read."""

from pathlib import Path

import pytest
from small_runs import PLUGIN, CommandLine, folder_of_clips


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def gadkit_command(monkeypatch, capsys, tmp_path) -> CommandLine:
    """The command line, standing in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def plugin_file(tmp_path) -> Path:
    """`parts.py`, with a generator and with parts that fit nothing."""
    path = tmp_path / "elsewhere" / "parts.py"
    path.parent.mkdir()
    path.write_text(PLUGIN)
    return path
