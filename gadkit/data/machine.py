"""The memory of this machine, or of the container that the process is in, where that has less."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes: what there is, and what can be taken without swapping."""

    total: int
    available: int


def main_memory(groups: Path = _GROUPS, own: Path = _OWN) -> Memory:
    """The machine's memory, no more than what the control groups of the process leave it.

    A container, a batch system or systemd limits a process by control groups; who takes more is killed.

    Args:
        groups: Where the control groups are mounted.
        own: The file that tells the groups of this process.
    """
    import psutil

    machine = psutil.virtual_memory()
    total, available = machine.total, machine.available
    for limit, free in _limits(groups, own):
        total, available = min(total, limit), min(available, free)
    return Memory(total, max(0, available))


def _limits(groups: Path, own: Path) -> Iterator[tuple[int, int]]:
    """The limit of each group that holds the process, and what is free below it."""
    for folder, names in _folders(groups, own):
        limit, used = (_number(folder / name) for name in names[:2])
        if limit is None or used is None:
            continue
        # Without a limit, version 1 writes a huge number. Pages of files that were not used lately count as used, and
        # are given up when memory is short.
        yield limit, limit - used + _statistic(folder / "memory.stat", names[2])


def _folders(groups: Path, own: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """The folder of each group that limits the memory, from the process's own to the root, with its files' names."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            root, names = groups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = groups / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # Inside a container the path may be that of the host, of which only the root is to be seen.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            yield root.joinpath(*parts[:depth]), names


def _number(file: Path) -> int | None:
    """The number in a file; `None` where there is none, such as `max`."""
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _statistic(file: Path, name: str) -> int:
    """A line of `memory.stat`; 0 where there is none."""
    try:
        rows = (line.split() for line in file.read_text(encoding="ascii").splitlines())
        return next((int(row[1]) for row in rows if row[:1] == [name]), 0)
    except (OSError, ValueError, IndexError):
        return 0
