"""Low-rank adapters (LoRA: Hu et al. 2021, https://arxiv.org/abs/2106.09685), by Hugging Face's ``peft``."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import nn
from transformers import PreTrainedModel

from hybridopt import ConfigError
from hybridopt.toolbox import ranges
from hybridopt.toolbox.messages import brief


def adapt(
    network: PreTrainedModel,
    rank: int | None,
    alpha: float | None,
    targets: Sequence[str] | None,
    head: bool = True,
) -> None:
    """Add adapters, in place, and freeze all else but the head; nothing where there is no rank.

    Args:
        network: the head is what lies outside of its base model.
        rank: of the adapters.
        alpha: the adapters' product counts alpha / rank times; None is twice the rank.
        targets: the ends of the names of the linear layers that get one; None are those that peft knows for this kind
            of network (the query and value projections, as in the paper, for most), else all.
        head: whether the head is trained too, as that of a classifier.

    Raises:
        ConfigError: a number is out of range, there is no such layer, or there are settings of adapters without a rank.
    """
    if rank is None:
        if alpha is not None or targets is not None:
            raise ConfigError(
                "model.lora_alpha and model.lora_targets are of adapters: write their rank too, such as model.lora=8."
            )
        return
    ranges.at_least("model", 1, lora=rank)
    ranges.positive("model", lora_alpha=alpha)
    known = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(network.config.model_type, "all-linear")
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,
        target_modules=known if targets is None else list(targets),
        lora_dropout=0.0,
    )
    free = head_of(network) if head else set()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "fan_in_fan_out")  # which peft finds out by itself
            inject_adapter_in_model(config, network)
    except ValueError as error:
        linear = sorted({name.rpartition(".")[2] for name, part in network.named_modules() if _is_linear(part)})
        raise ConfigError(
            f"model.lora_targets={list(targets or [])} fits no layer of {type(network).__name__} ({brief(error)}): "
            f"choose from {', '.join(linear)}."
        ) from error
    for name, parameter in network.named_parameters():
        parameter.requires_grad = name in free or ".lora_" in name


def head_of(network: PreTrainedModel) -> set[str]:
    """The names of the parameters outside of the base model, which are a classifier's last layers."""
    prefix = f"{network.base_model_prefix}."
    return {name for name, _ in network.named_parameters() if not name.startswith(prefix)}


def merged(network: PreTrainedModel) -> PreTrainedModel:
    """A copy in which the adapters are part of the weights; without adapters, an equal copy."""
    whole = copy.deepcopy(network)
    for name, layer in list(whole.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            home, _, last = name.rpartition(".")
            setattr(whole.get_submodule(home), last, layer.get_base_layer())
    for attribute in ("peft_config", "_hf_peft_config_loaded"):
        vars(whole).pop(attribute, None)
    return whole.requires_grad_(True)


def _is_linear(part: nn.Module) -> bool:
    return isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D"
