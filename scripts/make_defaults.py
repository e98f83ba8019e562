"""Write docs/defaults.md: what a tuning sweep has found for each strategy, from the sweep's directory.

    hybridopt -m hydra/sweeper=optuna hydra.sweeper.n_trials=12 hydra.sweeper.direction=maximize \\
        sweep.metric=final/val/accuracy sweep.name=defaults 'dataset.batch_size=choice(64,256)' strategy=adam,openai_es
    python scripts/make_defaults.py multirun/defaults

The page says what was found; defaults are set by hand, in each strategy's file, to round numbers near it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import optuna

PAGE = Path(__file__).resolve().parents[1] / "docs" / "defaults.md"
HEAD = """# Where defaults come from

Made by `python scripts/make_defaults.py` from one sweep, which gave every strategy the same number of trials ({trials})
over what it declares as worth tuning, and over two batch sizes:

```bash
hybridopt -m hydra/sweeper=optuna hydra.sweeper.n_trials={trials} hydra.sweeper.direction=maximize \\
    sweep.metric=final/val/accuracy 'dataset.batch_size=choice(64,256)' strategy={some},...
```

A trial is a run of 1e7 forwards on digits with a seed that no figure in these pages has, judged by validation accuracy;
the test set was not touched. Defaults are round numbers near the best trial where that one was clearly better than what
the paper recommends, and the paper's otherwise. One seed says little about differences below a point.

| strategy | best trial | validation accuracy | median trial |
|---|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="the sweep's directory")
    storage = f"sqlite:///{parser.parse_args().directory.resolve() / 'optuna.db'}"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows, names, counts = [], [], []
    for summary in optuna.get_all_study_summaries(storage):
        study = optuna.load_study(study_name=summary.study_name, storage=storage)
        trials = sorted((trial for trial in study.trials if trial.value is not None), key=lambda trial: trial.value)
        best, middle = trials[-1], trials[len(trials) // 2]
        settings = ", ".join(f"`{key}={short(value)}`" for key, value in best.params.items())
        rows.append(f"| {study.study_name} | {settings} | {best.value:.3f} | {middle.value:.3f} |")
        names.append(study.study_name)
        counts.append(len(trials))
    text = HEAD.format(trials=min(counts), some=",".join(names[:3])) + "\n".join(rows) + "\n"
    PAGE.write_text(text, encoding="utf-8")
    return 0


def short(value: object) -> str:
    """Three digits are more than one seed can tell apart."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
