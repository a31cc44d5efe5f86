"""`gadkit train` as a person meets it: what it says, how it is stopped, and how it goes on."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from small_runs import DISCRIMINATOR, NETS, SMALL, environment, files_of, same_tensors

import gadkit
from gadkit.checkpoints.store import read_tensors
from gadkit.runs.folder import Run

ANSI = "\x1b"


def steps(folder):
    return [line["step"] for line in Run(Path(folder)).read_log()]


def start(folder, *arguments, **streams):
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "gadkit", "train", *map(str, arguments)],
        cwd=folder,
        env=environment(),
        text=True,
        **streams,
    )


# --- what it says ----------------------------------------------------------------------------------------------------


def test_a_pipe_gets_plain_lines_with_everything_that_was_chosen(gadkit_command, clips):
    done = gadkit_command.train(clips, "--out", "run", "--steps", "4", "--log-every", "2")
    assert (done.code, done.err) == (0, "")
    assert ANSI not in done.out
    assert "\r" not in done.out
    lines = done.out.splitlines()
    for kind in ("generator", "assembler", "discriminator", "loss", "penalty", "direction", "trainer"):
        (line,) = [line for line in lines if re.match(rf"{kind}\s+[\w-]+ \(gadkit {gadkit.__version__}\)", line)]
        assert (", " in line and line.endswith(" parameters")) == (kind in ("generator", "discriminator"))
    facts = "\n".join(lines)
    for fact in (
        rf"data\s+{clips}: 4 videos, 48 frames",
        r"clips\s+8 frames of 16×16 at 25 Hz",
        r"device\s+cpu \(.*\), fp32, 1 process",
        r"training\s+recipe dcgan, 4 steps of 4 clips, seed 0",
        r"memory\s+[\d.]+ [KMG]iB for a step",
        r"step 2/4  [\d.]+ steps/s  0:00:0\d left  D -?\d.*D\(real\).*D\(fake\).*penalty.*G -?\d",
        r"step 4/4 ",
        r"wrote run/samples/step-000004\.mp4",
        r"wrote run/checkpoints/step-000004",
    ):
        assert re.search(fact, facts), fact
    assert lines[-1] == "Done: run. Make videos with: gadkit sample run --num 16 --grid --out videos.mp4"


def test_the_line_at_the_end_makes_videos(gadkit_command, clips):
    done = gadkit_command.train(clips, "--out", "run")
    line = done.out.splitlines()[-1].partition("Make videos with: gadkit ")[2]
    assert gadkit_command(*shlex.split(line)).code == 0
    assert Path("videos.mp4").stat().st_size > 0


def test_runs_are_numbered(gadkit_command, clips):
    for _ in range(2):
        assert gadkit_command.train(clips, "--steps", "1").code == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["00001-dcgan", "00002-dcgan"]


def test_a_dry_run_makes_a_step_and_writes_nothing(gadkit_command, clips, tmp_path):
    done = gadkit_command.train(clips, "--dry-run", "--out", "run", "--steps", "7")
    assert (done.code, done.err) == (0, "")
    assert "7 steps of 4 clips" in done.out
    assert re.search(r"^step 1/1 .* D ", done.out, re.MULTILINE)
    assert done.out.splitlines()[-1].startswith("Dry run: everything fits, one step was made, nothing was written")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_a_resumed_run_makes_the_next_step_and_leaves_the_run_as_it_was(gadkit_command, clips):
    gadkit_command.train(clips, "--out", "run")
    before = files_of(Path("run"))
    done = gadkit_command("train", "--resume", "run", "--steps", "9", "--dry-run")
    assert done.code == 0
    assert re.search(r"^step 3/3 .* D ", done.out, re.MULTILINE)
    assert files_of(Path("run")) == before


def test_a_dry_run_refuses_what_a_run_refuses(gadkit_command, clips):
    assert "found 17x17" in gadkit_command.train(clips, "--dry-run", "--resolution", "17").error


def test_a_letter_that_the_output_cannot_show_is_replaced(tmp_path, clips):
    data = tmp_path / "видео×"
    data.symlink_to(clips)
    arguments = ("--data", data, *SMALL, *NETS, "--out", tmp_path / "run")
    variables = environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    command = [sys.executable, "-m", "gadkit", "train", *map(str, arguments)]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "clips          8 frames of 16?16 at 25 Hz" in done.stdout


def test_a_reader_that_goes_away_does_not_end_the_training(tmp_path, clips):
    arguments = ("--data", clips, *SMALL, *NETS, "--steps", "30", "--log-every", "1", "--out", "run")
    process = start(tmp_path, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    with process.stderr:
        assert process.stderr.read() == ""
    assert Run(tmp_path / "run").find_checkpoint().name == "step-000030"


# --- going on --------------------------------------------------------------------------------------------------------


def test_a_time_limit_stops_with_a_checkpoint_and_the_run_goes_on(gadkit_command, clips):
    began = time.monotonic()
    done = gadkit_command.train(clips, "--out", "run", "--max-time", "1s", "--steps", "1000000", "--log-every", "1000")
    assert (done.code, done.err) == (143, "")
    assert time.monotonic() - began < 60
    step = int(Run(Path("run")).find_checkpoint().name.removeprefix("step-"))
    assert step > 1
    last = done.out.splitlines()[-1]
    assert last == f"Stopped with the checkpoint of step {step}. Go on with: gadkit train --resume run"
    more = step + 3
    assert gadkit_command("train", "--resume", "run", "--steps", str(more), "--max-time", "1h").code == 0
    assert Run(Path("run")).find_checkpoint().name == f"step-{more:06d}"


def test_a_finished_run_says_so_and_can_be_asked_for_more(gadkit_command, clips):
    gadkit_command.train(clips, "--out", "run")
    before = files_of(Path("run/checkpoints"))
    done = gadkit_command("train", "--resume", "run")
    assert done.code == 0
    assert "all 2 steps are made already; ask for more with --steps" in done.out
    assert files_of(Path("run/checkpoints")) == before
    more = gadkit_command("train", "--resume", "run", "--steps", "3")
    assert "going on after step 2" in more.out
    assert Run(Path("run")).find_checkpoint().name == "step-000003"


def test_a_plugin_file_is_asked_for_again(gadkit_command, clips, plugin_file):
    plugin = ("--plugin", plugin_file)
    done = gadkit_command.train(clips, *plugin, "--generator", "linear", "--out", "run", nets=DISCRIMINATOR)
    assert done.code == 0
    assert re.search(r"^generator +linear \(parts\.py\), 3,840 parameters", done.out, re.MULTILINE)
    for command in (
        ("train", "--resume", "run", "--steps", "3"),
        ("sample", "run", "--out", "a.png"),
        ("export", "run", "model"),
    ):
        error = gadkit_command(*command).error
        assert "parts.py" in error
        assert "with --plugin" in error
    assert gadkit_command("train", "--resume", "run", "--steps", "3", *plugin).code == 0
    assert gadkit_command("sample", "run", "--out", "a.png", *plugin).code == 0
    assert gadkit_command("export", "run", "model", *plugin).code == 0
    card = Path("model/README.md").read_text()
    assert "gadkit sample . --plugin parts.py" in card
    assert "gadkit.load(\".\", plugins=['parts.py'])" in card
    assert "pip install gadkit\n" in card

    plugin_file.write_text(plugin_file.read_text() + "\n# changed\n")
    error = gadkit_command("train", "--resume", "run", "--steps", "4", *plugin).error
    assert "SHA-256" in error
    assert "it changed" in error


# --- signals ---------------------------------------------------------------------------------------------------------

LONG = ("--steps", "1000000", "--log-every", "1", "--out", "run")


def test_ctrl_c_saves_and_the_printed_line_goes_on(gadkit_command, tmp_path, clips):
    arguments = ("--data", clips, *SMALL, *NETS, *LONG)
    process = start(tmp_path, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        for line in process.stdout:
            if line.startswith("step 3/"):
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "gadkit: finishing the step and saving; Ctrl-C again to stop at once.\n"
    step = int(Run(tmp_path / "run").find_checkpoint().name.removeprefix("step-"))
    last = out.splitlines()[-1]
    assert last == f"Stopped with the checkpoint of step {step}. Go on with: gadkit train --resume run"
    assert step >= 3
    assert steps(tmp_path / "run")[-1] == step

    words = shlex.split(last.partition("Go on with: gadkit ")[2])
    done = gadkit_command(*words, "--steps", str(step + 2))
    assert done.code == 0
    assert steps(tmp_path / "run") == list(range(1, step + 3))
    assert gadkit_command.train(clips, "--out", "unbroken", "--log-every", "1", "--steps", str(step + 2)).code == 0
    ends = [Run(Path(name)).find_checkpoint() for name in ("run", "unbroken")]
    assert same_tensors(*(read_tensors(end, "training.safetensors") for end in ends))


def test_ctrl_c_before_the_first_step_ends_at_once_and_leaves_nothing(gadkit_command, clips, tmp_path, monkeypatch):
    def prepare(*arguments, **named):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    monkeypatch.setattr("gadkit.runs.stores.prepare", prepare)
    done = gadkit_command.train(clips, "--out", "run")
    assert done.code == 130
    assert list(tmp_path.iterdir()) == []
