"""The trained network as an MLflow model: exported, with a signature, without pickle."""

from __future__ import annotations

import logging
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path

from torch import Tensor, nn

from hybridopt.errors import brief
from hybridopt.tracking.files import partial_of

log = logging.getLogger(__name__)

REQUIREMENTS = ("torch", "numpy")


def save_model(model: nn.Module, sample: Tensor, path: Path) -> Path | None:
    """Write an MLflow model folder that ``mlflow.pytorch.load_model`` reads.

    Args:
        model: the network; it is exported by ``torch.export``, in evaluation mode.
        sample: a few inputs (B, ...), for the signature.
        path: the folder to write; what it held is deleted.

    Returns:
        The folder, or None where the network cannot be exported (data-dependent control flow); the log then says so.
    """
    import mlflow.pytorch
    from mlflow.models import infer_signature

    partial = partial_of(path)
    was_training, device = model.training, next(model.parameters()).device
    model.eval().cpu()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # internal warnings of torch.export and MLflow
            signature = infer_signature(sample.numpy(), model(sample).detach().numpy())
            mlflow.pytorch.save_model(  # pyright: ignore[reportPrivateImportUsage]
                model,
                partial,
                signature=signature,
                input_example=sample.numpy(),
                pip_requirements=[f"{name}=={version(name)}" for name in REQUIREMENTS],
            )
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    except Exception as error:  # an export fails in many ways, and none of them is worth a finished run
        log.warning("The model is kept in the checkpoint only, since it cannot be exported (%s).", brief(error))
        return None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        model.train(was_training).to(device)
    return path
