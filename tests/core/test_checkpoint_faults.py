"""Whatever becomes of the system calls of a checkpoint: the one before stays whole, and the message is right.

A small library that is compiled here and preloaded makes the n-th call that touches the folder fail, be cut short, or
end the process, for every n there is; `faults/writer.py` tells what lies there afterwards.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from faults.writer import CUT, FAIL, FAIL_FROM_HERE_ON, KILL_AFTER, KILL_BEFORE, LIMIT, ONE, THREE, TWO, content, held

from gadkit.checkpoints.store import write_folder
from gadkit.errors import RunError

FAULTS = Path(__file__).parent.parent / "faults"
SCENARIOS = ("first", "new", "replace", "leftovers", "remove")
FILES = ("model.safetensors", "training.safetensors", "state.json", "README.md", "manifest.json")
SENTENCE = re.compile(r"(.+): cannot be written \((.+)\); nothing that was there is lost: (.+), and try again\.")
ADVICE = {
    "free some space": {errno.ENOSPC, errno.EDQUOT, errno.EFBIG},
    "mend the rights of its folder": {errno.EACCES, errno.EROFS},
    "check the disk": {errno.EIO},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in memory where there is one, so that hundreds of syncs take no time."""
    folder = tmp_path_factory.mktemp("faults")
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield folder
        return
    folder = memory / f"{folder.parent.name}-{os.getpid()}-faults"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def outcomes(place, tmp_path_factory):
    """Every case of every scenario, as `faults/writer.py` tells it."""
    compiler = shutil.which("cc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("a library to preload is only made on Linux with a C compiler")
    shim = tmp_path_factory.mktemp("shim") / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(shim), str(FAULTS / "shim.c"), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, str(FAULTS / "writer.py"), str(place), *SCENARIOS],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def cases(outcomes, request):
    return [case for case in outcomes if case["scenario"] == request.param]


def calls_of(outcomes, scenario):
    """The calls of a scenario without a fault; what safetensors writes under another name has that which it gets."""
    found = (case for case in outcomes if case["scenario"] == scenario and case["at"] == 0 and case["kind"] == FAIL)
    calls: list[tuple[str, str]] = []
    for call, path in reversed(next(found)["calls"]):
        calls.insert(0, (call, calls[0][1] if "/.tmp" in path else path))
    return calls


def test_every_call_that_changes_something_is_met(outcomes):
    partial = f"checkpoints/.{TWO}.partial"
    calls = calls_of(outcomes, "new")
    for file in FILES:
        names = [call for call, path in calls if path == f"{partial}/{file}"]
        made = ["open64", "close", "open64", "ftruncate64", "close", "chmod"] if file.endswith("tensors") else []
        assert [name for name in names if name != "write"] == [*made, "open64", "fsync", "close"]
        assert names.count("write") > (file == "training.safetensors")
    assert ("mkdir", partial) in calls
    assert len(calls) >= 30
    kinds = {case["kind"] for case in outcomes if case["scenario"] == "new"}
    assert kinds == {FAIL, FAIL_FROM_HERE_ON, CUT, KILL_BEFORE, KILL_AFTER, LIMIT}
    for scenario in SCENARIOS:
        number = len(calls_of(outcomes, scenario))
        killed = [case["at"] for case in outcomes if case["scenario"] == scenario and case["kind"] == KILL_AFTER]
        assert killed == list(range(1, number + 1))
    assert {call for case in outcomes for call, _ in case.get("calls", ())} >= {"unlinkat", "rmdir", "opendir"}


@pytest.mark.parametrize("cases", SCENARIOS, indirect=True)
def test_the_checkpoint_before_stays_whole(cases):
    expected = "none" if cases[0]["scenario"] == "first" else "1"
    for case in cases:
        assert case["there"][ONE] == case["settled"][ONE] == expected, case


@pytest.mark.parametrize("cases", SCENARIOS, indirect=True)
def test_the_new_checkpoint_is_whole_or_not_there(cases):
    scenario = cases[0]["scenario"]
    possible = {"replace": {"2", "20", "none"}, "remove": {"20", "none"}}.get(scenario, {"2", "none"})
    assert {case["there"][TWO] for case in cases} == possible
    if scenario == "replace":  # between the two renames it is in neither place, and is put back
        gone = [case for case in cases if case["there"][TWO] == "none"]
        assert {case["kind"] for case in gone} == {FAIL_FROM_HERE_ON, KILL_AFTER}
        assert all(case["settled"][TWO] == "20" for case in gone)
        assert len(gone) == 2


@pytest.mark.parametrize("cases", SCENARIOS, indirect=True)
def test_without_a_fault_the_next_write_works_and_leaves_nothing_behind(cases):
    expected = {ONE: "1", TWO: "2"}
    if cases[0]["scenario"] == "first":
        del expected[ONE]
    if cases[0]["scenario"] == "leftovers":  # it was about to be replaced by one that never came
        expected[THREE] = "3"
        assert all(case["settled"][THREE] == "3" for case in cases)
    for case in cases:
        assert case["afterwards"] == expected, case


@pytest.mark.parametrize("cases", SCENARIOS, indirect=True)
def test_who_lives_says_what_happened(cases):
    for case in cases:
        assert case["killed"] == (case["kind"] in (KILL_BEFORE, KILL_AFTER)), case
        assert case["scenario"] != "remove" or case["sentence"] == ""  # what stays is removed the next time
        if case["killed"] or case["scenario"] == "remove":
            continue
        if case["sentence"] == "":  # a fault of tidying up, or none
            assert case["there"][TWO] == "2", case
            continue
        folder, reason, advice = SENTENCE.fullmatch(case["sentence"]).groups()
        assert folder == case["folder"]
        assert reason == case["reason"]
        assert reason in map(os.strerror, ADVICE[advice])


def test_a_write_that_fails_is_told(outcomes):
    """Of the calls that make the new checkpoint none may fail in silence.

    But safetensors drops what its `close` says. That a write was lost, the sync of the file that follows says again.
    """
    calls = calls_of(outcomes, "new")
    dropped = {i for i in range(1, len(calls)) if calls[i][0] == "close" and calls[i - 1] == ("write", calls[i][1])}
    assert len(dropped) == 2
    assert all(("fsync", calls[i][1]) in calls[i:] for i in dropped)
    silent = {
        case["at"] - 1
        for case in outcomes
        if case["scenario"] == "new" and case["kind"] == FAIL and case["at"] and not case["sentence"]
    }
    made = {
        i
        for i, (call, path) in enumerate(calls)
        if call in ("mkdir", "write", "ftruncate64", "chmod", "fsync", "rename") or "/." in path
    }
    assert silent & made == dropped, [calls[i] for i in silent]


@pytest.mark.parametrize("scenario", ["new", "replace"])
def test_nothing_is_renamed_before_it_is_on_the_disk(outcomes, scenario):
    partial = f"checkpoints/.{TWO}.partial"
    calls = calls_of(outcomes, scenario)
    renamed = calls.index(("rename", f"checkpoints/{TWO}"))
    synced = calls.index(("fsync", partial))
    for file in FILES:
        path = f"{partial}/{file}"
        assert max(i for i, call in enumerate(calls) if call == ("write", path)) < calls.index(("fsync", path)) < synced
    assert synced < renamed < calls.index(("fsync", "checkpoints"))
    if scenario == "replace":
        aside = f"checkpoints/.{TWO}.replaced"
        deleted = [i for i, (call, path) in enumerate(calls) if path.startswith(aside) and call != "rename"]
        assert calls.index(("rename", aside)) > synced  # it stays where it is until the new one is whole
        assert min(deleted) > calls.index(("fsync", "checkpoints"))


# --- a real file system ----------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """A file system of 512 KiB and few files, and how to mount it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return bool(shutil.which("mount")) and subprocess.run(command, capture_output=True).returncode == 0

    if not mount("size=512k,nr_inodes=64"):
        pytest.skip("file systems may not be mounted here")
    try:
        yield folder, lambda options: mount(f"remount,{options}")
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def attempt(parent, reason):
    """Whether the second checkpoint can be written. Where it cannot, the reason is told and nothing is changed."""
    before = {path.name for path in parent.iterdir()}
    sentence = ""
    try:
        write_folder(parent / TWO, *content(2))
    except RunError as error:
        sentence = str(error)
    assert held(parent / ONE) == "1"
    if sentence:
        assert SENTENCE.fullmatch(sentence)[2] == os.strerror(reason)
        assert {path.name for path in parent.iterdir()} == before
        return False
    assert held(parent / TWO) == "2"
    shutil.rmtree(parent / TWO)
    return True


def test_a_disk_on_which_ever_fewer_pages_are_free(disk):
    place, _ = disk
    write_folder(place / ONE, *content(1))
    filler, worked = place / "filler", []
    with filler.open("wb") as file:
        while not worked or worked[-1] or len(worked) < 30:
            space = os.statvfs(place)
            if space.f_bavail == 0:
                break
            count = max(1, space.f_bavail - 40) if not worked else 1
            file.write(b"x" * space.f_frsize * count)
            file.flush()
            worked.append(attempt(place, errno.ENOSPC))
    assert worked == sorted(worked, reverse=True)  # as long as there is room
    assert worked[0]
    assert not worked[-1]
    filler.unlink()
    assert attempt(place, errno.ENOSPC)


def test_a_disk_on_which_ever_fewer_files_are_free(disk):
    place, _ = disk
    write_folder(place / ONE, *content(1))
    worked = []
    while os.statvfs(place).f_favail > 0:
        (place / f"filler-{len(worked)}").touch()
        worked.append(attempt(place, errno.ENOSPC))
    assert worked[0]
    assert worked.count(False) == 6  # a folder and its five files


def test_a_disk_that_becomes_read_only(disk):
    place, remount = disk
    write_folder(place / ONE, *content(1))
    assert remount("ro")
    assert not attempt(place, errno.EROFS)
    assert remount("rw")
    assert attempt(place, errno.EROFS)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path):
    write_folder(tmp_path / "run" / ONE, *content(1))
    (tmp_path / "run").chmod(0o555)
    try:
        assert not attempt(tmp_path / "run", errno.EACCES)
    finally:
        (tmp_path / "run").chmod(0o755)
    assert attempt(tmp_path / "run", errno.EACCES)
