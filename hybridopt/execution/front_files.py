"""What a run keeps of its front: a table of all marks, the weights of its last members, and a picture."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hybridopt.engine.parameters import ParameterLayout
from hybridopt.errors import ConfigError, StorageError, brief
from hybridopt.execution.directory import FRONT, FRONT_PICTURE, FRONT_WEIGHTS
from hybridopt.execution.front import Front
from hybridopt.toolbox.figures import drawable, new_figure
from hybridopt.tracking.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

VECTORS = "front"  # the name of the matrix in the file of weights


def write_front(front: Front, directory: Path) -> None:
    """Write the files of a front into a run's directory, each whole or not there.

    Raises:
        StorageError: one cannot be written.
    """
    from safetensors.torch import save_file

    try:
        with replacing(directory / FRONT) as partial:
            table(front).to_parquet(partial, index=False)
        with replacing(directory / FRONT_WEIGHTS) as partial:
            save_file({VECTORS: front.vectors.cpu().contiguous()}, partial)
        if drawable():
            with replacing(directory / FRONT_PICTURE) as partial:
                draw(front).savefig(partial, dpi=110, format="png")
    except Exception as error:  # the libraries have errors of their own, of which one may be that the disk is full
        raise StorageError(
            f"The front cannot be written into {directory} ({brief(error)}): make room, and type hybridopt "
            f"resume={directory} to have it written again."
        ) from error


def table(front: Front) -> DataFrame:
    """A row for each member of the front at each mark; those of the last one have a digest, and what the test says.

    Columns: ``forwards`` of the mark; ``member``, its number in the front; ``last``, whether the front is the last one;
    ``val/<objective>`` and ``test/<objective>``; ``sha256`` of its parameters.
    """
    import pandas

    rows: list[dict[str, Any]] = []
    for mark in front.marks:
        last = mark is front.marks[-1]
        for member, readings in enumerate(mark.readings.tolist()):
            row: dict[str, Any] = {"forwards": mark.forwards, "member": member, "last": last}
            row |= {f"val/{name}": value for name, value in zip(front.names, readings, strict=True)}
            tested = front.tested[member].tolist() if last and front.tested is not None else [None] * len(front.names)
            row |= {f"test/{name}": value for name, value in zip(front.names, tested, strict=True)}
            rows.append(row | {"sha256": digest(front.vectors[member]) if last else None})
    found = pandas.DataFrame(rows)
    return found.astype({column: float for column in found.columns if column.startswith(("val/", "test/"))})


def digest(vector: Tensor) -> str:
    """Of the parameters of a network."""
    return hashlib.sha256(vector.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


def read_table(directory: Path) -> DataFrame:
    """The table of a run's front.

    Raises:
        ConfigError: the run has none, or it cannot be read.
    """
    import pandas

    path = directory / FRONT
    if not path.exists():
        raise ConfigError(
            f"The run {directory} has no front: it has one when it has finished, and had several objectives, such as "
            "objectives='{loss: cross_entropy, sparsity: zero_weights}'."
        )
    try:
        return pandas.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read ({brief(error)}): type hybridopt rerun={directory}.") from error


def take_member(model: nn.Module, directory: Path, member: int) -> None:
    """Give a network the parameters of a member of a run's front.

    Args:
        model: the run's network.
        directory: the run's.
        member: its number.

    Raises:
        ConfigError: there is no such member, or the weights are not those that the table tells of.
    """
    from safetensors.torch import load_file

    last = read_table(directory).query("last").set_index("member")
    if member not in last.index:
        raise ConfigError(f"The front of {directory} has the members 0 to {len(last) - 1}, and no {member}.")
    path = directory / FRONT_WEIGHTS
    try:
        vector = load_file(path)[VECTORS][member]
    except Exception as error:  # the library has errors of its own
        raise ConfigError(f"{path} cannot be read ({brief(error)}): type hybridopt rerun={directory}.") from error
    if digest(vector) != last["sha256"][member]:
        raise ConfigError(f"{path} does not hold what {FRONT} beside it tells of: type hybridopt rerun={directory}.")
    own = {name: value for name, value in model.named_parameters() if value.requires_grad}
    with torch.no_grad():
        for name, value in ParameterLayout.of(own).named(vector).items():
            own[name].copy_(value)


def draw(front: Front) -> Figure:
    """The front of validation, and of the test: the first objective against each other one."""
    others = front.names[1:]
    figure = new_figure(figsize=(1 + 4 * len(others), 4), layout="constrained")
    shown = {"validation": front.readings} | ({} if front.tested is None else {"test": front.tested})
    for i, (name, axes) in enumerate(zip(others, figure.subplots(1, len(others), squeeze=False)[0], strict=True), 1):
        for (label, readings), marker in zip(shown.items(), "ox", strict=False):
            axes.plot(readings[:, i].tolist(), readings[:, 0].tolist(), marker, label=label, alpha=0.8)
        axes.set(xlabel=name, ylabel=front.names[0])
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
