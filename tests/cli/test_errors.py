"""Bad input to `gadkit train` gets one clear sentence and exit code 2, and nothing is lost or left behind."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from clips import encode, moving
from safetensors import SafetensorError
from small_runs import DISCRIMINATOR, GENERATOR, NETS, files_of, folder_of_clips, own_registry, same_tensors

import gadkit
from gadkit.checkpoints import tensors
from gadkit.checkpoints.store import read_tensors
from gadkit.runs.folder import Run
from gadkit.video import encode as encoding

ALIKE = [
    # A wrong value: what was found, what was expected, or what there is instead.
    (["--generator", "dcgn"], ["There is no generator 'dcgn'", "Did you mean 'dcgan'", "Available: dcgan"]),
    (["--loss", "higne"], ["There is no loss 'higne'", "'hinge'"]),
    (["--set", "generator.width=abc"], ["generator.width: found 'abc', expected an integer greater than 0"]),
    (["--set", "generator.width=0"], ["generator.width: found 0, expected an integer greater than 0"]),
    (["--set", "generator.widht=64"], ["generator.widht is no setting of generator 'dcgan'", "'width'"]),
    (["--set", "generatr.width=64"], ["generatr", "generator"]),
    (["--set", "generator.width"], ["'generator.width'", "expected key=value"]),
    (["--resolution", "17"], ["found 17x17", "use 16x16 or 14x14"]),
    (["--resolution", "64x"], ["--resolution: found '64x'", "such as 96x64"]),
    (["--resolution", "0"], ["--resolution: found '0'"]),
    (["--resolution", "wide"], ["--resolution: found 'wide'", "64"]),
    (["--frames", "0"], ["video.frames: found 0, expected an integer greater than 0"]),
    (["--frames", "13"], ["4 are shorter than 13 frames", "the longest having 12", "lower --frames to 12"]),
    (["--device", "cdua"], ["device: found 'cdua', expected auto, cpu, cuda, cuda:N or mps", "this machine has"]),
    (["--device", "cuda:x"], ["device: found 'cuda:x'"]),
    (["--precision", "bf17"], ["precision: found 'bf17'", "'bf16'"]),
    (["--max-time", "2w"], ["--max-time: found '2w'", "such as 90s, 30m or 2h"]),
    (["--max-time", "0"], ["--max-time: found '0'"]),
    (["--max-time", "soon"], ["--max-time: found 'soon'"]),
    (["--batch-size", "5", "--accumulate", "2"], ["trainer.batch_size: found 5", "a multiple of 2"]),
    (["--batch-size", "0"], ["trainer.batch_size: found 0"]),
    (["--set", "trainer.norm_group=3"], ["trainer.norm_group: found 3", "a divisor of 4"]),
    (["--generator-lr", "-1"], ["trainer.generator_lr: found -1.0, expected a number greater than 0"]),
    (["--background", "reddish"], ["'reddish' is no colour", "#rrggbb"]),
    (["--recipe", "dcgna"], ["There is no recipe 'dcgna'", "'dcgan'"]),
    (["--config", "no.toml"], ["'no.toml' cannot be read", "No such file"]),
    (["--plugin", "no.py"], ["'no.py' cannot be read", "No such file"]),
]


@pytest.mark.parametrize(("arguments", "expected"), ALIKE, ids=lambda value: " ".join(value[:2]))
def test_a_wrong_value(gadkit_command, clips, tmp_path, arguments, expected):
    error = gadkit_command.train(clips, "--out", tmp_path / "run", *arguments).error
    assert [text for text in expected if text not in error] == [], error
    assert not (tmp_path / "run").exists()


def test_data_that_is_not_there(gadkit_command, tmp_path):
    error = gadkit_command.train(tmp_path / "nowhere").error
    assert f"{tmp_path / 'nowhere'}: there is no such file or folder; give --data" in error


def test_data_without_videos(gadkit_command, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    error = gadkit_command.train(tmp_path / "notes").error
    assert f"{tmp_path / 'notes'} holds no videos: found 1 .txt, expected video files, such as .mp4" in error


def test_a_corrupt_video_among_good_ones_is_named_skipped_and_counted(gadkit_command, tmp_path):
    folder = folder_of_clips(tmp_path / "mixed", 3)
    whole = (folder / "c0.mp4").read_bytes()
    (folder / "broken.mp4").write_bytes(whole[: len(whole) // 2])
    encode(folder / "short.mp4", moving(3, 24, 24))
    done = gadkit_command.train(folder, "--out", tmp_path / "run")
    assert (done.code, done.err) == (0, "")
    lines = [line for line in done.out.splitlines() if line.startswith("warning: ")]
    assert f"warning: broken.mp4: left out, {folder / 'broken.mp4'} cannot be opened as a video" in lines[0]
    assert lines[1:] == [
        "warning: short.mp4: left out, short.mp4 has 3 frames, and 8 are needed.",
        "warning: 2 of 5 videos were left out.",
    ]
    assert "3 videos, 36 frames" in done.out
    assert Run(tmp_path / "run").find_checkpoint().name == "step-000002"


def test_every_video_too_short(gadkit_command, tmp_path):
    error = gadkit_command.train(folder_of_clips(tmp_path / "short", 2, length=5)).error
    assert "none of the 2 videos can be used" in error
    assert "2 are shorter than 8 frames, the longest having 5; lower --frames to 5 or less" in error


def test_a_size_that_the_nets_refuse_is_told_before_an_hour_of_decoding(gadkit_command, tmp_path, monkeypatch):
    def decode(*arguments, **named):
        raise AssertionError("decoded")

    monkeypatch.setattr("gadkit.runs.stores.prepare", decode)
    folder = folder_of_clips(tmp_path / "clips", 1)
    assert "found 18x18" in gadkit_command.train(folder, "--resolution", "18").error
    too_short = gadkit_command.train(folder, "--frames", "2").error
    assert "found 2, but the dcgan-clip discriminator looks at clips of at least 4 frames" in too_short


def test_cuda_where_there_is_none(gadkit_command, clips, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    error = gadkit_command.train(clips, "--device", "cuda").error
    assert "device: found 'cuda', but PyTorch" in error
    assert "this machine has cpu" in error
    assert "use --device auto, or see `gadkit doctor`" in error


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--loss", "ten"],
            ["loss 'ten' needs 10 logits", "discriminator 'dcgan-clip' gives 1", "--loss or --discriminator"],
        ),
        (["--discriminator", "flat"], ["discriminator: its logits", "shape (2,), expected (2, 1)"]),
        (["--discriminator", "one"], ["discriminator: its logits", "shape (1, 1), expected (2, 1)"]),
        (["--discriminator", "listed"], ["discriminator: its logits", "type list, expected (2, 1)"]),
        (["--generator", "last"], ["generator: its video", "(2, 8, 16, 16, 3), expected", "(2, 8, 3, 16, 16)"]),
    ],
    ids=lambda value: value[1],
)
def test_parts_that_do_not_fit(gadkit_command, clips, plugin_file, tmp_path, arguments, expected):
    nets = {"--generator": DISCRIMINATOR, "--discriminator": GENERATOR}.get(arguments[0], NETS)
    plugin = ("--plugin", plugin_file)
    error = gadkit_command.train(clips, "--out", tmp_path / "run", *plugin, *arguments, nets=nets).error
    assert [text for text in expected if text not in error] == [], error
    assert not (tmp_path / "run").exists()


# --- folders ---------------------------------------------------------------------------------------------------------


def test_an_output_folder_that_is_taken(gadkit_command, clips, tmp_path):
    taken, old_run, file = tmp_path / "taken", tmp_path / "old", tmp_path / "file"
    taken.mkdir()
    (taken / "letter.txt").write_text("dear")
    old_run.mkdir()
    (old_run / "config.toml").write_text("")
    file.write_text("")
    expected = {
        taken: f"{taken}: exists and is not empty",
        old_run: f"{old_run}: is a run already; continue it with --resume {old_run}",
        file: f"{file}: is a file, expected a folder",
        file / "below": f"{file / 'below'}: cannot be made, because {file} is a file",
    }
    for out, sentence in expected.items():
        error = gadkit_command.train(clips, "--out", out).error
        assert sentence in error
        assert "choose another --out" in error
    assert (taken / "letter.txt").read_text() == "dear"


def test_an_empty_output_folder_is_taken(gadkit_command, clips, tmp_path):
    (tmp_path / "empty").mkdir()
    assert gadkit_command.train(clips, "--out", tmp_path / "empty", "--steps", 1).code == 0
    assert Run(tmp_path / "empty").find_checkpoint()


def test_resuming_what_is_no_run(gadkit_command, tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "file").write_text("")
    for name, found in (("bare", "a folder without config.toml"), ("nothing", "no folder"), ("file", "a file")):
        error = gadkit_command("train", "--resume", tmp_path / name).error
        assert f"{tmp_path / name}: found {found}, expected a run of gadkit" in error


def test_resuming_takes_no_other_folder_and_no_other_configuration(gadkit_command, clips, tmp_path):
    assert gadkit_command.train(clips, "--out", "run", "--steps", 1).code == 0
    for flag, value in (("--out", "other"), ("--recipe", "demo"), ("--config", "run/config.toml")):
        assert "leave out, config and recipe away" in gadkit_command("train", "--resume", "run", flag, value).error


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--set", "generator.width=16"], "generator.width: found 16, but run was trained with 8"),
        (["--generator", "dcgan-article"], "generator.use: found 'gadkit:dcgan-article', but run was trained with"),
        (["--set", "discriminator.width=4"], "discriminator.width: found 4, but run was trained with 8"),
        (["--assembler", "independent"], "assembler.use: found 'gadkit:independent'"),
        (["--resolution", "32"], "video.height: found 32, but run was trained with 16"),
        (["--labels", "folders"], "data: its classes are c, d, but run was trained with none"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, list) else "",
)
def test_resuming_with_other_nets_is_refused_and_leaves_the_run_as_it_was(
    gadkit_command, tmp_path, arguments, expected
):
    folder_of_clips(tmp_path / "data" / "c", 1)
    folder_of_clips(tmp_path / "data" / "d", 1)
    assert gadkit_command.train(tmp_path / "data", "--out", "run", "--steps", 1).code == 0
    before = files_of(Path("run"))
    error = gadkit_command("train", "--resume", "run", "--steps", 2, *arguments).error
    assert expected in error
    assert "--out" in error
    assert files_of(Path("run")) == before
    assert gadkit_command("train", "--resume", "run", "--steps", 2).code == 0


def test_a_damaged_checkpoint_is_named(gadkit_command, clips, tmp_path):
    assert gadkit_command.train(clips, "--out", "run", "--steps", 1).code == 0
    for step in (0, 1):
        path = Path(f"run/checkpoints/step-{step:06d}/training.safetensors")
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    error = gadkit_command("train", "--resume", "run", "--steps", 2).error
    assert error.startswith("run: none of its checkpoints is whole: run/checkpoints/step-000001/training.safetensors:")
    assert "altered or damaged" in error


# --- a full disk -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 480 KiB, which holds two checkpoints of the small nets and not three; and how to enlarge it."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(*options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", *options, "tmpfs", str(place)]
        return bool(shutil.which("mount")) and subprocess.run(command, capture_output=True).returncode == 0

    if not mount("size=480k"):
        pytest.skip("file systems may not be mounted here")
    try:
        yield place, lambda: mount("remount,size=64m")
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


EVERY = ("--set", "run.checkpoint_every=1", "--steps", "6", "--log-every", "1", "--sample-every", "100")


def test_a_full_disk_keeps_the_last_checkpoint_and_the_run_goes_on_after_it(gadkit_command, clips, small_disk):
    place, enlarge = small_disk
    done = gadkit_command.train(clips, "--out", place / "run", *EVERY)
    assert "No space left on device" in done.error
    assert str(place / "run") in done.error
    assert "free some space" in done.error or "check the free space" in done.error
    run = Run(place / "run")
    step = int(run.find_checkpoint().name.removeprefix("step-"))
    hint = f"Failed with the checkpoint of step {step}. Go on with: gadkit train --resume {run.path}"
    assert done.out.splitlines()[-1] == hint
    assert 1 <= len(run.checkpoints()) < 6
    assert read_tensors(run.find_checkpoint(), "training.safetensors")
    assert gadkit.load(run.path, device="cpu").sample(length=3).shape == (1, 3, 3, 16, 16)
    assert not list(run.path.rglob("*.partial"))

    assert enlarge()
    assert gadkit_command("train", "--resume", run.path).code == 0
    assert gadkit_command.train(clips, "--out", place / "unbroken", *EVERY).code == 0
    ends = [Run(place / name).find_checkpoint() for name in ("run", "unbroken")]
    assert ends[0].name == ends[1].name == "step-000006"
    assert same_tensors(*(read_tensors(end, "training.safetensors") for end in ends))


def _full(*arguments, **named):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _full_for_safetensors(monkeypatch):
    save_file, calls = tensors.safetensors.save_file, []

    def once(named, path):
        calls.append(path)
        if len(calls) > 2:  # a checkpoint has two such files
            reason = f"{os.strerror(errno.ENOSPC)} (os error {errno.ENOSPC})"
            raise SafetensorError(f"Error while serializing: I/O error: {reason}")
        save_file(named, path)

    monkeypatch.setattr(tensors.safetensors, "save_file", once)


def _full_for_samples(monkeypatch):
    monkeypatch.setitem(encoding._WRITERS, ".mp4", (_full, None))


def _full_for_the_log(monkeypatch):
    log = Run.log

    def once(self, step, values):
        if step > 1:
            with monkeypatch.context() as patch:
                patch.setattr(Path, "open", _full)
                log(self, step, values)
        log(self, step, values)

    monkeypatch.setattr(Run, "log", once)


@pytest.mark.parametrize(
    ("fill", "file", "kept"),
    [
        (_full_for_safetensors, "run/checkpoints/step-00000", 1),
        (_full_for_samples, "run/samples/step-000002.mp4", 1),
        (_full_for_the_log, "run/log.jsonl", 1),
    ],
    ids=["checkpoint", "samples", "log"],
)
def test_wherever_the_disk_is_full_the_file_is_named_and_the_run_goes_on_after_it(
    gadkit_command, clips, tmp_path, fill, file, kept
):
    every = (*EVERY, "--sample-every", "2")
    with pytest.MonkeyPatch.context() as patch:
        fill(patch)
        done = gadkit_command.train(clips, "--out", "run", *every)
    assert file in done.error
    assert "cannot be written" in done.error
    assert "No space left on device" in done.error
    assert "space" in done.error.partition("No space left on device")[2]
    assert "Go on with: gadkit train --resume run" in done.out
    assert len(Run(Path("run")).checkpoints()) >= kept
    assert read_tensors(Run(Path("run")).find_checkpoint(), "training.safetensors")
    assert gadkit_command("train", "--resume", "run").code == 0
    assert [line["step"] for line in Run(Path("run")).read_log()] == [1, 2, 3, 4, 5, 6]


def test_a_disk_that_is_full_is_told_at_the_next_line_of_the_log(gadkit_command, clips, monkeypatch):
    _full_for_samples(monkeypatch)
    done = gadkit_command.train(clips, "--out", "run", "--steps", "99", "--log-every", "1", "--sample-every", "50")
    assert "step-000050.mp4 cannot be written" in done.error
    assert 50 <= Run(Path("run")).read_log()[-1]["step"] < 99


def test_a_disk_that_is_full_at_once_leaves_nothing_in_the_way(gadkit_command, clips, tmp_path, monkeypatch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gadkit.runs.folder.os.fsync", _full)
        error = gadkit_command.train(clips, "--out", "run").error
    assert "run/config.toml: cannot be written (No space left on device)" in error
    assert gadkit_command.train(clips, "--out", "run").code == 0


# --- other people's packages -----------------------------------------------------------------------------------------


def test_a_fault_of_a_plugin_is_no_sentence_but_a_traceback(gadkit_command, clips, plugin_file):
    broken = plugin_file.read_text().replace("return -fake.mean()", "return fake.no_such()").replace("= 10", "= 1")
    plugin_file.write_text(broken)
    done = gadkit_command.train(clips, "--plugin", plugin_file, "--loss", "ten")
    assert done.code == 1
    assert "AttributeError: 'Tensor' object has no attribute 'no_such'" in done.err
    assert done.err.splitlines()[-1].startswith("gadkit: error: this is a bug in gadkit or in a plugin")


def test_verbose_adds_the_traceback(gadkit_command, clips):
    done = gadkit_command("--verbose", "train", "--data", clips, "--generator", "dcgn")
    assert done.code == 2
    assert "Traceback" in done.err
    assert done.err.splitlines()[-1].startswith("gadkit: error: There is no generator 'dcgn'.")


def test_python_raises_what_the_command_line_prints(clips):
    with own_registry(), pytest.raises(gadkit.ConfigError, match=r"generator\.width: found 'abc'"):
        gadkit.train(data=clips, set={"generator.width": "abc"})
    with own_registry(), pytest.raises(TypeError, match="unexpected keyword argument 'widht'"):
        gadkit.train(data=clips, widht=3)
