"""The trained network as an MLflow model: exported, with a signature, without pickle."""

from __future__ import annotations

import logging
import re
import shutil
import warnings
from importlib.metadata import version
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from hybridopt.engine import trees
from hybridopt.engine.trees import Inputs
from hybridopt.errors import brief
from hybridopt.tracking.files import partial_of

log = logging.getLogger(__name__)

REQUIREMENTS = ("torch", "numpy")


class Positional(nn.Module):
    """A network of a tree of inputs as one of several tensors, since MLflow exports no other.

    Args:
        model: the network.
        like: inputs of its form.
    """

    def __init__(self, model: nn.Module, like: Inputs):
        super().__init__()
        self.model = model

        def forward(*tensors: Tensor) -> Tensor:
            return model(trees.rebuilt(like, tensors))

        names = [re.sub(r"\W", "_", f"_{name}") for name in trees.named(like)]
        arguments = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names]
        cast(Any, forward).__signature__ = Signature(arguments)  # an export wants to know how many there are
        self.forward = forward


def save_model(model: nn.Module, sample: Inputs, path: Path) -> Path | None:
    """Write an MLflow model folder that ``mlflow.pytorch.load_model`` reads.

    A network of several inputs becomes one of so many arguments, whose names and order are those of the signature.

    Args:
        model: the network; it is exported by ``torch.export``, in evaluation mode.
        sample: a few inputs (B, ...), a tensor or a tree of them, for the signature.
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
            arrays = {name: tensor.numpy() for name, tensor in trees.named(sample).items()}
            single = isinstance(sample, Tensor)
            example = arrays["inputs"] if single else list(arrays.values())
            signature = infer_signature(example if single else arrays, model(sample).detach().numpy())
            mlflow.pytorch.save_model(  # pyright: ignore[reportPrivateImportUsage]
                model if single else Positional(model, sample),
                partial,
                signature=signature,
                input_example=example,
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
