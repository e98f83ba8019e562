"""Pictures of what a reviewer sees in the MLflow UI, taken by a real browser without a window.

    python scripts/tools/screenshots.py --uri sqlite:///mlflow.db --out screenshots

The one of the README is curves.png of

    hybridopt -m strategy=adam,openai_es,lottery_ticket dataset=iris,wine seeds=3 budget.forwards=5e5

It serves the store on loopback, as hybridopt-ui does, and needs Chromium (Debian's package is called chromium).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hybridopt.programs.ui import free_port, serving
from hybridopt.tracking.pages import run as run_page
from hybridopt.tracking.reading import Reader

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = "1600,1000"
PATIENCE = 300_000  # milliseconds of the page's own time, which passes faster; with less, reports are not there yet


def take(browser: str, address: str, picture: Path) -> None:
    """Open a page, wait until it is drawn, and keep the picture."""
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={profile}", f"--window-size={SIZE}", f"--virtual-time-budget={PATIENCE}"]
        subprocess.run(
            [*command, f"--screenshot={picture.absolute()}", address], check=True, capture_output=True, timeout=180
        )


def pages(uri: str, sweep: str | None) -> dict[str, str]:
    """The pages of a sweep, relative to the UI's address: those that hybridopt-ui says, and two of a job.

    The job is one that failed, where there is one.
    """
    reader = Reader(uri)
    parent = reader.sweep(sweep)
    experiment = reader.client.get_run(parent.run_id).info.experiment_id
    job = min(reader.children(parent), key=lambda run: (run.status != "FAILED", run.start))
    return {
        **reader.pages(parent),
        "job": run_page(experiment, job.run_id),
        "job-metrics": run_page(experiment, job.run_id, "/model-metrics"),
    }


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uri", default="sqlite:///mlflow.db")
    parser.add_argument("--sweep")
    parser.add_argument("--out", type=Path, default=Path("screenshots"))
    chosen = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"None of {', '.join(BROWSERS)} is installed: install one, such as Debian's package chromium.")
    chosen.out.mkdir(parents=True, exist_ok=True)
    with serving(chosen.uri, free_port(0)) as (address, _):
        for name, page in pages(chosen.uri, chosen.sweep).items():
            take(browser, f"{address}/{page}", chosen.out / f"{name}.png")
            print(chosen.out / f"{name}.png")


if __name__ == "__main__":
    main()
