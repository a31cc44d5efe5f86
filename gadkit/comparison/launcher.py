"""Runs one command and keeps word of what became of it: its exit code, its time and the most memory that it took.

`python -m gadkit.comparison.launcher RECORD LOG AT_ONCE COMMAND...` appends a line of JSON to RECORD once the command
has ended, and everything that it prints to LOG. When its own standard input ends, it asks the command to end (SIGTERM):
so a training does not outlive whoever started it, however that ended.

It is a process of its own, and a small one, because the memory of a process that starts another counts as that one's
until it runs another program: whoever holds networks cannot measure its children.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path


def launch(record: Path, log: Path, at_once: int, command: list[str]) -> int:
    """Runs a command to its end.

    Args:
        record: Where a line about it goes.
        log: Where its output goes.
        at_once: How many run beside each other, which is noted.
        command: The command.

    Returns:
        Its exit code; below 0, the signal that ended it.
    """
    began = time.monotonic()
    with log.open("ab") as output:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        threading.Thread(target=_end_with_input, args=(child,), daemon=True).start()
        code, memory = _wait(child)
    told = {
        "code": code,
        "seconds": round(time.monotonic() - began, 3),
        "peak_memory": memory,
        "at_once": at_once,
    }
    with record.open("a", encoding="ascii") as file:
        file.write(json.dumps(told) + "\n")
    return code


def _wait(child: subprocess.Popen[bytes]) -> tuple[int, int | None]:
    """The exit code, and bytes of the most memory that the process had at once; `None` where nobody tells."""
    if not hasattr(os, "wait4"):
        return child.wait(), None
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _end_with_input(child: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        while os.read(0, 1 << 10):
            pass
    with suppress(OSError):
        child.terminate()


if __name__ == "__main__":
    sys.exit(abs(launch(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])))
