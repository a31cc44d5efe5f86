"""`gadkit report`: the page of a run from the command line."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from page_reader import Page
from reported_runs import lines, make_run


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "runs" / "00001-mine", lines([10, 20]))


def test_it_writes_the_page_into_the_run(gadkit_command, run):
    done = gadkit_command("report", run)
    assert (done.code, done.out, done.err) == (0, f"wrote {run / 'report.html'}\n", "")
    assert "00001-mine" in Page((run / "report.html").read_text()).text


def test_it_writes_it_elsewhere(gadkit_command, run, tmp_path):
    assert gadkit_command("report", run, "--out", tmp_path / "page.html").code == 0
    assert "00001-mine" in (tmp_path / "page.html").read_text()
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("there", [True, False])
def test_it_opens_it_in_a_browser_where_there_is_one(gadkit_command, run, monkeypatch, there):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or there)
    done = gadkit_command("report", run, "--open")
    assert done.code == 0
    assert opened == [(run / "report.html").resolve().as_uri()]
    assert ("no browser" in done.err) == (not there)


def test_what_is_no_run_is_refused_in_a_sentence(gadkit_command, tmp_path):
    assert "expected a run" in gadkit_command("report", tmp_path).error
    assert "expected a run" in gadkit_command("report", tmp_path / "missing").error


def test_what_cannot_be_written_is_told_in_a_sentence(gadkit_command, run, tmp_path):
    assert "x.html cannot be written" in gadkit_command("report", run, "--out", Path("missing") / "x.html").error
