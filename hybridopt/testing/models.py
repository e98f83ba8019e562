"""What is asked of a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hybridopt.composition import building
from hybridopt.composition.registry import Plugin
from hybridopt.core.spec import DataSpec
from hybridopt.engine import trees
from hybridopt.engine.evaluator import Evaluator
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.engine.population import materialize
from hybridopt.engine.replay import Subject
from hybridopt.engine.trees import Inputs
from hybridopt.errors import HybridoptError
from hybridopt.testing.kit import check, during, fail_if, finite
from hybridopt.testing.plugins import Settings, conformance, defaults, variants
from hybridopt.testing.problems import problem_of
from hybridopt.testing.runs import global_seeds
from hybridopt.testing.tracing import recording_on_cpus

SHAPES = ((2,), (7, 3), (1, 8, 8), (3, 9, 13))  # features, a sequence, a small and a larger image
OUTPUTS = ((3, "classification"), (2, "regression"))
BATCH = 6
MOST_VALUES = 400  # of a sample that are changed one by one
NEGLIGIBLE = 1e-6  # a change of outputs that rounding may bring about, as a share of their size


@dataclass(frozen=True)
class Case:
    """A model on data that it is made for.

    Args:
        spec: the shape of the data.
        model: in evaluation mode.
        inputs: (B, *input_shape).
    """

    spec: DataSpec
    model: nn.Module
    inputs: Inputs


def accepted(plugin: Plugin, settings: Settings | None = None, seed: int = 0) -> list[Case]:
    """The model for each spec that it does not refuse in a sentence; its own problem's it must not refuse."""
    settings = defaults(plugin) if settings is None else settings
    cases = [case for spec, inputs in _specs() if (case := _case(plugin, settings, spec, inputs, seed))]
    if "dataset" in conformance(plugin).problem:
        problem = problem_of(plugin)
        inputs = trees.rows(problem.held_out[0], slice(BATCH))
        cases.append(Case(problem.spec, _build(plugin, settings, problem.spec, seed), inputs))
    fail_if(
        not cases,
        f"it refuses every shape that the kit knows ({', '.join(map(str, SHAPES))}): name data that it is made for by "
        "conformance = {'problem': {'dataset': {'name': ...}}}.",
    )
    return cases


def _specs() -> Iterator[tuple[DataSpec, Tensor]]:
    for shape, (outputs, task) in product(SHAPES, OUTPUTS):
        generator = torch.Generator().manual_seed(0)
        yield DataSpec(shape, outputs, task), torch.randn(BATCH, *shape, generator=generator)


def _case(plugin: Plugin, settings: Settings, spec: DataSpec, inputs: Tensor, seed: int) -> Case | None:
    with during(f"for {spec}"):
        try:
            return Case(spec, _build(plugin, settings, spec, seed), inputs)
        except HybridoptError:
            return None


def _build(plugin: Plugin, settings: Settings, spec: Any, seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = building.make(plugin, settings, spec=spec)
    fail_if(not isinstance(model, nn.Module), "it makes something that is no torch.nn.Module.")
    return model.eval()


@check("model", first=True)
def builds_for_several_specs(plugin: Plugin) -> None:
    """For each shape of data it maps (B, *input_shape) to finite (B, output_size), or refuses in a sentence."""
    for case in accepted(plugin):
        _maps(case, f"for {case.spec}")


@check("model")
def builds_from_every_option(plugin: Plugin) -> None:
    """The same with each choice, each switch the other way, and its examples."""
    for what, settings in list(variants(plugin).items())[1:]:  # the defaults are the other check's
        for case in accepted(plugin, settings):
            _maps(case, f"with {what}, for {case.spec}")


def _maps(case: Case, where: str) -> None:
    with during(where), torch.no_grad():
        outputs = case.model(case.inputs)
    expected = (trees.samples(case.inputs), case.spec.output_size)
    fail_if(
        tuple(outputs.shape) != expected,
        f"{where} its outputs have the shape {tuple(outputs.shape)} and not {expected}.",
    )
    finite(outputs, f"{where} it gives outputs")


@check("model")
def has_weights_to_train(plugin: Plugin) -> None:
    """It has parameters that require a gradient: all that a strategy can change."""
    for case in accepted(plugin):
        trainable = [parameter for parameter in case.model.parameters() if parameter.requires_grad]
        fail_if(not trainable, f"for {case.spec} it has no parameter to train.")


@check("model")
def samples_do_not_influence_each_other(plugin: Plugin) -> None:
    """In evaluation mode a sample's output is the same alone and among others (to 1e-4)."""
    for case in accepted(plugin):
        with torch.no_grad():
            together, alone = case.model(case.inputs)[2:3], case.model(trees.rows(case.inputs, slice(2, 3)))
        fail_if(
            not torch.allclose(together, alone, rtol=1e-4, atol=1e-5),
            f"for {case.spec} a sample's output depends on the others in its batch, also in evaluation mode.",
        )


@check("model")
def every_input_value_matters(plugin: Plugin) -> None:
    """Exchanging a value of a sample for another sample's changes the outputs, of some sample at least.

    A model that leaves out inputs by nature says so in ``expected_failures``.
    """
    for case in accepted(plugin):
        stir(case.model)
        idle = without_effect(case)
        fail_if(
            idle,
            f"for {case.spec} {len(idle)} of the values of a sample have no influence on its outputs; the first is "
            f"value {idle[:1]} of the flattened sample.",
        )


def stir(model: nn.Module) -> None:
    """Move all weights a little, since many networks begin with a last layer of zeros."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=generator).to(parameter))


def without_effect(case: Case) -> list[int]:
    """The places in a flattened sample that can change without any change of the outputs; 400 are tried at most."""
    samples = trees.flat(case.inputs)
    idle = (samples != samples[0]).any(0).nonzero()[:, 0]
    idle = idle[torch.randperm(len(idle), generator=torch.Generator().manual_seed(0))[:MOST_VALUES]]
    for shift in range(1, len(samples)):
        for sample, other in zip(samples, samples.roll(shift, 0), strict=True):
            idle = idle[~_moved(case, sample, other, idle)]
    return sorted(idle.tolist())


def _moved(case: Case, sample: Tensor, other: Tensor, places: Tensor) -> Tensor:
    """At which places (n,) another sample's value changes the outputs for a flattened sample."""
    changed = sample.repeat(len(places) + 1, 1)
    changed[range(len(places)), places] = other[places]
    with torch.no_grad():
        outputs = case.model(trees.unflattened(changed, case.inputs))
    return (outputs[:-1] - outputs[-1]).flatten(1).abs().amax(1) > NEGLIGIBLE * outputs.abs().max()


@check("model")
def vmaps(plugin: Plugin) -> None:
    """``torch.vmap`` runs a population of it, and gives what each member gives alone (to 1e-4).

    Who cannot (data-dependent control flow, a fused kernel) says so in ``expected_failures``; its populations are run
    one by one.
    """
    for case in accepted(plugin):
        members = _population(case.model)

        def run(parameters: dict[str, Tensor], case: Case = case) -> Tensor:
            return functional_call(case.model, parameters, (case.inputs,))

        with torch.no_grad(), during(f"for {case.spec}, under torch.vmap"):
            together = torch.vmap(run)(members)
            alone = torch.stack([run({name: value[i] for name, value in members.items()}) for i in range(2)])
        fail_if(
            not torch.allclose(together, alone, rtol=1e-4, atol=1e-5),
            f"for {case.spec} torch.vmap gives other outputs than its members alone.",
        )


@check("model")
def replayed_is_what_would_be_run(plugin: Plugin) -> None:
    """Recorded for one batch and replayed for another (``oracle.graph=auto``), it gives what it gives there (to 1e-4).

    A network that reads numbers from its tensors (``.item()``), or makes shapes that depend on data, cannot be
    recorded, and is run as ever. What it must not do is to compute with values that it has in another way, by numpy.
    """
    for case in accepted(plugin):
        with during(f"for {case.spec}, recorded and replayed"):
            run, replayed = _outputs(case, "none"), _outputs(case, "auto")
        fail_if(
            not torch.allclose(run, replayed, rtol=1e-4, atol=1e-5, equal_nan=True),
            f"for {case.spec} it gives other outputs when it is replayed (oracle.graph=auto): compute with torch, "
            "since what is done by numpy, or by Python, is done once and kept.",
        )


def _outputs(case: Case, graph: str) -> Tensor:
    """Those of two members for some batches, one after the other."""
    members, count = _population(case.model), torch.zeros(trees.samples(case.inputs))
    layout = ParameterLayout.of(dict(case.model.named_parameters()))
    vectors = torch.cat([members[name].flatten(1) for name in layout.shapes], dim=1)
    with recording_on_cpus():
        evaluate = Evaluator(case.model, graph=graph)
    found = []
    for k in range(3):
        rows = trees.mapped(lambda values, k=k: _others(values, k), case.inputs)
        answer, _ = evaluate(
            *(vectors, (rows, count)),
            lambda forward, batch: forward(batch[0]),
            lambda chunk: nullcontext(layout.unflatten(materialize(chunk))),
            subject=Subject("outputs", []),
        )
        found.append(answer)
    return torch.stack(found)


def _others(values: Tensor, k: int) -> Tensor:
    """Other inputs of the same form: tokens of another sample, numbers of another sign and size."""
    return values * (1.0, -1.0, 0.5)[k] if values.is_floating_point() else values.roll(k, 0)


def _population(model: nn.Module) -> dict[str, Tensor]:
    """Two members: the model as it is, and one that is larger by half."""
    return {name: torch.stack([value.detach(), 1.5 * value.detach()]) for name, value in model.named_parameters()}


@check("model")
def same_seed_same_weights(plugin: Plugin) -> None:
    """The first weights are fixed by ``torch.manual_seed``: numpy's and Python's generators have no say."""

    def weights(seed: int) -> list[Tensor]:
        with global_seeds(seed):
            return [_weights(case.model) for case in accepted(plugin)]

    fail_if(
        not all(map(torch.equal, weights(1), weights(2))),
        "its first weights differ under the same torch.manual_seed: draw them by torch's own initialisers.",
    )


@check("model")
def other_seed_other_weights(plugin: Plugin) -> None:
    """Another seed gives other first weights, unless they are constants, drawn by nobody."""
    for case, other in zip(accepted(plugin), accepted(plugin, seed=1), strict=True):
        constant = all((value == value.flatten()[0]).all() for value in case.model.parameters())
        fail_if(
            not constant and torch.equal(_weights(case.model), _weights(other.model)),
            f"for {case.spec} every seed gives the same first weights: draw them from torch's global generator, which "
            "the run's seed fixes, and seed nothing.",
        )


def _weights(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()
