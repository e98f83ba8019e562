"""Sparse networks on digits: tickets against their controls, and masks of networks that are never trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

from hybridopt import Arm, Profile, Results
from hybridopt.study.comparing import Compared, compare
from hybridopt_reproductions.claims import (
    ACCURACY,
    Claim,
    ClaimsStudy,
    Finding,
    accuracies,
    dots_of,
    forwards_of,
    p_of,
    rule_of,
    shown,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TICKET, REDRAWN, RANDOM = "ticket", "ticket, weights redrawn", "random mask"
WIDTHS, KEPT = (16, 64, 256), (0.05, 0.5, 1.0)
WIDE, HALF = WIDTHS[-1], 0.5
SEARCHES = ("pbil", "genetic_algorithm", "nevergrad")
POPUP = "edge-popup, as many forwards"
CHANCE = 0.5  # accuracy that no guessing has: it comes to a tenth
CLAIMS = {
    "ticket": Claim(
        ("iterative_magnitude_pruning",),
        "at 2 % of the weights a ticket beats the same mask with its weights redrawn (p < .05), on nine of ten seeds "
        "or more",
    ),
    "widths": Claim(
        ("edge_popup",), "wider random networks hold better masks, by median test accuracies at 16, 64 and 256 units"
    ),
    "kept": Claim(
        ("edge_popup",),
        "neither few nor all weights make the best mask: half of them have a better median than 5 % and than all",
    ),
    "bits": Claim(
        SEARCHES,
        f"the best of the masks that are found without a gradient is above {CHANCE:g} by its median, where chance has "
        "0.1, and below edge-popup's at equal cost (p < .05)",
    ),
}


class MasksAndTickets(ClaimsStudy):
    """Tickets by magnitude, masks by edge-popup, and masks that searches find bit by bit, on digits.

    A ticket of Frankle and Carbin (2019) is held against its own mask with weights that were drawn again, which says
    that the weights count; a random mask as sparse is shown beside them. Edge-popup (Ramanujan et al. 2020) learns
    scores by a gradient and trains no weight; searches without a gradient look for masks of the same network.
    """

    claim = "Small parts of random networks do what is said of them, trained or not, and are found as is said."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.1, sizes={"claims": ["kept"], "share": 0.05}),
        "docs": Profile(seeds=10, minutes=10, sizes={"claims": list(CLAIMS), "share": 1.0}),
        "full": Profile(seeds=20, minutes=20, sizes={"claims": list(CLAIMS), "share": 1.0}),
    }

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        share = profile.sizes["share"]
        chosen = {arm: way for claim in profile.sizes["claims"] for arm, way in WAYS[claim].items()}
        return {arm: Arm((*given, f"budget.forwards={cost * share:g}")) for arm, (cost, given) in chosen.items()}

    def comparisons(self, results: Results) -> list[Compared]:
        asked = [(TICKET, REDRAWN), *((POPUP, name) for name in SEARCHES)]  # all, for the best is known afterwards
        there = [(a, b) for a, b in asked if results.arms.get(a) and results.arms.get(b)]
        return compare(results, there, ACCURACY, higher=True)

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        values = {arm: found for arm in results.arms if (found := accuracies(results, arm))}
        found = {each.b: each for each in compared}
        if {TICKET, REDRAWN, RANDOM} <= values.keys() and REDRAWN in found:
            won, seeds = sum(a > b for a, b in paired(results, TICKET, REDRAWN)), len(values[TICKET])
            said = "; ".join(f"{arm} {shown(values[arm])}" for arm in (TICKET, REDRAWN, RANDOM))
            holds = found[REDRAWN].better == TICKET and won >= 0.9 * seeds
            measured = f"on {won} of {seeds} ({p_of(found[REDRAWN])}); {said}"
            yield Finding(CLAIMS["ticket"], measured, holds, forwards_of(results, TICKET))
        for name, arms in (
            ("widths", {w: popup(w, HALF) for w in WIDTHS}),
            ("kept", {k: popup(WIDE, k) for k in KEPT}),
        ):
            if set(arms.values()) <= values.keys():
                ends = [median(values[arm]) for arm in arms.values()]
                said = ", ".join(f"{size:g}: {shown(values[arm])}" for size, arm in arms.items())
                holds = ends[0] < ends[1] < ends[2] if name == "widths" else ends[1] > max(ends[0], ends[2])
                yield Finding(CLAIMS[name], said, holds, forwards_of(results, popup(WIDE, HALF)))
        if best := best_search(results):
            said = "; ".join(f"{arm} {shown(values[arm])}" for arm in (*SEARCHES, POPUP) if arm in values)
            holds = median(values[best]) > CHANCE and best in found and found[best].better == POPUP
            measured = f"{said}{f'; {p_of(found[best])}' if best in found else ''}"
            yield Finding(CLAIMS["bits"], measured, holds, forwards_of(results, best))

    def draw(self, results: Results) -> Figure | None:
        return dots_of({arm: accuracies(results, arm) for arm in results.arms}, "test accuracy")


def popup(width: int, keep: float) -> str:
    """The name of an arm of edge-popup."""
    return f"edge-popup, {width} units, keep {keep:g}"


def best_search(results: Results) -> str | None:
    """The search whose masks have the highest median; None where edge-popup was not run beside it."""
    there = {name: median(found) for name in SEARCHES if (found := accuracies(results, name))}
    return max(there, key=lambda name: there[name]) if there and accuracies(results, POPUP) else None


def paired(results: Results, a: str, b: str) -> list[tuple[float, float]]:
    """The accuracies of two arms by seed."""
    first, second = (results.values(arm, ACCURACY, higher=True) for arm in (a, b))
    return [(first[seed], second[seed]) for seed in first if seed in second]


PRUNED = (
    "strategy=iterative_magnitude_pruning",
    "model.hidden=[300,100]",
    "dataset.batch_size=64",
    "strategy.rounds=12",
    "strategy.sparsity=0.98",
    "strategy.train.lr=1e-3",
    "strategy.train.schedule=constant",
)
MASK = ("model.hidden=[64]", "encoding=supermask")


def popup_way(width: int, keep: float) -> tuple[float, tuple[str, ...]]:
    """Forwards and overrides of edge-popup."""
    size = (f"model.hidden=[{width},{width}]", f"strategy.keep={keep}")
    return 1.3e5, ("strategy=edge_popup", *size, "dataset.batch_size=64")


WAYS: Mapping[str, Mapping[str, tuple[float, tuple[str, ...]]]] = {  # claim -> arm -> forwards, overrides
    "ticket": {
        TICKET: (1e6, PRUNED),
        REDRAWN: (1e6, (*PRUNED, "strategy.survivors=redraw")),
        RANDOM: (1e6, (*PRUNED, "strategy.mask=random")),
    },
    "widths": {popup(width, HALF): popup_way(width, HALF) for width in WIDTHS},
    "kept": {popup(WIDE, keep): popup_way(WIDE, keep) for keep in KEPT},
    "bits": {
        "pbil": (1e7, ("strategy=pbil", "encoding.rule=sign", *MASK)),
        "genetic_algorithm": (1e7, ("strategy=genetic_algorithm", *MASK)),
        "nevergrad": (1e7, ("strategy=nevergrad", "strategy.optimizer=DiscreteOnePlusOne", *MASK)),
        POPUP: (1e7, ("strategy=edge_popup", "model.hidden=[64]")),
    },
}
