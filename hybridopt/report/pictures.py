"""The pictures of a report."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridopt.report.interval import Interval
from hybridopt.report.runs import ComparedRun, Comparison
from hybridopt.toolbox.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 200  # of an interpolated curve
SIZE = (6.4, 4.2)  # inches
TICKS = 12  # at most, on an axis of costs
RANKED = 5  # data sets from which on ranks are worth a picture


def curves(comparison: Comparison, dataset: str, path: Path) -> Path:
    """Median and interquartile band over seeds against forwards, and against seconds; dotted: a phase ends."""
    figure, (left, right) = panels(2)
    colours = palette(comparison.strategies)
    limit = comparison.budget(dataset)
    for strategy in comparison.strategies:
        runs = [run for run in comparison.of(strategy, dataset).values() if run.curve]
        if runs:
            band(left, [run.curve for run in runs], colours[strategy], strategy)
            band(right, [_over_seconds(run) for run in runs], colours[strategy], strategy)
            for end in _phase_ends(runs):
                left.axvline(end, color=colours[strategy], linestyle=":", linewidth=1.2)
    if limit < max(comparison.ends(dataset), default=0.0):
        left.axvline(limit, color="0.4", linestyle="--", linewidth=0.8)
    left.set(xlabel="forwards", ylabel=f"val/{comparison.metric}", title=dataset)
    right.set(xlabel="seconds of training")
    for axes in (left, right):
        cost_scale(axes)
        axes.grid(alpha=0.3)
    legend(figure, left)
    return save(figure, path)


def cost_scale(axes: Axes) -> None:
    """A logarithmic scale of costs, with plain numbers at few places, however narrow its range is."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    steps = (1.0,) if high / low > 1000 else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(LogLocator(subs=steps, numticks=TICKS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def band(axes: Axes, lines: Sequence[Sequence[tuple[float, float]]], colour: str, label: str) -> None:
    """Curves on a common grid: the median, and between the quartiles; the value at a cost is that of the last mark."""
    lines = [[(cost, value) for cost, value in line if cost > 0] for line in lines]
    lines = [line for line in lines if line]
    if not lines:
        return
    first, last = max(line[0][0] for line in lines), min(line[-1][0] for line in lines)
    if last <= first:
        axes.plot([line[-1][0] for line in lines], [line[-1][1] for line in lines], "o", color=colour, label=label)
        return
    grid = np.geomspace(first, last, POINTS)
    values = np.array([_at(line, grid) for line in lines])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where all runs have diverged, there is nothing to draw
        quantile = np.nanquantile if np.isnan(values).any() else np.quantile  # which is faster by far
        low, middle, high = quantile(values, [0.25, 0.5, 0.75], axis=0)
    axes.plot(grid, middle, color=colour, label=label)
    axes.fill_between(grid, low, high, color=colour, alpha=0.2, linewidth=0)


def _at(line: Sequence[tuple[float, float]], grid: np.ndarray) -> np.ndarray:
    costs, values = np.array(line).T
    return values[np.searchsorted(costs, grid * (1 + 1e-12), side="right") - 1]


def _over_seconds(run: ComparedRun) -> list[tuple[float, float]]:
    return [(run.seconds[forwards], value) for forwards, value in run.curve if forwards in run.seconds]


def _phase_ends(runs: Sequence[ComparedRun]) -> list[float]:
    """The median end of each phase over runs, but of the last."""
    ends: dict[str, list[float]] = {}
    for run in runs:
        for name, end in run.phases().items():
            ends.setdefault(name, []).append(end)
    return [float(np.median(values)) for values in ends.values()]


def intervals(found: Mapping[str, Interval], label: str, path: Path) -> Path:
    """Estimates with their 95 % intervals, one below the other."""
    figure, (axes,) = panels(1, (6.4, 1.2 + 0.35 * len(found)))
    colours = palette(list(found))
    for row, (name, interval) in enumerate(found.items()):
        axes.plot([interval.low, interval.high], [row, row], color=colours[name], linewidth=5, alpha=0.4)
        axes.plot(interval.value, row, "|", color=colours[name], markersize=16, markeredgewidth=2.5)
    axes.set(xlabel=label, yticks=range(len(found)), yticklabels=list(found))
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.grid(alpha=0.3, axis="x")
    return save(figure, path)


def profiles(scores: Mapping[str, Sequence[float]], label: str, path: Path) -> Path:
    """Performance profiles (Agarwal et al. 2021): the share of runs with a score above each value."""
    figure, (axes,) = panels(1)
    draw_profiles(axes, scores, label)
    legend(figure, axes)
    return save(figure, path)


def draw_profiles(axes: Axes, scores: Mapping[str, Sequence[float]], label: str) -> None:
    """Performance profiles into a panel."""
    from scipy import stats

    colours = palette(list(scores))
    everything = np.concatenate([np.asarray(values, dtype=float) for values in scores.values()])
    margin = 0.05 * np.ptp(everything) or 1.0
    for name, values in scores.items():
        survival = stats.ecdf(np.asarray(values, dtype=float)).sf
        steps = [everything.min() - margin, *survival.quantiles, everything.max() + margin]
        shares = [1.0, *survival.probabilities, 0.0]
        axes.step(steps, shares, where="post", color=colours[name], label=name, alpha=0.8)
    axes.set(xlabel=label, ylabel="share of runs above", ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)


def ranks(scores: Mapping[str, Sequence[float]], path: Path) -> Path:
    """Critical-difference diagram (Demsar 2006): mean ranks over data sets; a bar joins what cannot be told apart.

    Args:
        scores: by strategy, one value for each data set, the higher the better.
        path: of the picture.
    """
    figure, (axes,) = panels(1, (7.5, 1.5 + 0.3 * len(scores)))
    draw_ranks(axes, scores)
    return save(figure, path)


def draw_ranks(axes: Axes, scores: Mapping[str, Sequence[float]]) -> None:
    """A critical-difference diagram into a panel."""
    import pandas
    import scikit_posthocs

    table = pandas.DataFrame(scores)
    mean = table.rank(axis=1, ascending=False).mean()
    drawn = scikit_posthocs.critical_difference_diagram(mean, scikit_posthocs.posthoc_nemenyi_friedman(table), ax=axes)
    for line in (line for bar in drawn["crossbars"] for line in bar):  # through its points in the order of a set
        line.set_xdata(sorted(line.get_xdata()))


def palette(names: Sequence[str]) -> dict[str, Any]:
    """A colour for each name."""
    from matplotlib import colormaps

    return {name: colormaps["tab10" if len(names) <= 10 else "tab20"](index % 20) for index, name in enumerate(names)}


def panels(columns: int, size: tuple[float, float] | None = None, apart: bool = False) -> tuple[Figure, Sequence[Axes]]:
    """A figure with panels side by side; ``apart`` gives each a vertical axis of its own."""
    figure = new_figure(figsize=size or (SIZE[0] * (1 + 0.7 * (columns - 1)), SIZE[1]), layout="constrained")
    axes = figure.subplots(1, columns, sharey=not apart, squeeze=False)[0]
    return figure, axes


def legend(figure: Figure, axes: Axes) -> None:
    """The names of a panel's lines, below the figure."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False)


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as SVG: the same figure gives the same file."""
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": path.name}):  # else ids are drawn at random
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})  # nothing but the picture
    return path
