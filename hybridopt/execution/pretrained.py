"""Weights in files: where those to start from are, what of them a network takes, and what a run leaves.

Nothing is unpickled but tensors and plain values.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hybridopt.errors import ConfigError, StorageError, brief, counted
from hybridopt.execution.directory import CHECKPOINT, WEIGHTS
from hybridopt.execution.identity import find_run
from hybridopt.tracking.files import replacing, write_atomically

INDEX, WHOLE, PICKLED = "model.safetensors.index.json", "model.safetensors", "pytorch_model.bin"  # Hugging Face's names
INSIDE = ("state_dict", "model_state_dict", "model")  # where checkpoints keep a network's weights
OURS = "model."  # what a trial calls its network
NAMED = 6  # tensors that a sentence names


@dataclass(frozen=True)
class Matched:
    """What a network has taken of some weights.

    Args:
        loaded: the names of its tensors that were there, in the same shape.
        missing: those that were not.
        unexpected: tensors that it has no place for.
        reshaped: those that are there in another shape, as ``name (there, here)``.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether all fits."""
        return not (self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        parts = {"missing": self.missing, "not in the network": self.unexpected, "of another shape": self.reshaped}
        told = [f"{len(names)} {what} ({_listed(names)})" for what, names in parts.items() if names]
        return "; ".join([f"{counted(len(self.loaded), 'tensor')} taken", *told])


def load_into(model: nn.Module, settings: Mapping[str, Any]) -> Matched | None:
    """Give a network the weights that a config names; None where it names none.

    Args:
        model: the network, whose layers have their shapes.
        settings: ``source``, a file, a folder or a run; ``prefix``, that the names of its tensors begin with, or that
            is put before them if none does; ``strict``, whether all must fit.

    Raises:
        ConfigError: there is no such file, it cannot be read, or it does not fit.
    """
    source = settings.get("source")
    if source is None:
        return None
    path = locate(source)
    found = prefixed(read(path), settings.get("prefix") or "")
    matched = match(found, model.state_dict())
    if not matched.loaded or (settings.get("strict", True) and not matched.whole):
        raise ConfigError(
            f"weights={source} does not fit the network: {matched}; choose the model that it was trained with, name "
            "the part that its tensors are of by weights.prefix, or type weights.strict=false to take what fits."
        )
    model.load_state_dict({name: found[name] for name in matched.loaded}, strict=False)
    return matched


def write_weights(model: nn.Module, path: Path, beside: Mapping[str, str] | None = None) -> None:
    """Write the network's ``state_dict`` as a .safetensors file, which is whole or not there.

    Tensors that are one in the network are written under each of their names, so that any loader takes them.

    Args:
        model: the network.
        path: the file.
        beside: texts that are written into its folder before, by the names of their files.

    Raises:
        StorageError: it cannot be written.
    """
    from safetensors.torch import save_file

    tensors = apart({name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for name, text in (beside or {}).items():
            write_atomically(path.with_name(name), text)
        with replacing(path) as partial:
            save_file(tensors, partial)
    except Exception as error:  # the library has errors of its own, of which one may be that the disk is full
        raise StorageError(
            f"The weights {path} cannot be written ({brief(error)}): make room, and type hybridopt "
            f"resume={path.parent.parent} to have them written again."
        ) from error


def apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same on the CPU and contiguous, of which no two overlap in memory: a copy where one must be."""
    found: dict[str, Tensor] = {}
    taken: list[tuple[int, int]] = []
    for name, value in tensors.items():
        own = value.detach().cpu().contiguous()
        begin, end = own.data_ptr(), own.data_ptr() + own.nbytes
        found[name] = own.clone() if any(begin < last and first < end for first, last in taken) else own
        taken.append((begin, end))
    return found


def locate(source: str) -> Path:
    """The file, or the folder of Hugging Face, that holds the weights.

    Raises:
        ConfigError: there is none.
    """
    path = Path(source).expanduser()
    if path.is_file() or (path.is_dir() and any((path / name).is_file() for name in (INDEX, WHOLE, PICKLED))):
        return path
    run = find_run(source)
    found = next((run / name for name in (WEIGHTS, CHECKPOINT) if (run / name).is_file()), None)
    if found is None:
        raise ConfigError(f"The run weights={source} has kept no checkpoint: choose another one, or a file.")
    return found


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file or a folder of Hugging Face, by their names.

    Raises:
        ConfigError: it cannot be read, or holds no tensors by name.
    """
    try:
        found = _folder(path) if path.is_dir() else _file(path)
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        raise ConfigError(
            f"{path} holds no weights that can be read ({brief(error)}): name a .safetensors file, or a .pt or .ckpt "
            "file of tensors and plain values alone."
        ) from error
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ConfigError(f"{path} holds no tensors by name: save model.state_dict() in it.")
    return tensors


def prefixed(found: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors under the names of the network: without a prefix, or with one before them."""
    if not prefix:
        return dict(found)
    prefix = prefix if prefix.endswith(".") else f"{prefix}."
    inside = {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}
    return inside or {f"{prefix}{name}": value for name, value in found.items()}


def match(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Matched:
    """What of the tensors fits a network."""
    both = [name for name in own if name in found]
    shapes = {name: (tuple(found[name].shape), tuple(own[name].shape)) for name in both}
    return Matched(
        tuple(name for name in both if shapes[name][0] == shapes[name][1]),
        tuple(name for name in own if name not in found),
        tuple(name for name in found if name not in own),
        tuple(f"{name} {there} for {here}" for name, (there, here) in shapes.items() if there != here),
    )


def _folder(path: Path) -> dict[str, Any]:
    if (path / INDEX).is_file():
        parts = sorted(set(json.loads((path / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        return {name: value for part in parts for name, value in _file(path / Path(part).name).items()}
    return _file(path / (WHOLE if (path / WHOLE).is_file() else PICKLED))


def _file(path: Path) -> dict[str, Any]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    inside = next((loaded[key] for key in INSIDE if isinstance(loaded.get(key), Mapping)), loaded)
    ours = "hybridopt" in loaded  # a checkpoint of a trial, whose network is a part of it
    return {name.removeprefix(OURS): value for name, value in inside.items() if not ours or name.startswith(OURS)}


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
