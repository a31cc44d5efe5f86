"""The bundled trackers keep the promises of trackers. The planted faults: `tests/planted`."""

from __future__ import annotations

import pytest
from planted.faulty_trackers import Noting

from gadkit import ConfigError
from gadkit.testing import check_tracker
from gadkit_plugins.trackers.csv_table import Csv


def test_those_that_keep_them_pass():
    check_tracker(Noting)
    check_tracker(Noting, file="other.txt")
    check_tracker(Csv)


def test_tensorboard_passes():
    pytest.importorskip("tensorboard")
    from gadkit_plugins.trackers.tensorboard_events import TensorBoard

    check_tracker(TensorBoard)


def test_settings_are_checked_as_a_run_does():
    with pytest.raises(ConfigError, match=r"tracker\.file: found 3"):
        check_tracker(Noting, file=3)


class Online(Noting):
    """Would look for a network."""

    offline = {"mode": "offline"}

    def __init__(self, *, mode: str = "online") -> None:
        super().__init__()
        assert mode == "offline"


def test_it_is_built_with_the_settings_that_reach_nobody():
    check_tracker(Online)
