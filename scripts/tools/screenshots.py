"""Pictures of what a reviewer sees in the MLflow UI, taken by a real browser without a window.

    python scripts/tools/screenshots.py --uri sqlite:///mlflow.db --out screenshots

Those of docs/review.md are made by

    hybridopt -m strategy=adam,openai_es,lottery_ticket dataset=iris,wine seeds=3 budget.forwards=5e5
    python scripts/tools/screenshots.py --out docs/review curves jobs sweep job model

It serves the store on loopback, as hybridopt-ui does, and needs Chromium (Debian's package is called chromium).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from hybridopt.programs.ui import free_port, serving
from hybridopt.tracking.pages import model as model_page
from hybridopt.tracking.pages import run as run_page
from hybridopt.tracking.reading import Reader

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = (2000, 1150)  # of the window, in pixels
SHOWN = 0.744  # of its width; the rest is MLflow's assistant
PATIENCE = 300_000  # milliseconds of the page's own time, which passes faster; with less, reports are not there yet


def take(browser: str, address: str, picture: Path) -> None:
    """Open a page, wait until it is drawn, and keep the picture."""
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={profile}", f"--virtual-time-budget={PATIENCE}"]
        command += [f"--window-size={SIZE[0]},{SIZE[1]}"]
        subprocess.run(
            [*command, f"--screenshot={picture.absolute()}", address], check=True, capture_output=True, timeout=180
        )
    whole = Image.open(picture)
    whole.crop((0, 0, int(SHOWN * whole.width), whole.height)).quantize(method=Image.Quantize.FASTOCTREE).save(picture)


def pages(uri: str, sweep: str | None) -> dict[str, str]:
    """The pages of a sweep, relative to the UI's address: those that hybridopt-ui says, and three of a job.

    The job is one that failed, where there is one.
    """
    reader = Reader(uri)
    parent = reader.sweep(sweep)
    experiment = reader.client.get_run(parent.run_id).info.experiment_id
    job = min(reader.children(parent), key=lambda run: (run.status != "FAILED", run.start))
    models = reader.client.get_run(job.run_id).outputs.model_outputs
    return {
        **reader.pages(parent),
        **({"model": model_page(experiment, models[0].model_id)} if models else {}),
        "job": run_page(experiment, job.run_id),
        "job-metrics": run_page(experiment, job.run_id, "/model-metrics"),
    }


def main() -> None:
    """Take all pictures, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of the pictures; all if there are none")
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
            if not chosen.names or name in chosen.names:
                take(browser, f"{address}/{page}", chosen.out / f"{name}.png")
                print(chosen.out / f"{name}.png")


if __name__ == "__main__":
    main()
