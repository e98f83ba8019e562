"""From a sweep's name to its report."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hybridopt.errors import ConfigError, TrackingError, counted
from hybridopt.report import caveats, fronts, page, pictures
from hybridopt.report.conditions import conditions
from hybridopt.report.contributions import contributions
from hybridopt.report.interval import Interval
from hybridopt.report.runs import ComparedRun, Comparison, choose_metric, compared_runs, is_arm, is_trial, latest
from hybridopt.report.said import said
from hybridopt.report.summary import ArmSummary, arm_summaries, compared, overall
from hybridopt.report.verdict import verdicts
from hybridopt.report.versions import told_apart
from hybridopt.toolbox.extras import demand
from hybridopt.tracking.reading import History, Reader, StoredRun

MANY = 50  # histories whose reading is worth a progress bar
SECONDS = "cost/seconds"


@dataclass(frozen=True)
class Report:
    """A report on disk.

    Args:
        text: the short version, Markdown.
        markdown: the file of the long one; its pictures lie beside it.
        html: the same on one page.
        aggregates: numbers to compare sweeps by.
        pictures: their files.
    """

    text: str
    markdown: Path
    html: Path
    aggregates: dict[str, float]
    pictures: tuple[Path, ...] = ()


def make_report(
    uri: str | None,
    sweep: str | None = None,
    *,
    out: Path,
    target: float | None = None,
    metric: str | None = None,
    attach: bool = True,
    experiment: str | None = None,
) -> Report:
    """Read runs back from MLflow, compare them, and write the report.

    Args:
        uri: the store; None is the default one.
        sweep: its id, its run id or its name; None is the latest.
        out: the folder to write into.
        target: a value of the metric whose cost is told; by default the worst of the strategies' medians.
        metric: what is compared; by default accuracy, r2 or the loss, the first that all runs have.
        attach: whether the report is written to the sweep's run too.
        experiment: all runs of this experiment instead of a sweep's.

    Raises:
        TrackingError: the store cannot be read, or has no such runs.
        ConfigError: the runs cannot be compared, or the extra ``report`` is not installed.
    """
    demand("report", "The report")
    reader = Reader(uri)
    if experiment:
        parent, records, title = None, reader.experiment(experiment), f"Experiment {experiment}"
    else:
        parent = reader.sweep(sweep)
        records, title = reader.children(parent), f"Sweep {parent.sweep}"
    comparison = read(reader, records, metric, title)
    out.mkdir(parents=True, exist_ok=True)
    report = write(comparison, title, parent, target, out)
    if parent is not None and attach:
        files = [report.markdown, report.html, *report.pictures]  # whatever else lies in that folder is not ours
        reader.attach(parent, report.text, report.aggregates, sorted(files))
    return report


def read(reader: Reader, records: Sequence[StoredRun], metric: str | None, title: str) -> Comparison:
    """Finished runs with their curves.

    Raises:
        TrackingError: no run has finished.
        ConfigError: they have no such metric in common.
    """
    trials = [record for record in records if is_trial(record)]
    ended, left_out = latest([record for record in records if not is_trial(record)])
    finished = [record for record in ended if not is_arm(record)]
    if not finished:
        raise TrackingError(f"{title} has no finished run to report on ({counted(len(records), 'run')} in all).")
    try:
        name, higher = choose_metric(finished, metric)
    except LookupError as error:
        raise ConfigError(f"The runs have no metric {metric!r} in common: choose from {error}.") from error
    found, arms = compared_runs(finished), compared_runs([record for record in ended if is_arm(record)])
    curves, seconds = _read(reader, [result.record.run_id for result in (*found, *arms)], (f"val/{name}", SECONDS))
    for result in (*found, *arms):
        result.curve = list(curves[result.record.run_id])
        result.seconds = dict(seconds[result.record.run_id])
    return Comparison(in_order(found), name, higher, left_out, trials, arms, fronts.read(reader, found))


def write(comparison: Comparison, title: str, parent: StoredRun | None, target: float | None, out: Path) -> Report:
    """Compute, draw and write."""
    run = conditions(comparison, parent)
    comparison = told_apart(comparison)
    table = arm_summaries(comparison, target)
    what, values = compared(comparison)
    told, parts = verdicts(values, comparison), contributions(comparison)
    notes = caveats.notes(comparison, _planned(parent))
    drawn = draw(comparison, what, values, out)
    found = fronts.rows(comparison)
    text = page.markdown(title, comparison, table, what, told, parts, notes, drawn, run, found)
    (out / "report.md").write_text(text, encoding="utf-8")
    (out / "report.html").write_text(page.page(title, text, out), encoding="utf-8")
    short = page.short(comparison, table, what, told, parts, caveats.unfinished(comparison, _planned(parent)))
    return Report(short, out / "report.md", out / "report.html", aggregates(comparison, table), tuple(drawn.values()))


def draw(comparison: Comparison, what: str, values: dict, out: Path) -> dict[str, Path]:
    """All pictures, by their captions."""
    drawn = {}
    for dataset in comparison.datasets:
        caption = f"{dataset}: median and quartiles over seeds; a dotted line is where a phase ends"
        drawn[caption] = pictures.curves(comparison, dataset, out / f"curves_{_file(dataset)}.svg")
        front = fronts.draw(comparison, dataset, out / f"fronts_{_file(dataset)}.svg")
        if front is not None:
            drawn[f"{dataset}: what half of the seeds attain, with all members of all fronts; how far that is"] = front
    over = overall(comparison, values)
    sign, label = (1, what) if comparison.higher else (-1, f"-({what})")
    if len(over) > 1:
        means = {strategy: mean for strategy, (mean, _) in over.items()}
        caption = "Interquartile mean over all data sets and seeds, with 95 % stratified bootstrap intervals"
        drawn[caption] = pictures.intervals(means, what, out / "interquartile_mean.svg")
        scores = {name: [sign * v for stratum in strata for v in stratum] for name, (_, strata) in over.items()}
        caption = "Performance profiles over all data sets and seeds"
        drawn[caption] = pictures.profiles(scores, label, out / "profiles.svg")
    if len(over) > 2 and len(comparison.datasets) >= pictures.RANKED:
        medians = {name: [sign * _median(s) for s in strata] for name, (_, strata) in over.items()}
        caption = "Mean ranks over data sets; a bar joins what cannot be told apart (Nemenyi)"
        drawn[caption] = pictures.ranks(medians, out / "ranks.svg")
    return drawn


def aggregates(comparison: Comparison, table: Sequence[ArmSummary]) -> dict[str, float]:
    """Medians with the ends of their intervals, by names that MLflow takes."""
    found: dict[str, float] = {}
    for row in table:
        place = re.sub(r"[^\w\-. ]", "_", f"{row.strategy}.{row.dataset}")
        for name, estimate in (
            (f"val/{comparison.metric}", row.validation),
            (f"test/{comparison.metric}", row.test),
            ("forwards_to_target", row.ert),
            ("success_rate", row.success),
            ("seconds", row.seconds),
        ):
            found |= {f"{place}/{name}/{end}": value for end, value in _ends(estimate)}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _ends(estimate: Interval | None) -> list[tuple[str, float]]:
    if estimate is None:
        return []
    return [("median", estimate.value), ("low", estimate.low), ("high", estimate.high)]


def _read(reader: Reader, runs: Sequence[str], metrics: Sequence[str]) -> list[dict[str, History]]:
    from tqdm import tqdm

    total = len(runs) * len(metrics)
    with tqdm(total=total, desc="reading", unit=" curves", leave=False, disable=total < MANY or None) as bar:
        return [reader.histories(runs, metric, bar.update) for metric in metrics]


def _planned(parent: StoredRun | None) -> int | None:
    number = None if parent is None else said(parent, "jobs")
    return None if number is None else int(number)


def in_order(found: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Strategies and data sets as they were first met, seeds by their number."""
    strategies = list(dict.fromkeys(result.strategy for result in found))
    datasets = list(dict.fromkeys(result.dataset for result in found))
    place = {id(r): (strategies.index(r.strategy), datasets.index(r.dataset), _natural(r.seed)) for r in found}
    return sorted(found, key=lambda result: place[id(result)])


def _natural(seed: str) -> tuple[int, str]:
    return (int(seed), "") if seed.lstrip("-").isdigit() else (0, seed)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _file(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)
