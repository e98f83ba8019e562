"""The trained network as a folder that Hugging Face's ``transformers`` library reads."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning import Callback, Trainer

from hybridopt import ConfigError, Trial
from hybridopt_transformers.network import TextNetwork


class SavePretrained(Callback):
    """Writes what was tested, with adapters merged, and its tokeniser, as ``save_pretrained`` does.

    ``model.checkpoint`` reads it again, and so does the library.

    Args:
        folder: where to; what it held of the same names is replaced.

    Raises:
        ConfigError: it is a file, or the network is none of the transformers library's.
    """

    def __init__(self, folder: str):
        super().__init__()
        self.folder = Path(folder).expanduser()
        if self.folder.is_file():
            raise ConfigError(f"trainer.callbacks.save_pretrained.folder={folder} is a file: name a folder.")

    def on_fit_start(self, trainer: Trainer, trial: Trial) -> None:
        if not isinstance(trial.model, TextNetwork):
            raise ConfigError(
                f"The callback save_pretrained writes networks of model=transformer and model=causal_transformer, and "
                f"{type(trial.model).__name__} is neither: leave it out."
            )

    def on_test_end(self, trainer: Trainer, trial: Trial) -> None:
        if trainer.is_global_zero:
            with trial.recommending():
                trial.model.save(self.folder)
