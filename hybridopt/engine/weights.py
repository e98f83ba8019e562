"""What a weight is, of which masks, pruning and sparsity speak: a tensor of two or more dimensions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hybridopt.errors import ConfigError

PARAMETRISED = re.compile(r"^(.*?\.?)(?:parametrizations\.(\w+)\.original\d*|(weight)_(?:g|v|orig))$")  # torch's names


def weights_of(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights among a network's trainable parameters, for whoever sets some of them to zero.

    Args:
        parameters: by name.

    Raises:
        ConfigError: there is none, or a weight is computed from parameters (weight or spectral normalisation), in
            which a zero would mean something else.
    """
    computed = next((match for name in parameters if (match := PARAMETRISED.match(name))), None)
    if computed is not None:
        layer, weight = computed[1].rstrip(".") or "the network itself", computed[2] or computed[3]
        raise ConfigError(
            f"The {weight} of layer {layer} is computed from other parameters (weight or spectral normalisation), so "
            "that a mask on these makes no zeros in it: take a model without such layers, or a strategy and an "
            "encoding that mask nothing."
        )
    weights = {name: value for name, value in parameters.items() if value.ndim >= 2}
    if not weights:
        raise ConfigError(
            "A mask needs weights of two or more dimensions, and the model has none: choose another model, such as "
            "model=mlp."
        )
    return weights


def sparsity(module: nn.Module) -> float:
    """The share of exact zeros among the weights as layers use them, whatever they are computed from."""
    counts = [(weight.numel() - int(torch.count_nonzero(weight)), weight.numel()) for weight in _used(module)]
    return sum(zeros for zeros, _ in counts) / max(1, sum(total for _, total in counts))


@torch.no_grad()
def _used(module: nn.Module) -> Iterator[Tensor]:
    seen: dict[int, Tensor] = {}  # tied weights count once; held, so that no other tensor gets their identity
    for layer in module.modules():
        computed = list(getattr(layer, "parametrizations", {})) if parametrize.is_parametrized(layer) else []
        plain = [value for name, value in layer.named_parameters(recurse=False) if not PARAMETRISED.match(name)]
        hooked = [layer.weight] if any(name in layer._parameters for name in ("weight_g", "weight_orig")) else []
        for value in [*plain, *(getattr(layer, name) for name in computed), *hooked]:
            inside = isinstance(layer, parametrize.ParametrizationList)  # what the weight is computed from
            if isinstance(value, Tensor) and value.ndim >= 2 and not inside and id(value) not in seen:
                seen[id(value)] = value
                yield value
