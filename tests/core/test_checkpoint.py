"""Checkpoints are whole or not there, and hold what was written."""

import hashlib
import json
import os
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_checkpoints import DOCUMENTS, STATE, TENSORS, WEIGHTS, forge, needs_links, refused, same, whole
from small_memory import peak

from gadkit.checkpoints import documents
from gadkit.checkpoints import tensors as tensors_in_files
from gadkit.checkpoints.store import (
    MANIFEST,
    read_document,
    read_shapes,
    read_tensors,
    remove_folder,
    settle,
    verify,
    write_folder,
)
from gadkit.errors import RunError

DTYPES = [
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64),
    *(torch.uint64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz),
]


@pytest.fixture
def folder(tmp_path):
    return whole(tmp_path / "c")


def test_what_was_written_is_read(folder):
    assert read_document(folder, STATE) == {"step": 3}
    assert same(read_tensors(folder, WEIGHTS), TENSORS[WEIGHTS])
    assert (folder / "README.md").read_text() == "hello"
    assert read_shapes(folder, WEIGHTS) == {"a": (torch.float32, (2, 3)), "b": (torch.int64, ())}
    assert json.loads((folder / MANIFEST).read_text()) == {
        "sha256": {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (WEIGHTS, STATE, "README.md")
        }
    }
    verify(folder)


def test_the_safetensors_package_reads_what_is_written_and_writes_what_is_read(tmp_path):
    draw = torch.Generator().manual_seed(1)
    named = {
        f"{dtype}/{shape}": torch.randint(0, 2, shape, generator=draw).to(dtype)
        for dtype in DTYPES
        for shape in ((), (3,), (0, 2), (2, 1, 5))
    }
    named["long"] = torch.randn(1 << 19, generator=draw)
    named["turned"] = torch.randn(3, 5, generator=draw).T
    named["conjugate"] = torch.randn(4, dtype=torch.complex64, generator=draw).conj()
    write_folder(tmp_path / "ours", {WEIGHTS: named}, {}, {})
    assert same(load_file(tmp_path / "ours" / WEIGHTS), named)
    assert same(read_tensors(tmp_path / "ours", WEIGHTS), named)
    content = (tmp_path / "ours" / WEIGHTS).read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    for name, declared in json.loads(content[8:start]).items():  # who maps the file can use them where they are
        assert (start + declared["data_offsets"][0]) % named[name].itemsize == 0

    write_folder(tmp_path / "theirs", {WEIGHTS: {}}, {}, {})
    contiguous = {name: value.resolve_conj().contiguous() for name, value in named.items()}
    save_file(contiguous, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    forge(tmp_path / "theirs", WEIGHTS, (tmp_path / "theirs.safetensors").read_bytes())
    assert same(read_tensors(tmp_path / "theirs", WEIGHTS), named)
    shapes = {name: (value.dtype, tuple(value.shape)) for name, value in named.items()}
    assert read_shapes(tmp_path / "theirs", WEIGHTS) == shapes


def test_tensors_that_are_read_have_memory_of_their_own(folder):
    first, second = read_tensors(folder, WEIGHTS), read_tensors(folder, WEIGHTS)
    first["a"].zero_()
    assert same(second, TENSORS[WEIGHTS])
    assert (folder / WEIGHTS).read_bytes().count(b"\0") < 60
    (folder / WEIGHTS).write_bytes(b"")  # a file that was mapped would take the process with it
    assert same(second, TENSORS[WEIGHTS])


def test_a_shape_costs_nothing_and_is_checked_before_memory_is_taken(tmp_path):
    size, place = 1 << 40, tmp_path / "c" / WEIGHTS

    def header(length):
        text = json.dumps({"a": {"dtype": "U8", "shape": [length], "data_offsets": [0, length]}}).encode()
        return (128 - 8).to_bytes(8, "little") + text.ljust(128 - 8)

    def grow(path):
        with path.open("r+b") as file:
            file.truncate(128 + size)  # of holes: it takes no room, and none of it is read

    write_folder(tmp_path / "c", {WEIGHTS: {}}, {}, {})
    forge(tmp_path / "c", WEIGHTS, header(size))
    for reader in (read_tensors, read_shapes):
        refused(tmp_path / "c", WEIGHTS, "file not fully covered", read=reader)
    grow(place)
    assert read_shapes(tmp_path / "c", WEIGHTS) == {"a": (torch.uint8, (size,))}
    place.write_bytes(header(4))
    grow(place)
    for reader in (read_tensors, read_shapes):
        refused(tmp_path / "c", WEIGHTS, "file not fully covered", read=reader)


def test_tensors_that_share_memory_are_written_and_come_back_apart(tmp_path):
    base = torch.arange(12.0)
    named = {"whole": base, "same": base, "part": base[2:5], "turned": base.view(3, 4).T, "wide": base[:1].expand(7)}
    write_folder(tmp_path / "c", {WEIGHTS: named}, {}, {})
    found = read_tensors(tmp_path / "c", WEIGHTS)
    assert same(found, named)
    found["whole"].zero_()
    assert same(found["same"], torch.arange(12.0))


def test_tensors_that_are_read_lie_as_those_that_were_made(tmp_path):
    """Kernels may take another way, with other roundings, where memory begins elsewhere."""
    named = {f"{name}": torch.randn(size) for name, size in enumerate((1, 3, 17, 1000, 5001))}
    write_folder(tmp_path / "c", {WEIGHTS: named}, {}, {})
    found = read_tensors(tmp_path / "c", WEIGHTS)
    assert list(found) == list(named)
    assert all(torch.empty(size).data_ptr() % 64 == 0 for size in (1, 3, 17, 1000, 5001))
    assert [value.data_ptr() % 64 for value in found.values()] == [0] * 5


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_every_file_may_be_read_by_whom_the_process_lets(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        whole(tmp_path / "c")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "c").iterdir()} == {mode}


@pytest.mark.skipif(os.name == "nt", reason="Windows says it in other words")
def test_what_the_system_says_to_the_package_is_told_as_of_any_other_file(tmp_path, monkeypatch):
    save_file = tensors_in_files.safetensors.save_file

    def onto_a_folder(named, path):  # which is only found out when the package renames its own file
        path.unlink()
        path.mkdir()
        save_file(named, path)

    with monkeypatch.context() as patch:
        patch.setattr(tensors_in_files.safetensors, "save_file", onto_a_folder)
        with pytest.raises(RunError, match=r"c: cannot be written \(Is a directory\); nothing .* check the disk, and"):
            whole(tmp_path / "c")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("tensors", "documents", "expected"),
    [
        ({"a": torch.zeros(1, dtype=torch.complex128)}, {}, "tensor 'a' is torch.complex128"),
        ({"a": torch.eye(2).to_sparse()}, {}, "torch.sparse_coo"),
        ({"__metadata__": torch.zeros(1)}, {}, "is the name of no tensor"),
        ({"a" * documents.LONGEST: torch.zeros(1)}, {}, "bytes of JSON, more than"),
        ({"\ud800": torch.zeros(1)}, {}, "surrogates not allowed"),
        ({}, ["x" * documents.LONGEST], "bytes of JSON, more than"),
        ({}, [[]] * documents.MOST, "brackets that open, more than"),
    ],
    ids=["complex128", "sparse", "metadata", "name", "surrogate", "long", "many"],
)
def test_what_could_not_be_read_again_is_not_written(tmp_path, tensors, documents, expected):
    with pytest.raises(RunError, match=expected):
        write_folder(tmp_path / "c", {WEIGHTS: tensors}, {STATE: documents}, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("depth", [documents.DEEPEST, documents.DEEPEST + 1, 900, 5000])
@pytest.mark.parametrize("wrap", [lambda inner: [inner], lambda inner: {"[": inner}])
def test_the_deepest_document_is_written_and_read_and_no_deeper_one(tmp_path, depth, wrap):
    document = 1
    for _ in range(depth):
        document = wrap(document)
    if depth > documents.DEEPEST:
        with pytest.raises(RunError, match="nested deeper than 100"):
            write_folder(tmp_path / "c", {}, {STATE: document}, {})
        return
    write_folder(tmp_path / "c", {}, {STATE: document}, {})
    assert read_document(tmp_path / "c", STATE) == document


# --- places ----------------------------------------------------------------------------------------------------------


def test_only_leftovers_of_checkpoints_are_settled(tmp_path):
    for kind in ("partial", "replaced", "removed"):
        for name in ("step-000007", "mine", "step-7"):
            (tmp_path / f".{name}.{kind}").mkdir()
    (tmp_path / "step-000007.damaged").mkdir()
    (tmp_path / ".partial-pack.lock").touch()
    write_folder(tmp_path / "mine", {}, DOCUMENTS, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f".{name}" for name in ("partial-pack.lock", "step-7.partial", "step-7.removed", "step-7.replaced")),
        *("mine", "step-000007", "step-000007.damaged"),
    ]
    assert read_document(tmp_path / "mine", STATE) == {"step": 3}
    settle(tmp_path / "nowhere")


def test_leftovers_that_are_links_or_files_go_without_what_they_lead_to(tmp_path):
    needs_links(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").touch()
    (tmp_path / ".step-000001.partial").symlink_to("elsewhere")
    (tmp_path / ".step-000002.partial").touch()
    (tmp_path / "step-000003").symlink_to("elsewhere")
    settle(tmp_path)
    write_folder(tmp_path / "step-000003", {}, DOCUMENTS, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "step-000003"]
    assert (tmp_path / "elsewhere" / "file").exists()


def test_a_removed_checkpoint_is_gone(folder):
    remove_folder(folder)
    assert not list(folder.parent.iterdir())
    remove_folder(folder)


def test_a_file_in_the_way_stays(tmp_path):
    (tmp_path / "c").write_text("mine")
    for place in (tmp_path / "c", tmp_path / "c" / "d"):
        with pytest.raises(RunError, match=rf"{place}: cannot be written \(Not a directory\); nothing .* is lost"):
            write_folder(place, TENSORS, DOCUMENTS, {})
    assert (tmp_path / "c").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_file_is_hashed_as_it_was_meant_and_not_as_the_disk_has_it(tmp_path, monkeypatch):
    really = os.fsync

    def corrupting(descriptor):
        path = tmp_path / ".c.partial" / STATE
        if path.exists():
            path.write_text("[]")
        really(descriptor)

    monkeypatch.setattr(os, "fsync", corrupting)
    write_folder(tmp_path / "c", {}, DOCUMENTS, {})
    refused(tmp_path / "c", STATE, "its SHA-256 is")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a process's memory is read from /proc")
def test_writing_takes_no_memory_and_reading_twice_the_file_at_most(tmp_path):
    size = 64 << 20
    assert size < peak(write_ones, tmp_path / "c", size) < 1.25 * size  # the tensor itself, and little more
    assert size / 2 < peak(read_tensors, tmp_path / "c", WEIGHTS) < 2.25 * size
    assert peak(read_shapes, tmp_path / "c", WEIGHTS) < size / 4


def write_ones(folder, size):
    write_folder(folder, {WEIGHTS: {"a": torch.ones(size // 8, dtype=torch.float64)}}, {}, {})
