"""A worker process, `python -m gadkit.data.worker`: reads jobs as lines of JSON and answers in lines of JSON.

The first line says what `sys.path` is and holds the blueprint of the dataset; each later one is a job. A job runs a
function `function(dataset, source, arguments, beat) -> dict`. Files that nobody has looked at before are decoded here,
so that nothing but this process suffers from what is in them: its memory is limited, it may be killed at any moment,
and it ends when its parent does. It imports no torch.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from gadkit.data.blueprint import Blueprint
from gadkit.errors import DataError, GadkitError, UnavailableError
from gadkit.interfaces.dataset import Dataset, Source

#: Bytes that a worker may allocate beyond what it holds when it has made its dataset; less where the machine has less.
MEMORY = 8 << 30
#: Seconds between two signs of life, at least.
BEAT = 0.5

Function = Callable[[Dataset, Source, dict[str, Any], Callable[[], None]], dict[str, Any]]


def call(dataset: Dataset, source: Source, target: str, arguments: dict[str, Any], beat: Callable[[], None]) -> Any:
    """Runs one job.

    Args:
        dataset: Given to the function.
        source: Given to the function.
        target: The function, `"module:name"`.
        arguments: Given to the function.
        beat: Given to the function, which calls it after every frame.

    Returns:
        `{"value": ...}`, or `{"reason": sentence}` where the video cannot be used, or `{"fatal": sentence}` where going
        on makes no sense.
    """
    module, _, name = target.partition(":")
    function: Function = getattr(importlib.import_module(module), name)
    try:
        return {"value": function(dataset, source, arguments, beat)}
    except UnavailableError as error:
        return {"fatal": str(error)}
    except DataError as error:
        return {"reason": str(error)}
    except GadkitError as error:
        return {"fatal": str(error)}
    except MemoryError:
        return {"reason": f"{source.name} needs more memory than a video may take; make it smaller or remove it."}
    except Exception as error:  # of a dataset, on a file that it did not expect
        text = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".:")
        return {"reason": f"{source.name} cannot be read: {text}; repair or remove the file."}


def pack_source(source: Source) -> dict[str, Any]:
    """A source in plain values."""
    return {
        "name": source.name,
        "label": source.label,
        "files": [str(file) for file in source.files],
        "locator": source.locator,
        "columns": dict(source.columns),
    }


def unpack_source(values: dict[str, Any]) -> Source:
    """The source that `pack_source` was given."""
    return Source(**{**values, "files": tuple(Path(file) for file in values["files"])})


def main() -> None:
    """Answers jobs until standard input ends."""
    jobs, answers = _private_pipes()
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides

    def answer(message: Any) -> None:
        try:
            answers.write(json.dumps(message).encode() + b"\n")
        except OSError:  # nobody is there to read it
            os._exit(1)

    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(jobs, lines), daemon=True).start()
    try:
        first = json.loads(lines.get())
        sys.path[:] = first["path"]
        dataset = Blueprint.from_json(first["blueprint"]).build()
    except Exception as error:
        answer({"failed": f"{type(error).__name__}: {error}"})
        return
    _limit()
    answer({"ready": os.getpid()})
    last = time.monotonic()

    def beat() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= BEAT:
            last = now
            answer({"beat": True})

    while True:
        job = json.loads(lines.get())
        answer(call(dataset, unpack_source(job["source"]), job["target"], job["arguments"], beat))


def _read(jobs: BinaryIO, lines: queue.SimpleQueue[bytes]) -> None:
    """Takes jobs from the pipe; its end means that the parent is gone, and ends the process at whatever it is."""
    for line in jobs:
        lines.put(line)
    os._exit(0)


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes to the parent, under numbers of their own: libraries may print and read as they like."""
    jobs, answers = os.dup(0), os.dup(1)
    if sys.platform == "win32":
        import msvcrt

        for handle in (jobs, answers):
            msvcrt.setmode(handle, os.O_BINARY)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return os.fdopen(jobs, "rb"), os.fdopen(answers, "wb", buffering=0)


def _limit() -> None:
    """Limits the memory and leaves no core dump, where the system can.

    RLIMIT_DATA counts what is allocated and, unlike RLIMIT_AS, not the files that are mapped for reading, which may be
    larger than any memory. Should the machine run out of memory all the same, Linux is told to end this process first.
    """
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, ValueError, StopIteration):
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        used = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData:"))
        cap = used + min(MEMORY, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (cap if hard == resource.RLIM_INFINITY else min(cap, hard), hard))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


if __name__ == "__main__":
    main()
