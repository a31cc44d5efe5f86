"""What comes through a pipe: looked at, packed and trained on, as files are."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sources import FRAMES, webdataset

from gadkit.data.pack import open_pack


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    return webdataset(tmp_path_factory.mktemp("shards"))


@pytest.fixture
def piped(shards, gadkit_command, monkeypatch) -> Callable:
    """The command line with the shards on its standard input."""

    def run(*arguments):
        data = b"".join(path.read_bytes() for path in sorted(shards.glob("*.tar")))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        return gadkit_command(*arguments)

    return run


def test_inspect(piped):
    done = piped("data", "inspect", "-", "--frames", 8, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["videos"]["usable"] == 4


@pytest.mark.parametrize("labels", ["none", "own"])
def test_a_packed_pipe_holds_what_the_packed_shards_hold(labels, piped, gadkit_command, shards, tmp_path):
    done = piped("data", "pack", "-", "pipe", "--resolution", 16, "--labels", labels)
    assert done.code == 0, done.err
    assert gadkit_command("data", "pack", shards, "shards", "--resolution", 16, "--labels", labels).code == 0
    one, other = (open_pack(tmp_path / name) for name in ("pipe", "shards"))
    assert one.lengths.tolist() == other.lengths.tolist() == [FRAMES] * 4
    frames = torch.arange(4), torch.arange(FRAMES).expand(4, FRAMES)
    assert torch.equal(one.gather(*frames), other.gather(*frames))
    assert (one.classes, len(one.names)) == (other.classes, len(other.names))
    assert one.classes == (("cats", "dogs") if labels == "own" else ())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "shards"]


def test_a_sample_of_a_pipe(piped, tmp_path):
    assert piped("data", "pack", "-", "pipe", "--resolution", 16, "--limit", 3).code == 0
    assert len(open_pack(tmp_path / "pipe")) == 3


def test_what_cannot_be_packed_from_a_pipe_is_one_sentence(piped, tmp_path):
    assert "use none or own" in piped("data", "pack", "-", "pipe", "--labels", "folders").error
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert "a pipe is packed into a new folder" in piped("data", "pack", "-", "full").error
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_a_broken_pipe_leaves_nothing(gadkit_command, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"no tar at all" * 1000)))
    assert "no video that can be read came through the pipe" in gadkit_command("data", "pack", "-", "pipe").error
    assert list(tmp_path.iterdir()) == []


def test_training_ends_with_the_pipe_and_saves(piped, tmp_path):
    nets = ["--set", "generator.width=8", "--set", "discriminator.width=8", "--set", "run.samples=2"]
    small = ["--resolution", 16, "--frames", 8, "--batch-size", 2, "--steps", 3, "--log-every", 1, *nets]
    done = piped("train", "--data", "-", *small, "--out", "run")
    assert done.code == 0, done.err
    assert "can be neither repeated nor resumed exactly" in done.out + done.err
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 3
    done = piped("train", "--data", "-", *small, "--steps", 500, "--out", "long")
    assert done.code == 0, done.err
    steps = len((tmp_path / "long" / "log.jsonl").read_text().splitlines())
    assert 2 <= steps <= 6  # four videos make two batches, and what was read ahead is used
    assert (tmp_path / "long" / "checkpoints" / f"step-{steps:06d}").is_dir()
    assert "use none or own" in piped("train", "--data", "-", *small, "--labels", "folders").error
