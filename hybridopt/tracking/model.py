"""The trained network as an MLflow model: as an object of its class, or exported as a graph."""

from __future__ import annotations

import importlib
import logging
import pickle
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import packages_distributions, version
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
SILENCED = (
    "mlflow.pytorch",  # advises against pickle at each call: SECURITY.md says what that means
    "mlflow.utils.environment",  # misses pip, in an environment that uv has made
)
FORMATS = ("class", "graph")  # the second one is there for what cannot be kept as the first one
FORMAT = "hybridopt.format"  # in the model's metadata, and a tag of it in MLflow: as what it is loaded


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


def save_model(
    model: nn.Module, sample: Inputs, path: Path, wanted: str = "class", texts: Mapping[str, str] | None = None
) -> str | None:
    """Write an MLflow model folder that ``mlflow.pytorch.load_model`` reads.

    A class is kept by its name, with the file that defines it where that belongs to no installed package: loading
    gives an object of it, and unpickles. What cannot be kept so, such as a class of the main program, is exported by
    ``torch.export``: loading needs torch alone and unpickles no objects. An exported network of several inputs has so
    many arguments, whose names and order are those of the signature.

    Args:
        model: the network; it is kept in evaluation mode, on the CPU.
        sample: a few inputs (B, ...), a tensor or a tree of them, for the signature.
        path: the folder to write; what it held is deleted.
        wanted: "class" or "graph".
        texts: files that the folder has besides, by their names.

    Returns:
        As what it is loaded, or None where it cannot be kept in either way; the log says why it is not as wanted.
    """
    ways: dict[str, Callable[..., Any]] = {"class": _as_class, "graph": _as_graph}
    for way in FORMATS if wanted == "class" else ("graph",):
        partial = partial_of(path)
        try:
            with _ready(model):
                told = ways[way](model, sample, partial)
            for name, text in (texts or {}).items():
                (partial / name).write_text(text, encoding="utf-8")
            shutil.rmtree(path, ignore_errors=True)
            partial.rename(path)
            return told
        except Exception as error:  # there are many ways to fail, and none of them is worth a finished run
            instead = "as an exported graph" if way != "graph" else "in the checkpoint and as weights only"
            log.warning("The model is kept %s, since it cannot be kept as a %s (%s).", instead, way, brief(error))
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return None


@contextmanager
def _ready(model: nn.Module) -> Iterator[None]:
    """Inside, the network is on the CPU in evaluation mode, and warnings of torch.export and MLflow are not shown."""
    was_training, device = model.training, next(model.parameters()).device
    loggers = [logging.getLogger(name) for name in SILENCED]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    model.eval().cpu()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        model.train(was_training).to(device)


def _as_class(model: nn.Module, sample: Inputs, path: Path) -> str:
    classes = {type(part) for part in model.modules()}
    for each in classes:
        _check_importable(each)
    names = sorted({each.__module__.partition(".")[0] for each in classes} - {"torch", "builtins"})
    installed = packages_distributions() if names else {}
    told = f"the class {type(model).__module__}.{type(model).__qualname__}"
    code = sorted({str(place) for name in names if name not in installed for place in _code_of(name, installed)})
    needed = [installed[name][0] for name in names if name in installed]
    single = isinstance(sample, Tensor)
    _save(
        model, path, sample, told, example=sample.numpy() if single else None,
        serialization_format="pickle", pickle_module=pickle, code_paths=code or None,
        pip_requirements=_pins(*REQUIREMENTS, *needed),
    )  # fmt: skip
    return told


def _as_graph(model: nn.Module, sample: Inputs, path: Path) -> str:
    single, told = isinstance(sample, Tensor), "an exported graph"
    arrays = [tensor.numpy() for tensor in trees.named(sample).values()]
    _save(
        model if single else Positional(model, sample), path, sample, told, example=arrays[0] if single else arrays,
        serialization_format="pt2", pip_requirements=_pins(*REQUIREMENTS),
        outputs=model(sample).detach().numpy(),
    )  # fmt: skip
    return told


def _save(model: nn.Module, path: Path, sample: Inputs, told: str, example: Any, outputs=None, **settings: Any) -> None:
    import mlflow.pytorch
    from mlflow.models import infer_signature

    arrays = {name: tensor.numpy() for name, tensor in trees.named(sample).items()}
    seen = arrays["inputs"] if isinstance(sample, Tensor) else arrays
    outputs = model(sample).detach().numpy() if outputs is None else outputs
    mlflow.pytorch.save_model(  # pyright: ignore[reportPrivateImportUsage]
        model, path, signature=infer_signature(seen, outputs), input_example=example, metadata={FORMAT: told},
        **settings,
    )  # fmt: skip


def _check_importable(each: type) -> None:
    """Refuse a class that another program would not find under its name.

    Raises:
        ValueError: it is of the main program, or made inside of a function.
    """
    found: Any = importlib.import_module(each.__module__)
    for name in each.__qualname__.split("."):
        found = getattr(found, name, None)
    if found is not each or each.__module__ == "__main__":
        raise ValueError(f"{each.__module__}.{each.__qualname__} cannot be imported by another program")


def _code_of(name: str, installed: Container[str]) -> list[Path]:
    """The file or folder of a module of no package, and those of the modules beside it that are imported, too."""
    home = _place(name)
    others = [key for key in list(sys.modules) if "." not in key and key != "__main__" and key not in installed]
    places = [place for key in others if (place := _place(key)) is not None]
    return [place for place in places if home is not None and place.parent == home.parent]


def _place(name: str) -> Path | None:
    """The file or folder of a top-level module that is imported; None where it has none."""
    file = getattr(sys.modules[name], "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    return path.parent if path.name == "__init__.py" else path


def _pins(*distributions: str) -> list[str]:
    return [f"{name}=={version(name)}" for name in dict.fromkeys(distributions)]
