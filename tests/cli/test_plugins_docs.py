"""`gadkit plugins docs`: whose page is opened, and what happens where nobody could see it."""

from __future__ import annotations

import webbrowser

import pytest
from plugins_fixtures import importable, write_package

OFFERED = """
from gadkit import Component, hookimpl

@hookimpl
def gadkit_losses():
    return [
        Component(name="glow", summary="Glows", target="acme_glow:X", source="Ada 2030, arXiv:2030.12345"),
        Component(name="dim", summary="Does not", target="acme_glow:X"),
    ]
"""


@pytest.fixture
def docs(gadkit_command, tmp_path, monkeypatch):
    """The command beside a package with a page, one without and one that ends the process; no screen is there."""
    site = tmp_path / "site"
    write_package(site, "acme-glow", OFFERED)
    write_package(site, "acme-paged", OFFERED.replace("acme_glow", "acme_paged").replace("dim", "paged"))
    (site / "acme_paged-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: acme-paged\nVersion: 1.0\n"
        "Project-URL: Repository, https://host/repository\nProject-URL: Docs!, https://host/docs\n"
    )
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "SSH_CONNECTION", "SSH_TTY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with importable(site):
        yield lambda *arguments: gadkit_command("plugins", "docs", *arguments)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("acme_paged", "https://host/docs"),
        ("acme-paged:paged", "https://host/docs"),
        ("acme-glow:glow", "https://arxiv.org/abs/2030.12345"),
        ("hinge", "https://arxiv.org/abs/1705.02894"),
    ],
)
def test_addresses(docs, name, address):
    assert docs(name, "--print").out == f"{address}\n"
    told = docs(name).out
    assert told.startswith("There is no browser here. Open the page of ")
    assert told.endswith(f": {address}\n")


def test_a_page_is_found_without_importing_its_plugin(docs, tmp_path):
    (tmp_path / "site" / "acme_paged.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    assert docs("acme-paged", "--print").out == "https://host/docs\n"
    assert not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("acme-glow:dim", "'acme-glow:dim' has no page: the metadata of acme-glow name none under Project-URL"),
        ("gadkit", "the metadata of gadkit name none"),
        ("acme-pagde", "Nothing here is called 'acme-pagde'. Did you mean 'acme-paged'"),
    ],
)
def test_where_there_is_no_address(docs, name, expected):
    assert expected in docs(name).error


def test_a_browser_is_asked_where_there_is_a_screen(docs, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: not opened.append(url))
    assert docs("acme-paged").out.startswith("There is no browser here")
    monkeypatch.setenv("DISPLAY", ":0")
    assert docs("acme-paged").out == "opened the page of acme-paged: https://host/docs\n"
    assert opened == ["https://host/docs"]
    monkeypatch.delenv("DISPLAY")
    monkeypatch.setattr("sys.platform", "darwin")
    assert docs("acme-paged").out.startswith("opened")
    monkeypatch.setenv("SSH_CONNECTION", "here")
    assert docs("acme-paged").out.startswith("There is no browser here")
    monkeypatch.setenv("BROWSER", "w3m")
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert docs("acme-paged").out.startswith("There is no browser here")
