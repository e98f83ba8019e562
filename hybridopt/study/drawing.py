"""The figures of studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hybridopt.core.study import Outcome
from hybridopt.toolbox.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 4.2, 3.4  # inches of a panel


def panels(count: int, columns: int = 2, height: float = HEIGHT) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, in rows of ``columns`` at most.

    Args:
        count: of the panels.
        columns: of a row.
        height: of a panel, in inches.
    """
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = new_figure(figsize=(WIDTH * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for unused in axes[count:]:
        unused.remove()
    for each in axes[:count]:
        each.grid(alpha=0.3)
    return figure, axes[:count]


def curves(axes: Axes, arms: Mapping[str, Sequence[Outcome]], label: str, log: bool = False) -> None:
    """A metric over forwards: the median over seeds, and the band between the quartiles.

    Args:
        axes: to draw into.
        arms: name -> runs with a curve each, at common marks.
        label: of the metric.
        log: whether its axis is logarithmic.
    """
    for arm, runs in arms.items():
        length = min((len(run.curve) for run in runs), default=0)
        if not length:
            continue
        forwards = np.median([[cost for cost, _ in run.curve[:length]] for run in runs], axis=0)
        values = np.array([[value for _, value in run.curve[:length]] for run in runs])
        values = np.where(np.isfinite(values), values, np.nan)
        band(axes, forwards, values, arm)
    axes.set(xlabel="forwards", ylabel=label, xscale="log", yscale="log" if log else "linear")
    legend(axes)


def legend(axes: Axes, size: str = "small") -> None:
    """A legend, where there is something to explain."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=size)


def band(axes: Axes, x: Sequence[float] | np.ndarray, values: np.ndarray, label: str) -> None:
    """The median of (seeds, points) over points, and the band between the quartiles."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of points where all have diverged
        low, middle, high = np.nanquantile(values, [0.25, 0.5, 0.75], axis=0)
    (line,) = axes.plot(x, middle, marker="o", markersize=3, label=label)
    axes.fill_between(x, low, high, alpha=0.2, linewidth=0, color=line.get_color())


def dots(axes: Axes, values: Mapping[str, Sequence[float]], label: str, log: bool = False) -> None:
    """A row for each arm: a point for each seed, and a bar at the median.

    Args:
        axes: to draw into.
        values: by arm, from the top.
        label: of the metric.
        log: whether its axis is logarithmic.
    """
    names = list(values)[::-1]
    for row, name in enumerate(names):
        finite = [value for value in values[name] if np.isfinite(value)]
        axes.plot(finite, [row] * len(finite), "o", alpha=0.5, color="C0", markersize=5)
        if finite:
            axes.plot([np.median(finite)] * 2, [row - 0.3, row + 0.3], color="C1", linewidth=2)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=label, xscale="log" if log else "linear", ylim=(-0.6, len(values) - 0.4))
