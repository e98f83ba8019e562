"""Write docs/defaults.md: what tuning has found for each strategy, from the directories of sweeps.

    hybridopt -m hydra/sweeper=optuna hydra.sweeper.n_trials=12 hydra.sweeper.direction=maximize \\
        sweep.metric=final/val/accuracy sweep.name=defaults 'dataset.batch_size=choice(64,256)' strategy=adam,openai_es
    hybridopt -m strategy=particle_swarm strategy.sigma=0.01,0.02 seed=100,101,102 test=false sweep.name=swarm
    python scripts/tools/make_defaults.py multirun/defaults multirun/swarm

Strategies that the sweep has not tried keep their rows, and so do grids where none is given. The page says what was
found; defaults are set by hand, in each strategy's file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import optuna

PAGE = Path(__file__).resolve().parents[2] / "docs" / "defaults.md"
TRIALS = """# Where defaults come from

Made by `python scripts/tools/make_defaults.py` from sweeps on digits with the default network, 1e7 forwards per run.
Runs were judged by validation accuracy, with seeds that no figure in these pages has; the test set was not touched.

## The same for all

One sweep gave every strategy {trials} trials over what it declares as worth tuning, and over two batch sizes:

```bash
hybridopt -m hydra/sweeper=optuna hydra.sweeper.n_trials={trials} hydra.sweeper.direction=maximize \\
    sweep.metric=final/val/accuracy 'dataset.batch_size=choice(64,256)' strategy={some},...
```

| strategy | best trial | validation accuracy | median trial |
|---|---|---|---|
"""
GRIDS = """
## Where that was better than the default

What had won by more than a point, or fell short of what is claimed of the method, was compared with settings around it,
on three further seeds (`seed=100,101,102 test=false`). Defaults are within half a point of the best of these.

| strategy | compared | best | median of three |
|---|---|---|---|
"""


def trials_of(storage: str) -> tuple[list[str], list[str], int]:
    """Rows, names, and how many trials each study has at least."""
    rows, names, counts = [], [], []
    for summary in optuna.get_all_study_summaries(storage):
        study = optuna.load_study(study_name=summary.study_name, storage=storage)
        trials = sorted((trial for trial in study.trials if trial.value is not None), key=lambda trial: trial.value)
        best, middle = trials[-1], trials[len(trials) // 2]
        settings = ", ".join(f"`{key}={short(value)}`" for key, value in best.params.items())
        rows.append(f"| {study.study_name} | {settings} | {best.value:.3f} | {middle.value:.3f} |")
        names.append(study.study_name)
        counts.append(len(trials))
    return rows, names, min(counts)


def grid_row(directory: Path) -> str:
    """The best of a grid, by the median over its seeds."""
    found, values = defaultdict(list), defaultdict(set)
    for path in directory.glob("*/result.json"):
        overrides = (path.parent / ".hydra" / "overrides.yaml").read_text(encoding="utf-8").splitlines()
        given = dict(line.removeprefix("- ").split("=", 1) for line in overrides)
        settings = {key: value for key, value in given.items() if key.startswith("strategy.")}
        name = given["strategy"]
        for key, value in settings.items():
            values[key].add(value)
        accuracy = json.loads(path.read_text(encoding="utf-8"))["summary"]["final/val/accuracy"]
        found[tuple(settings.items())].append(accuracy)
    whole = {key: runs for key, runs in found.items() if len(runs) == max(map(len, found.values()))}
    best = max(whole, key=lambda key: statistics.median(whole[key]))
    compared = ", ".join(f"`{key}={','.join(sorted(each))}`" for key, each in values.items())
    winner = ", ".join(f"`{key}={value}`" for key, value in best)
    return f"| {name} | {compared} | {winner} | {statistics.median(whole[best]):.3f} |"


def short(value: object) -> str:
    """Three digits are more than one seed can tell apart."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="of the sweep by optuna")
    parser.add_argument("grids", type=Path, nargs="*", help="of sweeps over a grid, a strategy each")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows, names, trials = trials_of(f"sqlite:///{arguments.directory.resolve() / 'optuna.db'}")
    before, _, grids = PAGE.read_text(encoding="utf-8").partition(GRIDS) if PAGE.exists() else ("", "", "")
    kept = {line.split(" | ")[0]: line for line in before.splitlines() if line.startswith("| ")}
    table = {**kept, **{row.split(" | ")[0]: row for row in rows}}
    table.pop("| strategy", None)
    text = TRIALS.format(trials=trials, some=",".join(names[:3])) + "\n".join(table.values()) + "\n"
    if arguments.grids:
        grids = "\n".join(grid_row(directory) for directory in arguments.grids) + "\n"
    PAGE.write_text(text + GRIDS + grids if grids else text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
