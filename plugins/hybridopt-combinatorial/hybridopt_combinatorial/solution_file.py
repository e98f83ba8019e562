"""The solution of a run as a file, in the problem's own words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.rank_zero import rank_zero_only

from hybridopt import ConfigError


class SolutionFile(Callback):
    """Writes the solution that a run recommends, such as a tour, into ``solution.json`` in its directory.

    Args:
        name: of the file.
    """

    def __init__(self, name: str = "solution.json"):
        self.name = name

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not hasattr(pl_module.objective, "answer"):
            name = type(pl_module.objective).__name__
            raise ConfigError(
                f"The callback solution_file tells solutions of combinatorial problems, and {name} has none to tell: "
                "leave it out of trainer.callbacks."
            )

    @rank_zero_only
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        instance, _ = next(iter(trainer.datamodule.test_dataloader()))
        with torch.no_grad():
            outputs = pl_module.model(instance)[0].cpu()
        told: dict[str, Any] = {"loss": pl_module.tested["test/loss"]}
        told |= pl_module.objective.answer(outputs, instance[0].cpu(), trainer.datamodule.spec)
        path = Path(trainer.default_root_dir) / self.name
        path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
