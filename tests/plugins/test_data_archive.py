"""Archives give what lies in them, in place; what would lead out of them or fill the memory is refused by name."""

import io
import os
import struct
import tarfile
import threading
import zipfile
import zlib

import numpy as np
import pytest
import sources
from PIL import Image
from sources import KINDS, NAMES, frame_files, png, videos, write_tar, write_zip

from gadkit import DataError
from gadkit_plugins.data.archives import members, tars, zips
from gadkit_plugins.data.archives.archive import ArchiveOfVideos

ARCHIVES = ("frame_zip", "frame_tar", "frame_tgz", "video_zip")
STILLS = {f"v/{index}.png": png(frame) for index, frame in enumerate(videos()["cats/a"][:3])}


def read(dataset):
    return {source.name: np.stack(list(dataset.open(source).frames)) for source in dataset.sources()}


def crc(data):
    return struct.pack("<I", zlib.crc32(data))


def first(dataset):
    return list(dataset.open(dataset.sources()[0]).frames)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_every_pixel(tmp_path, kind):
    path = KINDS[kind](tmp_path)
    before = sorted(tmp_path.rglob("*"))
    dataset = ArchiveOfVideos(path, fps=12)
    found = {name.partition(".")[0]: video for name, video in read(dataset).items()}
    assert list(found) == list(NAMES)
    assert all(np.array_equal(found[name], video) for name, video in videos().items())
    assert sorted(tmp_path.rglob("*")) == before
    assert dataset.faults() == []
    one = dataset.sources()[0]
    assert one.files == (path,)
    assert dataset.open(one).fps == (25 if kind == "video_zip" else 12)
    assert dataset.document("dataset.json") == (None if kind == "video_zip" else frame_files()["dataset.json"].decode())
    # Another process makes the dataset anew and opens an equal source.
    assert np.array_equal(next(ArchiveOfVideos(path).open(one).frames), videos()["cats/a"][0])


def test_frames_come_in_natural_order(tmp_path):
    video = videos()["cats/a"][:12]
    files = {f"v/f{index}.png": png(frame) for index, frame in reversed(list(enumerate(video)))}
    for path in (write_zip(tmp_path / "a.zip", files), write_tar(tmp_path / "a.tar", files)):
        assert np.array_equal(read(ArchiveOfVideos(path))["v"], video)


def test_animations_and_compressed_videos_are_videos(tmp_path):
    (tmp_path / "tree").mkdir()
    root = KINDS["animation_tree"](tmp_path / "tree")
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.*"))}
    files["cats/e/0.png"] = png(videos()["cats/a"][0])
    KINDS["video_file"](tmp_path)
    files["f.mp4"] = (tmp_path / "one.mp4").read_bytes()
    dataset = ArchiveOfVideos(write_zip(tmp_path / "a.zip", files, zipfile.ZIP_DEFLATED))
    found = read(dataset)
    assert [name.partition(".")[0] for name in found] == ["cats/a", "cats/b", "cats/e", "dogs/c", "dogs/d", "f"]
    assert np.array_equal(found["dogs/d.png"][..., :3], videos()["dogs/d"])
    assert len(found["cats/e"]) == 1
    assert np.array_equal(found["f.mp4"], np.concatenate(list(videos().values())))


def test_one_folder_around_everything_is_no_part_of_the_names(tmp_path):
    inner = {f"set/{name}": data for name, data in frame_files().items()}
    dataset = ArchiveOfVideos(write_zip(tmp_path / "a.zip", inner))
    assert [source.name for source in dataset.sources()] == list(NAMES)
    assert dataset.document("dataset.json") == frame_files()["dataset.json"].decode()
    plain = {name: data for name, data in inner.items() if not name.endswith(".json")}
    named = [source.name for source in ArchiveOfVideos(write_tar(tmp_path / "set.tar.gz", plain, "w:gz")).sources()]
    assert named == list(NAMES)
    kept = [source.name for source in ArchiveOfVideos(write_zip(tmp_path / "b.zip", plain)).sources()]
    assert kept == [f"set/{name}" for name in NAMES]
    assert [source.name for source in ArchiveOfVideos(write_zip(tmp_path / "v.zip", STILLS)).sources()] == ["v"]
    flat = {name.removeprefix("v/"): data for name, data in STILLS.items()}
    assert [source.name for source in ArchiveOfVideos(write_zip(tmp_path / "c.zip", flat)).sources()] == ["c"]


@pytest.mark.parametrize("kind", ARCHIVES)
def test_threads_read_side_by_side(tmp_path, kind):
    dataset = ArchiveOfVideos(KINDS[kind](tmp_path))
    listed = dataset.sources()
    wrong = []

    def work():
        for source in listed * 3:
            found = np.stack(list(dataset.open(source).frames))
            if not np.array_equal(found, videos()[source.name.partition(".")[0]]):
                wrong.append(source.name)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


EVIL = ("../out/0.png", "/abs/0.png", "v/../../out/0.png", "C:/x/0.png", "..\\out\\0.png")


def test_names_that_lead_out_are_left_out_and_told(tmp_path):
    files = {**STILLS, **dict.fromkeys(EVIL, STILLS["v/0.png"]), "__MACOSX/v/0.png": b"", "v/.hidden.png": b""}
    for path in (write_zip(tmp_path / "a.zip", files), write_tar(tmp_path / "a.tar", files)):
        dataset = ArchiveOfVideos(path)
        assert [(name, len(frames)) for name, frames in read(dataset).items()] == [("v", 3)]
        assert sorted(name for name, _ in dataset.faults()) == sorted(EVIL)
        assert all("leads out" in reason and str(path) in reason for _, reason in dataset.faults())
    assert {path.name for path in tmp_path.iterdir()} == {"a.zip", "a.tar"}


def test_links_and_devices_are_not_followed(tmp_path):
    (tmp_path / "secret.png").write_bytes(png(np.full((32, 40, 3), 255, np.uint8)))
    path = write_tar(tmp_path / "a.tar", STILLS)
    with tarfile.open(path, "a") as archive:
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(f"v/{number + 3}.png")
            member.type, member.linkname = kind, str(tmp_path / "secret.png")
            archive.addfile(member)
    zipped = write_zip(tmp_path / "a.zip", STILLS)
    with zipfile.ZipFile(zipped, "a") as archive:
        link = zipfile.ZipInfo("v/3.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(tmp_path / "secret.png"))
    for place, count in ((path, 4), (zipped, 1)):
        dataset = ArchiveOfVideos(place)
        assert np.array_equal(read(dataset)["v"], videos()["cats/a"][:3])
        assert [name for name, _ in dataset.faults()] == [f"v/{number + 3}.png" for number in range(count)]


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(members.Archive.check_size, "__defaults__", (1 << 20,))
    monkeypatch.setattr(zips.Zip.read, "__defaults__", (1 << 20,))
    monkeypatch.setattr(tars, "_MAX_UNPACKED", 1 << 20)
    files = {"bomb/0.png": bytes(2 << 20), "bomb.mp4": bytes(2 << 20), **STILLS}
    dataset = ArchiveOfVideos(write_zip(tmp_path / "a.zip", files, zipfile.ZIP_DEFLATED))
    bomb, film, good = dataset.sources()
    for source in (bomb, film):
        with pytest.raises(DataError, match=rf"declares {2 << 20} bytes for {source.name}"):
            list(dataset.open(source).frames)
    assert len(list(dataset.open(good).frames)) == 3
    with pytest.raises(DataError, match="more than 1 MiB"):
        ArchiveOfVideos(write_tar(tmp_path / "a.tgz", files, "w:gz")).sources()


def test_no_more_is_read_than_is_declared(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"u/0.png": bytes(1 << 20), **STILLS}, zipfile.ZIP_DEFLATED)
    data = path.read_bytes()
    size = struct.pack("<I", 1 << 20)
    assert data.count(size) == 2  # in the member's header and in the directory
    for whole, part in ((size, struct.pack("<I", 100)), (crc(bytes(1 << 20)), crc(bytes(100)))):
        data = data.replace(whole, part)
    path.write_bytes(data)
    for file in (zips.Zip(path).head("u/0.png"), zips.Zip(path).open("u/0.png")):
        assert file.read() == bytes(100)
    path.write_bytes(data.replace(crc(bytes(100)), crc(bytes(99))))
    with pytest.raises(DataError, match=r"u/0\.png.*cannot be read"):
        zips.Zip(path).read("u/0.png")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_too_many_members(tmp_path, monkeypatch, kind):
    path = KINDS[f"frame_{kind}"](tmp_path)
    for module in (members, zips, tars):
        monkeypatch.setattr(module, "MAX_MEMBERS", 50)
    with pytest.raises(DataError, match="more than 50 members"):
        ArchiveOfVideos(path).sources()


@pytest.mark.parametrize("large", [False, True])
def test_a_directory_that_is_too_large_is_not_read(tmp_path, monkeypatch, large):
    path = KINDS["frame_zip"](tmp_path)
    with zipfile.ZipFile(path) as archive:
        entries = sum(46 + len(member.filename) for member in archive.infolist())
    if large:  # the records for archives beyond 4 GiB (APPNOTE 4.3.14 and 4.3.15)
        data = path.read_bytes()
        end = data.rfind(b"PK\5\6")
        start = end - entries
        record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 81, 81, entries, start)
        locator = struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
        last = data[end : end + 8] + b"\xff" * 12 + data[end + 20 :]
        path.write_bytes(data[:end] + record + locator + last)
    assert len(ArchiveOfVideos(path).sources()) == 4
    with path.open("rb") as file:
        assert zips._directory_size(file) == entries
    monkeypatch.setattr(zips, "_MAX_DIRECTORY", entries - 1)
    with pytest.raises(DataError, match="members"):
        ArchiveOfVideos(path).sources()


def test_encrypted_members_say_so(tmp_path):
    path = write_zip(tmp_path / "a.zip", STILLS)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = data.find(mark)
        data[place + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"v/0\.png encrypted"):
        first(ArchiveOfVideos(path))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz"])
@pytest.mark.parametrize("content", [b"", b"words " * 500, bytes(10240), os.urandom(5000), b"\x1f\x8b" + bytes(600)])
def test_what_is_no_archive_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name) as error:
        ArchiveOfVideos(tmp_path / name).sources()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("part", [0.3, 0.601, 0.8])
def test_a_cut_tar_keeps_what_is_whole(tmp_path, part):
    path = KINDS["frame_tar"](tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    dataset = ArchiveOfVideos(path)
    (fault,) = dataset.faults()
    assert fault[0] == "frames.tar"
    assert "tar archive" in fault[1]
    *kept, _ = dataset.sources()
    assert [source.name for source in kept] == list(NAMES[: len(kept)])
    for source in kept:
        assert np.array_equal(np.stack(list(dataset.open(source).frames)), videos()[source.name])


def test_damage_in_the_middle_of_a_tar_is_told(tmp_path):
    path = KINDS["frame_tar"](tmp_path)
    with tarfile.open(path) as archive:
        place = archive.getmembers()[45].offset
    data = bytearray(path.read_bytes())
    data[place : place + 100] = bytes(range(100))
    path.write_bytes(data)
    dataset = ArchiveOfVideos(path)
    assert "after 45 files" in dataset.faults()[0][1]
    assert [source.name for source in dataset.sources()] == list(NAMES[:3])


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_bit_in_a_zip_is_told_by_its_name(tmp_path, method):
    path = write_zip(tmp_path / "a.zip", {"w/0.png": STILLS["v/0.png"], **STILLS}, method)
    data = bytearray(path.read_bytes())
    data[300] ^= 4
    path.write_bytes(data)
    dataset = ArchiveOfVideos(path)
    good, bad = dataset.sources()
    with pytest.raises(DataError, match=r"w/0\.png"):
        list(dataset.open(bad).frames)
    assert len(list(dataset.open(good).frames)) == 3


def test_a_cut_video_in_an_archive_is_told(tmp_path):
    KINDS["video_file"](tmp_path)
    data = (tmp_path / "one.mp4").read_bytes()
    dataset = ArchiveOfVideos(write_zip(tmp_path / "a.zip", {"v.mp4": data[: len(data) // 2], **STILLS}))
    video, film = dataset.sources()
    assert video.name == "v"
    with pytest.raises(DataError, match=r"v\.mp4"):
        list(dataset.open(film).frames)


def test_an_archive_without_videos_says_what_it_holds(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"notes.txt": b"", "b.txt": b"", "c.md": b""})
    with pytest.raises(DataError, match=r"a\.zip holds no images.*2 \.txt, 1 \.md"):
        ArchiveOfVideos(path).sources()
    (tmp_path / "x.rar").write_bytes(b"Rar!")
    with pytest.raises(DataError, match="is no archive"):
        ArchiveOfVideos(tmp_path / "x.rar").sources()
    path = write_zip(tmp_path / "b.zip", {"dataset.json": b"\xff\xfe", **STILLS})
    with pytest.raises(DataError, match=r"dataset\.json is no UTF-8"):
        ArchiveOfVideos(path).document("dataset.json")


def test_members_are_files_that_seek(tmp_path):
    data = bytes(range(256)) * 700
    zipped = zips.Zip(write_zip(tmp_path / "a.zip", {"a": b"x" * 99, "b": data}))
    tarred = tars.Tar(write_tar(tmp_path / "a.tar", {"a": b"x" * 99, "b": data}))
    for archive in (zipped, tarred):
        with archive.open("b") as file:
            model = io.BytesIO(data)
            rng = np.random.default_rng(0)
            for _ in range(50):
                place, count = (int(rng.integers(0, 2 * len(data))), int(rng.integers(0, 100_000)))
                assert (file.seek(place), file.read(count)) == (model.seek(place), model.read(count))
            assert (file.seek(-5, 2), file.read()) == (len(data) - 5, data[-5:])


def test_a_large_image_is_refused_by_its_header(tmp_path):
    image = bytearray(sources.png(np.zeros((4, 4, 3), np.uint8)))
    image[16:24] = struct.pack(">II", 30_000, 30_000)
    image[29:33] = struct.pack(">I", zlib.crc32(image[12:29]))
    with pytest.raises(DataError, match=r"0\.png"):
        first(ArchiveOfVideos(write_zip(tmp_path / "a.zip", {"v/0.png": bytes(image)})))
    assert Image.MAX_IMAGE_PIXELS  # nothing switches Pillow's own limit off
