"""Numbers on a page, short enough for an axis and exact enough for a table."""

from __future__ import annotations

import math
import re


def number_text(value: float, digits: int = 4) -> str:
    """A number with so many significant digits: `"0.8772"`, `"12,340"`, `"1.2e6"`, `"not a number"`."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    if 1e-4 <= abs(rounded) < 1e6:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
        text = f"{rounded:,.{decimals}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        text = re.sub(r"e\+?(-?)0*", r"e\1", f"{rounded:.{digits - 1}e}")
        text = re.sub(r"\.?0*e", "e", text)
    return text.replace("-", "−")
