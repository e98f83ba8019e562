"""Trials that are run by one process and by several, and must come out alike; as a program: by several.

``python sharded.py DIRECTORY RANKS`` runs all cases under Lightning's DDP, which starts the other ranks by the same
command line, and leaves in ``rank_0.pt``, ``rank_1.pt`` ... what each of them saw.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from test_trial import QUIET, SPEC, StopAt, data, with_dropout
from torch import Tensor, nn

from hybridopt import Budget, Search, TensorDataModule, Trial
from hybridopt.composition import building
from hybridopt.errors import HybridoptError


class Gaussian(Search):
    """Remembers all members and losses.

    Args:
        popsize: the number n of members.
        drift: added to what is recommended, times the rank: a way to make ranks disagree.
    """

    def __init__(self, popsize: int, drift: float = 0.0):
        super().__init__()
        self.popsize, self.drift = popsize, drift
        self.members: list[Tensor] = []
        self.losses: list[Tensor] = []

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x", x0.clone())

    def ask(self) -> Tensor:
        noise = torch.randn(self.popsize, len(self.x), generator=self.generator)
        return self.x + 0.1 * noise

    def tell(self, population: Tensor, losses: Tensor) -> None:
        self.members.append(population)
        self.losses.append(losses)
        self.x = population[losses.argmin()]

    def recommend(self) -> Tensor:
        return self.x + self.drift * rank()


class OwnOrder(TensorDataModule):
    """Shuffles by a seed that differs from rank to rank, as a careless loader does."""

    def train_dataloader(self) -> Any:
        self.batch_seed = rank()
        return super().train_dataloader()


def rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


class WithIdleBranch(nn.Module):
    """A layer that the loss never reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = mlp(), nn.Linear(5, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.used(inputs)


ADAM = {"name": "adam"}
ES = {"name": "openai_es", "popsize": 10}
TICKET = {"name": "lottery_ticket", "search": ES, "finetune": ADAM, "encoding": {"name": "supermask"}}


def trial(strategy: dict[str, Any] | Search, network: Callable[[], nn.Module] = mlp, **budget: float) -> Trial:
    torch.manual_seed(rank())  # the ranks start from different weights, and must not keep them
    built = building.build("strategy", strategy) if isinstance(strategy, dict) else strategy
    return Trial(network(), building.build("objective", {"name": "cross_entropy"}), built, Budget(**budget, marks=4))


def gaussian(popsize: int) -> Trial:
    return trial(Gaussian(popsize), evaluations=7 * popsize)


CASES: dict[str, Callable[[], Trial]] = {
    **{f"gaussian of {n}": partial(gaussian, n) for n in (1, 2, 3, 5, 64)},
    "openai_es": partial(trial, ES, forwards=4000),
    "adam": partial(trial, ADAM, forwards=4000),
    "lottery_ticket": partial(trial, TICKET, forwards=4000),
    "adam with dropout": partial(trial, ADAM, with_dropout, forwards=1000),
    "adam with an idle branch": partial(trial, ADAM, WithIdleBranch, forwards=1000),
    "openai_es with batch norm": partial(trial, ES, with_dropout, forwards=1000),
}
TIMED, RESUMED, OUTPUTS, SLOPES = "seconds", "resumed", "outputs", "slopes"
SHUFFLED, DRIFTING = "own order", "drift"


def trained(made: Trial, directory: Path, *callbacks: Any, module: TensorDataModule | None = None, **fit: Any) -> Trial:
    devices = torch.distributed.get_world_size() if torch.distributed.is_initialized() else RANKS
    settings = {"accelerator": "cpu", "devices": devices, "logger": False, "enable_checkpointing": False}
    trainer = Trainer(**(QUIET | settings), default_root_dir=directory, callbacks=list(callbacks))
    trainer.fit(made, datamodule=module or data(), **fit)
    trainer.test(made, datamodule=data(), verbose=False)
    return made


def outcome(made: Trial) -> dict[str, Any]:
    """All that must be the same on all ranks."""
    search = made.strategy if isinstance(made.strategy, Gaussian) else None
    return {
        "state": made.state_dict(),
        "ledger": made.ledger.state_dict(),
        "curve": made.curve,
        "tested": made.tested,
        "generator": made.oracle.generator.get_state(),
        "members": search.members if search else [],
        "losses": search.losses if search else [],
    }


def outputs(made: Trial) -> Tensor:
    """What three members put out."""
    population = torch.linspace(-1, 1, 3 * made.oracle.dimension).reshape(3, -1)
    return made.oracle.outputs(population, data().sets["train"])


def slopes(made: Trial) -> Tensor:
    """Losses and slopes of three members."""
    population = torch.linspace(-1, 1, 3 * made.oracle.dimension).reshape(3, -1)
    losses, gradients = made.oracle.gradients(population, data().sets["train"])
    return torch.cat([losses[:, None], gradients], dim=1)


def refused(made: Trial, directory: Path, **settings: Any) -> str:
    try:
        trained(made, directory, **settings)
    except HybridoptError as error:
        return str(error)
    return "nothing was refused"


def resumed(directory: Path) -> Trial:
    """The lottery ticket, stopped in its second phase and gone on with in new objects."""
    checkpoint = directory / "half.ckpt"
    trained(CASES["lottery_ticket"](), directory, StopAt(60, checkpoint))
    return trained(CASES["lottery_ticket"](), directory, ckpt_path=checkpoint, weights_only=True)


def main(directory: Path) -> None:
    trials = {name: trained(make(), directory) for name, make in CASES.items()}
    trials[TIMED] = trained(trial(ES, seconds=0.3), directory)
    trials[RESUMED] = resumed(directory)
    seen: dict[str, Any] = {name: outcome(made) for name, made in trials.items()}
    seen[OUTPUTS] = outputs(trials["openai_es"])
    seen[SLOPES] = slopes(trials["openai_es"])
    shuffled = OwnOrder(*data().sets.values(), SPEC, batch_size=10)
    seen[SHUFFLED] = refused(trial(ES, forwards=4000), directory, module=shuffled)
    seen[DRIFTING] = refused(trial(Gaussian(4, drift=0.1), forwards=4000), directory)
    torch.save(seen, directory / f"rank_{rank()}.pt")


RANKS = 1
if __name__ == "__main__":
    warnings.simplefilter("ignore")
    RANKS = int(sys.argv[2])
    main(Path(sys.argv[1]))
