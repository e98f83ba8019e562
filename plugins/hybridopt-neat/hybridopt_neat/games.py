"""C21: evolution in games, NEAT among it, against random search and a policy gradient, by steps to a solution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from hybridopt import Arm, Judgement, Outcome, Profile, Results, Study, Table, build, compose
from hybridopt.study.reaching import Reached, log_rank_tests, reach
from hybridopt.study.succeeding import percent
from hybridopt_neat.policy_gradient import PPO

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = 0.05
CHANCE, GRADIENT = "random_search", "policy gradient"
LINEAR, HIDDEN = ("model=linear",), ("model=mlp", "model.hidden=[16]", "model.activation=tanh")
EVOLUTION = {
    "neat": ("strategy=neat", "strategy.popsize=30", "model=genome_network"),
    "cma": ("strategy=nevergrad", "strategy.optimizer=CMA", "strategy.popsize=16"),
    "openai_es": ("strategy=openai_es", "strategy.popsize=20"),
    "deep_ga": ("strategy=deep_ga", "strategy.popsize=20"),
}
RATES = (1e-3, 3e-2)  # of the policy gradient, drawn log-uniformly for each trial
MARKS = 12


@dataclass(frozen=True)
class Game:
    """An environment.

    Args:
        target: the mean return over the validation episodes from which it counts as solved.
        policy: overrides of the network of all searches but NEAT.
    """

    target: float
    policy: tuple[str, ...]


GAMES = {
    "cartpole": Game(475, HIDDEN),
    "acrobot": Game(-150, LINEAR),
    "mountain_car": Game(-130, LINEAR),
    "pendulum": Game(-400, HIDDEN),
}


class Games(Study):
    """NEAT, evolution strategies and a genetic algorithm on four games, with random search and PPO to compare with.

    Games have no derivative through the environment, so that evolution is a natural choice; but policy gradients need
    none either. So evolution is compared with proximal policy optimisation (a cell, since the library trains no
    policies by sampled actions), and with random search, for a game that random search solves shows nothing about
    evolution. Costs are passes of the policy, one for each step of a game; the passes by which PPO improves its
    networks are not counted, nor those of validation. Evolution has the small networks that suit it, one layer where
    that plays the game; NEAT grows its own; PPO has a hidden layer for its actor and its critic. In seconds, or on many
    machines, the comparison may come out otherwise: a step of evolution is cheap, and needs no derivative. A generation
    plays one episode with each member, the same for all; ``docs`` buys hundreds of them, ``full`` thousands.

    What counts is when a policy first reaches a mean return, over the same ten episodes for all, at marks that are
    spread evenly over the logarithm of the budget; runs that do not get there are censored. The target of CartPole is
    gymnasium's; those of the others are easier than gymnasium's, where it has one, so that this budget can reach them.
    All have equal trials for their settings, PPO for its step size; NEAT declares none, and has those of neat-python's
    example.
    """

    number = 21
    claim = "Games are where evolution is preferred (NEAT)."
    said_by = "The thread; Stanley and Miikkulainen 2002, https://doi.org/10.1162/106365602320169811."
    rule = (
        "Evolution wins a game if one of its methods solves it in fewer steps than the policy gradient and than random "
        "search (log-rank test, p < .05, Holm over each method against both, in all games); the policy gradient wins "
        "it if it is faster than each method of evolution. Supported if evolution wins half of the games or more, and "
        "the policy gradient none; refuted if evolution wins none and the policy gradient some; not distinguishable if "
        "nobody wins any; else mixed."
    )
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.3, sizes={"games": ["cartpole"], "steps": 1e3}),
        "docs": Profile(seeds=8, minutes=12, trials=5, sizes={"games": list(GAMES), "steps": 1e5}),
        "full": Profile(seeds=20, minutes=900, trials=20, judges=3, sizes={"games": list(GAMES), "steps": 1e6}),
    }
    metrics = ("test/return", "test/loss")
    curve = "val/return"
    base = (
        *("objective=episode_return", "dataset.episodes=1", "dataset.val_episodes=10", "dataset.test_episodes=20"),
        *(f"budget.marks={MARKS}", "budget.spacing=log"),
    )

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        found = {}
        for name in profile.sizes["games"]:
            shared = (f"dataset={name}", f"budget.forwards={profile.sizes['steps']:g}")
            for way, overrides in {**EVOLUTION, CHANCE: (f"strategy={CHANCE}",)}.items():
                policy = () if way == "neat" else GAMES[name].policy
                found[arm_of(name, way)] = Arm((*shared, *policy, *overrides), way != "neat", "final/val/return")
        return found

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        return {
            arm_of(name, GRADIENT): {
                "game": name,
                "steps": profile.sizes["steps"],
                "trials": max(1, profile.trials),
                "seeds": list(profile.fresh),
            }
            for name in profile.sizes["games"]
        }

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """Curves of PPO until it solves the game, by seed, with the step size of the best trial.

        That is the one that solves it soonest on a seed of its own, or comes closest to it.
        """
        game, steps = cell["game"], cell["steps"]
        rates = [rate_of(trial) for trial in range(cell["trials"])]
        ends = [merit(played(self, game, steps, rate, 0), game) for rate in (rates if len(rates) > 1 else [])]
        lr = rates[ends.index(max(ends))] if ends else rates[0]
        return {"lr": lr, "curves": {str(seed): played(self, game, steps, lr, seed) for seed in cell["seeds"]}}

    def judge(self, results: Results) -> Judgement:
        names = [name for name in GAMES if any(runs_of(results, name, way) for way in (*EVOLUTION, CHANCE, GRADIENT))]
        times = {name: times_of(results, name) for name in names}
        faster = compared(times)
        winners = {name: winner(times[name], faster, name) for name in names}
        found = [sentence(name, times[name], winners[name]) for name in names]
        numbers = {
            f"{name}/{way}/{what}": value
            for name, of in times.items()
            for way, each in of.items()
            for what, value in (("solved", each.success.value), ("steps", each.expected.value))
            if math.isfinite(value)
        }
        tables = [steps_table(times), tests_table(faster)]
        return Judgement(verdict(list(winners.values())), found or ["Nothing has run."], tables, numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import curves, panels

        names = [name for name in GAMES if results.arms.get(arm_of(name, CHANCE))]
        figure, axes = panels(max(1, len(names)))
        for name, panel in zip(names, axes, strict=False):
            arms = {way: runs_of(results, name, way) for way in (*EVOLUTION, CHANCE, GRADIENT)}
            curves(panel, {way: runs for way, runs in arms.items() if runs}, "mean return, validation")
            panel.axhline(GAMES[name].target, color="k", linestyle=":", linewidth=1)
            panel.set(title=name, xlabel="steps")
        return figure


# -- the policy gradient ----------------------------------------------------------------------------------------------


def rate_of(trial: int) -> float:
    """The step size of a trial; that of the first is in the middle of the range."""
    share = float(torch.rand((), generator=torch.Generator().manual_seed(trial))) if trial else 0.5
    low, high = map(math.log, RATES)
    return round(math.exp(low + share * (high - low)), 5)


def merit(curve: Sequence[tuple[float, float]], game: str) -> tuple[float, float]:
    """Of a trial: the sooner it has solved the game the better; else the higher its return in the end."""
    steps, value = curve[-1]
    return (-steps, value) if value >= GAMES[game].target else (-math.inf, value)


def played(study: Study, game: str, steps: float, lr: float, seed: int) -> list[tuple[float, float]]:
    """(steps, mean validation return) at marks, until the game is solved; the likeliest action is played."""
    parts = build(compose(*study.base, f"dataset={game}", "model=linear", "strategy=random_search", f"seed={seed}"))
    parts.datamodule.setup("fit")
    batch = next(iter(parts.datamodule.val_dataloader()))
    objective, learner, curve = parts.trial.objective, PPO(parts.datamodule.spec, lr, seed), []
    marks = [steps * 10 ** (-3 * (1 - mark / MARKS)) for mark in range(1, MARKS + 1)]
    with torch.no_grad():
        while learner.steps < steps:
            with torch.enable_grad():
                learner.learn()
            if learner.steps >= marks[0]:
                marks = [mark for mark in marks if mark > learner.steps]
                outputs = objective.outputs(lambda inputs: learner.actor(inputs.flatten(0, -2))[None], batch)
                curve.append((float(learner.steps), float(outputs[0, :, 0].mean())))
                if not marks or curve[-1][1] >= GAMES[game].target:
                    break
    learner.close()
    return curve


# -- what came out ----------------------------------------------------------------------------------------------------


def arm_of(name: str, way: str) -> str:
    """The name of an arm or a cell."""
    return f"{name}: {way}"


def runs_of(results: Results, name: str, way: str) -> list[Outcome]:
    """Runs with their curves."""
    if way != GRADIENT:
        return list(results.arms.get(arm_of(name, way), ()))
    curves = results.cells.get(arm_of(name, way), {}).get("curves", {})
    return [Outcome(int(seed), {}, [(steps, value) for steps, value in curve]) for seed, curve in curves.items()]


def times_of(results: Results, name: str) -> dict[str, Reached]:
    """When each way has solved a game."""
    runs = {way: runs_of(results, name, way) for way in (*EVOLUTION, CHANCE, GRADIENT)}
    return {way: reach(of, GAMES[name].target, higher=True) for way, of in runs.items() if of}


def compared(times: Mapping[str, Mapping[str, Reached]]) -> dict[tuple[str, str, str], float]:
    """(game, a, b) -> the p of the log-rank test, by Holm; a is the faster one, by expected steps."""
    pairs = [
        (name, way, other)
        for name, of in times.items()
        for way in EVOLUTION
        for other in (GRADIENT, CHANCE)
        if way in of and other in of
    ]
    ps = log_rank_tests([(times[name][a], times[name][b]) for name, a, b in pairs])
    found = {}
    for (name, a, b), p in zip(pairs, ps, strict=True):
        first, second = (a, b) if times[name][a].expected.value <= times[name][b].expected.value else (b, a)
        found[name, first, second] = p
    return found


def winner(times: Mapping[str, Reached], faster: Mapping[tuple[str, str, str], float], name: str) -> str | None:
    """Who wins a game, by the rule."""

    def beats(a: str, b: str) -> bool:
        return faster.get((name, a, b), 1.0) <= LEVEL

    if any(beats(way, GRADIENT) and beats(way, CHANCE) for way in EVOLUTION):
        return "evolution"
    there = [way for way in EVOLUTION if way in times]
    return GRADIENT if there and all(beats(GRADIENT, way) for way in there) else None


def verdict(winners: Sequence[str | None]) -> str:
    """By the rule."""
    evolution, gradient = winners.count("evolution"), winners.count(GRADIENT)
    if not evolution:
        return "refuted" if gradient else "not distinguishable"
    return "supported" if 2 * evolution >= len(winners) and not gradient else "mixed"


def sentence(name: str, times: Mapping[str, Reached], who: str | None) -> str:
    """What was found on a game."""
    shown = ", ".join(f"{way} {percent(each.success)}" for way, each in times.items())
    fastest = min(times, key=lambda way: times[way].expected.value)
    cost = times[fastest].expected.value
    least = f" The fewest expected steps are those of {fastest}, {cost:,.0f}." if math.isfinite(cost) else ""
    return f"{name}: runs that solve it, {shown}.{least} It is won by {who or 'nobody'}."


def steps_table(times: Mapping[str, Mapping[str, Reached]]) -> Table:
    """A row for each game and way."""
    rows = [
        [name, way, percent(each.success), f"{each.expected.value:,.0f}" if any(each.reached) else "none solves it"]
        for name, of in times.items()
        for way, each in of.items()
    ]
    return Table(["game", "by", "runs that solve it", "expected steps (ERT)"], rows, "Steps until a game is solved")


def tests_table(faster: Mapping[tuple[str, str, str], float]) -> Table:
    """A row for each comparison."""
    rows = [[name, a, b, f"{p:.2g}", "yes" if p <= LEVEL else "no"] for (name, a, b), p in faster.items()]
    return Table(["game", "faster", "slower", "p", "told apart"], rows, "Log-rank tests, Holm's correction")
