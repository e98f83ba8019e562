"""How much of a training step is not the model's own work, for each installed strategy.

    python scripts/benchmarks/bench_overhead.py --json overhead.json --picture overhead.png
    python scripts/benchmarks/bench_overhead.py --strategies adam openai_es
    python scripts/benchmarks/bench_overhead.py --strategies genetic_algorithm cem snes differential_evolution \
        particle_swarm ensemble_kalman_inversion

Each strategy, with its default settings, trains the default job's network (64-32-10) on batches of 256. Compared are

- **model**: the forward passes that the ledger charged, as plain inference and loss over as many samples with one set
  of weights in the chunk that is fastest, and each charged gradient as a plain forward and backward pass;
- **step**: `strategy.step(oracle, batch)`, again and again: noise, bookkeeping and update come on top of the model;
- **fit**: the same inside of Lightning's Trainer, from the beginning of one batch to that of the next.

"outside" is the share of a step that is not the model: 1 - model / step. It can be negative, where a population runs
faster than plain inference. Strategies made of phases are composed of a search and a gradient method; both phases count
by what they charge. One thread, as small networks have it by default.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import benchlib
import torch
from benchlib import CLASSES, Rows, interleaved, median_ratio, mlp
from pytorch_lightning import Callback, Trainer
from torch import Tensor, nn

from hybridopt import Budget, DataModule, Objective, Oracle, Strategy, Trial
from hybridopt.composition import building, registry
from hybridopt.core.ledger import GRADIENT, Ledger
from hybridopt.testing.by_hand import begin
from hybridopt.testing.plugins import filled

BATCH = 256
REPEATS = 32  # batches that plain inference takes in one go, if it likes
LENGTH = 2000  # steps of a run at most; a hybrid passes through its phases in them
FORWARDS = 1.5e6  # of a run, for strategies of costly steps; but ten steps at least


# -- what is measured --------------------------------------------------------------------------------------------------


def build(name: str) -> Strategy:
    """A strategy with its default settings; what has none is as in the conformance kit, phases a search and Adam."""
    return building.build("strategy", filled("strategy", {"name": name}), spec=CLASSES)


class CountingLedger(Ledger):
    """A ledger that also knows how many forwards were charged for gradients, all phases together."""

    gradients = 0  # forwards' worth


class CountingOracle(Oracle):
    """An oracle that notes them."""

    def gradient(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        root = cast(CountingLedger, self.ledger.root)
        before = root.forwards
        loss = super().gradient(batch)
        root.gradients += root.forwards - before
        return loss


class Bench:
    """A strategy at work on the default network.

    Args:
        name: the strategy.
        batch: inputs and targets.
        forwards: the budget, so that schedules and phases are passed through as in a run.
    """

    def __init__(self, name: str, batch: tuple[Tensor, Tensor], forwards: float):
        self.name, self.batch, self.forwards = name, batch, forwards
        self.start()

    def start(self) -> None:
        """Begin again."""
        device = self.batch[0].device
        torch.manual_seed(0)
        self.ledger = CountingLedger(Budget(forwards=self.forwards))
        objective = building.build("objective", {"name": "cross_entropy"}, spec=CLASSES)
        generator = torch.Generator(device).manual_seed(0)
        self.oracle = CountingOracle(mlp(64, [32], str(device)), objective, self.ledger, generator)
        self.strategy = build(self.name).to(device)
        begin(self.strategy, self.oracle, self.batch)
        self.strategy.step(self.oracle, self.batch)  # the first step makes what the others find made

    def run(self) -> tuple[int, int, int]:
        """To the end of the budget: steps, forwards charged for populations, forwards' worth of gradients."""
        before = (self.ledger.forwards, self.ledger.gradients)
        steps = 0
        while not self.ledger.exhausted:
            self.strategy.step(self.oracle, self.batch)
            steps += 1
        gradients = self.ledger.gradients - before[1]
        return steps, self.ledger.forwards - before[0] - gradients, gradients


def cost_of_a_step(name: str, batch: tuple[Tensor, Tensor]) -> int:
    """Forwards of the first step; of a hybrid, that is a step of its first phase."""
    return Bench(name, batch, benchlib.PLENTY).ledger.forwards


class WithLoss(nn.Module):
    """A network and its loss, for batches whose targets repeat those of one batch."""

    def __init__(self, model: nn.Module, objective: Objective, targets: Tensor):
        super().__init__()
        self.model, self.objective = model, objective
        self.targets = targets.repeat(REPEATS)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.objective.loss(self.model(inputs), self.targets[: len(inputs)])


def forward_and_backward(model: nn.Module, inputs: Tensor) -> Callable[[], None]:
    """What a gradient is made of, by hand."""

    def run() -> None:
        model.zero_grad(set_to_none=True)
        model(inputs).backward()

    return run


# -- Lightning ---------------------------------------------------------------------------------------------------------


class Stopwatch(Callback):
    """The time, and what has been charged, whenever the Trainer has its turn."""

    skips_batches = True  # several steps may pass in between, as in any run

    def __init__(self) -> None:
        self.laps: list[tuple[float, int]] = []

    def on_train_batch_start(self, trainer: Trainer, trial: Trial, *_: Any) -> None:
        self.laps.append((time.perf_counter(), trial.ledger.forwards))

    def seconds_a_forward(self) -> float:
        """From the second turn on: the first one makes what the others find made."""
        (started, before), (ended, after) = self.laps[1], self.laps[-1]
        return (ended - started) / (after - before)


def seconds_in_fit(name: str, data: DataModule, forwards: float, device: str) -> float:
    """Seconds a forward inside of a Trainer; the first turn, and validation at the end, are left out."""
    torch.manual_seed(0)
    objective = building.build("objective", {"name": "cross_entropy"}, spec=CLASSES)
    trial = Trial(mlp(64, [32]), objective, build(name), Budget(forwards=forwards, marks=1), spec=CLASSES)
    watch = Stopwatch()
    settings = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(
        accelerator="gpu" if device.startswith("cuda") else "cpu",
        devices=1,
        callbacks=[watch],
        enable_model_summary=False,
        **settings,
        **Trial.trainer_settings,
    )
    trainer.fit(trial, datamodule=data)
    return watch.seconds_a_forward()


# -- the table ---------------------------------------------------------------------------------------------------------


def measure(name: str, batch: tuple[Tensor, Tensor], data: DataModule, arguments: argparse.Namespace) -> dict[str, Any]:
    """Model, step and fit in turn, each over a whole small budget."""
    device = arguments.device
    cost = cost_of_a_step(name, batch)
    forwards = cost * max(10, min(arguments.length, round(FORWARDS / cost)))
    bench = Bench(name, batch, forwards)
    steps, passes, gradients = bench.run()
    model = WithLoss(mlp(64, [32], device), bench.oracle.objective, batch[1])
    inference, _ = benchlib.best_plain_inference(model, batch[0].repeat(REPEATS, 1), device)
    backward = forward_and_backward(model, batch[0])
    cases = {"inference": inference, "backward": backward}
    rounds: dict[str, list[float]] = {"model": [], "step": [], "fit": []}
    for _ in range(arguments.repetitions):
        plain = interleaved(cases, 1, device, arguments.least)
        model_seconds = plain["inference"][0] * passes / (REPEATS * BATCH) + plain["backward"][0] * gradients / (
            GRADIENT * BATCH
        )
        rounds["model"].append(model_seconds / steps)
        bench.start()
        rounds["step"].append(benchlib.timed(bench.run, device) / steps)
        rounds["fit"].append(seconds_in_fit(name, data, forwards, device) * (passes + gradients) / steps)
    return row(name, rounds, (passes + gradients) / steps)


def row(name: str, rounds: dict[str, list[float]], forwards: float) -> dict[str, Any]:
    """Medians over rounds; ratios within rounds."""
    lightning = statistics.median(fit - step for fit, step in zip(rounds["fit"], rounds["step"], strict=True))
    return {
        "strategy": name,
        "forwards a step": round(forwards),
        "model ms": 1e3 * statistics.median(rounds["model"]),
        "step ms": 1e3 * statistics.median(rounds["step"]),
        "outside": 1 - median_ratio(rounds["model"], rounds["step"]),
        "fit ms": 1e3 * statistics.median(rounds["fit"]),
        "Lightning ms": 1e3 * lightning,
        "outside in fit": 1 - median_ratio(rounds["model"], rounds["fit"]),
    }


def draw(rows: Rows, path: Path) -> None:
    """What a step consists of, as stacked bars that add up to one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.35 * len(rows) + 1.5), layout="constrained")
    axes = figure.subplots()
    left = [0.0] * len(rows)
    for label, value in (
        ("model", lambda r: min(r["model ms"], r["step ms"])),
        ("strategy and oracle", lambda r: max(0.0, r["step ms"] - r["model ms"])),
        ("Lightning and trial", lambda r: max(0.0, r["Lightning ms"])),
    ):
        shares = [value(r) / max(r["fit ms"], 1e-9) for r in rows]
        axes.barh([r["strategy"] for r in rows], shares, left=left, label=label)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    axes.set(xlabel="share of a step inside of Trainer.fit")
    axes.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = benchlib.parser(__doc__)
    parser.add_argument("--strategies", nargs="+", help="which ones (default: all that are installed)")
    parser.add_argument("--length", type=int, default=LENGTH, help="steps of a run at most (default: 2000)")
    arguments = benchlib.parse(parser)
    arguments.length = 10 if arguments.quick else arguments.length
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore")  # Lightning's advice, on what is meant to be as it is
    batch = benchlib.random_batch((64,), BATCH, arguments.device)
    data = building.build("dataset", {"name": "digits", "batch_size": BATCH})
    rows = []
    with benchlib.threads(1):
        report: dict[str, Any] = {"machine": benchlib.machine(arguments.device)}
        benchlib.say("machine", [report["machine"]])
        for name in arguments.strategies or registry.names("strategy"):
            rows.append(measure(name, batch, data, arguments))
            print(f"{name}: done", file=sys.stderr)
    report["overhead"] = rows
    benchlib.say("a step of each strategy, with its default settings", rows)
    benchlib.save(arguments.json, report)
    if arguments.picture:
        draw(rows, arguments.picture)


if __name__ == "__main__":
    main()
