"""Write the guide to the strategies, docs/methods.md, from the registry and from runs on digits.

    python scripts/tools/make_methods.py --measure all --seeds 5
    python scripts/tools/make_methods.py --measure adam,openai_es
    python scripts/tools/make_methods.py
    python scripts/tools/make_methods.py --check

With --measure strategies are trained on digits first, by their defaults (all of them: half an hour on one core); what
comes out is kept in docs/methods.json and drawn in docs/methods.png. Without, the page is made from what is kept; with
--check nothing is written, and a stale page is named.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure

from hybridopt import Budget, Oracle
from hybridopt.composition import building, registry
from hybridopt.core.ledger import Ledger
from hybridopt.datasets.digits import digits
from hybridopt.testing.by_hand import begin
from hybridopt.testing.plugins import filled

if TYPE_CHECKING:
    from runs import Run

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FIGURES, PICTURE, PAGE = (DOCS / f"methods.{kind}" for kind in ("json", "png", "md"))
FORWARDS = 1e7
FAMILIES = {
    "gradient": "By gradient",
    "zeroth_order": "By few losses, or forward mode",
    "evolution_strategies": "Evolution strategies",
    "metaheuristics": "Metaheuristics",
    "kalman": "Kalman methods",
    "closed_form": "In closed form",
    "tickets": "Sparse networks",
    "hybrid": "Hybrids",
}
HEAD = """# Which strategy to try

Made by `python scripts/tools/make_methods.py` from the installed strategies. Start here:

- **The loss has a gradient.** `adam`; nothing else comes as far for as few forwards. `levenberg_marquardt` or `lbfgs`
  for small regressions to many digits, `extreme_learning_machine` for an answer in a second.
- **The loss has none, the outputs are all you see.** `openai_es`, `cem` or `genetic_algorithm`; with a similar loss
  that has a gradient at hand, `guided_es`.
- **The network has no gradient, the loss has one.** `ensemble_kalman_inversion`.
- **The network hardly fits into memory.** `mezo`; `forward_gradient` where code goes forward only.
- **Some dozen parameters, and rugged.** `differential_evolution`, or `cma_es` of
  [hybridopt-cma](../plugins/hybridopt-cma/README.md).
- **The reward is deceptive.** `nsr_es`, or a `genetic_algorithm` with a wide `sigma`.
- **The network shall be sparse.** `iterative_magnitude_pruning`; `edge_popup` where weights cannot change.
- **The strategy wanders.** Any of them inside of `ema`, which averages, or `best_so_far`, which keeps the best.

What is claimed of each, and whether it holds, is in [What holds of single methods](reproduction.md); how default
settings were found, in [Where defaults come from](defaults.md); every setting is in [the built-in plugins](plugins.md).

How well a strategy's steps agree with the gradient is logged as `train/alignment` by
`hybridopt strategy=openai_es '+trainer.callbacks.alignment={every: 10}'`.

![Validation accuracy on digits over forwards](methods.png)

*The network 64-32-10 on digits by every strategy, medians of five seeds; by family.*

In the tables, *needs* is what the strategy asks of network and loss; *state* is what it keeps besides the network, in
vectors of its length (for a network 64-32-10 and batches of 256); *step* is what one step costs, in forwards of the
batch; *digits* is the test accuracy after 1e7 forwards, median and range of five seeds, by
`hybridopt -m strategy=<name> seeds=5` (and what is written below it).
"""


@dataclass(frozen=True)
class Row:
    """What can be said of a strategy without training it."""

    name: str
    family: str
    needs: str
    state: str
    step: str
    good_for: str
    overrides: tuple[str, ...]
    trained: bool


# -- what the registry says -------------------------------------------------------------------------------------------


def strategies() -> Iterator[registry.Plugin]:
    """The built-in ones."""
    for claims in registry.plugins("strategy").values():
        yield from (plugin for plugin in claims if plugin.distribution == "hybridopt")


def row(plugin: registry.Plugin) -> Row:
    """Needs, state and cost of a strategy, by one step on digits."""
    target = plugin.load()
    strategy = building.build("strategy", filled("strategy", {"name": f"hybridopt:{plugin.name}"}))
    words = re.search(r"Good for (.+?)\n\s*\n", target.__doc__ + "\n\n", re.DOTALL)
    trained = not any(parameter.many for parameter in plugin.describe().parameters)  # else it does as it is told
    state, step = measured(strategy) if trained else ("", "")
    said = " ".join(words[1].split()).rstrip(".") if words else ""
    family = plugin.entry_point.value.split(".")[2]
    needs = ", ".join(sorted(strategy.requires))
    return Row(plugin.name, family, needs, state, step, said, tuple(getattr(target, "showcase", ())), trained)


def measured(strategy) -> tuple[str, str]:
    """What a strategy keeps, in vectors of the network's length, and what its third step costs, in batches."""
    data = digits()
    data.setup("fit")
    torch.manual_seed(0)
    model = building.build("model", {"name": "mlp"}, spec=data.spec)
    objective = building.build("objective", {"name": "cross_entropy"})
    oracle = Oracle(model, objective, Ledger(Budget(forwards=FORWARDS)), torch.Generator().manual_seed(0))
    costs, batch = [], next(iter(data.train_dataloader()))
    begin(strategy, oracle, batch)
    optimizers = strategy.optimizers()
    for _ in range(3):
        before = oracle.ledger.forwards
        strategy.step(oracle, batch)
        costs.append((oracle.ledger.forwards - before) / len(batch[0]))
    kept = sum(value.numel() for value in strategy.state_dict().values() if isinstance(value, torch.Tensor))
    for optimizer in optimizers:
        parts = (value for state in optimizer.state.values() for value in state.values())
        kept += sum(value.numel() for value in parts if isinstance(value, torch.Tensor))
    d = sum(value.numel() for value in model.parameters())
    return f"{kept / d:.3g}", f"{costs[-1]:.3g}"


# -- what runs say ----------------------------------------------------------------------------------------------------


def measure(rows: list[Row], names: str, seeds: int) -> None:
    """Train strategies, all or some, and keep what comes out beside what is known of the others."""
    from runs import sweep

    known = kept()
    for each in rows:
        if each.trained and (names == "all" or each.name in names.split(",")):
            known[each.name] = figure_of(sweep([f"strategy=hybridopt:{each.name}", *each.overrides, f"seeds={seeds}"]))
            print(each.name, *(value for key, value in known[each.name].items() if key != "curve"))
            sys.stdout.flush()
            FIGURES.write_text(json.dumps(known, sort_keys=True, indent=0) + "\n", encoding="utf-8")
    draw({each.name: (each.family, known[each.name]["curve"]) for each in rows if each.name in known})


def kept() -> dict[str, dict]:
    """Strategy -> median, range, cost, and the median validation curve as [forwards, accuracy]."""
    return json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}


def figure_of(runs: list[Run]) -> dict:
    """Median and range over seeds."""
    test = [run.summary["test/accuracy"] for run in runs]
    seconds = statistics.median(run.summary["cost/seconds"] for run in runs)
    places = {"median": statistics.median(test), "low": min(test), "high": max(test)}
    return {key: round(value, 3) for key, value in places.items()} | {
        "seconds": float(f"{seconds:.2g}"),
        "curve": median_curve([run.curve for run in runs]),
    }


def draw(curves: dict[str, tuple[str, list[list[float]]]]) -> None:
    """A panel for each family, Adam in all of them."""
    families = [family for family in FAMILIES if any(kind == family for kind, _ in curves.values())]
    figure = Figure(figsize=(11, 2.6 * ((len(families) + 1) // 2)), layout="constrained")
    axes = figure.subplots((len(families) + 1) // 2, 2, sharex=True, sharey=True, squeeze=False).flatten()
    for axis, family in zip(axes, families, strict=False):
        axis.set_prop_cycle(color=colormaps["tab20"].colors[::2] + colormaps["tab20"].colors[1::2])
        for name, (kind, curve) in curves.items():
            if kind == family or name == "adam":
                steps, values = zip(*curve, strict=True)
                style = {"color": "0.7", "linestyle": ":"} if name == "adam" and kind != family else {}
                axis.plot(steps, values, label=name, marker="." if len(steps) < 3 else "", **style)
        axis.set(title=FAMILIES[family], xscale="log", ylim=(0, 1))
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    for axis in axes[len(families) :]:
        axis.axis("off")
    figure.supxlabel("forwards")
    figure.supylabel("validation accuracy")
    figure.savefig(PICTURE, dpi=110)


def median_curve(runs: list[list[tuple[int, float]]]) -> list[list[float]]:
    """Of curves with the same marks."""
    length = min(map(len, runs))
    values = np.median([[value for _, value in run[:length]] for run in runs], axis=0)
    return [[step, round(float(value), 3)] for (step, _), value in zip(runs[0][:length], values, strict=True)]


# -- the page ---------------------------------------------------------------------------------------------------------


def page(rows: list[Row]) -> str:
    """docs/methods.md."""
    figures = kept()
    parts = [HEAD]
    for family, title in FAMILIES.items():
        lines = [table_row(each, figures.get(each.name)) for each in rows if each.family == family]
        parts.append(
            f"## {title}\n\n| strategy | good for | needs | state | step | digits |\n|---|---|---|---|---|---|"
        )
        parts[-1] += "\n" + "\n".join(lines) + "\n"
    return "\n".join(parts)


def table_row(each: Row, figure: dict | None) -> str:
    """One strategy."""
    reached = ""
    if figure is not None:
        low, high = (f"{figure[key]:.3f}" for key in ("low", "high"))
        reached = f"{figure['median']:.3f} ({low} to {high}) in {figure['seconds']:g} s"
        reached += "".join(f"<br>`{override}`" for override in each.overrides)
    name = f"[`{each.name}`](plugins.md#{each.name})"
    return f"| {name} | {each.good_for} | {each.needs} | {each.state} | {each.step} | {reached} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", metavar="NAMES", help="train these strategies first, or all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="name a stale page instead of writing it")
    arguments = parser.parse_args()
    rows = [row(plugin) for plugin in strategies()]
    if arguments.measure:
        measure(rows, arguments.measure, arguments.seeds)
    text = page(rows)
    if arguments.check:
        stale = PAGE.read_text(encoding="utf-8") != text
        says = "is stale: run python scripts/tools/make_methods.py" if stale else "is up to date"
        print(f"docs/{PAGE.name} {says}")
        return int(stale)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
