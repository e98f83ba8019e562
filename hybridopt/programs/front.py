"""``hybridopt-front``: the front of a run with several objectives, as a table, and its members as models."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from hybridopt.errors import ConfigError, HybridoptError, brief
from hybridopt.programs.pipes import ending_with_reader
from hybridopt.programs.version import add_flag
from hybridopt.toolbox.credentials import masked

WEIGHTS, MODEL = "weights.safetensors", "model"  # what is written of a member


@ending_with_reader()
def main(arguments: Sequence[str] | None = None) -> None:
    """The console program."""
    chosen = parser().parse_args(arguments)
    try:
        if chosen.command == "show":
            show(chosen.run)
        else:
            folder = export(chosen.run, chosen.member, chosen.out, chosen.instantiate_targets)
            print(f"weights    {folder / WEIGHTS}, for weights={folder / WEIGHTS}")
            print(f"model      {folder / MODEL}, for mlflow.pytorch.load_model")
    except HybridoptError as error:
        sys.exit(masked(str(error)))
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.exit(f"The model cannot be written ({brief(error)}): name another folder by --out.")


def show(run: str) -> None:
    """Print the front of a run, a member a line."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from hybridopt.execution.divergence import number
    from hybridopt.execution.front_files import read_table
    from hybridopt.execution.identity import find_run

    found = read_table(find_run(run)).query("last").dropna(axis=1, how="all")
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    columns = [column for column in found.columns if column.startswith(("val/", "test/"))]
    for column in ("member", *columns):
        drawn.add_column(column, justify="right")
    for row in found.to_dict("records"):
        drawn.add_row(str(row["member"]), *(number(row[column]) for column in columns))
    console = Console(width=max(Console().width, 16 * (1 + len(columns))), highlight=False)
    console.print(drawn)
    console.print(f"Type hybridopt-front export {run} --member <number> for the model of one.", soft_wrap=True)


def export(run: str, member: int, out: Path | None, permitted: bool = False) -> Path:
    """Write a member's weights, and the network with them as an MLflow model.

    Args:
        run: a directory, or an MLflow run id.
        member: its number in the front.
        out: the folder; ``front_<member>`` in the run's if None.
        permitted: whether modules of the user's own may be imported for the network.

    Returns:
        The folder.

    Raises:
        ConfigError: there is no such member, or the folder is there already.
        ResumeError: there is no such run.
    """
    from hybridopt.composition import targets
    from hybridopt.engine import trees
    from hybridopt.execution.datasheet import preprocessing
    from hybridopt.execution.feeding import as_batch
    from hybridopt.execution.front_files import read_table, take_member
    from hybridopt.execution.identity import find_run, read_job
    from hybridopt.execution.parts import build_parts
    from hybridopt.execution.pretrained import write_weights
    from hybridopt.execution.runtime import quiet
    from hybridopt.tracking.model import save_model

    directory = find_run(run)
    read_table(directory)
    folder = out or directory / f"front_{member}"
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is there already: name another folder by --out.")
    config = read_job(directory)
    with targets.permitting(permitted), quiet():
        targets.check(config, permitted)
        trial, data = build_parts(config | {"weights": {"source": str(directory)}})
        take_member(trial.model, directory, member)
        data.setup("fit")
        inputs, _ = as_batch(next(iter(data.val_dataloader())))
    texts = preprocessing(data)
    write_weights(trial.model, folder / WEIGHTS, texts)
    sample = trees.mapped(lambda part: part[:2].cpu(), inputs)
    save_model(trial.model, sample, folder / MODEL, config["tracking"].get("model_format", "class"), texts)
    return folder


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    made = add_flag(argparse.ArgumentParser(prog="hybridopt-front", description=str(__doc__).split(": ", 1)[1]))
    commands = made.add_subparsers(dest="command", required=True)
    shown = commands.add_parser("show", help="print the front of a run")
    written = commands.add_parser("export", help="write a member's weights, and its network as an MLflow model")
    for each in (shown, written):
        each.add_argument("run", help="its directory, or its MLflow run id")
    written.add_argument("--member", type=int, required=True, help="its number, as show prints it")
    written.add_argument("--out", type=Path, help="folder to write into (front_<member> in the run's)")
    written.add_argument(
        "--instantiate-targets", action="store_true", help="allow modules of your own, as instantiate_targets=true does"
    )
    return made
