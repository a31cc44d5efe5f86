"""`gadkit doctor` says what is there, what is missing and the line that mends it; faults are planted in the probes."""

from __future__ import annotations

import json
import os
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner

import gadkit.doctor
from gadkit.cli.doctor import doctor
from gadkit.doctor import Check, codecs, devices, house

app = typer.Typer()
app.command()(doctor)


def planted(*checks: Check) -> Any:
    return lambda: iter(checks)


GOOD = Check(group="system", name="python", status="ok", text="3.11")
BAD = Check(group="codecs", name="write MP4", status="fail", text="no [encoder]", remedy="pip install av")
ODD = Check(group="devices", name="mps", status="warn", text="slow")


# What a command prints and returns.


@pytest.mark.parametrize(("checks", "code"), [((GOOD,), 0), ((GOOD, ODD), 0), ((GOOD, BAD, ODD), 1)])
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_exit_code_is_1_only_for_a_failed_check(
    monkeypatch: pytest.MonkeyPatch, checks: tuple[Check, ...], code: int, arguments: list[str]
) -> None:
    monkeypatch.setattr(gadkit.doctor, "examine", planted(*checks))
    assert CliRunner().invoke(app, arguments).exit_code == code


def test_plain_text_has_a_line_a_check_and_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gadkit.doctor, "examine", planted(GOOD, BAD))
    lines = CliRunner().invoke(app, []).output.splitlines()
    assert lines[:3] == [
        "ok    system  python: 3.11",
        "fail  codecs  write MP4: no [encoder]",
        "      -> pip install av",
    ]
    assert "1 of 2 checks failed" in lines[3]


def test_terminal_output_shows_text_and_remedy_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = Check(group="codecs", name="x", status="warn", text="no [encoder]", remedy="pip install " + "a" * 200)
    monkeypatch.setattr(gadkit.doctor, "examine", planted(GOOD, long))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    doctor()
    output = capsys.readouterr().out
    assert "no [encoder]" in output
    assert long.remedy in output


def test_json_is_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gadkit.doctor, "examine", planted(GOOD, BAD))
    report = json.loads(CliRunner().invoke(app, ["--json"]).output)
    assert report["ok"] is False
    assert [check["status"] for check in report["checks"]] == ["ok", "fail"]
    assert report["checks"][1]["remedy"] == "pip install av"


def test_this_machine_is_examined_whole() -> None:
    checks = list(gadkit.doctor.examine())
    assert {"system", "packages", "plugins", "codecs", "devices", "steps", "storage"} <= {c.group for c in checks}
    names = {check.name for check in checks}
    assert {"cpu", "cpu fp32", "cpu bf16", "write MP4", "write WebM", "read H.264"} <= names
    assert not any("could not be examined" in check.text for check in checks)
    for check in checks:
        assert check.text
        assert "\n" not in check.text
        assert check.remedy or check.status != "fail", check
    json.dumps([check.details for check in checks])


def test_a_probe_that_breaks_is_a_failed_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise OSError("libcuda.so.1: wrong ELF class")

    monkeypatch.setattr(devices, "cpu", broken)
    checks = [check for check in gadkit.doctor.examine() if check.group == "devices"]
    assert [check.status for check in checks] == ["fail"]
    assert "wrong ELF class" in checks[0].text


# Codecs.


def test_missing_encoder_fails_and_missing_decoder_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"libx264", "h264", "libdav1d", "av1", "libaom-av1"}
    has = codecs._has
    monkeypatch.setattr(codecs, "_has", lambda name, mode: name not in gone and has(name, mode))
    found = {check.name: check for check in codecs.codecs()}
    assert found["write MP4"].status == "fail"
    assert "libx264 or h264" in found["write MP4"].text
    assert "pip install" in found["write MP4"].remedy
    assert found["read H.264"].status == "fail"
    assert found["read AV1"].status == "warn"
    assert found["write WebM"].status == found["read HEVC"].status == "ok"


def test_encoder_that_loses_frames_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "round_trip", lambda *arguments: 7)
    assert {c.name: c.status for c in codecs.codecs()}["write WebM"] == "fail"


def test_unknown_codec_is_not_had() -> None:
    assert not codecs._has("no-such-codec", "r")
    assert codecs._has("h264", "r")


def test_pillow_without_webp_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    real = codecs.animate

    def animate(format_name: str) -> int:
        if format_name == "WEBP":
            raise KeyError("WEBP")
        return real(format_name)

    monkeypatch.setattr(codecs, "animate", animate)
    found = {check.name: check for check in codecs.codecs()}
    assert found["write animated WebP"].status == "warn"
    assert found["write GIF"].status == "ok"


# The house.


def test_missing_and_old_packages_fail_with_their_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "requirements", lambda: ["av>=15", "torch>=99", "numpy>=1.26", 'x; python_version<"3"'])
    version = metadata.version
    monkeypatch.setattr(house, "installed", lambda name: version(name) if name in ("torch", "numpy") else None)
    found = {check.name: check for check in house.packages()}
    assert found["av"].status == "fail"
    assert found["av"].remedy == 'python -m pip install "av>=15"'
    assert found["torch"].status == "fail"
    assert f"{torch.__version__}, gadkit needs torch>=99" in found["torch"].text
    assert found["numpy"].status == "ok"
    assert "x" not in found


def test_gadkit_that_is_not_installed_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "requirements", lambda: None)
    check = next(iter(house.packages()))
    assert check.status == "fail"
    assert "pip install" in check.remedy


def test_plugins_are_counted_and_failures_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [
        SimpleNamespace(plugin="sparkle", distribution="gadkit-sparkle", version="1.2", reason="its import raised"),
        SimpleNamespace(plugin="dcgan", distribution="gadkit", version="0.1.0", reason="its import raised"),
    ]
    entries = [SimpleNamespace(provider="gadkit 0.1.0"), SimpleNamespace(provider="acme 2")]
    registry = SimpleNamespace(entries=lambda: entries, failures=failures, disabled=[("off", "acme-off")])
    monkeypatch.setattr(house, "get_registry", lambda: registry)
    found = {check.name: check for check in house.plugins()}
    assert found["plugins"].text == "2 components from acme 2, gadkit 0.1.0"
    assert found["off"].status == "ok"
    assert found["sparkle"].status == "warn"
    assert "gadkit-sparkle 1.2" in found["sparkle"].text
    assert "gadkit plugins disable gadkit-sparkle" in found["sparkle"].remedy
    assert found["dcgan"].status == "fail"
    registry.entries = list
    assert next(iter(house.plugins())).status == "fail"


def test_full_disk_and_unwritable_cache_warn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    deep = tmp_path / "not" / "yet"
    assert house.room("cache", deep).text.startswith(str(deep))
    monkeypatch.setattr(house.shutil, "disk_usage", lambda path: SimpleNamespace(free=5 * 2**30))
    assert house.room("cache", deep).status == "ok"
    monkeypatch.setattr(house.shutil, "disk_usage", lambda path: SimpleNamespace(free=2**29))
    assert house.room("cache", deep).status == "warn"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    check = house.room("cache", deep)
    assert check.status == "warn"
    assert "GADKIT_CACHE" in check.remedy
    (tmp_path / "file").write_text("")
    assert "cannot be written" in house.room("cache", tmp_path / "file").text


def test_variables_are_listed_and_misspellings_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GADKIT_STRICT_PLUGINS", "1")
    monkeypatch.setenv("GADKIT_DISABLED_PLUGIN", "x")
    found = {check.name: check for check in house.environment()}
    assert found["GADKIT_STRICT_PLUGINS"].text == "1"
    assert found["GADKIT_DISABLED_PLUGIN"].status == "warn"
    assert "GADKIT_DISABLED_PLUGINS" in found["GADKIT_DISABLED_PLUGIN"].text
