"""Claims on single methods: what the studies of this package test, and the rule that they share."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, ClassVar, Literal

from hybridopt import Judgement, Results, Study, Table
from hybridopt.study.comparing import Compared, medians, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACCURACY = "test/accuracy"
HEAD = ("method", "claim", "measured", "forwards", "holds")
WORST = 1e9  # stands for an error or a loss that is not finite, which JSON does not have


@dataclass(frozen=True)
class Claim:
    """What is said of methods.

    Args:
        methods: names of strategies or objectives.
        says: what must be measured, with its threshold.
    """

    methods: tuple[str, ...]
    says: str


@dataclass(frozen=True)
class Finding:
    """A claim, measured.

    Args:
        claim: what is said.
        measured: in words and numbers.
        holds: whether the one bears out the other.
        forwards: what a run cost; 0 where that is not the point.
    """

    claim: Claim
    measured: str
    holds: bool
    forwards: float = 0


def rule_of(claims: Mapping[str, Claim]) -> str:
    """The rule of a study, in words.

    Args:
        claims: that it tests, in the order in which they are told.
    """
    numbered = "; ".join(f"({n}) {', '.join(c.methods)}: {c.says}" for n, c in enumerate(claims.values(), 1))
    rule = "every claim holds, refuted if none does, else mixed" if len(claims) > 1 else "its claim holds, else refuted"
    return f"Supported if {rule}. {numbered}."


def verdict_of(findings: Sequence[Finding]) -> Literal["supported", "refuted", "mixed", "not distinguishable"]:
    """The same rule, in code; where nothing was measured, nothing can be told."""
    if not findings:
        return "not distinguishable"
    held = sum(each.holds for each in findings)
    return "supported" if held == len(findings) else "mixed" if held else "refuted"


class ClaimsStudy(Study):
    """A study of claims on single methods; a subclass says which, and what was found on each.

    Class attributes:
        claims: by names of its own; :func:`rule_of` them is its rule.
        compared_by: what its comparisons are by.
    """

    claims: ClassVar[Mapping[str, Claim]]
    compared_by: ClassVar[str] = "test accuracy"
    said_by = "The docstrings of the methods, and the papers that they name."
    metrics = (ACCURACY,)

    def comparisons(self, results: Results) -> Sequence[Compared]:
        """All that findings rest on, corrected together; none where they rest on medians and counts alone."""
        return ()

    @abstractmethod
    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        """What was measured of each claim; those that a small profile leaves out are left out.

        Args:
            results: the study's.
            compared: its :meth:`comparisons`.
        """

    def tables(self, results: Results) -> Sequence[Table]:
        """Further tables."""
        return ()

    def judge(self, results: Results) -> Judgement:
        compared = self.comparisons(results)
        found = list(self.findings(results, compared))
        rows = [
            [", ".join(each.claim.methods), each.claim.says, each.measured,
             f"{each.forwards:,.0f}" if each.forwards else "", "yes" if each.holds else "no"]
            for each in found
        ]  # fmt: skip
        said = [sentence(each) for each in found]
        numbers = {"held": float(sum(each.holds for each in found)), "claims": float(len(found))}
        tables = [Table(HEAD, rows, "What holds")]
        tables += [table(compared, f"Comparisons, by {self.compared_by}")] if compared else []
        tables += self.tables(results)
        return Judgement(verdict_of(found), said or ["Nothing was measured."], tables, numbers)


def sentence(finding: Finding) -> str:
    """A finding in words."""
    holds = "holds" if finding.holds else "does not hold"
    return f"{', '.join(finding.claim.methods)}: {finding.claim.says}. Measured: {finding.measured}. It {holds}."


# -- numbers ----------------------------------------------------------------------------------------------------------


def finite(value: float) -> float:
    """The value; :data:`WORST` where it is not finite, or above that."""
    return min(value, WORST) if math.isfinite(value) else WORST


def middle(values: Sequence[float], form: str = ".3g") -> str:
    """The median in words, with its 95 % interval where there are enough values.

    Args:
        values: at least one.
        form: of the numbers.
    """
    found = medians({"": {str(number): value for number, value in enumerate(values)}})[""]
    if math.isnan(found.low):
        return f"{found.value:{form}}"
    return f"{found.value:{form}} ({found.low:{form}} to {found.high:{form}})"


def accuracies(results: Results, arm: str) -> list[float]:
    """The test accuracies of an arm; none where it was not run."""
    return list(results.values(arm, ACCURACY, higher=True).values())


def shown(values: Sequence[float]) -> str:
    """Accuracies in words, three places each."""
    return middle(values, ".3f")


def forwards_of(results: Results, arm: str) -> float:
    """What a run of an arm cost, by the median."""
    costs = [run.metrics.get("cost/forwards", 0.0) for run in results.arms.get(arm, ())]
    return median(costs) if costs else 0.0


def by_seed(results: Results, key: str, names: Sequence[str], metric: str) -> dict[str, dict[str, float]]:
    """What cells have measured, by name and seed.

    Args:
        results: whose cells have a name under ``key``, a ``seed`` and a ``metric``.
        key: such as ``way``.
        names: in the order that is wanted; those without cells are left out.
        metric: its name.
    """
    cells = [cell for cell in results.cells.values() if key in cell and metric in cell]
    found = {name: {str(c["seed"]): float(c[metric]) for c in cells if c[key] == name} for name in names}
    return {name: values for name, values in found.items() if values}


def p_of(compared: Compared) -> str:
    """The p of a comparison, in words."""
    return f"p = {compared.p:.2g}"


def dots_of(values: Mapping[str, Sequence[float]], label: str, log: bool = False) -> Figure | None:
    """A figure with a point for each seed; None where there is nothing."""
    from hybridopt.study.drawing import dots, panels

    if not values:
        return None
    figure, (axes,) = panels(1, height=1.2 + 0.25 * len(values))
    dots(axes, values, label, log)
    return figure
