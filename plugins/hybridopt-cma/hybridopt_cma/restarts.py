"""What a search that has come to its end restarts with.

IPOP: Auger & Hansen 2005, https://doi.org/10.1109/CEC.2005.1554902. BIPOP: Hansen 2009,
https://doi.org/10.1145/1570256.1570333, followed here; pycma's own loop, which cannot be asked and told, differs in
that its small populations are drawn from twice the range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

FEWEST_GENERATIONS = 10  # for which the budget must last, or the population grows no more


@dataclass
class Regimes:
    """The bookkeeping of restarts.

    Args:
        mode: "ipop" or "bipop".
        popsize: the population of the first run.
        sigma: its step size.
        large: the population of the last run of the large regime.
        small_spent: evaluations of the first run and of all in the small regime.
        large_spent: evaluations of all runs in the large regime.
        last_large: evaluations of the last one.
        regime: that of the run that is on.
        spent: evaluations of the run that is on.
        limit: how many it may make; 0 where it ends by itself.
        restarts: how many there were.
    """

    mode: str
    popsize: int
    sigma: float
    large: int = 0
    small_spent: int = 0
    large_spent: int = 0
    last_large: int = 0
    regime: str = "small"
    spent: int = 0
    limit: int = 0
    restarts: int = 0

    def __post_init__(self) -> None:
        self.large = self.large or self.popsize

    @property
    def over(self) -> bool:
        """Whether the run that is on has had its share."""
        return bool(self.limit) and self.spent >= self.limit

    def restart(self, uniform: Callable[[], float], remaining: float) -> tuple[float, int]:
        """Close the run that is on; the step size and the population of the next one.

        Args:
            uniform: draws from [0, 1).
            remaining: how many evaluations are left.
        """
        self._close()
        self.restarts += 1
        if self.mode == "bipop" and self.small_spent < self.large_spent:
            return self._small(uniform)
        self.regime, self.limit = "large", 0
        most = max(self.popsize, int(remaining / FEWEST_GENERATIONS))
        self.large = min(2 * self.large, most)
        return self.sigma, self.large

    def _close(self) -> None:
        if self.regime == "large":
            self.large_spent += self.spent
            self.last_large = self.spent
        else:
            self.small_spent += self.spent
        self.spent = 0

    def _small(self, uniform: Callable[[], float]) -> tuple[float, int]:
        """lambda_s = lambda_0 (lambda_l / 2 lambda_0)^U^2, sigma_s = sigma_0 10^(-2 U'), half a large run's time."""
        self.regime, self.limit = "small", max(1, self.last_large // 2)
        ratio = max(1.0, self.large / (2 * self.popsize))
        popsize = int(self.popsize * ratio ** (uniform() ** 2))
        return self.sigma * 10 ** (-2 * uniform()), popsize

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
