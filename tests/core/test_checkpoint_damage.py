"""A checkpoint that was altered, cut or made to do harm is refused, in one sentence, at no cost."""

import errno
import hashlib
import json
import os
import sys
import tracemalloc

import pytest
import torch
from small_checkpoints import DOCUMENTS, STATE, TENSORS, WEIGHTS, forge, needs_links, refused, whole

from gadkit.checkpoints import documents, store, tensors
from gadkit.checkpoints.store import (
    MANIFEST,
    read_document,
    read_shapes,
    read_tensors,
    verify,
    write_folder,
)
from gadkit.errors import DamagedError, RunError


@pytest.fixture
def folder(tmp_path):
    return whole(tmp_path / "c")


def verified(folder, _):
    verify(folder)


@pytest.mark.parametrize("name", [WEIGHTS, STATE, "README.md"])
def test_an_altered_file_is_refused_by_name(folder, name):
    content = (folder / name).read_bytes()
    changed = [
        *(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :] for place in range(len(content))),
        *(content[:length] for length in range(len(content))),
        content + b"\0",
        content + b"\n",
    ]
    for altered in changed:
        (folder / name).write_bytes(altered)
        refused(folder, name, "altered or damaged", read=verified)
        if name != "README.md":
            refused(folder, name, "altered or damaged")
    (folder / name).unlink()
    refused(folder, name, "No such file", read=verified)


def test_an_altered_manifest_is_refused(folder):
    content = (folder / MANIFEST).read_bytes()
    for place in range(len(content)):
        for altered in (content[:place], content[:place] + bytes([content[place] ^ 2]) + content[place + 1 :]):
            (folder / MANIFEST).write_bytes(altered)
            try:
                verify(folder)
            except DamagedError:
                continue
            assert json.loads(altered) == json.loads(content)  # nothing but white space


def test_half_a_checkpoint_is_no_checkpoint(folder, tmp_path):
    (folder / MANIFEST).unlink()
    for place in (folder, tmp_path / "nowhere", folder / STATE):
        refused(place, "", "is no whole checkpoint or model", read=verified)
        with pytest.raises(DamagedError, match="is no whole checkpoint or model"):
            read_document(place, STATE)


def test_a_file_too_much_is_named(folder):
    (folder / ".DS_Store").write_bytes(b"left by a file manager")
    verify(folder)
    (folder / "extra").mkdir()
    refused(folder, "extra", "does not name it", read=verified)
    refused(folder, "extra.json", "does not name it")


DEEP = b"[" * 1_000_000


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"step": 3', "no JSON"),
        (b"", "no JSON"),
        (b"\xff\xfe{}", "no UTF-8"),
        (b"9" * 5000, "no JSON"),
        (DEEP, "nested deeper than 100"),
        (DEEP + b"]" * len(DEEP), "nested deeper than 100"),
        (b'{"a":' * 150_000 + b"1" + b"}" * 150_000, "nested deeper than 100"),
        (b'["\\"]]",' * 101 + b"1" + b"]" * 101, "nested deeper than 100"),
        (b'"[' * 101, "no JSON"),
        (b"[" + b"[]," * documents.MOST + b"1]", "brackets that open"),
        (b" " * (documents.LONGEST + 1), "more than 16777216"),
    ],
    ids=["cut", "empty", "utf-8", "number", "open", "deep", "objects", "strings", "string", "many", "long"],
)
def test_a_document_that_means_harm_is_refused_though_its_hash_fits(folder, content, expected):
    forge(folder, STATE, content)
    refused(folder, STATE, expected)
    (folder / MANIFEST).write_bytes(content)
    refused(folder, MANIFEST, expected, read=verified)


def test_a_document_of_holes_is_refused_before_it_is_read(folder):
    for name in (STATE, MANIFEST):
        with (folder / name).open("r+b") as file:
            file.truncate(1 << 40)
        refused(folder, name, "bytes of JSON, more than 16777216")


def test_brackets_in_strings_are_not_deep(folder):
    forge(folder, STATE, json.dumps(["[" * 1000, '\\"[' * 1000, {"{" * 500: 1}]).encode())
    assert read_document(folder, STATE)[0] == "[" * 1000


def test_a_document_is_refused_in_a_thread_whose_stack_is_nearly_spent(folder):
    forge(folder, STATE, b"[" * 90 + b"]" * 90)

    def deeper(levels):
        return read_document(folder, STATE) if levels == 0 else deeper(levels - 1)

    refusals = 0
    for levels in range(0, sys.getrecursionlimit(), 3):
        try:
            deeper(levels)
        except (DamagedError, RecursionError):
            refusals += 1
    assert refusals > 0


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **others):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **others}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ([], "invalid type"),
        ({"a": 3}, "invalid type"),
        ({"a": {"dtype": "F32", "shape": [2]}}, "missing field"),
        ({"a": entry(dtype="F33")}, "unknown variant `F33`"),
        ({"a": entry(dtype=["F32"])}, "invalid type"),
        ({"a": entry(dtype="F4", shape=(16,))}, "dtype F4, which is none of those"),
        ({"a": entry(dtype="F8_E8M0", shape=(8,))}, "dtype F8_E8M0, which is none of those"),
        ({"a": entry(shape=(-2,))}, "invalid value"),
        ({"a": entry(shape=(2.0,))}, "invalid type"),
        ({"a": entry(shape=(True, 2))}, "invalid type"),
        ({"a": entry(shape=(1,) * 64 + (2,))}, "impossible shape"),
        ({"a": entry(shape=(1,) * 3_000_000 + (2,))}, "impossible shape"),
        ({"a": entry(shape=(2**62, 2**62, 0), offsets=(0, 0)), "b": entry()}, "overflow"),
        ({"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0)), "b": entry()}, "impossible shape"),
        ({"a": entry(shape=(0, 2**61), offsets=(0, 0)), "b": entry()}, "impossible shape"),
        ({"a": entry(shape=(0, 2**63), offsets=(0, 0)), "b": entry()}, "impossible shape"),
        ({"a": entry(shape=(0, 2**64), offsets=(0, 0)), "b": entry()}, "invalid type"),
        ({"a": entry(shape=(2**61,), offsets=(0, 2**63))}, "overflow"),
        ({"a": entry(shape=(2**63,), offsets=(0, 2**65))}, "invalid type"),
        ({"a": entry(offsets=(0, 8, 8))}, "invalid length"),
        ({"a": entry(offsets=(8, 0))}, "invalid offset for tensor `a`"),
        ({"a": entry(offsets=(0, 4))}, "invalid shape"),
        ({"a": entry(shape=(3,))}, "invalid shape"),
        ({"a": entry(shape=(1,), offsets=(0, 4))}, "file not fully covered"),
        ({"a": entry(shape=(4,), offsets=(0, 16))}, "file not fully covered"),
        ({"a": entry(shape=(1,), offsets=(4, 8))}, "invalid offset for tensor `a`"),
        ({"a": entry(), "b": entry()}, "invalid offset for tensor"),
        ({"a\n\x1b[2J" + "x" * 9999: entry(offsets=(8, 0))}, "invalid offset for tensor `a"),
        ({"a": entry(), "__metadata__": {"b": 1}}, "invalid type"),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, str) else "",
)
def test_a_header_that_lies_is_refused_though_its_hash_fits(folder, header, expected):
    text = json.dumps(header).encode()
    forge(folder, WEIGHTS, len(text).to_bytes(8, "little") + text + bytes(8))
    for reader in (read_tensors, read_shapes):
        assert refused(folder, WEIGHTS, expected, read=reader).isprintable()


@pytest.mark.parametrize("content", [b'{"a":' * 200 + b"1" + b"}" * 200, b"\xff{}", b'{"a', b"", b"{" + b"[" * 100_000])
def test_a_header_that_is_no_json_is_refused_though_its_hash_fits(folder, content):
    forge(folder, WEIGHTS, len(content).to_bytes(8, "little") + content)
    for reader in (read_tensors, read_shapes):
        refused(folder, WEIGHTS, "in header", read=reader)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"a": entry(more=[1, {}])}, (torch.float32, (2,))),
        ({"a": entry(), "__metadata__": {"b": "c"}}, (torch.float32, (2,))),
        ({"a": entry(shape=(1,) * 63 + (2,))}, (torch.float32, (1,) * 63 + (2,))),
        ({"a": entry(shape=(0, 2**60), offsets=(0, 0)), "b": entry()}, (torch.float32, (0, 2**60))),
    ],
    ids=["field", "metadata", "deep", "empty"],
)
def test_a_header_that_is_odd_but_true_is_read_as_what_it_says(folder, header, expected):
    text = json.dumps(header).encode()
    forge(folder, WEIGHTS, len(text).to_bytes(8, "little") + text + bytes(8))
    assert read_shapes(folder, WEIGHTS)["a"] == expected
    found = read_tensors(folder, WEIGHTS)["a"]
    assert (found.dtype, tuple(found.shape)) == expected
    assert not found.any()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "header too small"),
        (b"1234567", "more than 16777216"),
        (b"\0" * 7, "header too small"),
        (b"\xff" * 8, "more than 16777216"),
        ((1 << 62).to_bytes(8, "little") + b"{}", "more than 16777216"),
        (b"\3" + bytes(7) + b"{}", "invalid header length"),
    ],
)
def test_a_file_without_a_header_is_refused_though_its_hash_fits(folder, content, expected):
    forge(folder, WEIGHTS, content)
    tracemalloc.start()
    try:
        for reader in (read_tensors, read_shapes):
            refused(folder, WEIGHTS, expected, read=reader)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 9, 40_000, 70_000])
def test_a_file_whose_size_changes_while_it_is_read_is_refused(tmp_path, monkeypatch, size):
    folder, really = tmp_path / "c", store.read_shapes_of
    write_folder(folder, {WEIGHTS: {"a": torch.ones(1 << 14)}}, {}, {})

    def changing(path, file):
        really(path, file)
        os.truncate(path, size)

    monkeypatch.setattr(store, "read_shapes_of", changing)
    refused(folder, WEIGHTS, "its size has changed")


# --- names that lead elsewhere ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../secret.json", "/secret.json", "a/b.json", "a\\b.json", "C:x.json", "..", ".", "", "a\0.json", MANIFEST]
)
def test_a_manifest_that_names_what_is_no_plain_name_is_refused_whole(folder, tmp_path, monkeypatch, name):
    (tmp_path / "secret.json").write_text("{}")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"][name] = hashlib.sha256(b"{}").hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    opened, really = [], os.open

    def watched(path, *arguments):
        opened.append(path)
        return really(path, *arguments)

    monkeypatch.setattr(os, "open", watched)
    for reader in (lambda: verify(folder), lambda: read_document(folder, name), lambda: read_document(folder, STATE)):
        with pytest.raises(DamagedError, match="which is no plain name of a file"):
            reader()
    assert set(opened) == {folder / MANIFEST}


def test_a_link_out_of_the_folder_is_not_followed(folder, tmp_path):
    needs_links(tmp_path)
    (tmp_path / "secret.json").write_bytes(content := (folder / STATE).read_bytes())
    (folder / "sub").mkdir()
    (folder / "sub" / "secret.json").write_bytes(content)
    for target in ("../secret.json", str(tmp_path / "secret.json"), "sub/secret.json", STATE, "nowhere"):
        (folder / STATE).unlink()
        (folder / STATE).symlink_to(target)
        refused(folder, STATE)
    (folder / STATE).unlink()
    (folder / "other").write_bytes(content)
    (folder / STATE).symlink_to("other")
    assert read_document(folder, STATE) == {"step": 3}
    (folder / MANIFEST).rename(tmp_path / MANIFEST)
    (folder / MANIFEST).symlink_to(tmp_path / MANIFEST)
    with pytest.raises(DamagedError, match="leads out of its folder"):
        read_document(folder, STATE)


def test_the_files_of_a_model_in_the_cache_of_the_hub_are_links(tmp_path):
    needs_links(tmp_path)
    written = tmp_path / "models--a--b" / "blobs"
    write_folder(written, TENSORS, DOCUMENTS, {})
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    for path in written.iterdir():
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    assert read_document(snapshot, STATE) == {"step": 3}
    verify(snapshot)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_what_is_no_file_is_not_waited_for(folder):
    (folder / STATE).unlink()
    os.mkfifo(folder / STATE)
    refused(folder, STATE, "it is no file")
    (folder / STATE).unlink()
    (folder / STATE).mkdir()
    refused(folder, STATE)


def test_a_lack_of_rights_is_no_damage(folder, monkeypatch):
    really = os.open
    for name in (STATE, MANIFEST):

        def denied(path, *arguments, name=name):
            if path.name == name:
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            return really(path, *arguments)

        monkeypatch.setattr(os, "open", denied)
        for reader in (verify, lambda folder: read_document(folder, STATE)):
            with pytest.raises(RunError, match=rf"{name}: cannot be read \(Permission denied\)") as caught:
                reader(folder)
            assert not isinstance(caught.value, DamagedError)


@pytest.mark.parametrize(("module", "name"), [(store, "read_shapes_of"), (tensors.safetensors, "load")])
def test_a_lack_of_memory_is_no_damage(folder, monkeypatch, module, name):
    def lacking(*arguments):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(module, name, lacking)
        with pytest.raises(RunError, match=rf"{WEIGHTS}: cannot be read \(Cannot allocate memory\)") as caught:
            read_tensors(folder, WEIGHTS)
    assert not isinstance(caught.value, DamagedError)
    assert read_tensors(folder, WEIGHTS)
