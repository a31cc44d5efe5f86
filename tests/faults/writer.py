"""Writes and removes checkpoints under faults, one forked process a case, and tells what is there afterwards.

Run with the shim preloaded: `writer.py FOLDER SCENARIO...`; one JSON object a case comes out, and
`test_checkpoint_faults.py` says what has to be in it.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import gc
import json
import os
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from gadkit.checkpoints.store import read_document, read_tensors, remove_folder, settle, verify, write_folder
from gadkit.errors import GadkitError

FAIL, FAIL_FROM_HERE_ON, CUT, KILL_BEFORE, KILL_AFTER, LIMIT = range(6)
#: What happens to a call, and with which error: `LIMIT` is the system's own on the length of a file, in bytes.
THOROUGH = (
    *((FAIL, number) for number in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EACCES)),
    (FAIL_FROM_HERE_ON, errno.ENOSPC),
    (FAIL_FROM_HERE_ON, errno.EROFS),
    (CUT, errno.ENOSPC),
    (KILL_BEFORE, 0),
    (KILL_AFTER, 0),
    (LIMIT, errno.EFBIG),
)
SHORT = ((FAIL, errno.EIO), (FAIL_FROM_HERE_ON, errno.EROFS), (CUT, errno.ENOSPC), (KILL_AFTER, 0))
LONG = 150_000  # in bytes, longer than the buffer of any writer
LIMITS = (0, 1, 7, 8, 200, 500, 4096, 20_000, 39_999, 1_199_999)
ONE, TWO, THREE, FOUR = (f"step-00000{number}" for number in (1, 2, 3, 4))


@functools.cache
def content(
    number: int, length: int = 5000
) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any], dict[str, str]]:
    """What the checkpoint of a number holds: tensors of several dtypes, one of them of a length."""
    draw = torch.Generator().manual_seed(number)
    tensors = {
        "model.safetensors": {"weight": torch.randn(100, 100, generator=draw), "step": torch.tensor(number)},
        "training.safetensors": {
            "mean": torch.randn(length, generator=draw, dtype=torch.float64),
            "half": torch.randn(7, generator=draw).bfloat16(),
            "none": torch.zeros(0, 3),
        },
    }
    return tensors, {"state.json": {"step": number, "length": length}}, {"README.md": f"number {number}\n"}


def held(folder: Path) -> str:
    """The number of the checkpoint that lies whole and bit for bit in a folder; `none`, or what is wrong."""
    if not os.path.lexists(folder):
        return "none"
    try:
        verify(folder)
        state = read_document(folder, "state.json")
        number = state["step"]
        for name, expected in content(number, state["length"])[0].items():
            found = read_tensors(folder, name)
            assert found.keys() == expected.keys()
            for key, value in expected.items():
                assert found[key].dtype == value.dtype
                assert found[key].shape == value.shape
                assert torch.equal(found[key], value)
        assert (folder / "README.md").read_text() == f"number {number}\n"
    except (GadkitError, AssertionError):
        return traceback.format_exc()
    return str(number)


def prepare(place: Path, scenario: str) -> None:
    """The checkpoints and leftovers that are there before a case."""
    place.mkdir(parents=True)
    if scenario == "first":
        return
    parent = place / "checkpoints"
    write_folder(parent / ONE, *content(1))
    if scenario in ("replace", "remove"):
        write_folder(parent / TWO, *content(20))
    if scenario == "leftovers":
        for name, number in ((TWO, 2), (THREE, 3), (FOUR, 4)):
            write_folder(place / name, *content(number))
        (place / TWO / "manifest.json").unlink()
        os.rename(place / TWO, parent / f".{TWO}.partial")
        os.rename(place / THREE, parent / f".{THREE}.replaced")
        os.rename(place / FOUR, parent / f".{FOUR}.removed")


def act(parent: Path, scenario: str) -> None:
    """What is disturbed."""
    if scenario == "remove":
        remove_folder(parent / TWO)
    else:
        write_folder(parent / TWO, *content(2, LONG if scenario == "new" else 5000))


def forked(action: Callable[[], None]) -> tuple[bool, str]:
    """Runs an action in a process of its own: whether it was killed, and the sentence or traceback of its failure."""
    reader, writer = os.pipe()
    if not (process := os.fork()):
        try:
            action()
        except GadkitError as error:
            os.write(writer, str(error).encode())
        except BaseException:
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode()
    status = os.waitpid(process, 0)[1]
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, text


def cases(root: Path, scenario: str) -> Iterator[dict[str, Any]]:
    """One scenario with every fault at every call; the first case is without a fault and has the calls in it."""
    shim = ctypes.CDLL(None)
    shim.faults_trace.restype = ctypes.c_char_p
    template = root / f"{scenario}-before"
    prepare(template, scenario)
    place = root / scenario

    def case(at: int, kind: int, number: int) -> dict[str, Any]:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(template, place)
        parent, trace = place / "checkpoints", root / "trace"

        def disturbed() -> None:
            if kind == LIMIT:
                resource.setrlimit(resource.RLIMIT_FSIZE, (at, at))
            shim.faults_arm(os.fsencode(place), 0 if kind == LIMIT else at, kind, number)
            try:
                act(parent, scenario)
            finally:
                shim.faults_disarm()
                if at == 0 and kind == FAIL:
                    trace.write_bytes(shim.faults_trace())

        killed, sentence = forked(disturbed)
        there = {name: held(parent / name) for name in (ONE, TWO)}
        settle(parent)
        settled = {name: held(parent / name) for name in (ONE, TWO, THREE)}
        try:
            write_folder(parent / TWO, *content(2))
        except GadkitError as error:
            settled["again"] = str(error)
        return {
            "scenario": scenario,
            "kind": kind,
            "reason": os.strerror(number) if number else "",
            "at": at,
            "folder": str(parent / TWO),
            "killed": killed,
            "sentence": sentence,
            "there": there,
            "settled": settled,
            "afterwards": {path.name: held(path) for path in parent.iterdir()},
        }

    undisturbed = case(0, FAIL, 0)
    calls = [line.split("\t") for line in (root / "trace").read_text().splitlines()]
    yield {**undisturbed, "calls": calls}
    for kind, number in THOROUGH if scenario == "new" else SHORT:
        for at in LIMITS if kind == LIMIT else range(1, len(calls) + 1):
            if kind != CUT or calls[at - 1][0] == "write":
                yield case(at, kind, number)


if __name__ == "__main__":
    torch.set_num_threads(1)
    gc.freeze()  # a collection in a forked process would touch, and so copy, all memory of this one
    for name in sys.argv[2:]:
        for found in cases(Path(sys.argv[1]), name):
            print(json.dumps(found), flush=True)
