"""``hybridopt-report``: the report on a sweep, from whatever MLflow store it is in."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hybridopt.errors import HybridoptError, brief
from hybridopt.programs.pipes import ending_with_reader
from hybridopt.programs.version import add_flag
from hybridopt.toolbox.credentials import masked


@ending_with_reader()
def main(arguments: Sequence[str] | None = None) -> None:
    """The console program."""
    chosen = parser().parse_args(arguments)
    try:
        from hybridopt.report.make import make_report
        from hybridopt.report.page import print_short

        report = make_report(
            chosen.uri,
            chosen.sweep,
            out=chosen.out,
            target=chosen.target,
            metric=chosen.metric,
            attach=not chosen.no_attach,
            experiment=chosen.experiment,
        )
    except HybridoptError as error:
        sys.exit(masked(str(error)))
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.exit(f"The report cannot be written into {chosen.out} ({brief(error)}): name another folder by --out.")
    print_short(report.text, report.html)


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    made = add_flag(argparse.ArgumentParser(prog="hybridopt-report", description=str(__doc__).split(": ", 1)[1]))
    made.add_argument("sweep", nargs="?", help="its id, its MLflow run id or its name; the latest if left out")
    made.add_argument("--target", type=float, help="tell what it costs to reach this value of the metric")
    made.add_argument("--metric", help="what is compared, such as accuracy or loss")
    made.add_argument("--uri", help="the MLflow store (MLFLOW_TRACKING_URI, or mlflow.db in this directory)")
    made.add_argument("--experiment", help="report on all runs of this MLflow experiment")
    made.add_argument("--out", type=Path, default=Path("report"), help="folder to write into (report)")
    made.add_argument("--no-attach", action="store_true", help="do not write the report to the sweep's run")
    return made
