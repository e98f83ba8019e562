"""For bench_scale.py: the constants of a seeded generation, measured here, and what they make of sizes that are not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import torch
from benchlib import Rows
from torch import Tensor, nn

from hybridopt.engine.population import SeededPopulation, noise_blocks
from hybridopt.engine.sharding import ProcessGroup, as_bytes
from hybridopt.toolbox.descent import AdamDescent

D = 2**22  # parameters on which is measured: 16 MB, more than a cache
WIDTH = 2048  # of a layer with as many weights
ROUNDS = 5
COPIES = 4  # of the weights that seeded openai_es has: the network, the point, Adam's two moments
BLOCK = 2**20  # bytes of noise that are made at a time
NETWORK, HOP = 1.25e9, 5e-5  # assumed: bytes a second of ten gigabit Ethernet, seconds for a message to arrive


@dataclass(frozen=True)
class Constants:
    """Seconds of the processor.

    Args:
        draw: of a standard normal number.
        member: of a parameter of a perturbed copy, drawn and added.
        update: of a parameter and a noise vector in the weighted sum.
        descent: of a parameter in a step of Adam.
        forward: of a weight and a sample in a forward pass.
        unpack: of a rank in what is gathered.
    """

    draw: float
    member: float
    update: float
    descent: float
    forward: float
    unpack: float


def constants(batch: int) -> Constants:
    """Measure them with one thread."""
    torch.set_num_threads(1)
    point, seeds = torch.zeros(D), torch.arange(4)
    population = SeededPopulation(point, seeds, torch.ones(4))
    adam, layer, inputs = AdamDescent(), nn.Linear(WIDTH, WIDTH, bias=False), torch.randn(batch, WIDTH)
    adam.start(point)
    into = torch.empty(D)

    def perturb() -> None:
        for part, values in population.member(0):
            into[part] = values

    with torch.inference_mode():
        return Constants(
            draw=seconds(lambda: [None for _ in noise_blocks(0, point)]) / D,
            member=seconds(perturb) / D,
            update=seconds(lambda: [None for _ in population.weighted_noise(torch.ones(4))]) / (4 * D),
            descent=seconds(lambda: adam.step(point, 0.1)) / D,
            forward=seconds(lambda: layer(inputs)) / (layer.weight.numel() * batch),
            unpack=unpacking(10_000) / 10_000,
        )


def seconds(case: Callable[[], object]) -> float:
    """The least of some rounds, of the processor."""
    taken = []
    for _ in range(ROUNDS + 1):
        started = time.process_time()
        case()
        taken.append(time.process_time() - started)
    return min(taken[1:])


class Imagined(ProcessGroup):
    """One of many ranks that are not there: what it receives is its own answer, as often."""

    def __init__(self, ranks: int):
        self.device, self.rank, self.ranks, self._counts = torch.device("cpu"), 0, ranks, True

    def _all(self, own: Tensor) -> list[Tensor]:
        return [own] * self.ranks


def unpacking(ranks: int) -> float:
    """Seconds in which a rank makes one tensor of what so many have sent, an answer each."""
    group = Imagined(ranks)
    assert len(as_bytes(torch.zeros(1))) == 4  # bytes of an answer, on which the paper counts
    return seconds(lambda: group.gather(torch.zeros(1), ranks, 1))


def on_paper(c: Constants, batch: int) -> Rows:
    """A generation of seeded openai_es by the formulas of ``docs/scale.md``: seconds, efficiency, and GB of a worker.

    The update is one that each worker makes by itself, or that they make in turn.
    """
    sizes = [(1e6, 100, 1), (1e8, 100, 4), (1e9, 100, 100), (1e9, 1e4, 100), (1e9, 1e4, 1e4)]
    rows = []
    for d, n, workers in sizes:
        evaluation = ceil(n / workers) * d * (c.member + batch * c.forward)
        exchange = (workers - 1) * HOP + workers * c.unpack
        update, turned = d * (n / 2 * c.update + c.descent), 0.0
        if workers > 1:
            sums = ceil(n / 2 / workers) * d * c.update
            sent = 2 * 4 * d / NETWORK + (workers - 1) * (HOP + BLOCK / NETWORK)
            turned = sums + sent + d * c.descent
        alone = n * d * (c.member + batch * c.forward) + update
        rows.append(
            {
                "parameters": f"{d:.0e}",
                "members": int(n),
                "workers": int(workers),
                "evaluation s": evaluation,
                "exchange s": exchange,
                "update by itself s": update,
                "by itself": alone / workers / (evaluation + exchange + update),
                "update in turn s": turned or None,
                "in turn": alone / workers / (evaluation + exchange + turned) if turned else None,
                "GB a worker": COPIES * 4 * d / 1e9,
            }
        )
    return rows


def shown(c: Constants) -> Rows:
    """The constants in nanoseconds."""
    return [{"constant": name, "ns": 1e9 * value} for name, value in vars(c).items()]
