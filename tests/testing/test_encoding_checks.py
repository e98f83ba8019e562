"""Each check of encodings, by an encoding that fails that one alone."""

from __future__ import annotations

import re
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from hybridopt import Encoding
from hybridopt.core.encoding import Direct, SparseEncoding
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.testing import checks, run_checks


class Sound(Encoding):
    """The start plus the vector."""

    def attach(self, parameters: Any) -> int:
        self.layout = ParameterLayout.of(parameters)
        return self.layout.dimension

    def begin(self, parameters: Any, generator: torch.Generator) -> Tensor:
        self.register_buffer("origin", self.layout.flatten(parameters))
        return torch.zeros_like(self.origin)

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        return self.layout.unflatten(self.origin + z)


class SoundMask(SparseEncoding):
    """Values below zero are left out."""

    conformance = {"expected_failures": {"start_is_the_model": "negative weights are left out from the start"}}

    def attach(self, parameters: Any) -> int:
        self.layout = ParameterLayout.of(parameters)
        return self.layout.dimension

    def begin(self, parameters: Any, generator: torch.Generator) -> Tensor:
        return self.layout.flatten(parameters)

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        return self.layout.unflatten(z.clamp(min=0))

    def mask(self, z: Tensor) -> dict[str, Tensor]:
        return {name: value[0] > 0 for name, value in self.layout.unflatten(z[None]).items()}


class HalfDone(Sound):
    """One of whose options decodes to too little."""

    def __init__(self, what: Literal["all", "first"] = "all"):
        super().__init__()
        self.what = what

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        decoded = super().decode(z)
        return {name: value[:1] for name, value in decoded.items()} if self.what == "first" else decoded


class Shifted(Sound):
    """Which begins elsewhere."""

    def begin(self, parameters: Any, generator: torch.Generator) -> Tensor:
        return super().begin(parameters, generator) + 0.1


class Ranked(Sound):
    """Which scales vectors by the largest of the batch."""

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        return super().decode(z / z.abs().max().clamp(min=1e-12))


class Deaf(Sound):
    """Which decodes everything to the start."""

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        return super().decode(0 * z)


class Forgetful(Sound):
    """Which keeps the start in a plain attribute."""

    def begin(self, parameters: Any, generator: torch.Generator) -> Tensor:
        start = super().begin(parameters, generator)
        self.kept = self.origin.clone()
        return start

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        return self.layout.unflatten(self.kept + z)


class Impatient(Sound):
    """Which draws from the global generator."""

    def begin(self, parameters: Any, generator: torch.Generator) -> Tensor:
        start = super().begin(parameters, generator)
        torch.randn(3)
        return start


class Aliasing(Sound):
    """Which holds the model's own tensors."""

    def begin(self, parameters: Any, generator: torch.Generator) -> Tensor:
        start = super().begin(parameters, generator)
        self.parameters_held = dict(parameters)
        return start

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        decoded = super().decode(z)
        name = next(iter(decoded))
        return {**decoded, name: decoded[name] - self.layout.unflatten(self.origin[None])[name] + self.origin_of(name)}

    def origin_of(self, name: str) -> Tensor:
        return self.parameters_held[name]


class Meddling(Sound):
    """Which scales the model's own weights."""

    def begin(self, parameters: Any, generator: torch.Generator) -> Tensor:
        start = super().begin(parameters, generator)
        for value in parameters.values():
            value.mul_(2)
        return start


class Faithful(Sound):
    """Which stays with its first model."""

    def begin(self, parameters: Any, generator: torch.Generator) -> Tensor:
        if hasattr(self, "origin"):
            return torch.zeros_like(self.origin)
        return super().begin(parameters, generator)


class Rebound(Sound):
    """Which takes the model as it is at each time that it is attached."""

    def attach(self, parameters: Any) -> int:
        size = super().attach(parameters)
        self.register_buffer("origin", self.layout.flatten(parameters))
        return size


class SinglePrecision(Sound):
    """Which decodes to float32."""

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        return {name: value.float() for name, value in super().decode(z).items()}


class Boastful(SoundMask):
    """Whose mask says that nothing is left out."""

    def mask(self, z: Tensor) -> dict[str, Tensor]:
        return {name: torch.ones_like(value) for name, value in super().mask(z).items()}


class Nameless(Sound):
    """Which decodes to a list."""

    def decode(self, z: Tensor) -> Any:
        return list(super().decode(z).values())


class Rowed(Sound):
    """Which begins with a matrix of one row."""

    def begin(self, parameters: Any, generator: torch.Generator) -> Tensor:
        return super().begin(parameters, generator)[None]


class Imperious(Sound):
    """Which sets the number of threads."""

    def decode(self, z: Tensor) -> dict[str, Tensor]:
        torch.set_num_threads(torch.get_num_threads() + 1)
        return super().decode(z)


BROKEN = [
    (
        HalfDone,
        {"builds_from_every_option"},
        r"with what=first it decodes 0\.weight to the shape \(1, .* and not \(5, ",
    ),
    (Shifted, {"start_is_the_model"}, r"decode\(begin\(\)\) gives 0\.weight values other than the model's"),
    (Ranked, {"batch_decode_equals_one_by_one"}, r"vector \d of 5 decodes to another [\w.]+ than it does alone"),
    (Deaf, {"vectors_matter"}, r"all vectors decode to the same parameters"),
    (
        Forgetful,
        {"survives_save_and_load", "keeps_its_state_in_buffers"},
        r"begin leaves a tensor in the plain attribute self\.\w+, which is not moved to the device",
    ),
    (Nameless, {"decodes_parameters_by_name"}, r"decode gives an object of the type list and not a dictionary of"),
    (Rowed, {"decodes_parameters_by_name"}, r"a search vector has \d+ values, and begin gives a tensor of shape \(1, "),
    (Imperious, {"leaves_the_process_alone"}, r"changes the whole process \(torch\.set_num_threads\): put back"),
    (Impatient, {"same_generator_same_decoding"}, r"draws from, or seeds, a global generator"),
    (
        Aliasing,
        {"leaves_the_model_alone", "survives_save_and_load", "keeps_its_state_in_buffers"},
        r"after the model's parameters changed",
    ),
    (Meddling, {"leaves_the_model_alone"}, r"by attaching, the model's own parameters changed"),
    (Faithful, {"can_begin_again"}, r"begun for the second time it decodes to something else"),
    (Rebound, {"attaching_keeps_the_state"}, r"after it was attached again"),
    (SinglePrecision, {"follows_the_dtype"}, r"decode to another type"),
    (Boastful, {"mask_is_where_it_decodes_to_zero"}, r"the mask of [\w.]+ is not where"),
]


@pytest.mark.parametrize(("encoding", "fails", "says"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_a_broken_encoding_fails_its_check_alone(encoding, fails, says):
    failed = {outcome.check: outcome.sentence for outcome in run_checks(encoding) if outcome.status == "failed"}
    assert failed.keys() == fails, failed
    assert any(re.search(says, sentence) for sentence in failed.values()), failed


@pytest.mark.parametrize("encoding", [Sound, SoundMask, Direct], ids=lambda encoding: encoding.__name__)
def test_a_sound_encoding_passes(encoding):
    assert [outcome for outcome in run_checks(encoding) if outcome.status == "failed"] == []


def test_each_check_is_failed_by_somebody():
    general = {"can_be_imported", "has_a_summary", "config_survives_yaml", "search_space_is_of_its_settings"}
    assert {check.name for check in checks(SoundMask)} - general == set.union(*(fails for _, fails, _ in BROKEN))


def test_only_a_sparse_encoding_is_asked_for_its_mask():
    assert "mask_is_where_it_decodes_to_zero" not in {check.name for check in checks(Sound)}
