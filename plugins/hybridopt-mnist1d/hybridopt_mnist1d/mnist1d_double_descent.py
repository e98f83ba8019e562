"""Double descent of MNIST-1D, as the paper has it: the test error over the width of a network, with noisy labels."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridopt import Judgement, Profile, Results, Study, Table
from hybridopt.study.comparing import Compared, compare_values, table
from hybridopt_mnist1d.noisy_labels import ERRORS, SHARES, by_features, by_networks, noisy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EQUAL = 0.02  # of error, up to which there is no rise, or no descent
FITTED = 0.01  # the training error below which a network fits its training set
SURE, RESAMPLED = 0.95, 1000  # resamplings of the seeds, and the share of them that places the peak
PEAK, NARROW, WIDE = "peak", "best before the peak", "widest"
TICKET, REDRAWN = "ticket of the widest", "the same, weights redrawn"
DECAYED_WIDE, DECAYED_PEAK = "widest, with weight decay", "peak, with weight decay"
FIXED_WIDE, FIXED_PEAK = "most features", "as many features as samples"
PAIRS = (
    (PEAK, NARROW),
    (WIDE, PEAK),
    (TICKET, WIDE),
    (TICKET, REDRAWN),
    (DECAYED_PEAK, PEAK),
    (DECAYED_WIDE, DECAYED_PEAK),
    (FIXED_WIDE, FIXED_PEAK),
)
LABELS = dict(zip(ERRORS, ("test", "training", "weight decay", "ticket", "ticket, redrawn"), strict=True))
# hidden units -> training and test error of the authors' run with label noise, on 4000 and 12,000 samples, as in
# https://github.com/greydanus/mnist1d/blob/master/notebooks/deep-double-descent.ipynb
PUBLISHED = {
    2: (0.6895, 0.6762), 3: (0.6878, 0.6886), 4: (0.6083, 0.6028), 5: (0.5920, 0.5915), 7: (0.5515, 0.5650),
    9: (0.5343, 0.5668), 12: (0.4312, 0.4679), 16: (0.4153, 0.5012), 21: (0.3558, 0.5015), 27: (0.2985, 0.5356),
    36: (0.1662, 0.5475), 47: (0.0825, 0.5576), 61: (0.0, 0.5328), 80: (0.0, 0.5131), 104: (0.0, 0.5113),
    135: (0.0, 0.4856), 177: (0.0, 0.4698), 230: (0.0, 0.4634), 300: (0.0, 0.4592),
}  # fmt: skip


class Mnist1dDoubleDescent(Study):
    """Test errors of perceptrons over their width, trained on noisy labels, beside those of the published run.

    The network is the one of the authors' notebook on double descent: 40-w-w-10 with ReLU. In their run, on 4000
    samples with 15 % of the labels resampled, the test error falls to 47 % at 12 units, rises to 56 % at 47, the last
    width with a training error, and falls to 46 % at 300. The paper shows a plot; the numbers here are those that the
    notebook prints, of one run. They trained by SGD with momentum for 500 epochs, which took 47 minutes of processor
    time. Here the samples are as many, and training is 800 full batches by Adam, so that it takes minutes and has
    several seeds. What can be compared is therefore the shape, and where the peak lies. Each seed draws data, noise and
    weights of its own.

    Besides, as in the study ``double_descent``: a ticket of the widest network with as many weights as the network that
    just fits, the same with its weights redrawn, networks with weight decay, and random ReLU features of which only the
    last layer is trained, by least squares of the smallest norm and with a ridge, on 1000 samples.
    """

    claim = (
        "With noisy labels the test error of a network on MNIST-1D rises to a peak where it just fits its training "
        "set, and falls again as it widens."
    )
    said_by = "Greydanus and Kobak 2020, https://arxiv.org/abs/2011.14439, on deep double descent."
    rule = (
        "There is double descent if the test error at the peak is above that of the best narrower network, and that of "
        "the widest network below it; each seed is told by the others which width is the peak. The peak is where it "
        f"should be if, in {SURE:.0%} of resamplings of the seeds, it is at most one width from the narrowest network "
        f"with a mean training error below {FITTED:.0%}. Supported if both hold; mixed if there is double descent, and "
        "the peak is elsewhere or cannot be placed; refuted if there is no rise or no descent, that is the opposite or "
        f"less than {EQUAL}; else not distinguishable. Each by p < .05, paired by seed, Holm over all comparisons. "
        "Tickets, weight decay and fixed features are told, and do not count."
    )
    profiles = {
        "smoke": Profile(
            seeds=2, minutes=0.2, sizes={"samples": 100, "widths": [4, 8, 16], "fits": 4, "from": 16, "steps": 20}
        ),
        "docs": Profile(
            seeds=8,
            minutes=4,
            sizes={
                "samples": 4000,
                "widths": [8, 12, 16, 23, 32, 45, 64, 128],
                "fits": 64,
                "from": 128,
                "steps": 800,
            },
        ),
        "full": Profile(
            seeds=20,
            minutes=150,
            sizes={
                "samples": 4000,
                "widths": [4, 6, 8, 12, 16, 23, 32, 45, 64, 90, 128, 180, 300],
                "fits": 64,
                "from": 90,
                "steps": 2000,
            },
        ),
    }

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        networks = {f"networks, seed {seed}": {"seed": seed, **profile.sizes} for seed in profile.fresh}
        fixed = {"samples": profile.sizes["samples"]}
        return networks | {f"features, seed {seed}": {"seed": seed, **fixed} for seed in profile.fresh}

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """Errors: of networks and their tickets over widths, or of fixed features over their number."""
        data = noisy(cell["seed"], cell["samples"])
        if "widths" not in cell:
            return by_features(data, cell["seed"])
        return by_networks(data, cell["widths"], cell["fits"], cell["from"], cell["steps"], cell["seed"])

    def judge(self, results: Results) -> Judgement:
        networks = of_networks(results)
        if not networks or not of_features(results):
            return Judgement("not distinguishable", ["Nothing has run."])
        found = compare_values(values_of(results), PAIRS, margin=EQUAL)
        marks, near = landmarks(mean_of(networks, "error")), placed(networks)
        fits = fitting(mean_of(networks, "fitted"))
        at = "no width" if fits is None else f"{fits} hidden units"
        ridge = np.mean([cell["ridge"] for cell in of_features(results)], axis=0)
        sentences = [
            f"The mean test error peaks at {marks[PEAK][0]} hidden units; {at} is the narrowest with a training error "
            f"below {FITTED:.0%}. In {near:.0%} of resamplings of the seeds the two are one width apart at most.",
            *(f"Test error: {each}." for each in found),
            f"With a ridge the error of as many fixed features as samples is {ridge[SHARES.index(1.0)]:.3f}, that of "
            f"{SHARES[-1]:g} times as many {ridge[-1]:.3f}.",
        ]
        errors = {f"error/{name}": value for name, (_, value) in marks.items()}
        numbers = {"peak": float(marks[PEAK][0]), "placed": near, **errors}
        return Judgement(verdict(found, near), sentences, [table(found), beside(networks), listed(networks)], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import band, legend, panels

        figure, (left, right) = panels(2)
        networks = of_networks(results)
        if not networks or not of_features(results):
            return figure
        for name in ("error", "fitted", "ticket", "decayed"):
            widths = widths_of(networks, name)
            values = np.array([[cell[name][str(width)] for width in widths] for cell in networks])
            band(left, widths, values, LABELS[name])
        left.plot(list(PUBLISHED), [test for _, test in PUBLISHED.values()], "k--", label="test, published run")
        left.set(xscale="log", xlabel="hidden units of a layer", ylabel="error")
        legend(left, "x-small")
        for name in ("least squares", "ridge"):
            band(right, SHARES, np.array([cell[name] for cell in of_features(results)]), name)
        right.set(xscale="log", xlabel="fixed features, in samples", ylabel="test error")
        legend(right)
        return figure


# -- the rule ---------------------------------------------------------------------------------------------------------

Cells = Sequence[Mapping[str, Any]]


def of_networks(results: Results) -> Cells:
    """The cells of networks."""
    return [cell for cell in results.cells.values() if "error" in cell]


def of_features(results: Results) -> Cells:
    """The cells of fixed features."""
    return [cell for cell in results.cells.values() if "ridge" in cell]


def widths_of(cells: Cells, name: str) -> list[int]:
    """Widths for which there is such an error."""
    return sorted(int(width) for width in cells[0][name])


def mean_of(cells: Cells, name: str) -> dict[int, float]:
    """Mean errors by width."""
    return {width: statistics.fmean(cell[name][str(width)] for cell in cells) for width in widths_of(cells, name)}


def landmarks(errors: Mapping[int, float]) -> dict[str, tuple[int, float]]:
    """The best width before the peak, the peak, and the widest: widths and errors, in this order.

    Neither the smallest third of the widths nor the widest network can be the peak.
    """
    widths = sorted(errors)
    peak = max(widths[len(widths) // 3 : -1], key=lambda width: errors[width])
    narrow = min([width for width in widths if width < peak], key=lambda width: errors[width])
    return {name: (width, errors[width]) for name, width in ((NARROW, narrow), (PEAK, peak), (WIDE, widths[-1]))}


def fitting(errors: Mapping[int, float]) -> int | None:
    """The narrowest width whose training error is next to nothing; None where there is none."""
    return next((width for width in sorted(errors) if errors[width] < FITTED), None)


def placed(cells: Cells) -> float:
    """The share of resamplings of the seeds in which the peak is at most one width from the fitting network."""
    widths = widths_of(cells, "error")
    kinds = ("error", "fitted")
    errors = [np.array([[cell[kind][str(width)] for width in widths] for cell in cells]) for kind in kinds]
    generator = np.random.default_rng(0)  # the same results give the same page
    near = 0
    for rows in generator.integers(len(cells), size=(RESAMPLED, len(cells))):
        test, training = (dict(zip(widths, of[rows].mean(axis=0), strict=True)) for of in errors)
        peak, fits = landmarks(test)[PEAK][0], fitting(training)
        near += fits is not None and abs(widths.index(peak) - widths.index(fits)) <= 1
    return near / RESAMPLED


def values_of(results: Results) -> dict[str, dict[str, float]]:
    """What is compared, by seed."""
    cells = of_networks(results)
    found: dict[str, dict[str, float]] = {}
    for i, cell in enumerate(cells):
        others = landmarks(mean_of([*cells[:i], *cells[i + 1 :]] or cells, "error"))
        narrow, peak, wide = (str(width) for width, _ in others.values())
        values = {NARROW: cell["error"][narrow], PEAK: cell["error"][peak], WIDE: cell["error"][wide]}
        values |= {TICKET: cell["ticket"][wide], REDRAWN: cell["redrawn"][wide]}
        values |= {DECAYED_PEAK: cell["decayed"][peak], DECAYED_WIDE: cell["decayed"][wide]}
        for name, value in values.items():
            found.setdefault(name, {})[str(i)] = value
    fixed = [cell["least squares"] for cell in of_features(results)]
    found[FIXED_PEAK] = {str(i): errors[SHARES.index(1.0)] for i, errors in enumerate(fixed)}
    found[FIXED_WIDE] = {str(i): errors[-1] for i, errors in enumerate(fixed)}
    return found


def verdict(found: Sequence[Compared], near: float) -> str:
    """By the rule."""
    rise, descent = found[:2]
    if rise.better == NARROW and descent.better == WIDE:
        return "supported" if near >= SURE else "mixed"
    broken = rise.better == PEAK or rise.equivalent or descent.better == PEAK or descent.equivalent
    return "refuted" if broken else "not distinguishable"


# -- what is said -----------------------------------------------------------------------------------------------------


def beside(cells: Cells) -> Table:
    """Where errors rise and fall, here and in the published run."""
    tests = (mean_of(cells, "error"), {width: test for width, (_, test) in PUBLISHED.items()})
    trainings = (mean_of(cells, "fitted"), {width: training for width, (training, _) in PUBLISHED.items()})
    ours, theirs = (landmarks(test) for test in tests)
    rows = [[name, *(f"{error:.3f} at {width}" for width, error in (ours[name], theirs[name]))] for name in ours]
    fits = [fitting(training) for training in trainings]
    least = ("none" if at is None else f"{of[at]:.3f} at {at}" for at, of in zip(fits, tests, strict=True))
    rows.append(["narrowest that fits", *least])
    return Table(["", "here (mean)", "published (one run)"], rows, "Test errors at hidden units of a layer")


def listed(cells: Cells) -> Table:
    """Mean errors over widths."""
    means = {name: mean_of(cells, name) for name in ERRORS}
    rows = [
        [str(width), *(f"{of[width]:.3f}" if width in of else "-" for of in means.values())]
        for width in widths_of(cells, "error")
    ]
    return Table(["hidden units", *LABELS.values()], rows, "Mean errors, of the test but for training")
