"""The conformance kit finds every planted fault and no other, and says which promise is broken and how to mend it."""

from __future__ import annotations

import re
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pytest
import torch
from planted import FAULTS, Fault, Plugin
from plugins_fixtures import importable

from gadkit.component import KINDS
from gadkit.registry import Registry
from gadkit.testing import conformance

MESSAGE = re.compile(r"Promised: (.+?)\. Found: (.+)\. To mend it: (.+)\.", re.DOTALL)

Examine = Callable[[Fault, type[Any] | Plugin], None]


@pytest.fixture
def examine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Examine]:
    """Runs the one aspect of the kit that a fault belongs to, on a component or a plugin."""

    def on(fault: Fault, what: Any) -> None:
        kind = fault.kind if fault.kind in KINDS else None
        checks = conformance(what, kind=kind, data=fault.data, **fault.settings)
        chosen = [check for check in checks if check.aspect == fault.aspect]
        assert chosen or fault.aspect == "loads", f"nothing is checked of the aspect {fault.aspect}"
        for check in chosen:  # of what loads, there is nothing more to say
            try:
                check()
            except SkipTest as reason:
                raise RuntimeError("it could not be tried here, so it says nothing") from reason

    def run(fault: Fault, subject: type[Any] | Plugin) -> None:
        for name, value in fault.patches.items():
            monkeypatch.setattr(name, value)
        if not isinstance(subject, Plugin):
            on(fault, subject)
            return
        what = subject.write(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        with importable(tmp_path):
            fresh = Registry.discover()  # that of this process would keep what it loads
            monkeypatch.setattr("gadkit.testing.kit.get_registry", lambda: fresh)
            on(fault, what)

    monkeypatch.setattr("sys.stdout", sys.stdout)
    handler = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, handler)  # what faulty ones may leave behind
    torch.set_grad_enabled(True)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_planted_fault_is_found_and_told(fault: Fault, examine: Examine) -> None:
    with pytest.raises(AssertionError) as caught:
        examine(fault, fault.faulty)
    told = MESSAGE.fullmatch(str(caught.value))
    assert told is not None, caught.value
    promised, _, mend = told.groups()
    assert fault.promised in promised, caught.value
    assert fault.mend in mend, caught.value


def name_of(fault: Fault) -> str:
    name = fault.sound.name if isinstance(fault.sound, Plugin) else fault.sound.__name__
    return f"{fault.kind}: {name}: {fault.aspect}"


SOUND = {name_of(fault): fault for fault in FAULTS}


@pytest.mark.parametrize("fault", SOUND.values(), ids=SOUND)
def test_what_a_fault_was_planted_in_is_sound(fault: Fault, examine: Examine) -> None:
    examine(fault, fault.sound)


def test_the_list_is_whole() -> None:
    kinds = {fault.kind for fault in FAULTS}
    assert kinds == {*KINDS, "plugin"}
    assert [name for name, count in Counter(map(str, FAULTS)).items() if count > 1] == []
    for fault in FAULTS:
        if not isinstance(fault.faulty, Plugin):
            assert fault.faulty is not fault.sound, fault
            assert issubclass(fault.faulty, fault.sound), fault
