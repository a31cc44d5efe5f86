"""Everything that gadkit-lookahead offers keeps the promises of its interface."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gadkit.testing import conformance


@pytest.mark.parametrize("check", conformance("gadkit-lookahead"), ids=str)
def test_conformance(check: Callable[[], None]) -> None:
    check()
