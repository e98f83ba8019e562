"""An estimate and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

LEVEL = 0.05  # of tests; intervals are of 95 %


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval; its ends are NaN where one value cannot give them."""

    value: float
    low: float = math.nan
    high: float = math.nan
