"""What the benchmarks share: the machine they ran on, fair timing, a strategy at work, and how results are shown.

Timing on a shared machine: cases that are to be compared take turns, round after round, so that a slow minute hits all
of them; what is reported is the median of the rounds, and of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt import Budget, DataSpec, Oracle, Strategy
from hybridopt.composition import building, registry
from hybridopt.core.ledger import Ledger
from hybridopt.engine.memory import keep_freed_memory
from hybridopt.engine.sharding import Sharding
from hybridopt.testing.by_hand import begin
from hybridopt.testing.runs import threads

keep_freed_memory()  # as the program does

Case = Callable[[], object]
Rows = list[dict[str, Any]]

PLENTY = 1e12  # forwards: no benchmark spends them
LEAST = 0.02  # seconds a measurement should take; shorter cases are repeated within a round


# -- the command line and the machine ----------------------------------------------------------------------------------


def parser(doc: str) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7, help="rounds of each comparison (default: 7)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw them there")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and two rounds: does it run at all?")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; ``--quick`` means two rounds, and nothing is repeated within a round."""
    arguments = parser.parse_args()
    arguments.least = LEAST
    if arguments.quick:
        arguments.repetitions, arguments.least = 2, 0.0
    return arguments


def machine(device: str, packages: Sequence[str] = ("hybridopt", "torch", "numpy")) -> dict[str, Any]:
    """What the figures depend on besides the code."""
    return {
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "load average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: installed(name) for name in packages},
    }


def cpu_name() -> str:
    """The processor's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def installed(name: str) -> str | None:
    """The version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


# -- timing ------------------------------------------------------------------------------------------------------------


def interleaved(
    cases: Mapping[str, Case], repetitions: int, device: str, least: float = LEAST
) -> dict[str, list[float]]:
    """Seconds of each case in each round; in every other round the cases come in reverse order.

    Args:
        cases: what is timed, by name; each is run at least once before.
        repetitions: the number of rounds.
        device: waited for, so that what is timed is done.
        least: a case that takes less is run several times a round, and its mean is taken.
    """
    repeats = {name: max(1, math.ceil(least / warm_seconds(case, device))) for name, case in cases.items()}
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(repetitions):
        for name in list(cases)[:: -1 if turn % 2 else 1]:
            seconds[name].append(timed(cases[name], device, repeats[name]))
    return seconds


def warm_seconds(case: Case, device: str) -> float:
    """The time of a run that is not the first; a long case's first run has to do."""
    first = timed(case, device)
    return first if first > 1 else min(timed(case, device) for _ in range(2))


def timed(case: Case, device: str, repeats: int = 1) -> float:
    """Mean seconds of a case."""
    synchronize(device)
    started = time.perf_counter()
    for _ in range(repeats):
        case()
    synchronize(device)
    return (time.perf_counter() - started) / repeats


def synchronize(device: str) -> None:
    """Wait until the device has done all it was told to do."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median over rounds of the ratio within a round."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def with_threads(case: Case, count: int) -> Case:
    """The case, run with this number of CPU threads."""

    def run() -> object:
        with threads(count):
            return case()

    return run


# -- a strategy at work ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """A strategy as it is compared.

    Args:
        label: what tables call it.
        name: its name in the registry.
        settings: what must be set; a variant whose settings the installed strategy does not know is not offered.
        mode: the oracle's mode.
        precision: the oracle's precision.
    """

    label: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    mode: str = "auto"
    precision: str = "float32"

    @property
    def offered(self) -> bool:
        """Whether what is installed can do this, by its description alone."""
        if self.name not in registry.names("strategy"):
            return False
        known = {parameter.name: parameter for parameter in registry.find("strategy", self.name).describe().parameters}
        return all(
            name in known and (not known[name].choices or value in known[name].choices)
            for name, value in self.settings.items()
        )

    def config(self, popsize: int) -> dict[str, Any]:
        """A config for the registry; strategies without a population are left as they are."""
        known = {parameter.name for parameter in registry.find("strategy", self.name).describe().parameters}
        sizes = {"popsize": popsize} if "popsize" in known else {}
        return {"name": self.name, **sizes, **self.settings}


DENSE = Variant("openai_es, dense", "openai_es")
TABLE = Variant("openai_es, table", "openai_es", {"noise": "table"})
SEEDED = Variant("openai_es, seeded", "openai_es", {"noise": "seeded"})
EGGROLL = Variant("eggroll, low rank", "eggroll")
TABLE_BF16 = Variant("openai_es, table, bf16", "openai_es", {"noise": "table"}, precision="bf16")
EGGROLL_BF16 = Variant("eggroll, bf16", "eggroll", precision="bf16")
MEZO = Variant("mezo", "mezo")
LOOP = Variant("openai_es, plain loop", "openai_es", mode="loop")


class Work:
    """A strategy that trains a network on one batch, again and again.

    Args:
        variant: the strategy.
        model: the network; it is trained in place.
        batch: inputs and targets.
        popsize: members of a generation.
        sharding: how these are shared out over processes; this one evaluates all if None.
    """

    def __init__(
        self,
        variant: Variant,
        model: nn.Module,
        batch: tuple[Tensor, Tensor],
        popsize: int,
        sharding: Sharding | None = None,
    ):
        self.batch = batch
        self.ledger = Ledger(Budget(forwards=PLENTY))
        generator = torch.Generator(batch[0].device).manual_seed(0)
        objective = building.build("objective", {"name": "cross_entropy"}, spec=CLASSES)
        self.strategy: Strategy = building.build("strategy", variant.config(popsize), spec=CLASSES)
        settings = {"mode": variant.mode, "precision": variant.precision, "sharding": sharding}
        settings["in_place"] = self.strategy.in_place  # as a trial does
        self.oracle = Oracle(model, objective, self.ledger, generator, **settings)
        self.strategy.to(batch[0].device)
        begin(self.strategy, self.oracle, batch)

    def __call__(self) -> None:
        """One generation: noise, evaluation, update."""
        self.strategy.step(self.oracle, self.batch)

    def forwards(self) -> int:
        """What one generation is charged."""
        before = self.ledger.forwards
        self()
        return self.ledger.forwards - before


CLASSES = DataSpec(input_shape=(64,), output_size=10, task="classification")


def mlp(inputs: int, hidden: Sequence[int], device: str = "cpu") -> nn.Module:
    """The multi-layer perceptron with these widths and ten outputs."""
    spec = DataSpec(input_shape=(inputs,), output_size=10, task="classification")
    return building.build("model", {"name": "mlp", "hidden": list(hidden)}, spec=spec).to(device)


def random_batch(shape: Sequence[int], size: int, device: str) -> tuple[Tensor, Tensor]:
    """Gaussian inputs and classes of ten: speed does not depend on what they mean."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(size, *shape, generator=generator)
    targets = torch.randint(10, (size,), generator=generator)
    return inputs.to(device), targets.to(device)


def dimension(model: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


# -- plain inference ---------------------------------------------------------------------------------------------------


def plain_inference(model: nn.Module, inputs: Tensor, chunk: int) -> Case:
    """One network in evaluation mode over all inputs, ``chunk`` at a time."""
    model = model.eval()
    parts = inputs.split(chunk)

    @torch.inference_mode()
    def run() -> None:
        for part in parts:
            model(part)

    return run


def best_plain_inference(model: nn.Module, inputs: Tensor, device: str) -> tuple[Case, int]:
    """Plain inference with the chunk that makes it fastest: it gets the freedom that a population has."""
    sizes = [size for size in (2**power for power in range(4, 30)) if size < len(inputs)] + [len(inputs)]
    cases = {size: plain_inference(model, inputs, size) for size in sizes[-12:]}
    seconds = {size: min(timed(case, device) for _ in range(3)) for size, case in cases.items()}
    best = min(seconds, key=seconds.__getitem__)
    return cases[best], best


# -- showing -----------------------------------------------------------------------------------------------------------


def table(rows: Rows) -> str:
    """Rows of the same keys as a Markdown table; numbers right-aligned, three significant digits."""
    heads = list(rows[0])
    cells = [[shown(row[head]) for head in heads] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(heads, *cells, strict=True)]
    numeric = [all(isinstance(row[head], int | float | None) for row in rows) for head in heads]
    aligned = [
        " | ".join(
            text.rjust(w) if right else text.ljust(w) for text, w, right in zip(line, widths, numeric, strict=True)
        )
        for line in (heads, *cells)
    ]
    rule = " | ".join("-" * (w - 1) + ":" if right else "-" * w for w, right in zip(widths, numeric, strict=True))
    return "\n".join(f"| {line} |" for line in (aligned[0], rule, *aligned[1:]))


def shown(value: Any) -> str:
    """A cell."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:#.3g}".rstrip(".") if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def say(title: str, rows: Rows, note: str = "") -> None:
    """Print a table under its title."""
    print(f"\n{title}\n{table(rows)}" + (f"\n{note}" if note else ""), flush=True)


def save(path: Path | None, report: Mapping[str, Any]) -> None:
    """Write a report as JSON, if a file was asked for."""
    if path is not None:
        path.write_text(json.dumps(report, indent=2) + "\n")
