"""Every registered feature network and metric keeps its promises. The planted faults: `tests/planted`."""

from __future__ import annotations

from typing import Any

import pytest

from gadkit import UnavailableError
from gadkit.registry import Entry, get_registry
from gadkit.testing import check_features, check_metric


def registered(kind: str) -> list[Any]:
    return [pytest.param(entry, id=entry.qualified) for entry in get_registry().entries(kind)]


@pytest.mark.parametrize("entry", registered("features"))
def test_registered_networks_conform(entry: Entry) -> None:
    try:
        check_features(entry.load())
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("entry", registered("metric"))
def test_registered_metrics_conform(entry: Entry) -> None:
    check_metric(entry.load(), **({"subset_size": 20} if entry.name == "kid" else {}))
