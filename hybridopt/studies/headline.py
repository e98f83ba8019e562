"""C12: every strategy on every task, at equal cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridopt.core.study import Arm, Judgement, Profile, Results, Study, Verdict
from hybridopt.study.comparing import Compared, compare_values, table
from hybridopt.study.standings import Scores, Standings, best
from hybridopt.study.stored import stored
from hybridopt.study.suites import suite_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase

GRADIENT = ("adam", "adamw", "sgd", "rmsprop", "cool_momentum", "sgld", "lbfgs")
FREE = (
    *("openai_es", "eggroll", "snes", "cem", "lm_ma_es", "asebo"),
    *("genetic_algorithm", "deep_ga", "differential_evolution", "particle_swarm", "simulated_annealing"),
    *("nevergrad", "random_search", "ensemble_kalman_inversion", "ensemble_kalman_filter"),
    *("mezo", "spsa", "coordinate_finite_differences"),
)
BOTH = ("esgd", "pbt", "memetic", "lottery_ticket", "guided_es")
OTHER = ("forward_gradient", "edge_popup", "learned_supermask", "iterative_magnitude_pruning")
KINDS = {"gradient": GRADIENT, "gradient-free": FREE, "both": BOTH, "other": OTHER}
FEW = ["adam", "openai_es", "random_search"]  # of the smallest profile
ALL = [name for kind in KINDS.values() for name in kind]
SHARE = 0.75  # of the tasks and budgets, on which one kind must be better
SHOWN = 12  # strategies whose profiles are drawn: the best ones
MARKS = 10  # of a budget
WIDTH = 9.0  # inches of the figure
SHIPPED = Path(__file__).parent / "stored"


class Headline(Study):
    """All strategies that train a network on small tables and images, on the tasks of a suite, at equal cost.

    Each is tuned by the same number of trials over what it declares, on each task and budget, by validation. There the
    best method that uses gradients and the best that does not are those with the best median of the final validation;
    they meet on the test, paired by seed, so that nobody is chosen where he is judged. Hybrids, and what trains masks
    or by forward mode, are ranked and decide nothing.

    Args:
        suite: small, standard, or large (for a GPU).
        strategy: one strategy, such as your own: it alone is run, and ranked among the results of the others that are
            kept.
        against: the file of those; that which is shipped for the suite if empty.
    """

    number = 12
    claim = "Gradient-free training converges more slowly, and to worse solutions."
    said_by = "D.W., in the thread."
    rule = (
        "Supported if the best gradient method is better than the best gradient-free one (p < .05, paired by seed, "
        f"Holm) on at least {SHARE:.0%} of the tasks and budgets, and worse on none; refuted if it is worse on as "
        "many, and better on none; not distinguishable if neither is better anywhere; else mixed."
    )

    def __init__(self, suite: str = "small", strategy: str = "", against: str = ""):
        chosen = suite_of(suite)
        self.tasks = {name: task for name, task in chosen.tasks.items() if task.installed}
        self.suite, self.budgets, self.strategy, self.against = suite, chosen.budgets, strategy, against
        self.profiles = {
            "smoke": Profile(seeds=2, minutes=0.2, sizes={"tasks": ["wine"], "budgets": [3e4], "strategies": FEW}),
            "docs": Profile(chosen.seeds, chosen.minutes, chosen.trials, sizes={"strategies": ALL}),
            "full": Profile(2 * chosen.seeds, 4 * chosen.minutes, 3 * chosen.trials, sizes={"strategies": ALL}),
        }
        scores = dict.fromkeys(task.metric for task in self.tasks.values())
        self.metrics = tuple(f"{part}/{score}" for score in scores for part in ("test", "final/val"))

    @property
    def shipped(self) -> Path:
        """Where the results of this suite are shipped."""
        return SHIPPED / f"headline-{self.suite}.parquet"

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        places = [
            (task, budget)
            for task in profile.sizes.get("tasks", self.tasks)
            for budget in profile.sizes.get("budgets", self.budgets)
        ]
        strategies = [self.strategy] if self.strategy else profile.sizes["strategies"]
        return {f"{task} {b:g} {name}": self._arm(task, b, name) for task, b in places for name in strategies}

    def _arm(self, task: str, budget: float, strategy: str) -> Arm:
        size = (f"budget.forwards={budget:g}", f"budget.marks={MARKS}")
        overrides = (f"strategy={strategy}", *self.tasks[task].overrides, *size)
        return Arm(overrides, tuned=True, tuned_for=f"final/val/{self.tasks[task].metric}")

    def judge(self, results: Results) -> Judgement:
        results = self._with_others(results)
        standings, duels = Standings(self._scores(results, "test")), self._duels(results)
        found = [f"On {place} the best by validation met: {duel}." for place, duel in duels.items()]
        if self.strategy:
            found.insert(0, standings.place_of(self.strategy))
        tables = [
            table(list(duels.values()), "The best gradient method and the best gradient-free one, on the test"),
            standings.table(kind_of),
            *(standings.table_of(place, f"test {self._metric(place)}") for place in standings.scores),
        ]
        numbers = {f"rank/{name}": standings.mean_rank(name) for name in standings.order}
        numbers |= {f"{place}/gradient": duel.found.a for place, duel in duels.items()}
        numbers |= {f"{place}/gradient-free": duel.found.b for place, duel in duels.items()}
        return Judgement(verdict(list(duels.values())), found, tables, numbers)

    def draw(self, results: Results) -> Figure:
        """The overview; below it the critical differences of ranks, and the profiles of the best."""
        from hybridopt.toolbox.figures import new_figure

        standings = self._standings(results)
        heights = [height(standings), max(2.0, 0.13 * len(standings.order)), 4.0]
        figure = new_figure(figsize=(WIDTH, sum(heights)), layout="constrained")
        top, middle, bottom = figure.subfigures(3, 1, squeeze=False, height_ratios=heights).flat
        self._draw_overview(top, standings)
        standings.draw(middle.subplots(), bottom.subplots(), "accuracy or r2 of the test", SHOWN)
        return figure

    def overview(self, results: Results) -> Figure:
        """What strategies of each kind reach on each task with the largest budget: the answer at a glance."""
        from hybridopt.toolbox.figures import new_figure

        standings = self._standings(results)
        figure = new_figure(figsize=(WIDTH, height(standings)), layout="constrained")
        self._draw_overview(figure, standings)
        return figure

    def _draw_overview(self, figure: FigureBase, standings: Standings) -> None:
        places = largest(standings)
        axes = figure.subplots(-(-len(places) // 2), min(2, len(places)), squeeze=False).flat
        for each, place in zip(axes, places, strict=False):
            standings.draw_kinds(each, place, kind_of)
            title = f"{task_of(place)}, {budget_of(place):,.0f} forwards"
            each.set(title=title, xlabel=f"{self._metric(place)} of the test")
            each.grid(alpha=0.3)

    def _standings(self, results: Results) -> Standings:
        return Standings(self._scores(self._with_others(results), "test"))

    def _with_others(self, results: Results) -> Results:
        """Results beside those that are kept, where one strategy alone was run; the smallest profile has no others."""
        if not self.strategy or results.profile == "smoke":
            return results
        kept = Path(self.against) if self.against else self.shipped
        return replace(results, arms={**stored(kept).arms, **results.arms})

    def _scores(self, results: Results, part: str) -> Scores:
        """Task and budget -> strategy -> seed -> score of the test, or of validation."""
        found: dict[str, dict[str, dict[str, float]]] = {}
        for arm in results.arms:
            place, _, strategy = arm.rpartition(" ")
            found.setdefault(place, {})[strategy] = results.values(arm, f"{part}/{self._metric(place)}", higher=True)
        return found

    def _metric(self, place: str) -> str:
        return self.tasks[task_of(place)].metric

    def _duels(self, results: Results) -> dict[str, Compared]:
        """On each task and budget the best of both kinds, corrected for all of them."""
        validation, test = self._scores(results, "final/val"), self._scores(results, "test")
        values: dict[str, Mapping[str, float]] = {}
        pairs: dict[str, Any] = {}
        for place, scores in validation.items():
            pair = (best(GRADIENT, scores), best(FREE, scores))
            if None not in pair:
                values |= {f"{place} {name}": test[place][str(name)] for name in pair}
                pairs[place] = tuple(f"{place} {name}" for name in pair)
        return dict(zip(pairs, compare_values(values, list(pairs.values()), higher=True), strict=True))


def task_of(place: str) -> str:
    """The task of a task and its budget."""
    return place.partition(" ")[0]


def budget_of(place: str) -> float:
    """The budget of a task and its budget, in forwards."""
    return float(place.partition(" ")[2])


def largest(standings: Standings) -> list[str]:
    """Each task with its largest budget."""
    return list({task_of(place): place for place in sorted(standings.scores, key=budget_of)}.values())


def height(standings: Standings) -> float:
    """Of the overview, in inches: two tasks are side by side."""
    return 2.2 * -(-len(largest(standings)) // 2)


def kind_of(strategy: str) -> str:
    """Whether a strategy uses gradients, in a word; nothing of one that is not ours."""
    return next((kind for kind, names in KINDS.items() if strategy in names), "")


def verdict(duels: Sequence[Compared]) -> Verdict:
    """By the rule."""
    better, worse = sum(each.better == each.a for each in duels), sum(each.better == each.b for each in duels)
    if not (better or worse):
        return "not distinguishable"
    if better >= SHARE * len(duels) and not worse:
        return "supported"
    return "refuted" if worse >= SHARE * len(duels) and not better else "mixed"
