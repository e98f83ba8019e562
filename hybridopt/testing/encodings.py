"""What is asked of an encoding."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from hybridopt.composition import building
from hybridopt.composition.registry import Plugin
from hybridopt.core.encoding import Encoding, SparseEncoding
from hybridopt.testing.kit import CheckFailure, check, during, fail_if, finite, unloadable
from hybridopt.testing.plugins import Settings, conformance, defaults, variants
from hybridopt.testing.problems import problem_of
from hybridopt.testing.runs import difference, global_seeds, global_states

MEMBERS = 5


def network() -> nn.Module:
    """Weights of two and of four dimensions, biases, and a norm: 168 parameters."""
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 16))


def parameters(plugin: Plugin, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Of the network that the plugin names, else of the kit's own."""
    make = problem_of(plugin).model if "model" in conformance(plugin).problem else network
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return {name: value.detach().clone().to(dtype) for name, value in make().named_parameters()}


def attached(
    plugin: Plugin, settings: Settings | None = None, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Encoding, Tensor]:
    """The encoding, and where it starts."""
    encoding = build(plugin, settings)
    return encoding, begun(encoding, parameters(plugin, seed, dtype), seed)


def begun(encoding: Encoding, own: Mapping[str, Tensor], seed: int = 0) -> Tensor:
    """Attach an encoding to parameters and let it begin there; its start."""
    size = encoding.attach(own)
    start = encoding.begin(own, source(seed))
    fail_if(
        not (isinstance(size, int) and start.ndim == 1 and len(start) == size),
        f"attach says that a search vector has {size} values, and begin gives a tensor of shape {tuple(start.shape)}.",
    )
    return start


def build(plugin: Plugin, settings: Settings | None = None) -> Encoding:
    """The encoding, attached to nothing yet."""
    encoding = building.make(plugin, defaults(plugin) if settings is None else settings, spec=problem_of(plugin).spec)
    fail_if(not isinstance(encoding, Encoding), "it makes something that is no Encoding.")
    return encoding


def source(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def around(start: Tensor, count: int = MEMBERS) -> Tensor:
    """Vectors (count, d) near the start."""
    return start + 0.1 * torch.randn(count, len(start), generator=source(1)).to(start)


@check("encoding")
def builds_from_every_option(plugin: Plugin) -> None:
    """With its defaults and every option it starts at a finite vector, which decodes to parameters of the model."""
    own = parameters(plugin)
    for what, settings in variants(plugin).items():
        with during(f"with {what}"):
            encoding, start = attached(plugin, settings)
            decoded = encoding.decode(around(start))
        finite(start, f"with {what} it starts at values")
        fail_if(not decoded, f"with {what} it decodes to no parameter at all.")
        for name, value in decoded.items():
            fail_if(name not in own, f"with {what} it decodes to {name!r}, which is no parameter of the model.")
            shape, expected = tuple(value.shape), (MEMBERS, *own[name].shape)
            fail_if(shape != expected, f"with {what} it decodes {name} to the shape {shape} and not {expected}.")


@check("encoding")
def start_is_the_model(plugin: Plugin) -> None:
    """``decode(begin())`` gives back the model's parameters (to 1e-6): a search begins where the network is.

    An encoding that begins elsewhere, such as a mask, says so in ``expected_failures``. What it does not decode stays
    as the model has it.
    """
    encoding, start = attached(plugin)
    own = parameters(plugin)
    for name, value in encoding.decode(start[None]).items():
        fail_if(
            not torch.allclose(value[0], own[name], rtol=1e-6, atol=1e-6),
            f"decode(begin()) gives {name} values other than the model's.",
        )


@check("encoding")
def batch_decode_equals_one_by_one(plugin: Plugin) -> None:
    """A vector decodes to the same parameters alone and among others (to 1e-5)."""
    encoding, start = attached(plugin)
    z = around(start)
    together = encoding.decode(z)
    for i, member in enumerate(z):
        for name, value in encoding.decode(member[None]).items():
            fail_if(
                not torch.allclose(together[name][i], value[0], rtol=1e-5, atol=1e-6),
                f"vector {i} of {MEMBERS} decodes to another {name} than it does alone.",
            )


@check("encoding")
def vectors_matter(plugin: Plugin) -> None:
    """Different vectors decode to different parameters."""
    encoding, start = attached(plugin)
    decoded = encoding.decode(torch.cat([around(start), 10 * around(start)]))
    fail_if(
        all(torch.equal(value, value[:1].expand_as(value)) for value in decoded.values()),
        "all vectors decode to the same parameters.",
    )


@check("encoding")
def survives_save_and_load(plugin: Plugin) -> None:
    """A checkpoint holds all that it has of the model: loaded by another one, attached elsewhere, it decodes the same.

    Checkpoints are loaded with nothing that needs pickle.
    """
    original, start = attached(plugin, seed=0)
    copy, _ = attached(plugin, seed=9)
    file = io.BytesIO()
    try:
        torch.save(original.state_dict(), file)
        copy.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    except Exception as error:
        raise CheckFailure(f"its state cannot be saved and loaded again: {unloadable(error)}.") from error
    assert_same(original.decode(around(start)), copy.decode(around(start)), "after its state was saved and loaded")


@check("encoding")
def same_generator_same_decoding(plugin: Plugin) -> None:
    """What is random in it comes from the generator that it is handed, and the global ones are left alone."""
    decoded = []
    for seed in (1, 2):
        with global_seeds(seed):
            encoding = build(plugin)
            before = global_states()
            start = begun(encoding, parameters(plugin))
            decoded.append(dict(encoding.decode(around(start))) | {"the start": start})
            fail_if(difference(before, global_states()), "it draws from, or seeds, a global generator.")
    first, second = decoded
    assert_same(first, second, "attached twice with the same generator")


@check("encoding")
def leaves_the_model_alone(plugin: Plugin) -> None:
    """Attaching changes no parameter, and what happens to the parameters afterwards changes no decoding."""
    own, encoding = parameters(plugin), build(plugin)
    start = begun(encoding, own)
    assert_same(own, parameters(plugin), "by attaching, the model's own parameters changed")
    z = around(start)
    before = {name: value.clone() for name, value in encoding.decode(z).items()}
    for value in own.values():
        value.add_(1.0)
    assert_same(before, encoding.decode(z), "after the model's parameters changed")


@check("encoding")
def can_begin_again(plugin: Plugin) -> None:
    """Begun at other parameters it is as a new one: a strategy that begins again does that."""
    used, _ = attached(plugin, seed=0)
    begun(used, parameters(plugin, 3), seed=3)
    fresh, start = attached(plugin, seed=3)
    assert_same(fresh.decode(around(start)), used.decode(around(start)), "begun for the second time")


@check("encoding")
def attaching_keeps_the_state(plugin: Plugin) -> None:
    """Attached again, as after each load of a checkpoint, it decodes the same and has drawn nothing."""
    encoding, start = attached(plugin)
    z = around(start)
    before = {name: value.clone() for name, value in encoding.decode(z).items()}
    encoding.attach(parameters(plugin, 3))
    assert_same(before, encoding.decode(z), "after it was attached again")


@check("encoding")
def follows_the_dtype(plugin: Plugin) -> None:
    """Parameters in float64 decode to float64."""
    with during("with a network in float64"):
        encoding, start = attached(plugin, dtype=torch.float64)
        decoded = encoding.decode(around(start))
    other = [name for name, value in decoded.items() if value.dtype != torch.float64]
    fail_if(other, f"{' and '.join(other)} of a network in float64 decode to another type.")


@check("encoding", applies=lambda plugin: isinstance(build(plugin), SparseEncoding))
def mask_is_where_it_decodes_to_zero(plugin: Plugin) -> None:
    """``mask(z)`` is False where, and only where, ``decode(z)`` is zero."""
    encoding, start = attached(plugin)
    for z in around(start):
        mask, decoded = cast(SparseEncoding, encoding).mask(z), encoding.decode(z[None])
        for name, kept in mask.items():
            fail_if(
                kept.dtype != torch.bool or not torch.equal(kept, decoded[name][0] != 0),
                f"the mask of {name} is not where the decoded values are different from zero.",
            )


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor], when: str) -> None:
    """Refuse parameters that differ in a bit."""
    place = difference(dict(one), dict(other))
    fail_if(place, f"{when} it decodes to something else: {place} differs.")
