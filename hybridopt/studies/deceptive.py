"""C18: evolution strategies where the loss points away from the goal: a robot in a cup, and traps of bits."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from hybridopt.composition import building
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.objective import Objective
from hybridopt.core.oracle import Oracle
from hybridopt.core.spec import DataSpec
from hybridopt.core.study import Arm, Cell, Judgement, Profile, Results, Study, Verdict
from hybridopt.study.succeeding import RatesCompared, compare_rates, comparisons_table, percent, rate, rates_table
from hybridopt.testing.by_hand import begin, deploy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLAIN, NOVEL = ("openai_es", "snes"), ("ns_es", "nsr_es", "nsra_es")
STRATEGIES = (*PLAIN, *NOVEL)
MUST_BEAT = ("adam", "random_search")  # by an evolution strategy that is to count as superior
RIVALS = (*MUST_BEAT, "genetic_algorithm", "deep_ga")
ROBOT, TRAPS = "robot", "traps"
PROBLEMS = (ROBOT, TRAPS)
SPREAD = 0.15  # of starts and goals: random search, with the best of three widths, arrives in 1 of 50 tries here
ARRIVED = 0.02  # of the mean squared error: straight through the wall it is 0.17
BLOCKS, BITS = 7, 3  # of the traps
RANGES = {"sigma": (0.03, 3.0), "lr": (0.01, 1.0)}  # of what is tuned on traps, log-uniformly
TUNED = {
    "adam": ("lr",),
    "random_search": ("sigma",),
    "genetic_algorithm": ("sigma",),
    "deep_ga": ("sigma",),
    "snes": ("sigma",),
    "openai_es": ("sigma", "lr"),
    **dict.fromkeys(NOVEL, ("sigma", "lr")),
}


class Deceptive(Study):
    """Evolution strategies, plain and with novelty, against genetic algorithms, descent and chance on two traps.

    A problem is deceptive where what lowers the loss leads away from the optimum. Two such are taken, both so that
    random search finds the optimum in fewer than one run of ten. A robot (``model=point_robot``) stands in a cup, and
    the way around its walls begins away from the goal; all of it can be differentiated, so that Adam has its true
    gradient. Seven blocks of three bits are traps (Goldberg, Deb & Horn 1992): of a block all ones are the best, and
    otherwise each one makes it worse. Searches move seven times three numbers, whose signs are the bits; Adam descends
    the exact expectation of the loss over bits that are drawn with the probabilities sigmoid(z).

    Plain strategies follow the gradient of a smoothed loss, so that they should be deceived as the gradient is, unless
    they smooth more widely than the trap is. The literature's cases are of strategies that seek novelty (Conti et al.
    2018, https://arxiv.org/abs/1712.06560), which are run too, and told apart. Everything has the same budget and the
    same number of trials for its settings: of the robot by validation, of the traps on seeds of their own. That
    strategies scale over many machines is another claim, and is not tested here.
    """

    number = 18
    claim = "Evolution strategies are superior on deceptive problems."
    said_by = "The thread; Conti et al. 2018, https://arxiv.org/abs/1712.06560."
    rule = (
        "On a problem an evolution strategy is superior if it succeeds more often than Adam and than random search "
        "(Fisher's test, p < .05, Holm over each of the strategies against Adam, random search and two genetic "
        "algorithms, on both problems). Supported if a plain strategy (OpenAI-ES or SNES) is superior on both; refuted "
        "if no strategy, novelty or not, is superior on any, and on one at least something else succeeds more often "
        f"than each of them; not distinguishable if neither; else mixed. The robot succeeds if its test loss is "
        f"at most {ARRIVED}, on traps a run that ends in the optimum."
    )
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.2, sizes={"forwards": 2e3, "evaluations": 500}),
        "docs": Profile(seeds=25, minutes=9, trials=8, judges=2, sizes={"forwards": 1e5, "evaluations": 2e4}),
        "full": Profile(seeds=50, minutes=60, trials=30, judges=3, sizes={"forwards": 2e5, "evaluations": 4e4}),
    }
    base = ("dataset.split_seed=${seed}",)

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        task = (
            "dataset=detour",
            "dataset.samples=48",
            f"dataset.spread={SPREAD}",
            "model=point_robot",
            "objective=mse",
            "budget.marks=10",
        )
        budget = f"budget.forwards={profile.sizes['forwards']:g}"
        return {name: Arm((*task, budget, f"strategy={name}"), tuned=True) for name in (*STRATEGIES, *RIVALS)}

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        sizes = {"evaluations": profile.sizes["evaluations"], "trials": profile.trials, "judges": profile.judges}
        seeds = list(profile.fresh)
        return {f"{TRAPS}, {name}": {"strategy": name, "seeds": seeds, **sizes} for name in (*STRATEGIES, *RIVALS)}

    def compute(self, **cell: Any) -> Cell:
        """Losses on the traps, by seed, and the settings that were chosen."""
        name, evaluations = cell["strategy"], cell["evaluations"]
        trials = [drawn(name, trial) for trial in range(max(1, cell["trials"]))]
        judged = [
            statistics.fmean(trapped(name, settings, evaluations, seed) for seed in range(cell["judges"]))
            for settings in (trials if len(trials) > 1 else [])
        ]
        best = trials[judged.index(min(judged))] if judged else trials[0]
        losses = {str(seed): trapped(name, best, evaluations, seed) for seed in cell["seeds"]}
        return {"strategy": name, "settings": best, "losses": losses}

    def judge(self, results: Results) -> Judgement:
        successes = {problem: successes_on(problem, results) for problem in PROBLEMS}
        named = {f"{arm}, {problem}": hits for problem, of in successes.items() for arm, hits in of.items()}
        pairs = [(f"{a}, {p}", f"{b}, {p}") for p in PROBLEMS for a in STRATEGIES for b in RIVALS]
        compared = compare_rates(named, pairs)
        superior = {problem: superiors(compared, problem) for problem in PROBLEMS}
        found = [
            f"{problem.capitalize()}: "
            + ", ".join(f"{arm} {percent(rate(hits))}" for arm, hits in of.items() if hits)
            + f". Superior to Adam and to random search: {', '.join(superior[problem]) or 'no evolution strategy'}."
            for problem, of in successes.items()
        ]
        numbers = {
            f"{problem}/{arm}": rate(hits).value
            for problem, of in successes.items()
            for arm, hits in of.items()
            if hits
        }
        tables = [rates_table(named, "Success rates"), comparisons_table(compared, "Fisher's test, Holm's correction")]
        return Judgement(verdict(compared, superior), found, tables, numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import panels

        figure, axes = panels(len(PROBLEMS))
        for problem, panel in zip(PROBLEMS, axes, strict=True):
            rates = {arm: rate(hits) for arm, hits in successes_on(problem, results).items() if hits}
            for row, share in enumerate(reversed(rates.values())):
                panel.plot([share.low, share.high], [row, row], color="C0")
                panel.plot([share.value], [row], "o", color="C1")
            panel.set_yticks(range(len(rates)), list(rates)[::-1])
            panel.set(xlim=(-0.03, 1.03), xlabel=f"success rate, {problem}")
        return figure


# -- traps ------------------------------------------------------------------------------------------------------------


class Point(nn.Module):
    """Its parameters (blocks * bits,), whatever the input.

    Args:
        start: the first ones.
    """

    def __init__(self, start: Tensor):
        super().__init__()
        self.z = nn.Parameter(start)

    def forward(self, inputs: Tensor) -> Tensor:
        return (1.0 * self.z).expand(len(inputs), -1)


class Traps(Objective):
    """The mean over blocks of 0 where all bits are ones, else (1 + ones) / bits: the less of them, the better."""

    differentiable: ClassVar[bool] = False

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        ones = (outputs > 0).unflatten(-1, (-1, BITS)).sum(-1)
        return torch.where(ones == BITS, 0.0, (1 + ones) / BITS).mean()

    def metrics(self, spec: DataSpec) -> MetricCollection:
        return MetricCollection({})


class ExpectedTraps(Traps):
    """Its expectation over independent bits that are 1 with the probabilities sigmoid(outputs)."""

    differentiable: ClassVar[bool] = True

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        chances = outputs.sigmoid().unflatten(-1, (-1, BITS))
        return ((1 + chances.sum(-1) - (1 + BITS) * chances.prod(-1)) / BITS).mean()


def trapped(strategy: str, settings: Mapping[str, float], evaluations: float, seed: int) -> float:
    """The loss of what a strategy recommends in the end; 0 is the optimum."""
    torch.manual_seed(seed)
    model = Point(0.1 * torch.randn(BLOCKS * BITS))
    built = building.build("strategy", {"name": strategy, **settings})
    objective = ExpectedTraps() if strategy == "adam" else Traps()
    oracle = Oracle(model, objective, Ledger(Budget(forwards=evaluations)), torch.Generator().manual_seed(seed))
    batch = (torch.zeros(1, 1), torch.zeros(1, 1))
    begin(built, oracle, batch)
    while not oracle.exhausted:
        built.step(oracle, batch)
    deploy(built, oracle)
    with torch.no_grad():
        return float(Traps().loss(model(batch[0]), batch[1]))


def drawn(strategy: str, trial: int) -> dict[str, float]:
    """Settings of a trial; those of the first are in the middle of their ranges."""
    generator = torch.Generator().manual_seed(trial)
    found = {}
    for name in TUNED[strategy]:
        low, high = map(math.log, RANGES[name])
        share = float(torch.rand((), generator=generator)) if trial else 0.5
        found[name] = round(math.exp(low + share * (high - low)), 4)
    return found


# -- what is said -----------------------------------------------------------------------------------------------------


def successes_on(problem: str, results: Results) -> dict[str, list[bool]]:
    """Whether each run has succeeded, by strategy."""
    if problem == ROBOT:
        losses = {arm: results.values(arm, "test/loss") for arm in results.arms}
        return {arm: [loss <= ARRIVED for loss in of.values()] for arm, of in losses.items()}
    return {cell["strategy"]: [loss == 0 for loss in cell["losses"].values()] for cell in results.cells.values()}


def superiors(compared: Sequence[RatesCompared], problem: str) -> list[str]:
    """The evolution strategies that beat Adam and random search on a problem."""
    won = {(each.a, each.b) for each in compared if each.better == each.a}
    return [
        arm for arm in STRATEGIES if all((f"{arm}, {problem}", f"{other}, {problem}") in won for other in MUST_BEAT)
    ]


def verdict(compared: Sequence[RatesCompared], superior: Mapping[str, Sequence[str]]) -> Verdict:
    """By the rule."""
    if all(any(arm in found for arm in PLAIN) for found in superior.values()):
        return "supported"
    if any(superior.values()):
        return "mixed"
    lost = {(each.a, each.b) for each in compared if each.better == each.b}
    beaten = [
        all((f"{arm}, {problem}", f"{rival}, {problem}") in lost for arm in STRATEGIES)
        for problem in superior
        for rival in RIVALS
    ]
    return "refuted" if any(beaten) else "not distinguishable"
