"""Lightning's own callbacks end up in the journal, at the forwards spent."""

from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint

from hybridopt.tracking.lines import JOURNAL, read_operations
from hybridopt.tracking.logger import TrackerLogger
from hybridopt.tracking.tracker import open_tracker

FORWARDS_PER_STEP = 100


class Regression(pl.LightningModule):
    """A line through points, that counts its forwards."""

    def __init__(self) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 1)
        self.forwards = 0

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        self.forwards += FORWARDS_PER_STEP
        loss = (self.line(batch) ** 2).mean()
        self.log("train/loss", loss)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")  # 4 points need none
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning 2.6 makes them, torch deprecates them
@pytest.mark.filterwarnings("ignore:The number of training batches")  # about the logging interval
def test_callbacks_log_at_the_forwards_spent(tmp_path: Path) -> None:
    tracker = open_tracker({"name": "none"}, tmp_path, run_name="a")
    module = Regression()
    logger = TrackerLogger(tracker, clock=lambda: module.forwards)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=logger,
        log_every_n_steps=1,
        callbacks=[LearningRateMonitor("step"), ModelCheckpoint()],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(torch.randn(4, 1), batch_size=1))
    tracker.finish("FINISHED")
    points = [operation.content for operation in read_operations(tmp_path / JOURNAL) if operation.kind == "metrics"]
    names = {name for point in points for name in point["values"]}
    assert names == {"train/loss", "lr-SGD"}
    losses = [point["step"] for point in points if "train/loss" in point["values"]]
    assert losses == [FORWARDS_PER_STEP * step for step in range(1, 9)]
    assert trainer.log_dir == logger.log_dir == str(tmp_path)
    assert list((tmp_path / "checkpoints").glob("*.ckpt"))


def test_only_the_first_rank_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = open_tracker({"name": "none"}, tmp_path, run_name="a")
    logger = TrackerLogger(tracker, clock=lambda: 1)
    monkeypatch.setattr("lightning_utilities.core.rank_zero.rank_zero_only.rank", 1)
    logger.log_metrics({"loss": 1.0}, step=0)
    monkeypatch.setattr("lightning_utilities.core.rank_zero.rank_zero_only.rank", 0)
    logger.log_metrics({"loss": 2.0, "epoch": 0}, step=0)
    logger.log_metrics({"epoch": 0}, step=1)
    logger.log_hyperparams({"lr": 0.1})
    tracker.finish("FINISHED")
    contents = [operation.content for operation in read_operations(tmp_path / JOURNAL)]
    assert [content.get("values") for content in contents] == [{"loss": 2.0}, None]
    assert logger.experiment is tracker
