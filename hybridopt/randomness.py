"""Seeds from seeds."""

from __future__ import annotations

import numpy as np


def derived_seed(*parts: int) -> int:
    """A seed of 32 bits (torch's CPU generator takes no more) that is another for every other tuple of parts."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
