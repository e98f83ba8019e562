"""C6: a template is found at initialisation, then gradient descent tweaks it, against gradient descent alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hybridopt.core.study import Arm, Judgement, Profile, Results, Study, Table, Verdict
from hybridopt.study.comparing import Compared, compare_values, medians, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRIC = "test/accuracy"
MARGIN = 0.02  # of accuracy, up to which two arms are as good as each other
SHARE = 0.3  # of all forwards, for the template
LABELS: Mapping[str, tuple[str, ...]] = {
    "few labels": ("dataset.val_fraction=0.47", "dataset.test_fraction=0.47", "dataset.batch_size=null"),
    "many labels": ("dataset.batch_size=64",),
}
ALONE, SUBNETWORK, MASK = "Adam alone", "subnetwork of edge-popup", "mask of edge-popup"
CONTROLS = {SUBNETWORK: "random subnetwork", MASK: "random mask"}  # the same with nothing found
TICKET = ("strategy=lottery_ticket", f"strategy.search_share={SHARE}")
KEEP = "keep=0.5"
POPUP = ("strategy/search=edge_popup", "strategy.search.init=model", f"strategy.search.{KEEP}")
ES = ("popsize=20", "sigma=0.05")
EKI = ("ensemble=50", "redraw_every=14", "h0=2", "final_sigma=0.1")


def phases(search: str, *settings: str) -> tuple[str, ...]:
    """A search, then Adam from where it ends."""
    return (
        "strategy=sequence",
        f"+strategy/phases@strategy.phases.search={search}",
        "+strategy/phases@strategy.phases.descend=adam",
        f"+strategy.shares.search={SHARE}",
        *(f"strategy.phases.search.{each}" for each in settings),
    )


TEMPLATES: Mapping[str, tuple[str, ...]] = {
    SUBNETWORK: phases("edge_popup", KEEP),
    MASK: (*TICKET, *POPUP),
    "mask of an evolution strategy": (*TICKET, *(f"strategy.search.{each}" for each in ES)),
    "start of an evolution strategy": phases("openai_es", *ES),
    "start of Kalman inversion": phases("ensemble_kalman_inversion", *EKI),
}
WAYS = (ALONE, *TEMPLATES, *CONTROLS.values())


class Templates(Study):
    """Masks and starts that are found before Adam trains, against Adam alone with as many forwards in all.

    The idea of the thread: random networks hold good templates, so find one first and let gradient descent do the rest.
    Three tenths of the budget go to the template. Edge-popup's subnetwork is where all weights start from; its mask,
    and one that an evolution strategy finds without a gradient, leave weights out for good; an evolution strategy and
    ensemble Kalman inversion move all weights before Adam does. Edge-popup's network begins with other weights than
    Adam's, of one size and larger, so that its template has to beat a random subnetwork of the same kind as well, and
    its mask a random one as sparse.

    All are tuned by equal numbers of trials, learning rates first of all, by the accuracy of validation, which has more
    labels than the training set where these are few: a help that all arms share. Small populations suit short budgets.
    """

    number = 6
    claim = "Find a good template at initialisation, then tweak it by gradient descent."
    said_by = "The thread (Bloc97)."
    rule = (
        "Four conditions: few or many labels, a short or a long budget. Supported if in more than half of them one of "
        "the five templates has a better test accuracy than Adam alone, and than its control with nothing found where "
        "it has one (edge-popup's); refuted if in none, and at least half of all comparisons with Adam come out worse, "
        f"or as good up to {MARGIN}; not distinguishable if none comes out at all; else mixed. Each by p < .05, paired "
        "by seed, Holm over all comparisons."
    )
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.2, sizes={"budgets": [8e3]}),
        "docs": Profile(seeds=15, minutes=8, trials=8, sizes={"budgets": [6e4, 6e5]}),
        "full": Profile(seeds=20, minutes=90, trials=20, sizes={"budgets": [3e4, 6e4, 2e5, 6e5, 2e6]}),
    }
    metrics = (METRIC, "test/loss")
    base = ("dataset.split_seed=${seed}", "model.hidden=[64,64]")

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        arms = {}
        for labels, data in LABELS.items():
            for budget in profile.sizes["budgets"]:
                here, spent = condition(labels, budget), f"budget.forwards={budget:g}"
                arms[arm_of(here, ALONE)] = Arm(("strategy=adam", *data, spent), True, "final/val/accuracy")
                for name, overrides in TEMPLATES.items():
                    arms[arm_of(here, name)] = Arm((*overrides, *data, spent), True, "final/val/accuracy")
                random = (*phases("edge_popup", KEEP, "lr=1e-9"), *data, spent)  # scores that stay as they were drawn
                arms[arm_of(here, CONTROLS[SUBNETWORK])] = Arm(random, True, "final/val/accuracy")
                random = (*TEMPLATES[MASK], "strategy.mask=random", *data, spent)
                arms[arm_of(here, CONTROLS[MASK])] = Arm(random, settings_of=arm_of(here, MASK))
        return arms

    def judge(self, results: Results) -> Judgement:
        values = {arm: results.values(arm, METRIC, higher=True) for arm in results.arms}
        found, middle = compared(values), medians(values)
        alone = [each for each in found if each.b.endswith(ALONE)]
        better = [each for each in alone if each.better == each.a]
        worse = sum(each.better == each.b for each in alone)
        equal = sum(each.equivalent and not each.better for each in alone)
        told = better or [max(alone, key=lambda each: each.found.improvement)]
        conditions = conditions_of(values)
        beaten = [
            sum(each.better == each.a for each in found if each.b.endswith(f": {other}")) for other in CONTROLS.values()
        ]
        sentences = [
            f"Of {len(alone)} comparisons with Adam alone {len(better)} are better, {worse} worse, and {equal} as good "
            f"up to {MARGIN}.",
            *(f"{each}." for each in told),
            *(
                f"The {way} is better than a {other} in {wins} of {len(conditions)} conditions."
                for (way, other), wins in zip(CONTROLS.items(), beaten, strict=True)
            ),
        ]
        rows = [[way, *(f"{middle[arm_of(here, way)].value:.3f}" for here in conditions)] for way in WAYS]
        listed = Table(["arm", *conditions], rows, "Median test accuracies")
        numbers = {"better": float(len(better)), "worse": float(worse), "as good": float(equal)}
        return Judgement(verdict(found), sentences, [listed, table(found)], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import dots, panels

        values = {arm: results.values(arm, METRIC, higher=True) for arm in results.arms}
        conditions = conditions_of(values)
        figure, axes = panels(len(conditions))
        for here, panel in zip(conditions, axes, strict=True):
            shown = {way: list(values[arm_of(here, way)].values()) for way in WAYS}
            dots(panel, shown, "test accuracy")
            panel.set_title(here, fontsize="small")
        return figure


def condition(labels: str, budget: float) -> str:
    """The name of a condition."""
    return f"{labels}, {budget:,.0f} forwards"


def arm_of(here: str, way: str) -> str:
    """The name of an arm."""
    return f"{here}: {way}"


def conditions_of(arms: Mapping[str, object]) -> list[str]:
    """Those that were run, in their order."""
    return list(dict.fromkeys(arm.partition(": ")[0] for arm in arms))


def compared(values: Mapping[str, Mapping[str, float]]) -> list[Compared]:
    """Each template and Adam alone, and its control if it has one, in each condition."""
    conditions = conditions_of(values)
    pairs = [(arm_of(here, way), arm_of(here, ALONE)) for here in conditions for way in TEMPLATES]
    pairs += [(arm_of(here, way), arm_of(here, other)) for here in conditions for way, other in CONTROLS.items()]
    there = [pair for pair in pairs if set(pair) <= values.keys()]
    return compare_values(values, there, higher=True, margin=MARGIN, metric=METRIC)


def verdict(found: Sequence[Compared]) -> Verdict:
    """By the rule."""
    alone = [each for each in found if each.b.endswith(ALONE)]
    lost = {each.a for each in found if not each.b.endswith(ALONE) and each.better != each.a}  # no better than chance
    won = {each.a.partition(": ")[0] for each in alone if each.better == each.a and each.a not in lost}
    if 2 * len(won) > len(conditions_of({each.b: each for each in alone})):
        return "supported"
    against = [each for each in alone if each.better == each.b or (each.equivalent and not each.better)]
    if not won and 2 * len(against) >= len(alone):
        return "refuted"
    return "mixed" if won or against else "not distinguishable"
