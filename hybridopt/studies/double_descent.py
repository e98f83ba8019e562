"""C5: whether winning tickets explain why the test error falls a second time as networks grow."""

from __future__ import annotations

import itertools
import operator
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch.nn.functional import one_hot

from hybridopt.api import build, compose
from hybridopt.core.data import TensorDataModule
from hybridopt.core.study import Cell, Judgement, Profile, Results, Study, Table, Verdict
from hybridopt.report.interval import LEVEL
from hybridopt.study.comparing import Compared, compare_values, table
from hybridopt.study.tickets import Data, Network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAMPLES, NOISE = 500, 0.15  # of training, and the share of their labels that are wrong
FEATURES = (50, 100, 200, 300, 400, 450, 500, 550, 600, 800, 1200, 2000, 4000)
RIDGES = {"least squares": 0.0, "ridge": 0.1}  # times the samples
CLASSES = 10
KEPT = 592  # weights of a ticket: as many as a network of 8 units has, which just fits the training set
DECAY = 3e-3  # of the weights, by Adam's L2 penalty
EQUAL = 0.02  # of error, up to which a ticket is as good as its control
LABELS = {
    "error": "trained",
    "ticket": f"ticket of {KEPT} weights",
    "redrawn": "the same, redrawn",
    "decayed": "with weight decay",
}
WIDE, PEAK, NARROW, HALF = "widest", "peak", "best before the peak", "halfway from the peak to the widest"
TICKET, REDRAWN = "ticket of the widest", "the same, weights redrawn"
DECAYED, HALF_DESCENT = "descent with weight decay", "half of the descent"
FIXED_WIDE, FIXED_PEAK = "most features", "as many features as samples"
PAIRS = (
    (PEAK, NARROW),
    (WIDE, PEAK),
    (TICKET, HALF),
    (TICKET, REDRAWN),
    (DECAYED, HALF_DESCENT),
    (FIXED_WIDE, FIXED_PEAK),
)


class DoubleDescent(Study):
    """Double descent over the width of networks, and what tickets, weight decay and fixed features say of it.

    The thread's explanation: a wider network holds more tickets, and a better one wins. Then the quality of tickets
    goes with the test error where that falls a second time (1); a ticket of the widest network, with as few weights as
    the network that just fits the data, carries its advantage (2), and owes that to its first weights (3); the second
    descent does not hang on weight decay, which leaves the tickets there (4); and it is not there where no weight is
    trained but those of the last layer, so that nothing is drawn (5). The first is a correlation and proves nothing: it
    is the others that could break.

    Networks 64-w-10 on 500 digits, of which 15 % have a wrong label, by 1000 full-batch steps of Adam; tickets by
    iterative magnitude pruning, half of the weights a round, rewound to the first ones. Fixed features are random ReLU
    features with the last layer by least squares of the smallest norm, and with a ridge. Where the peak is, each seed
    is told by the others, so that no seed chooses its own worst width.
    """

    number = 5
    claim = "The lottery-ticket hypothesis explains double descent: larger networks hold better tickets."
    said_by = "The thread; Nakkiran et al. 2019, https://arxiv.org/abs/1912.02292, for double descent."
    rule = (
        "Not distinguishable if the test error of the networks does not rise to a peak and fall again. Else five "
        "things follow from the claim. (1) Over widths beyond the one that just fits the data, the errors of tickets "
        "rise and fall with the networks' (Spearman, exact permutation test). (2) The ticket of the widest network is "
        "below halfway from the peak to the widest. (3) It is better than the same mask with its weights redrawn; "
        f"broken if not, and worse or equal up to {EQUAL}. (4) With weight decay more than half of the descent is "
        "left. (5) With fixed features there is no second descent, that is none or one of less than "
        f"{EQUAL}. Supported if all hold, refuted if one of 2 to 5 is broken and none of them holds, else mixed. Each "
        "by p < .05; differences paired by seed, Holm."
    )
    profiles = {
        "smoke": Profile(seeds=2, minutes=0.1, sizes={"widths": [4, 8, 16], "steps": 20}),
        "docs": Profile(seeds=20, minutes=5, sizes={"widths": [4, 5, 6, 8, 11, 16, 32, 64, 128], "steps": 1000}),
        "full": Profile(
            seeds=40, minutes=60, sizes={"widths": [3, 4, 5, 6, 8, 11, 16, 23, 32, 64, 128, 256, 512], "steps": 2000}
        ),
    }

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        networks = {"widths": profile.sizes["widths"], "steps": profile.sizes["steps"]}
        given = {seed: {"seed": seed, **networks} for seed in profile.fresh}
        return {f"networks, seed {seed}": each for seed, each in given.items()} | {
            f"features, seed {seed}": {"seed": seed} for seed in given
        }

    def compute(self, **cell: Any) -> Cell:
        """Test errors: of networks and their tickets over widths, or of fixed features over their number."""
        seed, data = cell["seed"], digits(cell["seed"])
        if "widths" in cell:
            return by_networks(data, cell["widths"], cell["steps"], seed)
        return {name: [by_features(data, count, ridge, seed) for count in FEATURES] for name, ridge in RIDGES.items()}

    def judge(self, results: Results) -> Judgement:
        found = compared(results)
        rho, p = correlation(results)
        kept = predictions(found, rho, p)
        words = {None: "undecided", True: "holds", False: "broken"}
        ridge = np.mean([cell["ridge"] for cell in of_features(results)], axis=0)
        sentences = [
            f"Over widths the errors of tickets and of networks have a rank correlation of {rho:.2f} (p = {p:.2g}).",
            *(f"{each}." for each in found),
            f"With a ridge the error of {SAMPLES} fixed features is {ridge[FEATURES.index(SAMPLES)]:.3f}, that of "
            f"{FEATURES[-1]:,} is {ridge[-1]:.3f}.",
            "Of what follows from the claim: "
            + "; ".join(f"({i}) {words[one]}" for i, one in enumerate(kept, 1))
            + ".",
        ]
        numbers = {"rank correlation": rho} | {f"difference/{each.a}": each.found.difference.value for each in found}
        return Judgement(verdict(found, kept), sentences, [table(found), listed(results)], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import band, panels

        figure, (left, right) = panels(2)
        for name in ("error", "ticket", "redrawn", "decayed"):
            over = widths_of(results, name)
            if over:
                values = [[cell[name][str(width)] for width in over] for cell in of_networks(results)]
                band(left, over, torch.tensor(values).numpy(), LABELS[name])
        for name in RIDGES:
            band(right, FEATURES, torch.tensor([cell[name] for cell in of_features(results)]).numpy(), name)
        left.set(xscale="log", xlabel="hidden units", ylabel="test error")
        right.set(xscale="log", xlabel="random features", ylabel="test error")
        for axes in (left, right):
            axes.legend(fontsize="x-small")
        return figure


# -- what is measured -------------------------------------------------------------------------------------------------


def digits(seed: int) -> Data:
    """Digits in a split of their own, some of whose training labels are wrong."""
    module = cast(TensorDataModule, build(compose("strategy=adam", f"dataset.split_seed={seed}")).datamodule)
    module.setup("fit")
    inputs, targets = (torch.cat([part[i] for part in module.sets.values()]) for i in (0, 1))
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(inputs), generator=generator)
    inputs, targets = inputs[order].flatten(1), targets[order]
    learned = targets[:SAMPLES].clone()
    wrong = torch.rand(SAMPLES, generator=generator) < NOISE
    learned[wrong] = (learned + torch.randint(1, CLASSES, (SAMPLES,), generator=generator))[wrong] % CLASSES
    return Data(inputs[:SAMPLES], learned, inputs[SAMPLES:], targets[SAMPLES:])


def by_features(data: Data, count: int, ridge: float, seed: int) -> float:
    """The test error of so many random features, with the last layer by least squares."""
    inputs = data.inputs.shape[1]
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(inputs, count, generator=generator).double() / inputs**0.5
    train, test = ((part.double() @ weight).relu() for part in (data.inputs, data.test_inputs))
    left, sizes, right = torch.linalg.svd(train, full_matrices=False)
    scale = sizes / (sizes**2 + ridge * SAMPLES)
    scale[sizes < 1e-10 * sizes.max()] = 0.0  # of all solutions that of the smallest norm
    signed = 2.0 * one_hot(data.targets, CLASSES).double() - 1
    return data.error(test @ (right.T @ (scale[:, None] * (left.T @ signed))))


def by_networks(data: Data, widths: Sequence[int], steps: int, seed: int) -> Cell:
    """Test errors by width, which JSON has as text: trained, with weight decay, of the ticket, and of its control."""
    found: dict[str, dict[str, float]] = {name: {} for name in LABELS}
    for width in widths:
        network, name = Network(data, width, CLASSES, seed), str(width)
        found["error"][name] = network.trained(steps)
        if network.size > KEPT:
            found["ticket"][name] = network.ticket(KEPT, steps)
            found["redrawn"][name] = network.redrawn(steps)
        found["decayed"][name] = Network(data, width, CLASSES, seed).trained(steps, DECAY)
    return found


# -- what is said -----------------------------------------------------------------------------------------------------


def of_networks(results: Results) -> list[Cell]:
    """The cells of networks."""
    return [cell for cell in results.cells.values() if "error" in cell]


def of_features(results: Results) -> list[Cell]:
    """The cells of fixed features."""
    return [cell for cell in results.cells.values() if "ridge" in cell]


def widths_of(results: Results, name: str) -> list[int]:
    """Widths for which there is such an error."""
    return sorted(int(width) for width in of_networks(results)[0][name])


def mean_error(cells: Sequence[Cell], name: str, width: int) -> float:
    """Over seeds."""
    return statistics.fmean(cell[name][str(width)] for cell in cells)


def values_of(results: Results) -> dict[str, dict[str, float]]:
    """What is compared, by seed: test errors, and differences of them."""
    cells, widths = of_networks(results), widths_of(results, "error")
    found: dict[str, dict[str, float]] = {}
    for i, cell in enumerate(cells):
        others = cells[:i] + cells[i + 1 :] or cells
        # neither the smallest third of the widths nor the widest network can be the peak
        peak = max(widths[len(widths) // 3 : -1], key=lambda width: mean_error(others, "error", width))
        narrow = min([width for width in widths if width < peak], key=lambda w: mean_error(others, "error", w))
        at = {name: {width: cell[name].get(str(width)) for width in widths} for name in LABELS}
        top, end = at["error"][peak], at["error"][widths[-1]]
        values = {PEAK: top, NARROW: at["error"][narrow], WIDE: end, HALF: (top + end) / 2}
        values |= {TICKET: at["ticket"][widths[-1]], REDRAWN: at["redrawn"][widths[-1]]}
        values |= {DECAYED: at["decayed"][peak] - at["decayed"][widths[-1]], HALF_DESCENT: (top - end) / 2}
        for name, value in values.items():
            found.setdefault(name, {})[str(i)] = value
    middle = FEATURES.index(SAMPLES)
    fixed = [cell["least squares"] for cell in of_features(results)]
    found[FIXED_PEAK] = {str(i): errors[middle] for i, errors in enumerate(fixed)}
    found[FIXED_WIDE] = {str(i): errors[-1] for i, errors in enumerate(fixed)}
    return found


def compared(results: Results) -> list[Compared]:
    """All that the verdict rests on but the correlation, in the order of :data:`PAIRS`."""
    return compare_values(values_of(results), PAIRS, margin=EQUAL, metric="test error")


def correlation(results: Results) -> tuple[float, float]:
    """Spearman's rho of the mean errors of tickets and networks over widths, and its exact one-sided p."""
    from scipy.stats import rankdata

    cells, widths = of_networks(results), widths_of(results, "ticket")
    if len(widths) < 3:
        return 0.0, 1.0
    errors, tickets = ([mean_error(cells, name, width) for width in widths] for name in ("error", "ticket"))
    one, other = rankdata(errors), rankdata(tickets)
    agree = float(one @ other)
    orders = [sum(map(operator.mul, one, order)) for order in itertools.permutations(other)]
    p = sum(each >= agree - 1e-9 for each in orders) / len(orders)
    rho = float(np.corrcoef(one, other)[0, 1]) if np.ptp(one) and np.ptp(other) else 0.0
    return rho, p


def predictions(found: Sequence[Compared], rho: float, p: float) -> list[bool | None]:
    """Whether each of the five holds (True), is broken (False), or neither can be told."""
    by_pair = {(each.a, each.b): each for each in found}
    holds: list[bool | None] = [True if p <= LEVEL else False if rho <= 0 else None]
    for pair in PAIRS[2:]:
        each = by_pair[pair]
        holds.append(None if each.better is None else each.better == each.a)
    if holds[2] is None and by_pair[TICKET, REDRAWN].equivalent:
        holds[2] = False
    for i in (3, 4):  # of these, less is against the claim
        holds[i] = None if holds[i] is None else not holds[i]
    if by_pair[FIXED_WIDE, FIXED_PEAK].equivalent:
        holds[4] = True
    return holds


def verdict(found: Sequence[Compared], kept: Sequence[bool | None]) -> Verdict:
    """By the rule."""
    rise, descent = found[0], found[1]
    if rise.better != NARROW or descent.better != WIDE:
        return "not distinguishable"
    if all(kept):
        return "supported"
    return "refuted" if False in kept[1:] and not any(kept[1:]) else "mixed"


def listed(results: Results) -> Table:
    """Mean test errors over widths."""
    cells = of_networks(results)
    rows = [[str(width), *(said(cells, name, width) for name in LABELS)] for width in widths_of(results, "error")]
    return Table(["hidden units", *LABELS.values()], rows, "Mean test errors")


def said(cells: Sequence[Cell], name: str, width: int) -> str:
    """A mean error, or a dash where there is none."""
    return f"{mean_error(cells, name, width):.3f}" if str(width) in cells[0][name] else "-"
