"""What cannot work together is refused before anything trains."""

from __future__ import annotations

from hybridopt.core.encoding import Direct, Encoding
from hybridopt.core.objective import Objective, WeightObjective, first_of
from hybridopt.core.spec import DataSpec
from hybridopt.core.strategy import Strategy
from hybridopt.errors import ConfigError

FIRST_ORDER = frozenset({"gradient", "jvp"})
ONE_PASS = frozenset({"jacobian", "activations"})
OF_POPULATIONS = frozenset({"losses", "outputs"})
USUAL = {"regression": ", such as objective=mse", "classification": ", such as objective=cross_entropy"}


def check_compatible(
    objective: Objective,
    strategy: Strategy,
    encoding: Encoding | None,
    spec: DataSpec | None,
    precision: str = "float32",
) -> None:
    """Refuse a strategy, or a part of one, that cannot work with this objective, in this encoding or precision.

    Args:
        objective: what is minimised.
        strategy: its parts are checked in the encodings in which they work.
        encoding: how search vectors become parameters; the parameters themselves if None.
        spec: of the data; None where it is not known yet.
        precision: of the passes of populations.

    Raises:
        ConfigError: in a sentence that says what to choose instead.
    """
    check_objectives(objective)
    check_task(objective, spec)
    check_precision(precision, strategy)
    for part in strategy.modules():
        if isinstance(part, Objective):  # a stand-in for the run's own
            check_task(part, spec)
    whole = encoding or Direct()
    check_part("strategy", strategy, objective, whole, whole)


def check_part(path: str, strategy: Strategy, objective: Objective, encoding: Encoding, chosen: Encoding) -> None:
    """Refuse a strategy at a place of the config, and the strategies inside.

    Args:
        path: the place.
        strategy: what stands there.
        objective: that it minimises.
        encoding: that it works in.
        chosen: the encoding of the whole run, which the user can change.
    """
    needs, name, judged = strategy.requires, type(strategy).__name__, type(first_of(objective)).__name__
    whose = "The strategy" if path == "strategy" else f"{path}, the strategy"
    if "objectives" in needs and len(objective.parts) < 2:
        raise ConfigError(
            f"{whose} {name} searches a front of several objectives, and there is one, {judged}: name them, such as "
            "objectives='{loss: cross_entropy, sparsity: zero_weights}', or choose another strategy."
        )
    if needs & FIRST_ORDER and not objective.differentiable:
        raise ConfigError(
            f"{whose} {name} needs a gradient and the objective {judged} has none: choose a strategy that works on "
            "losses, such as strategy=openai_es, or a differentiable objective, such as objective=cross_entropy."
        )
    if "loss_slope" in needs and not objective.differentiable:
        raise ConfigError(
            f"{whose} {name} needs the derivative of the loss by the outputs, and the objective {judged} has none: "
            "choose another one, such as objective=cross_entropy or objective=mse."
        )
    if needs & ONE_PASS and not objective.of_one_pass:
        raise ConfigError(
            f"{whose} {name} learns from one pass of the network, and the objective {judged} makes something else of "
            "it: choose a strategy that works on losses, such as strategy=openai_es."
        )
    if "direct" in needs and not isinstance(encoding, Direct):
        leave = "leave it at encoding=direct, or " if encoding is chosen else ""
        raise ConfigError(
            f"{whose} {name} works on the parameters themselves, and the encoding {type(encoding).__name__} stands "
            f"between: {leave}choose a strategy that works in any encoding, such as adam or openai_es."
        )
    for place, (part, inner) in strategy.parts(encoding).items():
        check_part(f"{path}.{place}", part, objective, inner, chosen)


def check_objectives(objective: Objective) -> None:
    """Refuse objectives that ask for no pass at all: their losses cost nothing, and no budget would end.

    Raises:
        ConfigError: the only one, or the first of several, reads nothing but weights.
    """
    first = first_of(objective)
    if isinstance(first, WeightObjective):
        raise ConfigError(
            f"The objective {type(first).__name__} reads nothing but weights: name it behind a loss, such as "
            "objectives='{loss: cross_entropy, sparsity: zero_weights}'."
        )


def check_precision(precision: str, strategy: Strategy) -> None:
    """Refuse a lower precision of populations for a strategy that evaluates none.

    Args:
        precision: of the oracle.
        strategy: its parts count.

    Raises:
        ConfigError: neither it nor any part asks for the losses or outputs of a population.
    """
    parts = [part for part in strategy.modules() if isinstance(part, Strategy)]
    if precision != "float32" and not any(part.requires & OF_POPULATIONS for part in parts):
        raise ConfigError(
            f"oracle.precision={precision} is for the losses of populations, and the strategy "
            f"{type(strategy).__name__} asks for none: leave it at float32 (gradients have trainer.precision), or "
            "choose another strategy, such as strategy=openai_es."
        )


def check_task(objective: Objective, spec: DataSpec | None) -> None:
    """Refuse an objective that is made for other data."""
    if spec is not None and objective.tasks is not None and spec.task not in objective.tasks:
        raise ConfigError(
            f"The objective {type(objective).__name__} is made for {' or '.join(sorted(objective.tasks))}, but the "
            f"data set is a {spec.task} problem: choose another objective{USUAL.get(spec.task, '')}."
        )
