"""C1: what a gradient costs over a loss, and how much more it knows of where the loss falls."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hybridopt.core.study import Cell, Judgement, Profile, Results, Study, Table, Verdict
from hybridopt.report.interval import Interval
from hybridopt.report.page import interval
from hybridopt.report.verdict import number
from hybridopt.study.comparing import Compared, compare_values, table
from hybridopt.study.network import Batch, Network
from hybridopt.study.scaling import exponent
from hybridopt.study.steps import best_descent, damped_steps, differences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NETWORKS: Mapping[str, Mapping[int, tuple[str, ...]]] = {  # kind -> d on digits -> overrides
    "mlp": {
        160: ("model.hidden=[2]",),
        985: ("model.hidden=[13]",),
        9_985: ("model.hidden=[133]",),
        100_920: ("model.hidden=[260,310]",),
        998_070: ("model.hidden=[1024,900]",),
    },
    "cnn": {
        214: ("model=cnn", "model.channels=[2,4]", "model.hidden=4"),
        690: ("model=cnn", "model.channels=[4,8]", "model.hidden=8"),
        13_706: ("model=cnn", "model.channels=[16,32]", "model.hidden=64"),
        101_308: ("model=cnn", "model.channels=[48,96]", "model.hidden=150"),
        969_208: ("model=cnn", "model.channels=[128,256]", "model.hidden=650"),
    },
    "rnn": {
        218: ("model=rnn", "model.hidden=4"),
        922: ("model=rnn", "model.hidden=12"),
        10_202: ("model=rnn", "model.hidden=52"),
        99_978: ("model=rnn", "model.hidden=176"),
        997_510: ("model=rnn", "model.hidden=570"),
    },
}
UNITS = {310: 4, 2_410: 32, 19_210: 256, 76_810: 1024}  # d -> hidden units of the networks that take steps
STAGES = (0, 30, 300)  # steps of Adam, after which steps are tried
SAMPLES = 512  # on which the descent is measured
FIRST = 0.5  # the expected best step along the gradient
DAMPING = (1e-4, 1e-2, 1.0)  # of Levenberg and Marquardt's steps
SMALL = 2_410  # parameters up to which these are taken

GRADIENT, CURVED = "gradient", "Levenberg-Marquardt"
DRAWS = {"forward gradient": 16, "two losses": 16, "ES, 4 pairs": 8, "ES, 64 pairs": 4}  # of an estimate's directions
PAIRS = {"forward gradient": 1, "two losses": 1, "ES, 4 pairs": 4, "ES, 64 pairs": 64}  # of losses, or slopes
PRICES = {GRADIENT: 3, "forward gradient": 2, "two losses": 2, "ES, 4 pairs": 8, "ES, 64 pairs": 128, CURVED: 21}
CHEAP, FLAT = 5.0, 0.1  # times a loss, and an exponent
LEAST = 1e-15  # a descent per forward below which there is none

Prices = Mapping[str, Mapping[float, Sequence[float]]]  # kind -> d -> for each seed


class GradientPrice(Study):
    """The time of a gradient over that of a loss, and the descent per forward of steps along gradients and estimates.

    Reverse-mode differentiation gives all d derivatives for at most about five times the operations of the function,
    whatever d (Baur and Strassen 1983, https://doi.org/10.1016/0304-3975(83)90110-X; Griewank and Walther 2008). Here
    it is timed, on batches of 256 digits: the least time of a pass forward and backward over the least of one forward,
    which alternate, for three kinds of networks of a hundred to a million parameters, by one thread, in float32. Memory
    is another price, which grows with batch and depth, and is not measured.

    What a gradient is worth is measured by steps: from three stages of training one step is taken along the gradient
    of a batch, or along an estimate of it, and the descent of the training loss counts, per forward. Each kind of step
    has the length that is best for it in the mean over draws of its directions, so that no setting holds a method back.
    Estimates are the slope along one Gaussian direction (forward gradients), two losses along random signs, and
    evolution strategies with 4 and 64 pairs. Steps of Levenberg and Marquardt, on small networks, show what more than
    the gradient is worth; solving their equations is not charged.
    """

    number = 1
    claim = "Gradients are cheap to compute, and describe the local geometry of the loss."
    said_by = "The thread; Bolker."
    rule = (
        f"Supported if a gradient with its loss takes at most {CHEAP:g} times as long as the loss for each kind and "
        "size of network (median over seeds), with an exponent over d for each kind whose interval ends below "
        f"{FLAT:g}, and a step along it lowers the loss more per forward than one along any gradient-free estimate at "
        f"each size (p < .05, paired by seed, Holm). Refuted if it takes more than {CHEAP:g} times as long on the "
        "largest network of each kind, or an estimate lowers the loss more per forward on the largest network (p < "
        ".05, Holm); else mixed."
    )
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.1, sizes={"timed": 2, "seconds": 0.02, "steps": [310]}),
        "docs": Profile(seeds=8, minutes=4, sizes={"timed": 5, "seconds": 0.5, "steps": list(UNITS)}),
        "full": Profile(seeds=20, minutes=25, sizes={"timed": 5, "seconds": 2.0, "steps": list(UNITS)}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        seconds, count = profile.sizes["seconds"], profile.sizes["timed"]
        timed = {
            f"time of {kind}, d = {d:,}, seed {seed}": {"kind": kind, "d": d, "seed": seed, "seconds": seconds}
            for kind, networks in NETWORKS.items()
            for d in list(networks)[:count]
            for seed in profile.fresh
        }
        steps = {
            f"steps, d = {d:,}, seed {seed}": {"kind": "steps", "d": d, "seed": seed}
            for d in profile.sizes["steps"]
            for seed in profile.fresh
        }
        return timed | steps

    def compute(self, **cell: Any) -> Cell:
        """Of one network: the seconds of a loss and of a gradient, or the descent by kind of step, over the stages."""
        named = {name: cell[name] for name in ("kind", "d", "seed")}
        if cell["kind"] != "steps":
            return named | timed(NETWORKS[cell["kind"]][cell["d"]], cell["seed"], cell["seconds"])
        stages = list(descents(cell["d"], cell["seed"]))
        return named | {"descents": {name: [stage[name] for stage in stages] for name in stages[0]}}

    def judge(self, results: Results) -> Judgement:
        kinds = {kind: prices(results, kind) for kind in NETWORKS}
        growth = {kind: exponent(of) for kind, of in kinds.items()}
        found = compared(results)
        largest = max(sizes_of(results))
        worth = {name: advantages(results, name) for name in DRAWS}
        sentences = [
            *(said_of_price(kind, kinds[kind], growth[kind]) for kind in kinds),
            *(said_of_steps(name, of) for name, of in worth.items()),
        ]
        numbers = {f"price/{kind}": median(of[max(of)]) for kind, of in kinds.items()}
        numbers |= {f"exponent/{kind}": grown.value for kind, grown in growth.items()}
        numbers |= {f"advantage/{name}": median(of[largest]) for name, of in worth.items() if of.get(largest)}
        tables = [price_table(kinds, growth), step_table(results), table(found, "Descent per forward (log)")]
        return Judgement(verdict(kinds, growth, found, largest), sentences, tables, numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import legend, panels

        figure, (left, right) = panels(2)
        for kind in NETWORKS:
            of = prices(results, kind)
            left.plot(list(of), [median(values) for values in of.values()], "o-", markersize=4, label=kind)
        left.axhline(CHEAP, color="grey", linewidth=0.8)
        left.set(xscale="log", xlabel="parameters d", ylabel="time of a gradient over a loss", ylim=(0, None))
        for name in DRAWS:
            of = {d: values for d, values in advantages(results, name).items() if values}
            right.plot(list(of), [median(values) for values in of.values()], "o-", markersize=4, label=name)
        right.set(xscale="log", yscale="log", xlabel="parameters d", ylabel="descent per forward, over an estimate's")
        legend(left)
        legend(right)
        return figure


# -- what is measured -------------------------------------------------------------------------------------------------


def timed(overrides: Sequence[str], seed: int, seconds: float) -> dict[str, float]:
    """The least time of a loss and of a gradient with its loss, which alternate for so many seconds or five times."""
    network = Network(overrides, seed, torch.float32)
    batch = network.batch()

    @torch.no_grad()
    def forward() -> None:
        network.loss(batch)

    best = {"loss": math.inf, "gradient": math.inf}
    runs = {"loss": forward, "gradient": lambda: network.gradient(batch)}
    started, rounds = time.perf_counter(), 0
    while rounds < 5 or time.perf_counter() - started < seconds:
        for name, run in runs.items():
            before = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - before)
        rounds += 1
    return best


def descents(d: int, seed: int) -> Iterator[dict[str, float]]:
    """At each stage: by which share of itself the training loss falls per forward, by kind of step."""
    network, done = Network((f"model.hidden=[{UNITS[d]}]",), seed), 0
    generator, ends = torch.Generator().manual_seed(seed), network.training(SAMPLES)
    for steps in STAGES:
        network.descend(steps - done)
        done, batch = steps, network.batch()
        gradient, here = network.gradient(batch), float(network.losses(network.weights[None], ends))
        found = {GRADIENT: best_descent(network, gradient[None], FIRST, ends)}
        for name, draws in DRAWS.items():
            estimates = torch.stack([estimate(name, network, gradient, batch, generator) for _ in range(draws)])
            found[name] = best_descent(network, estimates, FIRST * PAIRS[name] / (PAIRS[name] + d), ends)
        if d <= SMALL:
            ahead = network.weights - torch.stack([*damped_steps(network, batch, DAMPING)])
            found[CURVED] = here - float(network.losses(ahead, ends).min())
        yield {name: max(0.0, fall) / here / (PRICES[name] * len(batch[1])) for name, fall in found.items()}


def estimate(name: str, network: Network, gradient: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
    """An estimate of the gradient (d,), by slopes along random directions."""
    noise = torch.randn(PAIRS[name], len(gradient), generator=generator, dtype=gradient.dtype)
    if name == "forward gradient":
        return (noise @ gradient) @ noise  # the exact slope
    return differences(network, noise.sign() if name == "two losses" else noise, batch)


# -- values -----------------------------------------------------------------------------------------------------------


def prices(results: Results, kind: str) -> dict[float, list[float]]:
    """The time of a gradient over that of a loss, by d, for each seed."""
    cells = [cell for cell in results.cells.values() if cell["kind"] == kind]
    return {
        float(d): [cell["gradient"] / cell["loss"] for cell in cells if cell["d"] == d]
        for d in sorted({cell["d"] for cell in cells})
    }


def sizes_of(results: Results) -> list[int]:
    """Parameters of the networks that take steps."""
    return sorted({cell["d"] for cell in results.cells.values() if cell["kind"] == "steps"})


def falls(results: Results, d: int, name: str) -> dict[str, float]:
    """The descent per forward of a kind of step, by seed: the mean over stages of what it is a share of the loss."""
    cells = [cell for cell in results.cells.values() if (cell["kind"], cell["d"]) == ("steps", d)]
    return {str(cell["seed"]): fmean(cell["descents"][name]) for cell in cells if name in cell["descents"]}


def advantages(results: Results, name: str) -> dict[float, list[float]]:
    """How many times an estimate's the gradient's descent per forward is, by d, for seeds on which both descend."""
    found = {}
    for d in sizes_of(results):
        ours, theirs = falls(results, d, GRADIENT), falls(results, d, name)
        found[float(d)] = [ours[seed] / fall for seed, fall in theirs.items() if fall > 0 and ours[seed] > 0]
    return found


def compared(results: Results) -> list[Compared]:
    """The gradient and each estimate at each d, by the logarithm of the descent per forward."""
    values = {
        f"{name}, d = {d:,}": {seed: math.log(max(LEAST, fall)) for seed, fall in falls(results, d, name).items()}
        for d in sizes_of(results)
        for name in (GRADIENT, *DRAWS)
    }
    pairs = [(f"{GRADIENT}, d = {d:,}", f"{name}, d = {d:,}") for d in sizes_of(results) for name in DRAWS]
    return compare_values(values, pairs, higher=True)


def verdict(kinds: Prices, growth: Mapping[str, Interval], found: Sequence[Compared], largest: int) -> Verdict:
    """By the rule."""
    medians = {kind: [median(values) for _, values in sorted(of.items())] for kind, of in kinds.items()}
    cheap = all(max(of) <= CHEAP for of in medians.values()) and all(grown.high < FLAT for grown in growth.values())
    if cheap and all(each.better == each.a for each in found):
        return "supported"
    beaten = any(each.better == each.b for each in found if each.a.endswith(f" d = {largest:,}"))
    if beaten or all(of[-1] > CHEAP for of in medians.values()):
        return "refuted"
    return "mixed"


# -- what is said -----------------------------------------------------------------------------------------------------


def said_of_price(kind: str, of: Mapping[float, Sequence[float]], grown: Interval) -> str:
    """The price of a gradient of a kind of network."""
    medians = [median(values) for values in of.values()]
    return (
        f"{kind}: a gradient with its loss takes {min(medians):.2f} to {max(medians):.2f} times as long as the loss, "
        f"from d = {min(of):,.0f} to {max(of):,.0f}; the exponent over d is {interval(grown)}."
    )


def said_of_steps(name: str, of: Mapping[float, Sequence[float]]) -> str:
    """How the gradient's advantage over an estimate grows."""
    if not (told := {d: values for d, values in of.items() if values}):
        return f"{name}: no step descends."
    ends = " and ".join(f"{number(median(told[d]))} times at d = {d:,.0f}" for d in sorted({min(told), max(told)}))
    growth = f", with an exponent over d of {interval(exponent(told))}" if len(told) > 1 else ""
    return f"A step along the gradient descends more per forward than one by {name}: {ends}{growth}."


def price_table(kinds: Prices, growth: Mapping[str, Interval]) -> Table:
    """Prices by kind and size."""
    rows = [
        [kind, *(f"{d:,.0f}: {median(values):.2f}" for d, values in of.items()), interval(growth[kind])]
        for kind, of in kinds.items()
    ]
    sizes = [f"size {place}" for place in range(1, max(map(len, kinds.values())) + 1)]
    return Table(["network", *sizes, "exponent over d"], rows, "Time of a gradient over that of a loss (d: median)")


def step_table(results: Results) -> Table:
    """Descents per forward, by size."""
    names = [GRADIENT, *DRAWS, CURVED]
    rows = []
    for d in sizes_of(results):
        of = [list(falls(results, d, name).values()) for name in names]
        rows.append([f"{d:,}", *(f"{median(values):.2g}" if values else "-" for values in of)])
    return Table(["d", *names], rows, "Share of the loss that a step takes away, per forward (median over seeds)")
