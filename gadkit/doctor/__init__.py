"""What this machine can do for gadkit, what is missing, and the line that installs it.

`examine` runs every check; a check that breaks is itself a failed check, never an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gadkit.doctor.check import Check, Status

__all__ = ["Check", "Status", "examine"]


def examine() -> Iterator[Check]:
    """Every check in the order of reading, each as soon as it is done: the first ones import no torch."""
    from gadkit.doctor import codecs, devices, house, steps

    groups: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("system", house.system),
        ("packages", house.packages),
        ("plugins", house.plugins),
        ("codecs", codecs.codecs),
        ("devices", devices.devices),
        ("steps", steps.steps),
        ("storage", house.storage),
        ("environment", house.environment),
    )
    for group, checks in groups:
        try:
            yield from checks()
        except Exception as error:  # a broken installation breaks in any way, and that is what a doctor is asked for
            yield Check(
                group=group,
                name=group,
                status="fail",
                text=f"could not be examined: {type(error).__name__}: {error}",
                remedy="python -m pip install --force-reinstall gadkit" if isinstance(error, ImportError) else "",
            )
