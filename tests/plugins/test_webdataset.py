"""WebDataset shards from files and over HTTP: the same videos, the same clips, every damage named."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import encode, moving
from PIL import Image
from range_server import serve
from sources import NAMES, animation, png, samples, videos, webdataset, write_tar

from gadkit import DataError, UnavailableError
from gadkit.data.blueprint import Blueprint
from gadkit.data.pack import open_pack
from gadkit.data.packing import pack
from gadkit.data.stream import open_stream
from gadkit.video.geometry import Geometry
from gadkit_plugins.data.videos import Videos
from gadkit_plugins.data.webdataset import remote, shards
from gadkit_plugins.data.webdataset.dataset import WebDataset

GEOMETRY = Geometry(height=32, width=32)
CLIPS = torch.tensor([3, 0, 1, 2, 0]), torch.tensor([0, 2**31, 2**32 - 1, 77 << 24, 5]), torch.arange(8).expand(5, 8)


@pytest.fixture(autouse=True)
def _quick(monkeypatch, tmp_path):
    monkeypatch.setenv("GADKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "BACK_OFF", 0.001)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return webdataset(tmp_path_factory.mktemp("shards"))


def read(dataset: WebDataset) -> dict[str, np.ndarray]:
    """Every frame of every video."""
    return {source.name: np.stack(list(dataset.open(source).frames)) for source in dataset.sources()}


def clips(dataset, sources=None) -> tuple[torch.Tensor, torch.Tensor | None]:
    store = open_stream(dataset, sources or dataset.sources(), GEOMETRY, min_frames=8, threads=2)
    return store.clips(*CLIPS, 8)


def test_samples_are_videos_with_labels_and_columns(folder):
    dataset = WebDataset(folder)
    sources = dataset.sources()
    assert [source.name for source in sources] == [f"{name}.mp4" for name in NAMES]
    assert [source.label for source in sources] == ["cats", "cats", "dogs", "dogs"]
    assert dataset.classes() == ["cats", "dogs"]
    assert sources[2].columns == {"caption": "number 2", "index": "2"}
    assert sources[2].files == (folder / "shard-001.tar",)
    assert dataset.faults() == []
    for name, frames in read(dataset).items():
        assert np.array_equal(frames, videos()[name.removesuffix(".mp4")])


def test_shards_are_accepted_and_nothing_else(folder, tmp_path):
    assert WebDataset.accepts(folder)
    assert WebDataset.accepts(folder / "shard-000.tar")
    assert WebDataset.accepts("data/shard-{000..009}.tar")
    assert WebDataset.accepts("https://example.org/{a,b}.tar?token=1")
    assert not WebDataset.accepts(write_tar(tmp_path / "frames.tar", {"a/0.png": b"x"}))
    for text in ("https://example.org/clip.mp4", "file:///data/0.tar", "pipe:cat 0.tar", "s3://bucket/0.tar", "-"):
        assert not WebDataset.accepts(text)
        with pytest.raises(DataError):
            WebDataset(text).sources()


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("a-{000..002}.tar", ["a-000.tar", "a-001.tar", "a-002.tar"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{08..10}", ["08", "09", "10"]),
        ("{0..1}/{x,y}.tar", ["0/x.tar", "0/y.tar", "1/x.tar", "1/y.tar"]),
        ("plain.tar", ["plain.tar"]),
    ],
)
def test_braces_count_and_list(pattern, texts):
    assert shards.expand(pattern) == texts


@pytest.mark.parametrize("pattern", ["{5..2}", "{x}", "{}", "{0..9999999}", "{0..9999}{0..9999}"])
def test_braces_that_make_no_sense_are_errors(pattern):
    with pytest.raises(DataError, match="stands for"):
        shards.expand(pattern)


def test_every_way_to_the_shards_gives_the_same_clips_and_so_does_a_pack(folder, tmp_path):
    """From a folder, a pattern and a server; and from a pack of the same videos in a folder tree."""
    for name, data in samples().items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(data)
    tree = Videos(tmp_path / "tree")
    pack(tree, tree.sources(), tmp_path / "pack", GEOMETRY)
    packed = open_pack(tmp_path / "pack", 8, WebDataset(folder).sources())
    wanted, labels = packed.clips(*CLIPS, 8)
    with serve(folder) as site:
        for place in (folder, f"{folder}/shard-{{000..001}}.tar", f"{site.url}shard-{{000..001}}.tar"):
            dataset = WebDataset(place)
            frames, theirs = clips(dataset)
            assert torch.equal(frames, wanted)
            assert torch.equal(theirs, labels)
            assert [source.name for source in dataset.sources()] == packed.names


def test_another_process_opens_what_this_one_indexed(folder):
    with serve(folder) as site:
        place = f"{site.url}shard-{{000..001}}.tar"
        source = WebDataset(place).sources()[3]
        site.forget()
        blueprint = Blueprint(target="gadkit_plugins.data.webdataset.dataset:WebDataset", path=place)
        again = Blueprint.from_json(blueprint.to_json()).build()
        assert np.array_equal(np.stack(list(again.open(source).frames)), videos()["dogs/d"])
        assert len(site.requests) == 1


def test_the_second_start_asks_for_one_byte_of_each_shard(folder):
    with serve(folder) as site:
        place = f"{site.url}shard-{{000..001}}.tar"
        first = WebDataset(place).sources()
        assert site.connections <= 2
        site.forget()
        assert WebDataset(place).sources() == first
        assert sorted(site.requests) == [("shard-000.tar", 0, 0), ("shard-001.tar", 0, 0)]
        assert site.sent == 2


def test_an_index_that_is_damaged_is_made_again(folder, tmp_path):
    wanted = WebDataset(folder).sources()
    kept = sorted((tmp_path / "cache" / "indexes").iterdir())
    assert len(kept) == 2
    rows = json.loads(kept[0].read_text())
    rows["videos"][0][1] = 10**12
    for text in ("", "{", "[]", "{}", '{"videos": [[1]], "faults": []}', json.dumps(rows)):
        kept[0].write_text(text)
        assert WebDataset(folder).sources() == wanted
        assert json.loads(kept[0].read_text())["videos"]


def test_a_shard_that_changes_is_indexed_again_and_never_read_by_an_old_index(tmp_path):
    files = samples()
    one, two = {name: files[name] for name in list(files)[:3]}, {name: files[name] for name in list(files)[3:6]}
    write_tar(tmp_path / "a.tar", one)
    with serve(tmp_path) as site:
        for place in (tmp_path / "a.tar", f"{site.url}a.tar"):
            write_tar(tmp_path / "a.tar", one)
            old = WebDataset(place)
            assert [source.name for source in old.sources()] == ["cats/a.mp4"]
            write_tar(tmp_path / "a.tar", two)
            os.utime(tmp_path / "a.tar", (1, 1))
            with pytest.raises(UnavailableError, match="has changed since it was indexed"):
                old.open(old.sources()[0])
            assert [source.name for source in WebDataset(place).sources()] == ["cats/b.mp4"]


def test_lost_requests_are_repeated_and_cut_ones_go_on(folder):
    with serve(folder, busy=3, cut=3) as site:
        got = read(WebDataset(f"{site.url}shard-{{000..001}}.tar"))
        site.busy, site.cut = 2, 3
        again = read(WebDataset(f"{site.url}shard-{{000..001}}.tar"))
    assert site.busy == site.cut == 0
    for name in NAMES:
        assert np.array_equal(got[f"{name}.mp4"], videos()[name])
        assert np.array_equal(again[f"{name}.mp4"], videos()[name])


def test_a_server_that_stays_away_is_an_error_in_one_sentence(folder):
    with serve(folder, busy=10**6) as site, pytest.raises(UnavailableError, match=r"answers 503 \(6 times\)"):
        WebDataset(f"{site.url}shard-000.tar").sources()
    with pytest.raises(UnavailableError, match="cannot be read"):
        WebDataset(f"{site.url}shard-000.tar").sources()


def test_a_server_without_ranges_is_refused(folder):
    with serve(folder, ranges=False) as site:
        with pytest.raises(UnavailableError, match=r"shard-000\.tar .*no Range requests"):
            WebDataset(f"{site.url}shard-000.tar").sources()
        with pytest.raises(UnavailableError, match="answers 404"):
            WebDataset(f"{site.url}shard-007.tar").sources()


def test_secrets_are_sent_to_their_server_alone_and_never_shown(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with serve(folder) as store, serve(tmp_path / "empty", redirect=store.url, password="me:p%40ss") as site:
        address = site.url.removeprefix("http://")
        dataset = WebDataset(f"http://me:p%2540ss@{address}shard-000.tar?token=secret")
        assert [source.name for source in dataset.sources()] == ["cats/a.mp4", "cats/b.mp4"]
        assert all(headers["Authorization"] for headers in site.headers)
        assert not any(headers["Authorization"] for headers in store.headers)
        with pytest.raises(UnavailableError) as found:
            WebDataset(f"http://me:wrong@{address}shard-001.tar?token=secret").sources()
        assert f"http://{address}shard-001.tar cannot be read: the server answers 401" in str(found.value)
        assert "wrong" not in str(found.value)
        assert "secret" not in str(found.value)
        shown = "".join(map(str, dataset.sources())) + "".join(
            path.name + path.read_text() for path in (tmp_path / "cache" / "indexes").iterdir()
        )
        assert "secret" not in shown
        assert "p%2540ss" not in shown


def test_redirects_that_turn_in_circles_or_leave_the_web_end(tmp_path):
    for target, words in ((None, "more than 5 times"), ("file:///etc/", "no secure web address")):
        with serve(tmp_path) as site:
            site.redirect = target or site.url
            with pytest.raises(UnavailableError, match=words):
                WebDataset(f"{site.url}a.tar").sources()


def test_a_proxy_of_the_environment_is_asked(folder, monkeypatch):
    with serve(folder) as site:
        monkeypatch.setenv("http_proxy", site.url)
        monkeypatch.setenv("no_proxy", "elsewhere.example")
        with pytest.raises(UnavailableError, match="answers 404"):  # the name it is asked for is a whole URL
            WebDataset("http://nowhere.invalid/shard-000.tar").sources()
        assert site.requests[0][0] == "http://nowhere.invalid/shard-000.tar"


def test_large_bodies_are_jumped_over(tmp_path):
    rng = np.random.default_rng(0)
    files = {f"{index}.mp4": rng.bytes(3 << 20) for index in range(8)}
    write_tar(tmp_path / "a.tar", files)
    with serve(tmp_path) as site:
        assert len(WebDataset(f"{site.url}a.tar").sources()) == 8
        assert site.sent < 8 * (300 << 10)
        assert len(site.requests) <= 10


def test_small_bodies_are_read_along_in_few_requests(tmp_path):
    write_tar(tmp_path / "a.tar", {f"{index}.mp4": bytes(20_000) for index in range(500)})
    with serve(tmp_path) as site:
        assert len(WebDataset(f"{site.url}a.tar").sources()) == 500
        assert len(site.requests) <= 8  # a byte, and then 1/4, 1/2, 1, 2, 4 and 4 MiB


def test_a_large_video_is_fetched_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "_WHOLE", 1000)
    monkeypatch.setattr(shards, "_PIECE", 4096)
    frames = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
    body = encode(tmp_path / "v.mp4", frames).read_bytes()
    assert len(body) > 200_000
    write_tar(tmp_path / "a.tar", {"0.mp4": body, "1.mp4": body})
    with serve(tmp_path) as site:
        dataset = WebDataset(f"{site.url}a.tar")
        source = dataset.sources()[1]
        site.forget()
        assert np.array_equal(np.stack(list(dataset.open(source).frames)), frames)
        assert max(last - first for _, first, last in site.requests) < 1 << 16
        footage = dataset.open(source)
        site.busy = 10**6
        with pytest.raises(UnavailableError):  # no fault of the video's, though it is the decoder that meets it
            list(footage.frames)


def test_names_that_shards_repeat_are_told_apart(tmp_path):
    files = {"0.mp4": samples()["cats/a.mp4"], "0.json": b'{"label": 7, "ok": true, "list": [1]}', "0.txt": b" hello\n"}
    for name in ("a", "b"):
        write_tar(tmp_path / f"{name}.tar", files)
    sources = WebDataset(tmp_path).sources()
    assert [source.name for source in sources] == ["a/0.mp4", "b/0.mp4"]
    assert sources[0].label == "7"
    assert sources[0].columns == {"ok": "true", "txt": "hello"}


def test_animations_are_videos_and_pictures_are_not(tmp_path):
    frames = moving(5, 16, 16)
    files = {}
    for name in ("a.gif", "b.webp"):
        files[name] = animation(tmp_path / name, frames, lossless=True).read_bytes()
    still = io.BytesIO()
    Image.fromarray(frames[0]).save(still, "webp")
    write_tar(tmp_path / "x.tar", {**files, "c.webp": still.getvalue(), "d.png": png(frames[0]), "e.mp4": b"text"})
    dataset = WebDataset(tmp_path / "x.tar")
    assert [source.name for source in dataset.sources()] == ["a.gif", "b.webp", "e.mp4"]
    assert np.array_equal(np.stack(list(dataset.open(dataset.sources()[1]).frames)), frames)
    with pytest.raises(DataError, match=r"e\.mp4"):
        dataset.open(dataset.sources()[2])


def test_a_table_beside_the_shards_is_a_document(folder, tmp_path):
    (tmp_path / "labels.csv").write_text("name,label\n")
    write_tar(tmp_path / "a.tar", {"0.mp4": b"x"})
    with serve(tmp_path) as site:
        for place in (tmp_path, tmp_path / "a.tar", f"{tmp_path}/{{a,b}}.tar", f"{site.url}{{a,b}}.tar"):
            assert WebDataset(place).document("labels.csv") == "name,label\n"
            assert WebDataset(place).document("other.csv") is None
        site.forget()
        assert WebDataset(f"{site.url}a.tar").document(str(tmp_path / "labels.csv")) is None
        assert site.requests == []  # no path of this machine is told to the server


def test_damage_is_named_and_good_samples_are_kept(tmp_path):
    write_tar(tmp_path / "a.tar", samples())
    data = (tmp_path / "a.tar").read_bytes()
    header = data.index(b"dogs/d.mp4")
    (tmp_path / "a.tar").write_bytes(data[:header] + b"garbage" * 9 + data[header + 63 :])
    (tmp_path / "b.tar").write_bytes(data[: header + 1512])
    with serve(tmp_path) as site:
        for root in (f"{tmp_path}/{{a,b}}.tar", f"{site.url}{{a,b}}.tar"):
            dataset = WebDataset(root)
            kept = [f"{shard}/{name}.mp4" for shard in "ab" for name in NAMES[:3]]
            assert [source.name for source in dataset.sources()] == kept
            (bad, why), (cut, because) = dataset.faults()
            assert (bad, cut) == ("a.tar", "b.tar")
            assert f"header at byte {header}" in why
            assert "ends early: dogs/d.mp4 lacks" in because
            store = open_stream(dataset, dataset.sources(), GEOMETRY, min_frames=8)
            assert [each.name for each in store.skipped] == ["a.tar", "b.tar"]


def test_broken_documents_are_named_and_their_videos_kept(tmp_path):
    for index, text in enumerate([b"{broken", b"[1]", b"\xff\xfe", b"[" * 100_000]):
        write_tar(tmp_path / f"{index}.tar", {"a.mp4": b"x", "a.json": text, "a.cls": b"cat"})
        dataset = WebDataset(tmp_path / f"{index}.tar")
        assert [source.label for source in dataset.sources()] == ["cat"]
        assert [name for name, _ in dataset.faults()] == [f"{index}.tar/a.json"]


def test_compressed_and_empty_tars_are_refused(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", {"0.mp4": b"x"}, "w:gz")
    with pytest.raises(DataError, match=r"a\.tar\.gz is compressed with gzip, .* unpack it"):
        WebDataset(path).sources()
    (tmp_path / "empty.tar").write_bytes(b"")
    with pytest.raises(DataError, match=r"holds no videos.*is empty"):
        WebDataset(tmp_path / "empty.tar").sources()
    (tmp_path / "other").mkdir()
    path.rename(tmp_path / "other" / "a.tar.gz")
    with pytest.raises(DataError, match=r"holds no shards: found 1 \.gz"):
        WebDataset(tmp_path / "other").sources()


def test_a_sample_may_hold_several_videos(tmp_path):
    data = encode(tmp_path / "v.mp4", moving(5, 16, 16)).read_bytes()
    write_tar(
        tmp_path / "a.tar", {"k/7.left.mp4": data, "k/7.right.mp4": data, "k/7.cls": b"3", "k/7.left.json": b"{}"}
    )
    sources = WebDataset(tmp_path / "a.tar").sources()
    assert [(source.name, source.label) for source in sources] == [("k/7.left.mp4", "3"), ("k/7.right.mp4", "3")]


def test_only_local_paths_are_absolute(folder, monkeypatch):
    monkeypatch.chdir(folder)
    dataset = WebDataset("shard-{000..001}.tar")
    source = dataset.sources()[0]
    monkeypatch.chdir(Path("/"))
    assert len(list(dataset.open(source).frames)) == 20
