"""C16: a random direction agrees with the gradient the less, the more parameters there are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from hybridopt.core.study import Cell, Judgement, Profile, Results, Study, Table
from hybridopt.study.network import Network
from hybridopt.study.scaling import exponent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HIDDEN = {310: [4], 2_410: [32], 19_210: [256], 76_810: [1024], 998_070: [1024, 900]}  # d -> hidden units, on digits
STEPS = (0, 10, 30, 100, 300)  # of Adam, after which it is measured
ISOTROPIC = ("gaussian", "rademacher", "orthogonal")
KINDS = (*ISOTROPIC, "low rank", "guided")
PAIRS = 64  # of an estimate
SINGLE = 128  # random directions
SAMPLES = 64  # of a batch
LENGTH = 1e-3  # of a step, as a share of the weights' length
LAW, SLOPE, RATIO = -0.5, 0.02, 0.1
LAWFUL = "sqrt(n / (n + d))"


class Alignment(Study):
    """How the cosine of search directions with the gradient falls with the number of parameters.

    An evolution strategy estimates the gradient from the losses at random places around the weights. In d dimensions
    the mean cosine of one random direction and the gradient is sqrt(2 / (pi d)), and that of an estimate from n
    antithetic pairs sqrt(n / (n + d)), or sqrt(n / d) where these are orthogonal. They hold for directions that are
    drawn alike in all dimensions; those along
    former gradients (guided) need not obey, and those of low rank, as EGGROLL takes them, are alike in the mean only.

    Measured are the gradients of real networks on a batch of digits, at five stages of training, in float64, with steps
    of a thousandth of the weights' length. Of a guided direction half the variance is in the space of four gradients on
    other batches.
    """

    number = 16
    claim = "The alignment of a random search direction with the gradient falls with the number of parameters."
    said_by = "The thread; Zhang, Clune and Stanley 2017, https://arxiv.org/abs/1712.06564."
    rule = (
        f"Supported if the exponent over d of the mean cosine of single random directions is {LAW} ± {SLOPE}, with its "
        f"interval, and estimates by each isotropic kind of directions are within {RATIO:.0%} of their law at each d; "
        "refuted if the exponent is above -0.25; else mixed."
    )
    profiles = {
        "smoke": Profile(seeds=1, minutes=0.1, sizes={"d": [310, 2_410]}),
        "docs": Profile(seeds=5, minutes=6, sizes={"d": list(HIDDEN)}),
        "full": Profile(seeds=20, minutes=24, sizes={"d": list(HIDDEN)}),
    }

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        return {f"d={d}, seed {seed}": {"d": d, "seed": seed} for d in profile.sizes["d"] for seed in profile.fresh}

    def compute(self, **cell: Any) -> Cell:
        """Of one network: cosines by kind of direction, and the chance that a random step improves, over the stages."""
        generator = torch.Generator().manual_seed(cell["seed"])
        stages = list(measured(HIDDEN[cell["d"]], cell["seed"], generator))
        return {"d": cell["d"]} | {name: [stage[name] for stage in stages] for name in stages[0]}

    def judge(self, results: Results) -> Judgement:
        sizes = sorted({cell["d"] for cell in results.cells.values()})
        slope = exponent({d: averages(results, d, "single") for d in sizes})
        kept = abs(slope.low - LAW) <= SLOPE and abs(slope.high - LAW) <= SLOPE
        ratios = {kind: [mean(results, d, kind) / law(d, kind) for d in sizes] for kind in KINDS}
        kept_by = {kind: all(abs(ratio - 1) <= RATIO for ratio in ratios[kind]) for kind in ISOTROPIC}
        refuted = slope.low > LAW / 2
        verdict = "supported" if kept and all(kept_by.values()) else "refuted" if refuted else "mixed"
        found = [
            "The mean cosine of one random direction and the gradient falls with d by an exponent of "
            f"{slope.value:.3f} (95 % CI {slope.low:.3f} to {slope.high:.3f}).",
            *(
                f"Estimates from {PAIRS} pairs by {kind} directions have {min(ratios[kind]):.2f} to "
                f"{max(ratios[kind]):.2f} times the cosine {'sqrt(n / d)' if kind == 'orthogonal' else LAWFUL}."
                for kind in KINDS
            ),
            "A random step of a thousandth of the weights' length lowers the loss with a probability of "
            + " and ".join(f"{mean(results, d, 'improves'):.2f} at d = {d:,}" for d in (sizes[0], sizes[-1]))
            + ".",
        ]
        numbers = {"exponent": slope.value, "exponent/low": slope.low, "exponent/high": slope.high}
        return Judgement(verdict, found, [table(results, sizes)], numbers)

    def draw(self, results: Results) -> Figure:
        from hybridopt.study.drawing import panels

        figure, (axes,) = panels(1)
        sizes = sorted({cell["d"] for cell in results.cells.values()})
        for name in ("single", *KINDS):
            label = "one direction" if name == "single" else f"{PAIRS} pairs, {name}"
            axes.plot(sizes, [mean(results, d, name) for d in sizes], "o-", markersize=4, label=label)
        axes.plot(sizes, [law(d) for d in sizes], "k:", label="sqrt(n / (n + d))")
        axes.plot(sizes, [math.sqrt(2 / math.pi / d) for d in sizes], "k--", label="sqrt(2 / (pi d))")
        axes.set(xscale="log", yscale="log", xlabel="parameters d", ylabel="cosine with the gradient")
        axes.legend(fontsize="x-small")
        return figure


# -- what is measured -------------------------------------------------------------------------------------------------


def measured(hidden: list[int], seed: int, generator: torch.Generator) -> Iterator[dict[str, float]]:
    """At each stage: mean cosines by kind of direction, and how often a random step lowers the loss."""
    network, done = Network((f"model.hidden={hidden}".replace(" ", ""), f"dataset.batch_size={SAMPLES}"), seed), 0
    for steps in STEPS:
        network.descend(steps - done)
        done = steps
        batch, weights = network.batch(), network.weights
        gradient, step = network.gradient(batch), LENGTH * weights.norm() / math.sqrt(len(weights))
        found = {"single": mean_cosine(gradient, generator)}
        guides = torch.stack([network.gradient(network.batch()) for _ in range(4)])
        for kind in KINDS:
            noise = directions(kind, network, guides, generator)
            up, down = (network.losses(weights + sign * step * noise, batch) for sign in (1, -1))
            found[kind] = float(cosine_similarity((up - down) @ noise, gradient, dim=0))
            if kind == "gaussian":
                here = network.losses(weights[None], batch)
                found["improves"] = float((torch.cat([up, down]) < here).double().mean())
        yield found


def mean_cosine(gradient: Tensor, generator: torch.Generator) -> float:
    """The mean absolute cosine of Gaussian directions and the gradient."""
    found = []
    for _ in range(SINGLE):
        noise = torch.randn(len(gradient), generator=generator, dtype=gradient.dtype)
        found.append(float(cosine_similarity(noise, gradient, dim=0).abs()))
    return statistics.fmean(found)


def directions(kind: str, network: Network, guides: Tensor, generator: torch.Generator) -> Tensor:
    """Directions (:data:`PAIRS`, d) of variance 1 in each dimension, in the mean."""
    d = guides.shape[1]
    if kind == "low rank":
        return torch.cat([low_rank(shape, generator) for shape in network.layout.shapes.values()], dim=1)
    noise = torch.randn(PAIRS, d, generator=generator, dtype=guides.dtype)
    if kind == "rademacher":
        return noise.sign()
    if kind == "orthogonal":
        return torch.linalg.qr(noise.T)[0].T * math.sqrt(d)
    if kind == "guided":
        basis = torch.linalg.qr(guides.T)[0]  # (d, 4)
        inside = torch.randn(PAIRS, basis.shape[1], generator=generator, dtype=guides.dtype)
        return math.sqrt(0.5) * noise + math.sqrt(0.5 * d / basis.shape[1]) * inside @ basis.T
    return noise


def low_rank(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Directions of rank 1 for a matrix, Gaussian ones for other parameters; (:data:`PAIRS`, numbers)."""
    if len(shape) != 2:
        return torch.randn(PAIRS, shape.numel(), generator=generator, dtype=torch.float64)
    left, right = (torch.randn(PAIRS, size, generator=generator, dtype=torch.float64) for size in shape)
    return (left[:, :, None] * right[:, None, :]).flatten(1)


# -- what is said -----------------------------------------------------------------------------------------------------


def law(d: int, kind: str = "gaussian") -> float:
    """The cosine of an estimate from :data:`PAIRS` pairs and the gradient; orthogonal pairs do not get in their way."""
    return math.sqrt(PAIRS / d) if kind == "orthogonal" else math.sqrt(PAIRS / (PAIRS + d))


def averages(results: Results, d: int, name: str) -> list[float]:
    """For each seed, the mean over the stages."""
    return [statistics.fmean(cell[name]) for cell in results.cells.values() if cell["d"] == d]


def mean(results: Results, d: int, name: str) -> float:
    """Over seeds and stages."""
    return statistics.fmean(averages(results, d, name))


def table(results: Results, sizes: list[int]) -> Table:
    """Mean cosines."""
    head = ["d", "one direction", *KINDS, "sqrt(n / (n + d))", "a step improves"]
    names = ("single", *KINDS)
    rows = []
    for d in sizes:
        cosines = [*(mean(results, d, name) for name in names), law(d)]
        rows.append([f"{d:,}", *(f"{value:.4f}" for value in cosines), f"{mean(results, d, 'improves'):.3f}"])
    return Table(head, rows, f"Mean cosines with the gradient, over {len(STEPS)} stages of training")
