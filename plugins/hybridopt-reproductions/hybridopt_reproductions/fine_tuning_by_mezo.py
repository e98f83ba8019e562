"""MeZO against Adam, fine-tuning a small transformer: how far it comes, in many more forwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hybridopt import Profile, Results
from hybridopt.study.comparing import Compared, compare_values
from hybridopt_reproductions.claims import Claim, ClaimsStudy, Finding, dots_of, rule_of, shown
from hybridopt_reproductions.transfer import PatchTransformer, accuracy, changed, fine_tuned, pretrained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE, TUNING = 64, 1000  # of a batch; the seed that judges learning rates
MARGIN = 0.03  # of test accuracy
MEZO, ADAM, BEFORE = "mezo", "adam", "before"
ARMS: Mapping[str, tuple[Sequence[float], int]] = {  # learning rates, and forwards
    ADAM: ((1e-3, 3e-3, 1e-2), 3 * SIZE * 500),
    MEZO: ((1e-4, 2e-4, 4e-4), 2 * SIZE * 12_000),
}
CLAIMS = {
    "as far": Claim(
        (MEZO,),
        "a transformer that Adam has trained, fine-tuned to digits of half the contrast, is as good as by Adam up to "
        f"{100 * MARGIN:.0f} points of test accuracy (two one-sided tests, p < .05), or better",
    ),
}


class FineTuningByMezo(ClaimsStudy):
    """A small transformer, trained by Adam and fine-tuned to digits of half the contrast, by MeZO and by Adam.

    MeZO (Malladi et al. 2023, https://arxiv.org/abs/2305.17333) is said to come as far as Adam where a network was
    trained before. The transformer sees digits as sixteen patches with a mask. Both are tuned alike: the best of three
    learning rates by validation accuracy on a seed that is not among those that count; neither has a schedule. MeZO has
    sixteen times the forwards: the claim is on how far, and not on how soon. Tried before on blurred digits, which are
    further away: there MeZO came less far than Adam.
    """

    claim = "Fine-tuning by MeZO comes as far as by Adam, in many more forwards."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.05, sizes={"share": 0.002}),
        "docs": Profile(seeds=5, minutes=8, sizes={"share": 1.0}),
        "full": Profile(seeds=20, minutes=22, sizes={"share": 1.0}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        sizes = {"seeds": list(profile.fresh), "share": profile.sizes["share"]}
        return {arm: {"arm": arm, **sizes} for arm in ARMS}

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """A learning rate is chosen, and a network of each seed fine-tuned: its accuracy before and after."""
        arm, share, test = cell["arm"], cell["share"], changed("dimmed", True)[1]["test"]
        best = max(ARMS[arm][0], key=lambda rate: adapted(arm, rate, TUNING, "val", share))
        before = {str(s): accuracy(pretrained(PatchTransformer, s, steps_of(share)), test) for s in cell["seeds"]}
        after = {str(seed): adapted(arm, best, seed, "test", share) for seed in cell["seeds"]}
        return {"arm": arm, "rate": best, BEFORE: before, "after": after, "forwards": round(share * ARMS[arm][1])}

    def comparisons(self, results: Results) -> list[Compared]:
        values = {arm: dict(cell["after"]) for arm, cell in results.cells.items()}
        return compare_values(values, [(MEZO, ADAM)], higher=True, margin=MARGIN)

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        (found,) = compared
        cells = results.cells
        said = "; ".join(
            f"{arm} {shown(list(cells[arm]['after'].values()))} at lr {cells[arm]['rate']:g} in "
            f"{cells[arm]['forwards']:,} forwards"
            for arm in ARMS
        )
        before = shown(list(cells[MEZO][BEFORE].values()))
        measured = (
            f"test accuracy {before} before; {said}; p of a difference beyond the margin = {found.equivalence:.2g}"
        )
        yield Finding(CLAIMS["as far"], measured, found.better == MEZO or found.equivalent, cells[MEZO]["forwards"])

    def draw(self, results: Results) -> Figure | None:
        values = {BEFORE: list(results.cells[MEZO][BEFORE].values())}
        return dots_of(values | {arm: list(results.cells[arm]["after"].values()) for arm in ARMS}, "test accuracy")


def steps_of(share: float) -> int:
    """Steps of Adam before the fine-tuning."""
    return max(10, round(2000 * share))


def adapted(arm: str, rate: float, seed: int, held_out: str, share: float) -> float:
    """Accuracy after fine-tuning with a learning rate."""
    bounds = {"probe": 0} if arm == MEZO else {}
    settings = {"name": arm, "lr": rate, "schedule": "constant", **bounds}
    forwards = max(4 * SIZE, share * ARMS[arm][1])
    module = fine_tuned(PatchTransformer, "dimmed", settings, SIZE, forwards, seed, steps_of(share))
    return accuracy(module, changed("dimmed", True)[1][held_out])
