"""What of a trial outlasts its process, besides the parameters, buffers and optimisers that Lightning keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridopt.execution.trial import Trial


def saved(trial: Trial) -> dict[str, Any]:
    """Plain values and tensors, from which the trial goes on, or :func:`restore` makes it."""
    return {
        "ledger": trial.ledger.state_dict(),
        "generator": trial.oracle.generator.get_state(),
        "global_stream": trial.global_stream.states,
        "averages": trial.records.state_dict(),
        "curve": trial.curve,
        "phase_ends": trial.phase_ends,
        "begun": trial.begun,
        "front": None if trial.front is None else trial.front.state(),
        "training_weights": trial.recommendation.training_weights(),
    }


def restore(trial: Trial, checkpoint: dict[str, Any]) -> None:
    """Let a trial be as it was saved, and the network that is loaded be that of training.

    Args:
        trial: set up.
        checkpoint: Lightning's, whose network is the one that was recommended; it is changed.
    """
    state, network = checkpoint["hybridopt"], checkpoint["state_dict"]
    trial.begun = state["begun"]
    trial.ledger.load_state_dict(state["ledger"])
    trial.recommendation.resume(network, trial.ledger.forwards)
    for name, value in state["training_weights"].items():
        network[f"model.{name}"] = value
    trial.oracle.generator.set_state(state["generator"].cpu())
    trial.global_stream.states = [part.cpu() for part in state["global_stream"]]
    trial.records.load_state_dict(state["averages"])
    trial.curve = [(step, values) for step, values in state["curve"]]
    trial.phase_ends = state["phase_ends"]
    if trial.front is not None:
        trial.front.load(state["front"])
