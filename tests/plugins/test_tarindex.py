"""The members of tars: where an independent reader finds them, and damage named whatever it is."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest

from gadkit_plugins.data.webdataset.tarindex import DamageError, members


class Whole:
    """Bytes as a reader."""

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


def listed(data: bytes) -> tuple[list[tuple[str, int, int]], str, list[str]]:
    """The members, the damage and the refused names."""
    found, refused = [], []
    try:
        for member in members(Whole(data), refused):
            found.append((member.name, member.offset, member.size))
    except DamageError as error:
        return found, str(error), refused
    return found, "", refused


def tar_of(names: list[str], form: int = tarfile.GNU_FORMAT, **attributes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for index, name in enumerate(names):
            member = tarfile.TarInfo(name)
            for key, value in attributes.items():
                setattr(member, key, value)
            member.size = 300 * index if member.isreg() else 0
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_where_tarfile_finds_them(form):
    names = ["a.mp4", "folder/b.mp4", "long/" * 30 + "c.mp4", "d" * 90 + ".mp4", "last.mp4"]
    if form != tarfile.USTAR_FORMAT:
        names += ["x" * 400 + ".mp4", "ünïcödé/猫.mp4"]
    data = tar_of(names, form)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        wanted = [(member.name, member.offset_data, member.size) for member in archive]
    assert [name for name, _, _ in wanted] == names
    assert listed(data) == (wanted, "", [])


def test_sizes_in_a_pax_header_count():
    data = tar_of(["a.mp4", "b.mp4", "c.mp4"], tarfile.PAX_FORMAT, pax_headers={"size": "300", "comment": "a = b"})
    found, _, _ = listed(data)
    assert found[0][2] == 300


@pytest.mark.parametrize("name", ["../a.mp4", "/a.mp4", "b/../../a.mp4", "a\x07.mp4", "c:\\a.mp4"])
def test_names_that_lead_out_are_refused_by_name(name):
    found, damage, refused = listed(tar_of([name, "good.mp4"]))
    assert [member for member, _, _ in found] == ["good.mp4"]
    assert (damage, refused) == ("", [ascii(name)])


def test_links_devices_and_hidden_files_are_passed_over():
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
        assert listed(tar_of(["a.mp4"], type=kind, linkname="/etc/passwd")) == ([], "", [])
    assert listed(tar_of(["._a.mp4", ".hidden/a.mp4", "./b.mp4"]))[0] == [("b.mp4", 2048, 600)]


def test_a_sparse_file_is_passed_over():
    """Written by hand after GNU tar's manual: a map that goes on in one more block."""
    header = bytearray(tar_of(["a.mp4"])[:512])
    header[156:157], header[124:136], header[482] = b"S", b"00000001000\0", 1
    header[148:156] = b"        "
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    data = bytes(header) + bytes(512) + b"d" * 512 + tar_of(["good.mp4"])
    assert listed(data) == ([("good.mp4", 2048, 0)], "", [])


def test_a_cut_tar_keeps_what_came_before():
    data = tar_of([f"{index}.mp4" for index in range(6)])
    whole, damage, _ = listed(data)
    assert (len(whole), damage) == (6, "")
    for length in [*range(0, len(data), 97), 512, 1024, whole[3][1] + whole[3][2], len(data) - 10240]:
        found, damage, _ = listed(data[:length])
        assert found == [member for member in whole if member[1] + member[2] <= length][: len(found)]
        complete = sum(member[1] + member[2] <= length for member in whole)
        assert len(found) == complete
        ended = length >= whole[-1][1] + 1536 + 512
        assert bool(damage) != ended


def test_flipped_bits_never_hang_or_crash():
    data = tar_of(["a.mp4", "x" * 200 + ".mp4", "c.mp4"], tarfile.PAX_FORMAT)
    rng = np.random.default_rng(0)
    for _ in range(400):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            broken[place] ^= 1 << int(rng.integers(8))
        for _, offset, size in listed(bytes(broken))[0]:
            assert 0 <= offset <= offset + size <= len(data)
