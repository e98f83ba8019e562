"""What parts of methods contribute on digits."""

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

FORWARDS = 1e7
PAIRS = (16, 64, 256)  # of an evolution strategy
BATCH = 256
STAND_IN, POINT = 0.02, 0.01  # of test accuracy
EPOCH = 3 * 1078  # forwards of an epoch of gradient descent on digits
HEAD = 1e6  # forwards of annealing
CROSSED, MUTATED = "crossover and mutation", "mutation alone"
COOL, COSINE = "CoolMomentum", "momentum with a cosine"
BASE, ANNEALED, DESCENDED = "one epoch", "its head annealed", "gradient descent instead"
CLAIMS = {
    "crossover": Claim(("genetic_algorithm",), "crossover beats mutation alone at equal cost (p < .05)"),
    "proxy": Claim(
        ("sgd_proxy",),
        "in as many steps it ends within two points of the evolution strategy that it stands for, by median test "
        f"accuracies, for {PAIRS[0]}, {PAIRS[1]} and {PAIRS[2]} pairs",
    ),
    "cooling": Claim(
        ("cool_momentum",),
        "without a schedule it is within a point of momentum with a cosine, by median test accuracies",
    ),
    "head": Claim(
        ("simulated_annealing_head",),
        "annealing the head improves a network of one epoch, and more gradient descent improves it more (p < .05 each)",
    ),
}
COMPARED = ((CROSSED, MUTATED), (ANNEALED, BASE), (DESCENDED, ANNEALED))


class Ablations(ClaimsStudy):
    """Crossover, schedules, stand-ins and annealed heads on digits, each beside what it is held against.

    Gradient descent with noise is said to stand for an evolution strategy (Zhang, Clune and Stanley 2017,
    https://arxiv.org/abs/1712.06564); ``sgd_proxy`` is that stand-in, with as many steps as its evolution strategy
    takes in 1e7 forwards. A head is annealed after one epoch of gradient descent, for as many forwards as three
    hundred epochs; gradient descent goes on as long instead. All by defaults, on the network 64-32-10; differences
    are paired by seed, and p-values corrected (Holm).
    """

    claim = "Crossover, cooling, annealed heads and stand-ins by gradient do on digits what is said of them."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.1, sizes={"claims": ["cooling"], "share": 0.04}),
        "docs": Profile(seeds=10, minutes=5, sizes={"claims": list(CLAIMS), "share": 1.0}),
        "full": Profile(seeds=20, minutes=10, sizes={"claims": list(CLAIMS), "share": 1.0}),
    }

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        share = profile.sizes["share"]
        ways = {claim: WAYS[claim] for claim in profile.sizes["claims"]}
        return {
            arm: Arm((*overrides, f"budget.forwards={forwards * share:g}"))
            for some in ways.values()
            for arm, (forwards, overrides) in some.items()
        }

    def comparisons(self, results: Results) -> list[Compared]:
        there = [(a, b) for a, b in COMPARED if a in results.arms and b in results.arms]
        return compare(results, there, ACCURACY, higher=True)

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        found = {(each.a, each.b): each for each in compared}
        values = {arm: accuracies(results, arm) for arm in results.arms}
        if each := found.get((CROSSED, MUTATED)):
            said = f"{shown(values[CROSSED])} with, {shown(values[MUTATED])} without, {p_of(each)}"
            yield Finding(CLAIMS["crossover"], said, each.better == CROSSED, forwards_of(results, CROSSED))
        if all(values.get(arm) for pairs in PAIRS for arm in (es(pairs), stand_in(pairs))):
            ends = {pairs: (values[es(pairs)], values[stand_in(pairs)]) for pairs in PAIRS}
            said = "; ".join(f"{pairs} pairs: {shown(a)} and {shown(b)}" for pairs, (a, b) in ends.items())
            gaps = [abs(median(a) - median(b)) for a, b in ends.values()]
            yield Finding(CLAIMS["proxy"], said, all(gap < STAND_IN for gap in gaps))
        if values.get(COOL) and values.get(COSINE):
            said = f"{shown(values[COOL])} against {shown(values[COSINE])}"
            holds = median(values[COOL]) > median(values[COSINE]) - POINT
            yield Finding(CLAIMS["cooling"], said, holds, forwards_of(results, COOL))
        gain, more = found.get((ANNEALED, BASE)), found.get((DESCENDED, ANNEALED))
        if gain and more:
            said = (
                f"{shown(values[BASE])} after an epoch, {shown(values[ANNEALED])} annealed ({p_of(gain)}), "
                f"{shown(values[DESCENDED])} by gradient instead ({p_of(more)})"
            )
            holds = gain.better == ANNEALED and more.better == DESCENDED
            yield Finding(CLAIMS["head"], said, holds, forwards_of(results, ANNEALED))

    def draw(self, results: Results) -> Figure | None:
        return dots_of({arm: accuracies(results, arm) for arm in results.arms}, "test accuracy")


def es(pairs: int) -> str:
    """The name of an evolution strategy's arm."""
    return f"evolution strategy, {pairs} pairs"


def stand_in(pairs: int) -> str:
    """The name of the arm of its stand-in."""
    return f"stand-in, {pairs} pairs"


def proxies() -> dict[str, tuple[float, tuple[str, ...]]]:
    """Evolution strategies, and in as many steps their stand-ins."""
    made: dict[str, tuple[float, tuple[str, ...]]] = {}
    for pairs in PAIRS:
        steps = int(FORWARDS / (2 * pairs * BATCH))
        made[es(pairs)] = FORWARDS, ("strategy=openai_es", f"strategy.popsize={2 * pairs}")
        made[stand_in(pairs)] = 3 * BATCH * steps, ("strategy=sgd_proxy", f"strategy.pairs={pairs}")
    return made


SMALL = ("model.hidden=[64]", "dataset.batch_size=32")
PLAIN = ("strategy=adam", "strategy.lr=1e-3", "strategy.schedule=constant")
WAYS: Mapping[str, Mapping[str, tuple[float, tuple[str, ...]]]] = {  # claim -> arm -> forwards, overrides
    "crossover": {
        CROSSED: (FORWARDS, ("strategy=genetic_algorithm", "strategy.crossover=1.0")),
        MUTATED: (FORWARDS, ("strategy=genetic_algorithm", "strategy.crossover=0.0")),
    },
    "proxy": proxies(),
    "cooling": {
        COOL: (6.5e4, ("strategy=cool_momentum", *SMALL)),
        COSINE: (6.5e4, ("strategy=sgd", "strategy.lr=0.05", *SMALL)),
    },
    "head": {
        BASE: (EPOCH, PLAIN),
        ANNEALED: (
            HEAD,
            (
                "strategy=simulated_annealing_head",
                f"strategy.pretrain_share={EPOCH / HEAD}",
                "strategy.pretrain.lr=1e-3",
                "strategy.pretrain.schedule=constant",
            ),
        ),
        DESCENDED: (HEAD, PLAIN),
    },
}
