"""For bench_scale.py: time and memory of a generation over the number of parameters, each in a process of its own."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import benchlib
import torch
from bench_population import exponent, peak_bytes
from benchlib import EGGROLL, MEZO, SEEDED, Rows, Variant, Work, mlp
from torch import nn

INFERENCE = "plain inference"
VARIANTS = {variant.label: variant for variant in (MEZO, SEEDED, EGGROLL)}
SIZES = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 2e8]
QUICK = [1e3, 1e4]
LAYERS = 8  # of one width, so that no operation takes more than an eighth of the weights
POPSIZE, BATCH = 8, 32
FORWARDS = POPSIZE * BATCH  # of a generation, to which strategies that ask for fewer are scaled
ENOUGH = 2.0  # seconds of generations, after which no further one is timed
ROUNDS = 9  # generations that are timed at most


def network(d: float) -> tuple[int, nn.Module]:
    """Inputs, and an MLP of about so many parameters."""
    width = max(8, round((d / LAYERS) ** 0.5))
    return width, mlp(width, [width] * LAYERS)


def measure(quick: bool, limit: float) -> Rows:
    """A row for each variant and size.

    Args:
        quick: only the smallest sizes.
        limit: GB that a process may take; what would take more, by its peak at the size before, is not run.
    """
    rows: Rows = []
    for label in (INFERENCE, *VARIANTS):
        before: dict[str, Any] | None = None
        for d in QUICK if quick else SIZES:
            expected = 0.0 if before is None else before["peak MB"] * d / before["d"] / 1000
            found = {"seconds": None, "peak MB": None} if expected > limit else in_child(label, d)
            note = f"not run: it would take {expected:.1f} GB" if expected > limit else ""
            rows.append({"variant": label, "d": d, **found, "note": note})
            before = rows[-1] if rows[-1]["peak MB"] is not None else before
            print(f"{label}, d = {d:.0e}: {found}", file=sys.stderr)
    return against_inference(rows)


def against_inference(rows: Rows) -> Rows:
    """The rows, with copies of the weights, and how many times the seconds of plain inference."""
    plain = {row["d"]: row["seconds"] for row in rows if row["variant"] == INFERENCE}
    return [
        {
            "variant": row["variant"],
            "d": row["d"],
            "seconds": row["seconds"],
            "of inference": None if row["seconds"] is None else row["seconds"] / plain[row["d"]],
            "peak MB": row["peak MB"],
            "copies": None if row["peak MB"] is None else row["peak MB"] * 1e6 / (4 * row["d"]),
            "note": row["note"],
        }
        for row in rows
    ]


def exponents(rows: Rows) -> Rows:
    """Slopes of log-log fits over the upper half of the sizes that were run."""
    found = []
    for label in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == label and row["seconds"] is not None]
        upper = own[len(own) // 2 :] if len(own) > 3 else own
        sizes = [row["d"] for row in upper]
        seconds, peaks = ([max(1e-9, row[key]) for row in upper] for key in ("seconds", "peak MB"))
        found.append({"variant": label, "time": exponent(sizes, seconds), "memory": exponent(sizes, peaks)})
    return found


def in_child(label: str, d: float) -> dict[str, float]:
    """Seconds of a generation and MB of the peak, from a process of its own.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, str(Path(__file__).resolve()), json.dumps({"label": label, "d": d})]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"The measurement of {label} with {d:.0e} parameters failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def child(label: str, d: float) -> dict[str, float]:
    """The same, measured here; memory is above that of a network of a thousand parameters, for which all is loaded."""
    torch.set_num_threads(1)
    seconds_of(label, 1e3, 0.0)
    baseline = peak_bytes("cpu")
    seconds = seconds_of(label, d, ENOUGH)
    return {"seconds": seconds, "peak MB": max(0.0, peak_bytes("cpu") - baseline) / 1e6}


def seconds_of(label: str, d: float, enough: float) -> float:
    """The processor's median seconds of a generation after the first one, each divided by what it asks for.

    On a machine that others use too, children that run one after the other cannot be compared by the clock.
    """
    inputs, model = network(d)
    batch = benchlib.random_batch((inputs,), BATCH, "cpu")
    if label == INFERENCE:
        once = benchlib.plain_inference(model, batch[0].repeat(POPSIZE, 1), BATCH)
    else:
        variant: Variant = VARIANTS[label]
        once = Work(variant, model, batch, POPSIZE)
    once()
    taken: list[float] = []
    before = once.ledger.forwards if isinstance(once, Work) else 0
    while not taken or (sum(taken) < enough and len(taken) < ROUNDS):
        started = time.process_time()
        once()
        taken.append(time.process_time() - started)
    asked = once.ledger.forwards - before if isinstance(once, Work) else FORWARDS * len(taken)
    return statistics.median(taken) * FORWARDS * len(taken) / asked


if __name__ == "__main__":
    print(json.dumps(child(**json.loads(sys.argv[1]))))
