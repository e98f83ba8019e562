"""The README's table: the published networks, trained by Adam as published, against the published accuracies.

    python scripts/baselines.py
    python scripts/baselines.py --shuffle
    python scripts/baselines.py mnist1d_mlp --set model.hidden=256

Test accuracy in percent at the end of 6000 steps of 100 samples, mean and deviation over seeds. "Published" is the
table in the README of https://github.com/greydanus/mnist1d, "its notebook" what notebooks/mnist1d-classification.ipynb
there prints at step 6000, of one seed. 3960 samples are trained on, the published runs had 4000: a validation set there
must be, though nothing is chosen by it here.
"""

from __future__ import annotations

import argparse
import tempfile
from statistics import mean, stdev

from hybridopt import run

PUBLISHED = {  # README, notebook
    "linear": (32, 31.5),
    "mnist1d_mlp": (68, 65.1),
    "mnist1d_gru": (91, 89.1),
    "mnist1d_cnn": (94, 92.3),
}
SHUFFLED = {
    "linear": (32, 31.5),
    "mnist1d_mlp": (68, 66.0),
    "mnist1d_gru": (57, 53.3),
    "mnist1d_cnn": (56, 58.7),
}
STEPS, BATCH, LR = 6000, 100, 0.01  # of the notebook


def accuracy(model: str, seed: int, overrides: list[str]) -> float:
    """Percent of the test set."""
    forwards = 3 * STEPS * BATCH  # a step is a pass forwards and one, twice as dear, backwards
    data = ["dataset=mnist1d", f"dataset.batch_size={BATCH}", "dataset.val_fraction=0.01"]
    job = [*data, "strategy=adam", f"strategy.lr={LR}"]
    quiet = ["tracking=none", "trainer.enable_progress_bar=false", "budget.marks=10"]
    with tempfile.TemporaryDirectory() as folder:
        settings = [f"model={model}", f"seed={seed}", f"budget.forwards={forwards}", *job, *quiet, *overrides]
        return 100 * run(*settings, directory=folder).summary["test/accuracy"]


def main() -> None:
    """Train, and print a row for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=[], metavar="model", help=f"of {', '.join(PUBLISHED)}; else all")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0; at least 2")
    parser.add_argument("--shuffle", action="store_true", help="the values of a sequence in random order")
    parser.add_argument("--set", nargs="*", default=[], metavar="override", help="of settings, as on the command line")
    arguments = parser.parse_args()
    print("| model | published | its notebook | measured | seeds |\n|---|---|---|---|---|")
    figures = SHUFFLED if arguments.shuffle else PUBLISHED
    overrides = [f"dataset.shuffle_seq={str(arguments.shuffle).lower()}", *arguments.set]
    for model in arguments.models or figures:
        published, notebook = figures[model]
        found = [accuracy(model, seed, overrides) for seed in range(arguments.seeds)]
        each = ", ".join(f"{value:.1f}" for value in found)
        print(f"| `{model}` | {published} | {notebook} | {mean(found):.1f} ± {stdev(found):.1f} | {each} |", flush=True)


if __name__ == "__main__":
    main()
