"""Nevergrad's own ask and tell, as its documentation has it, on the network and the batches of :mod:`loops`."""

from __future__ import annotations

from typing import Any

import nevergrad as ng
import torch
from loops import BATCH, Network, Run, start


@torch.no_grad()
def ask_and_tell(run: Run, optimizer: str, popsize: int, generations: int) -> None:
    """The incumbent is evaluated again on each new batch, as the program does."""
    net, best = Network(start()), Network(start())
    budget = run.losses * popsize * generations // (popsize * generations + 1)
    array = ng.p.Array(init=best.vector.double().numpy()).set_mutation(sigma=0.05)
    array.function.deterministic = False
    search: Any = ng.optimizers.registry[optimizer](array, budget, popsize)
    for batch in run.batches(best):
        lowest = best.loss(batch).item()
        for _ in range(generations):
            asked = [search.ask() for _ in range(popsize)]
            for candidate in asked:
                net.vector.copy_(torch.from_numpy(candidate.value))
                loss = net.loss(batch).item()
                search.tell(candidate, loss)
                if loss < lowest:
                    lowest = loss
                    best.vector.copy_(net.vector)
        run.spent += (1 + popsize * generations) * BATCH


def diagonal_cma(run: Run) -> None:
    ask_and_tell(run, "DiagonalCMA", 32, 1)


def one_plus_one(run: Run) -> None:
    ask_and_tell(run, "OnePlusOne", 1, 50)
