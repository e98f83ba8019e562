"""How long `hybridopt strategy=adam` takes, as a ratio to a hand-written Lightning script that trains the same.

    python scripts/benchmarks/bench_lightning.py --repetitions 7

Both run as processes of their own, in turn, from start to end: imports, data, training, 50 validations with the same
metrics, checkpoints, test, and once with and once without MLflow on SQLite. The script by hand does what its author
would do for speed: batches cut from tensors in memory, one thread. The medians' ratio is what to look at.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FORWARDS, BATCH, MARKS = 10_000_000, 256, 50


def by_hand(track: bool) -> None:
    """The training of `hybridopt strategy=adam`, as a Lightning user would write it."""
    import torch
    from pytorch_lightning import LightningModule, Trainer, seed_everything
    from pytorch_lightning.callbacks import ModelCheckpoint
    from pytorch_lightning.loggers import MLFlowLogger
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from torch import nn
    from torchmetrics import MetricCollection
    from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

    torch.set_num_threads(1)
    seed_everything(0)
    inputs, targets = load_digits(return_X_y=True)
    rest_x, test_x, rest_y, test_y = train_test_split(inputs, targets, test_size=359, stratify=targets, random_state=0)
    train_x, val_x, train_y, val_y = train_test_split(rest_x, rest_y, test_size=359, stratify=rest_y, random_state=0)
    train, val, test = (
        (torch.tensor(x / 8 - 1, dtype=torch.float32), torch.tensor(y))
        for x, y in ((train_x, train_y), (val_x, val_y), (test_x, test_y))
    )
    steps = math.ceil(FORWARDS / (3 * BATCH))

    class Batches:
        def __len__(self) -> int:
            return steps

        def __iter__(self):
            done = 0
            while True:
                order = torch.randperm(len(train[0]))
                for part in order[: len(order) // BATCH * BATCH].split(BATCH):
                    if done == steps:
                        return
                    done += 1
                    yield train[0][part], train[1][part]

    class Whole:
        def __init__(self, data):
            self.data = data

        def __len__(self) -> int:
            return 1

        def __iter__(self):
            return iter([self.data])

    class Digits(LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
            self.metrics = MetricCollection(
                {"accuracy": MulticlassAccuracy(10, average="micro"), "f1": MulticlassF1Score(10)}
            )

        def training_step(self, batch, index):
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("train/loss", loss)
            return loss

        def evaluate(self, batch, stage):
            outputs = self.net(batch[0])
            self.metrics.update(outputs, batch[1])
            self.log(f"{stage}/loss", nn.functional.cross_entropy(outputs, batch[1]))

        def validation_step(self, batch, index):
            self.evaluate(batch, "val")

        def on_validation_epoch_end(self):
            self.log_dict({f"val/{name}": value for name, value in self.metrics.compute().items()})
            self.metrics.reset()

        def test_step(self, batch, index):
            self.evaluate(batch, "test")

        def on_test_epoch_end(self):
            self.log_dict({f"test/{name}": value for name, value in self.metrics.compute().items()})
            self.metrics.reset()

        def configure_optimizers(self):
            optimizer = torch.optim.Adam(self.parameters(), lr=3e-3, weight_decay=1e-3)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=3e-5)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    interval = steps // MARKS
    trainer = Trainer(
        max_epochs=1,
        val_check_interval=interval,
        log_every_n_steps=max(1, interval // 10),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(dirpath="checkpoints", save_last=True)],
        logger=MLFlowLogger("bench", tracking_uri="sqlite:///mlflow.db") if track else False,
    )
    model = Digits()
    trainer.fit(model, Batches(), Whole(val))
    trainer.test(model, Whole(test), verbose=False)


def timed(command: list[str], directory: Path) -> float:
    """Wall-clock seconds of a process; its MLflow store, once made, is used again."""
    started = time.perf_counter()
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--by-hand", choices=["none", "mlflow"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.by_hand:
        return by_hand(arguments.by_hand == "mlflow")
    results = {}
    for tracking in ("none", "mlflow"):
        hand = [sys.executable, str(Path(__file__).resolve()), "--by-hand", tracking]
        ours = [sys.executable, "-m", "hybridopt", "strategy=adam", f"tracking={tracking}", f"budget.marks={MARKS}"]
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
            timed(hand, Path(one)), timed(ours, Path(two))  # warms caches and makes the stores
            pairs = [(timed(hand, Path(one)), timed(ours, Path(two))) for _ in range(arguments.repetitions)]
        hands, owns = zip(*pairs, strict=True)
        results[tracking] = {
            "by_hand_s": statistics.median(hands),
            "hybridopt_s": statistics.median(owns),
            "ratio": statistics.median(own / hand for hand, own in pairs),
        }
        print(f"tracking={tracking}:", json.dumps({key: round(value, 2) for key, value in results[tracking].items()}))
    return None


if __name__ == "__main__":
    main()
