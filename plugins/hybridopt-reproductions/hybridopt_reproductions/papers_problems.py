"""Searches on the problems of their papers: subspaces, surrogate gradients, novelty, safe steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from hybridopt import Profile, Results, Table
from hybridopt.study.comparing import Compared, compare_values
from hybridopt.study.succeeding import compare_rates, rates_table
from hybridopt_reproductions import points
from hybridopt_reproductions.claims import Claim, ClaimsStudy, Finding, by_seed, finite, middle, p_of, rule_of

GUIDED, PLAIN, BIASED = "guided", "unguided", "biased gradient"
SUBSPACE, WHOLE = "with the subspace", "without"
NOVELTY, REWARD, RANDOM = "nsr_es", "openai_es", "random_search"
SAFE, UNSAFE = "safe_mutation", "genetic_algorithm"
WALKERS = ("ns_es", NOVELTY, "nsra_es", REWARD, RANDOM, UNSAFE)
SAVED, CLOSER, BY_CHANCE = 3, 100, 0.1
PROBLEMS = {"guided": (GUIDED, PLAIN, BIASED), "asebo": (SUBSPACE, WHOLE), "trap": WALKERS, "safe": (SAFE, UNSAFE)}
CLAIMS = {
    "guided": Claim(
        ("guided_es",),
        "on the authors' problem it ends below the plateau of the biased gradient, and below an unguided strategy "
        "(p < .05 each)",
    ),
    "asebo": Claim(
        ("asebo",),
        "three active directions of 200 are found, and save two losses of three: the median without is at least three "
        "times that with them",
    ),
    "trap": Claim(
        ("ns_es", "nsr_es", "nsra_es"),
        "novelty and reward together (nsr_es) escape a trap more often than reward alone does (openai_es, p < .05), "
        f"which random search escapes on at most {BY_CHANCE:.0%} of the seeds",
    ),
    "safe": Claim(
        ("safe_mutation",),
        f"on the authors' two weights of unequal weight, safe steps end {CLOSER} times closer in as many losses, by "
        "medians",
    ),
}


class PapersProblems(ClaimsStudy):
    """Guided evolution strategies, ASEBO, novelty search and safe mutations, on the problems of their papers.

    Guided evolution strategies (Maheswaranathan et al. 2019, https://arxiv.org/abs/1806.10230): least squares in 1000
    dimensions, whose gradient is lent a bias of its own size and noise of one and a half. ASEBO (Choromanski et al.
    2019, https://arxiv.org/abs/1903.04268): a loss that changes in three directions of 200. Novelty search (Conti et
    al. 2018, https://arxiv.org/abs/1712.06560): a robot that walks into a cup, and must go around. Safe mutations
    (Lehman et al. 2018, https://arxiv.org/abs/1712.06563): two weights, of which one counts a thousand times as much.
    """

    claim = "Searches do on the problems of their papers what is said of them."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    compared_by = "excess loss"
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.1, sizes={"problems": ["asebo", "trap", "safe"], "share": 0.01}),
        "docs": Profile(seeds=10, minutes=7, sizes={"problems": list(PROBLEMS), "share": 1.0}),
        "full": Profile(seeds=30, minutes=20, sizes={"problems": list(PROBLEMS), "share": 1.0}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        return {
            f"{problem}, {way}, seed {seed}": {
                "problem": problem, "way": way, "seed": seed, "share": profile.sizes["share"]
            }
            for problem in profile.sizes["problems"]
            for way in PROBLEMS[problem]
            for seed in profile.fresh
        }  # fmt: skip

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """The excess loss, the losses that were needed, how far from the goal, or the error at the end."""
        way, seed, share = cell["way"], cell["seed"], cell["share"]
        if cell["problem"] == "guided":
            found = points.excess(way, seed, share)
        elif cell["problem"] == "asebo":
            found = points.needed(way == SUBSPACE, seed, share)
        elif cell["problem"] == "trap":
            found = points.distance(way, seed, share)
        else:
            found = points.error(way, seed, share)
        return {cell["problem"]: way, "seed": seed, "end": finite(found)}

    def comparisons(self, results: Results) -> list[Compared]:
        values = by_seed(results, "guided", PROBLEMS["guided"], "end")
        return compare_values(values, [(GUIDED, other) for other in (PLAIN, BIASED)]) if values else []

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        ends = {problem: by_seed(results, problem, ways, "end") for problem, ways in PROBLEMS.items()}
        said = {
            problem: "; ".join(f"{way} {middle(list(of.values()))}" for way, of in found.items())
            for problem, found in ends.items()
        }
        if compared:
            ps = ", ".join(f"{p_of(each)} against {each.b}" for each in compared)
            holds = all(each.better == GUIDED for each in compared)
            yield Finding(CLAIMS["guided"], f"excess loss: {said['guided']}; {ps}", holds, points.GUIDED_LOSSES)
        if ends["asebo"].keys() >= {SUBSPACE, WHOLE}:
            least, most = (median(ends["asebo"][way].values()) for way in (SUBSPACE, WHOLE))
            yield Finding(CLAIMS["asebo"], f"losses: {said['asebo']}", SAVED * least <= most)
        if ends["trap"].keys() >= {NOVELTY, REWARD, RANDOM}:
            solved = successes(results)
            (each,) = compare_rates(solved, [(NOVELTY, REWARD)])
            counts = ", ".join(f"{way} {sum(of)} of {len(of)}" for way, of in solved.items())
            lucky = sum(solved[RANDOM]) / len(solved[RANDOM])
            holds = each.better == NOVELTY and lucky <= BY_CHANCE
            yield Finding(CLAIMS["trap"], f"{counts}; p = {each.p:.2g}", holds, points.WALKS)
        if ends["safe"].keys() >= {SAFE, UNSAFE}:
            near, far = (median(ends["safe"][way].values()) for way in (SAFE, UNSAFE))
            yield Finding(CLAIMS["safe"], f"error: {said['safe']}", CLOSER * near < far)

    def tables(self, results: Results) -> Sequence[Table]:
        solved = successes(results)
        return [rates_table(solved, "Escapes from the trap")] if solved else []


def successes(results: Results) -> dict[str, list[bool]]:
    """Whether each robot ends near the goal."""
    values = by_seed(results, "trap", WALKERS, "end")
    return {way: [end < points.NEAR for end in of.values()] for way, of in values.items()}
