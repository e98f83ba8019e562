"""The fronts of runs with several objectives: how near they come to the best of all, and what half of them attain."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hybridopt.errors import TrackingError
from hybridopt.report import pictures, statistics
from hybridopt.report.interval import Interval
from hybridopt.report.runs import ComparedRun, Comparison
from hybridopt.tracking.reading import Reader

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE = "front.parquet"
HYPERVOLUME = "final/val/hypervolume"  # a run that has it has a front


@dataclass(frozen=True)
class FrontRow:
    """The fronts of a strategy on a data set.

    Args:
        strategy: its label.
        dataset: its name.
        runs: how many fronts there are.
        members: of a front, over seeds.
        validation: IGD+ of validation, over seeds.
        test: IGD+ of the test, over seeds; None where there was none.
    """

    strategy: str
    dataset: str
    runs: int
    members: Interval
    validation: Interval
    test: Interval | None


@dataclass(frozen=True)
class Scale:
    """The best trade-offs of all runs on a data set, by which each front is measured.

    Args:
        low: (k,), the best of each objective among them.
        spread: (k,), from there to the worst; 1 where all are the same.
        best: (m, k), scaled.
    """

    low: np.ndarray
    spread: np.ndarray
    best: np.ndarray

    @classmethod
    def of(cls, fronts: Sequence[np.ndarray]) -> Scale:
        """That of several fronts (m, k), with the same objectives."""
        import moocore

        best = np.unique(moocore.filter_dominated(np.concatenate(fronts)), axis=0)
        low, spread = best.min(axis=0), np.ptp(best, axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        return cls(low, spread, (best - low) / spread)

    def distance(self, front: np.ndarray) -> float:
        """IGD+: the mean distance by which a front (m, k) misses the best trade-offs.

        Ishibuchi, Masuda, Tanigaki & Nojima 2015, https://doi.org/10.1007/978-3-319-15892-1_8.
        """
        import moocore

        return float(moocore.igd_plus((front - self.low) / self.spread, ref=self.best))


@dataclass(frozen=True)
class StoredFront:
    """The front of a run, as its artifact has it.

    Args:
        names: of the objectives.
        marks: (forwards, readings (m, k) of validation) at each mark, without failures.
        tested: (m, k), of the last front; None where there was no test.
    """

    names: tuple[str, ...]
    marks: tuple[tuple[float, np.ndarray], ...]
    tested: np.ndarray | None

    @classmethod
    def load(cls, path: Path) -> StoredFront:
        """From a file.

        Raises:
            OSError, ValueError, KeyError: it holds something else.
        """
        import pandas

        table = pandas.read_parquet(path)
        names = tuple(str(column).removeprefix("val/") for column in table.columns if str(column).startswith("val/"))
        columns = [[f"{stage}/{name}" for name in names] for stage in ("val", "test")]
        costs, last = np.asarray(table["forwards"], dtype=float), np.asarray(table["last"], dtype=bool)
        validated, tested = (np.asarray(table[each], dtype=float) for each in columns)
        marks = tuple((float(cost), finite(validated[costs == cost])) for cost in np.unique(costs))
        return cls(names, marks, None if np.isnan(tested[last]).all() else finite(tested[last]))

    @property
    def validated(self) -> np.ndarray:
        """The last front (m, k), of validation."""
        return self.marks[-1][1]


def finite(readings: np.ndarray) -> np.ndarray:
    """Those members (m, k) that have not failed."""
    return readings[np.isfinite(readings).all(axis=1)]


def read(reader: Reader, results: Sequence[ComparedRun]) -> dict[str, StoredFront]:
    """The fronts of those runs that have one, by run; what the store cannot give is left out."""
    found: dict[str, StoredFront] = {}
    with tempfile.TemporaryDirectory() as folder:
        for run_id in [run.record.run_id for run in results if HYPERVOLUME in run.record.metrics]:
            try:
                found[run_id] = StoredFront.load(reader.download(run_id, FILE, Path(folder)))
            except (TrackingError, OSError, ValueError, KeyError):  # on another machine, or damaged
                continue
    return found


def rows(comparison: Comparison) -> list[FrontRow]:
    """How near the fronts of each strategy come to the best of all, on each data set."""
    found = []
    for dataset in comparison.datasets:
        mine = of_dataset(comparison, dataset)
        validated = _distances({name: [each.validated for each in fronts] for name, fronts in mine.items()})
        tests = {name: [each.tested for each in fronts if each.tested is not None] for name, fronts in mine.items()}
        tested = _distances(tests)
        for strategy, fronts in mine.items():
            members = statistics.median([float(len(each.validated)) for each in fronts])
            test = statistics.median(tested[strategy]) if tested.get(strategy) else None
            distance = statistics.median(validated[strategy])
            found.append(FrontRow(strategy, dataset, len(fronts), members, distance, test))
    return found


def of_dataset(comparison: Comparison, dataset: str) -> dict[str, list[StoredFront]]:
    """The fronts of each strategy that has some on a data set, of those with the objectives of the first one."""
    known = comparison.fronts
    runs = {
        name: [run.record.run_id for run in comparison.of(name, dataset).values()] for name in comparison.strategies
    }
    found = {name: [known[each] for each in ids if each in known] for name, ids in runs.items()}
    full = {name: [each for each in fronts if len(each.validated)] for name, fronts in found.items()}
    names = next((fronts[0].names for fronts in full.values() if fronts), ())
    alike = {name: [each for each in fronts if each.names == names] for name, fronts in full.items()}
    return {name: fronts for name, fronts in alike.items() if fronts}


def _distances(fronts: Mapping[str, Sequence[np.ndarray]]) -> dict[str, list[float]]:
    """IGD+ of each, to the best of all of them."""
    everything = [front for each in fronts.values() for front in each if len(front)]
    if not everything:
        return {}
    scale = Scale.of(everything)
    return {name: [scale.distance(front) for front in each if len(front)] for name, each in fronts.items()}


def draw(comparison: Comparison, dataset: str, path: Path) -> Path | None:
    """What half of a strategy's runs attain, the first objective against each other one; and IGD+ over cost.

    Attainment surfaces: Fonseca & Fleming 1996, https://doi.org/10.1007/3-540-61723-X_1018. None where no run on the
    data set has a front.
    """
    mine = of_dataset(comparison, dataset)
    if not mine:
        return None
    names = next(iter(mine.values()))[0].names
    figure, panels = pictures.panels(len(names), apart=True)
    scale = Scale.of([each.validated for fronts in mine.values() for each in fronts])
    colours = pictures.palette(list(mine))
    for strategy, fronts in mine.items():
        _draw_attained(panels[:-1], fronts, colours[strategy], strategy)
        curves = [[(cost, scale.distance(front)) for cost, front in each.marks if len(front)] for each in fronts]
        pictures.band(panels[-1], curves, colours[strategy], strategy)
    for axes, name in zip(panels[:-1], names[1:], strict=True):
        axes.set(xlabel=f"val/{name}", ylabel=f"val/{names[0]}", title=dataset)
    panels[-1].set(xlabel="forwards", ylabel="IGD+, validation")
    pictures.cost_scale(panels[-1])
    for axes in panels:
        axes.grid(alpha=0.3)
    pictures.legend(figure, panels[0])
    return pictures.save(figure, path)


def _draw_attained(panels: Sequence[Axes], fronts: Sequence[StoredFront], colour: Any, label: str) -> None:
    for i, axes in enumerate(panels, start=1):
        flat = [each.validated[:, [i, 0]] for each in fronts]
        axes.step(*attained(flat).T, "-o", where="post", color=colour, label=label, markersize=4)
        axes.plot(*np.concatenate(flat).T, ".", color=colour, alpha=0.25, markersize=4)


def attained(fronts: Sequence[np.ndarray]) -> np.ndarray:
    """The corners (m, 2) of what half of several fronts (m, 2) attain, from left to right."""
    import moocore

    best = [moocore.filter_dominated(front) for front in fronts]
    sets = np.repeat(np.arange(len(best)), [len(front) for front in best])
    corners = moocore.eaf(np.concatenate(best), sets=sets, percentiles=[50])[:, :2]
    return corners[np.lexsort((-corners[:, 1], corners[:, 0]))]
