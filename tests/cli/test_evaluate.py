"""`gadkit evaluate` and `gadkit results`: what a terminal, a pipe and a program are told."""

import itertools
import json
import math
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest
from small_evaluations import (
    own_run,
    plugin_file,
    quick,  # noqa: F401
    write_videos,
)
from small_runs import environment

from gadkit.cli.evaluate import _number
from gadkit.evaluation.results import read_result


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """`real` and `made`, twelve videos and ten; a run on `real`; and a plugin file."""
    root = tmp_path_factory.mktemp("evaluate")
    write_videos(root / "made", range(20, 30))
    own_run(root / "run", write_videos(root / "real", range(12)), held_out=0.5)
    plugin_file(root)
    return root


@pytest.fixture
def evaluate(gadkit_command, root):
    """`gadkit evaluate`, small, in the network of the plugin file."""

    def command(*arguments, features="pooled"):
        network = ("--plugin", root / "nets.py", "--features", features) if features else ()
        return gadkit_command("evaluate", *arguments, *network, "--frames", 4, "--device", "cpu")

    return command


def test_a_number_stands_with_its_floor_its_network_and_the_line_of_its_manifest(evaluate, root):
    done = evaluate(root / "made", "--against", root / "real", "--resamplings", 3)
    assert done.code == 0, done.err
    head, row, line = done.out.splitlines()
    assert head.split("  ")[0] == "value"
    assert row.startswith("fvd[pooled]  0.")
    assert row.endswith("lower   comparable with nothing published")
    assert row.count(" ± ") == 2  # of the number and of the floor
    assert line.startswith("gadkit (changed) · nets.py:pooled ")
    assert "20 clips of made against 24 of real" in line
    assert done.err.splitlines() == [
        "gadkit: warning: 10 clips a side are no more than the 12 dimensions of pooled: fvd of so few is far too high,"
        " and can only be compared with others of as many."
    ]


def test_what_a_program_reads_is_one_object_and_the_same(evaluate, root):
    done = evaluate(root / "made", "--against", root / "real", "--json", "--out", "deep/result.json")
    assert done.code == 0
    told = json.loads(done.out)
    assert told["values"]["fvd[pooled]"]["value"] > 0
    assert "dimensions of pooled" in done.err
    assert json.loads(Path("deep/result.json").read_text()) == told


def test_a_run_is_measured_alone_and_keeps_its_results(evaluate, gadkit_command, root):
    done = evaluate(root / "run", "--clips", 16)
    assert done.code == 0
    wrote = done.out.splitlines()[-1]
    assert re.fullmatch(rf"wrote {root}/run/evaluations/\d{{4}}-\d\d-\d\dT\d{{6}}Z-gadkit\.json", wrote)
    assert "of real (held-out)" in done.out
    listed = gadkit_command("results", root / "run")
    assert listed.code == 0
    assert listed.out.splitlines()[0].split() == ["result", "step", "fvd[pooled]"]
    assert listed.out.splitlines()[1].split()[1] == "1"


def test_a_look_says_that_it_is_no_number_to_quote(evaluate, root):
    done = evaluate(root / "made", "--against", root / "real", "--quick")
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("a quick look: ")
    assert "not to be quoted" in done.out
    assert evaluate(root / "made", "--against", root / "real", "--protocol", "quick").out == done.out


def test_flags_stand_for_settings_of_the_protocol(evaluate, root):
    flags = ("--clips", 7, "--stride", 2, "--resolution", 8, "--resize", "bilinear", "--seed", 5, "--resamplings", 0)
    sets = ("--set", "settings.fvd.divisor=n", "--set", "rounding=down", "--no-floor")
    done = evaluate(root / "made", "--against", root / "real", "--frames", 4, *flags, *sets, "--json")
    protocol = json.loads(done.out)["manifest"]["protocol"]
    expected = {"clips": 7, "real_clips": 7, "frames": 4, "stride": 2, "resolution": 8, "resize": "bilinear"}
    expected |= {"seed": 5, "resamplings": 0, "rounding": "down", "floor": False, "features": "pooled"}
    expected |= {"settings": {"fvd": {"divisor": "n"}}}
    assert {key: protocol["changed"][key] for key in expected} == expected == protocol["changed"]


SENTENCES = [
    (("nothing", "--against", "{real}"), "nothing: there is no such file or folder; name a run, a model, a video"),
    (("{made}",), "against: made is no run, so what it is measured against is not known; name videos with --against."),
    (("{made}", "--against", "{real}", "--protocol", "fvd2048_16f"), "fvd2048_16f is defined with i3d"),
    (("{made}", "--against", "{real}", "--protocol", "gadkti"), "no protocol 'gadkti'. Did you mean 'gadkit'"),
    (("{made}", "--against", "{real}", "--quick", "--protocol", "cd-fvd"), "--quick: is --protocol quick, and cd-fvd"),
    (("{made}", "--against", "{real}", "--metric", "fdv"), "There is no metric 'fdv'. Did you mean 'fvd'"),
    (("{made}", "--against", "{real}", "--set", "metrics=fvd"), "name metrics with --metric."),
    (("{made}", "--against", "{real}", "--set", "device=cpu"), "device is no setting of a protocol."),
    (("{made}", "--against", "{real}", "--set", "frames"), "--set 'frames': expected key=value"),
    (("{made}", "--against", "{real}", "--resize", "best"), "protocol.resize: found 'best', expected one of"),
    (("{made}", "--against", "{real}", "--fps", "-3"), "protocol.fps: found -3.0, expected a number at least 0"),
    (("{made}", "--against", "-"), "-: a pipe gives its videos once"),
    (("{run}", "--checkpoint", "77"), "77"),
    (("{made}", "--against", "{real}", "--seed", "1", "--split", "x"), "protocol.split: found 'x'"),
]


@pytest.mark.parametrize(("arguments", "sentence"), SENTENCES, ids=[sentence[:30] for _, sentence in SENTENCES])
def test_what_cannot_be_measured_is_one_sentence_and_exit_code_2(evaluate, root, arguments, sentence):
    given = [each.format(**{name: root / name for name in ("real", "made", "run")}) for each in arguments]
    assert sentence in evaluate(*given).error


@pytest.mark.parametrize("name", ["nan", "flat", "listed", "ten", "odd"])
def test_a_network_that_breaks_its_promises_is_one_sentence(evaluate, root, name):
    assert name in evaluate(root / "made", "--against", root / "real", "--clips", 16, features=name).error


def test_too_few_clips_is_one_sentence(evaluate, root, tmp_path):
    few = write_videos(tmp_path / "few", range(2), length=4)
    assert "few: found 2 clips of 4 frames, but fvd needs 4" in evaluate(few, "--against", root / "real").error


def test_numbers_come_before_a_place_that_cannot_be_written(evaluate, root, tmp_path):
    (tmp_path / "file").write_text("")
    done = evaluate(root / "made", "--against", root / "real", "--out", tmp_path / "file" / "result.json")
    assert done.code == 2
    assert "fvd[pooled]" in done.out
    assert "cannot be written" in done.err.splitlines()[-1]


# --- results ---------------------------------------------------------------------------------------------------------


def test_results_are_put_side_by_side_with_what_differs(evaluate, gadkit_command, root):
    for name, flags in (("a", ()), ("b", ("--seed", 1)), ("c", ("--protocol", "quick"))):
        assert evaluate(root / "made", "--against", root / "real", *flags, "--out", f"{name}.json").code == 0
    same = gadkit_command("results", "a.json", "a.json")
    assert (same.code, same.err) == (0, "")
    done = gadkit_command("results", "a.json", "b.json")
    assert done.code == 0
    assert [row.split()[0] for row in done.out.splitlines()[:3]] == ["result", "a", "b"]
    assert done.out.splitlines()[3] == f"a: {read_result(Path('a.json')).line}"
    (warning,) = done.err.splitlines()
    assert warning.startswith("gadkit: warning: b differs from a in protocol.seed: 0, 1; ")
    assert "clips.real: " in warning
    error = gadkit_command("results", "a.json", "b.json", "c.json").error
    assert error.startswith("c was measured by protocol quick, and a by gadkit: their numbers mean different things;")
    mixed = gadkit_command("results", "a.json", "c.json", "--mixed", "--json")
    told = json.loads(mixed.out)
    assert [each["name"] for each in told["results"]] == ["a", "c"]
    assert len(told["differences"]) == 1


def test_a_file_that_is_no_result_is_one_sentence(gadkit_command, root, tmp_path):
    (tmp_path / "x.json").write_text('{"format": 1}')
    assert "x.json: is no result of an evaluation" in gadkit_command("results", "x.json").error
    assert "has no results yet; measure with `gadkit evaluate" in gadkit_command("results", root / "made").error


def test_what_a_file_says_cannot_move_the_cursor(evaluate, gadkit_command, root, tmp_path):
    assert evaluate(root / "made", "--against", root / "real", "--out", "a.json").code == 0
    told = json.loads((tmp_path / "a.json").read_text())
    told["manifest"]["generated"]["name"] = "\x1b[2J\nevil\u202e"
    told["values"]["\x1b]0;x\x07"] = told["values"].pop("fvd[pooled]")
    told["manifest"]["protocol"]["seed"] = "\x1b[31m"
    (tmp_path / "b.json").write_text(json.dumps(told))
    done = gadkit_command("results", "a.json", "b.json")
    assert done.code == 0
    assert all(letter.isprintable() or letter == "\n" for letter in done.out + done.err)


# --- the look of it --------------------------------------------------------------------------------------------------


def test_a_terminal_shows_a_table_that_fits_it_and_a_bar_that_goes(root, tmp_path):
    controller, terminal = pty.openpty()
    command = ["evaluate", root / "made", "--against", root / "real", "--plugin", root / "nets.py"]
    command += ["--features", "pooled", "--frames", "4", "--device", "cpu", "--resamplings", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gadkit", *map(str, command)],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        cwd=tmp_path,
        env=environment(COLUMNS="60", TERM="xterm-256color", CI="", GADKIT_CACHE=str(tmp_path / "cache")),
    )
    os.close(terminal)
    shown = b""
    while True:
        ready, _, _ = select.select([controller], [], [], 100)
        try:
            piece = os.read(controller, 65536) if ready else b""
        except OSError:  # its end, as Linux tells it
            break
        if not piece:
            break
        shown += piece
    assert process.wait(timeout=60) == 0
    os.close(controller)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert all(work in text for work in ("decoding videos", "measuring generated clips", "measuring real clips"))
    table = text[text.rindex("value") :].splitlines()
    assert "fvd[pooled]" in text
    assert all(len(line) <= 60 for line in itertools.takewhile(lambda line: not line.startswith("gadkit"), table))


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (None, None, ""),
        (0.0, None, "0"),
        (151.39, None, "151.4"),
        (1544.4, 12.26, "1,544 ± 12"),
        (9.87654, 0.1234, "9.877 ± 0.123"),
        (0.5, None, "0.5000"),
        (0.0001234, 0.00001, "0.0001234 ± 0.0000100"),
        (-0.0021, 0.0005, "-0.002100 ± 0.000500"),
        (3.2e-9, 1e-9, "3.200e-09 ± 1.0e-09"),
        (1234567.0, None, "1,234,567"),
        (math.nan, math.nan, "nan ± nan"),
        (math.inf, None, "inf"),
    ],
)
def test_numbers_have_four_digits_that_count(value, spread, text):
    assert _number(value, spread) == text
