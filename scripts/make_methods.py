"""Write the guide to the strategies, docs/methods.md, from the registry and from runs on digits.

    python scripts/make_methods.py --measure --seeds 5
    python scripts/make_methods.py
    python scripts/make_methods.py --check

With --measure every built-in strategy is trained on digits first, by its defaults (an hour on one core); what comes out
is kept in docs/methods.csv and drawn in docs/methods.png. Without, the page is made from what is kept; with --check
nothing is written, and a stale page is named.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from hybridopt import Budget, Oracle, registry
from hybridopt.datasets.digits import digits
from hybridopt.ledger import Ledger
from hybridopt.testing.plugins import filled

DOCS = Path(__file__).resolve().parents[1] / "docs"
FIGURES, PICTURE, PAGE = (DOCS / f"methods.{kind}" for kind in ("csv", "png", "md"))
FORWARDS = 1e7
COLUMNS = ("strategy", "median", "low", "high", "forwards", "seconds")
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
NO_DIGITS = {"torch_optim", "sequence"}  # what they do is what they are told
HEAD = """# Which strategy to try

Made by `python scripts/make_methods.py` from the installed strategies. Start here:

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

What each is proven to do, by experiments that anybody can run, is in [What holds](reproduction.md); how default
settings were found, in [Where defaults come from](defaults.md); every setting is in [the built-in plugins](plugins.md).

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


# -- what the registry says -------------------------------------------------------------------------------------------


def strategies() -> Iterator[registry.Plugin]:
    """The built-in ones."""
    for claims in registry.plugins("strategy").values():
        yield from (plugin for plugin in claims if plugin.distribution == "hybridopt")


def row(plugin: registry.Plugin) -> Row:
    """Needs, state and cost of a strategy, by one step on digits."""
    target = plugin.load()
    strategy = registry.build("strategy", filled("strategy", {"name": f"hybridopt:{plugin.name}"}))
    words = re.search(r"Good for (.+?)\n\s*\n", target.__doc__ + "\n\n", re.DOTALL)
    state, step = ("", "") if plugin.name in NO_DIGITS else measured(strategy)
    said = " ".join(words[1].split()) if words else ""
    family = plugin.entry_point.value.split(".")[2]
    needs = ", ".join(sorted(strategy.requires))
    return Row(plugin.name, family, needs, state, step, said, tuple(getattr(target, "showcase", ())))


def measured(strategy) -> tuple[str, str]:
    """What a strategy keeps, in vectors of the network's length, and what its third step costs, in batches."""
    data = digits()
    data.setup("fit")
    torch.manual_seed(0)
    model = registry.build("model", {"name": "mlp"}, spec=data.spec)
    objective = registry.build("objective", {"name": "cross_entropy"})
    oracle = Oracle(model, objective, Ledger(Budget(forwards=FORWARDS)), torch.Generator().manual_seed(0))
    strategy.setup(oracle)
    optimizers = strategy.optimizers(model)
    costs, batch = [], next(iter(data.train_dataloader()))
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


def measure(rows: list[Row], seeds: int) -> None:
    """Train every strategy, and keep figures and picture."""
    figures, curves = [], {}
    for each in rows:
        if each.name not in NO_DIGITS:
            runs = sweep(each, seeds)
            figures.append(figure_of(each.name, runs))
            curves[each.name] = (each.family, [run["curve"] for run in runs])
            print(*figures[-1].values())
            sys.stdout.flush()
    with FIGURES.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(figures)
    draw(curves)


def sweep(each: Row, seeds: int) -> list[dict]:
    """Summary and validation curve of each seed."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hybridopt", "-m", f"strategy=hybridopt:{each.name}", *each.overrides]
        command += [f"seeds={seeds}", "tracking=none", f"hydra.sweep.dir={folder}", "sweep.report=false"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return [run(path) for path in sorted(Path(folder).glob("*/result.json"))]


def run(path: Path) -> dict:
    """What one run has left."""
    lines = map(json.loads, (path.parent / "journal.jsonl").read_text(encoding="utf-8").splitlines())
    points = [(line["step"], line["values"].get("val/accuracy")) for line in lines if line["kind"] == "metrics"]
    curve = [(step, value) for step, value in points if value is not None]
    return {"summary": json.loads(path.read_text(encoding="utf-8"))["summary"], "curve": curve}


def figure_of(name: str, runs: list[dict]) -> dict[str, str]:
    """Median and range over seeds."""
    test = [run["summary"]["test/accuracy"] for run in runs]
    cost, seconds = (
        statistics.median(run["summary"][key] for run in runs) for key in ("cost/forwards", "cost/seconds")
    )
    values = (f"{statistics.median(test):.3f}", f"{min(test):.3f}", f"{max(test):.3f}", f"{cost:.0f}", f"{seconds:.1f}")
    return dict(zip(COLUMNS, (name, *values), strict=True))


def draw(curves: dict[str, tuple[str, list]]) -> None:
    """A panel for each family, Adam in all of them."""
    families = [family for family in FAMILIES if any(kind == family for kind, _ in curves.values())]
    figure = Figure(figsize=(11, 2.6 * ((len(families) + 1) // 2)), layout="constrained")
    axes = figure.subplots((len(families) + 1) // 2, 2, sharex=True, sharey=True, squeeze=False).flatten()
    for axis, family in zip(axes, families, strict=False):
        for name, (kind, runs) in curves.items():
            if kind == family or name == "adam":
                steps, values = median_curve(runs)
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


def median_curve(runs: list[list[tuple[int, float]]]) -> tuple[list[int], np.ndarray]:
    """Of curves with the same marks."""
    length = min(map(len, runs))
    steps = [step for step, _ in runs[0][:length]]
    return steps, np.median([[value for _, value in run[:length]] for run in runs], axis=0)


# -- the page ---------------------------------------------------------------------------------------------------------


def page(rows: list[Row]) -> str:
    """docs/methods.md."""
    with FIGURES.open(encoding="utf-8") as file:
        figures = {line["strategy"]: line for line in csv.DictReader(file)}
    parts = [HEAD]
    for family, title in FAMILIES.items():
        lines = [table_row(each, figures.get(each.name)) for each in rows if each.family == family]
        parts.append(
            f"## {title}\n\n| strategy | good for | needs | state | step | digits |\n|---|---|---|---|---|---|"
        )
        parts[-1] += "\n" + "\n".join(lines) + "\n"
    return "\n".join(parts)


def table_row(each: Row, figure: dict[str, str] | None) -> str:
    """One strategy."""
    reached = ""
    if figure is not None:
        reached = f"{figure['median']} ({figure['low']} to {figure['high']}) in {figure['seconds']} s"
        reached += "".join(f"<br>`{override}`" for override in each.overrides)
    name = f"[`{each.name}`](plugins.md#{each.name})"
    return f"| {name} | {each.good_for} | {each.needs} | {each.state} | {each.step} | {reached} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="train every strategy first")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="name a stale page instead of writing it")
    arguments = parser.parse_args()
    rows = [row(plugin) for plugin in strategies()]
    if arguments.measure:
        measure(rows, arguments.seeds)
    text = page(rows)
    if arguments.check:
        stale = PAGE.read_text(encoding="utf-8") != text
        print(f"{PAGE.name} is stale: run python scripts/make_methods.py" if stale else "docs/methods.md is up to date")
        return int(stale)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
