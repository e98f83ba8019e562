"""Any text classifier of Hugging Face's ``transformers`` library (Wolf et al. 2020, https://arxiv.org/abs/1910.03771)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from hybridopt import DataSpec
from hybridopt_transformers.checkpoints import config_of, network_of, padding_of, tell_new
from hybridopt_transformers.examples import classifier_examples
from hybridopt_transformers.lora import adapt
from hybridopt_transformers.network import TextNetwork, check_length, token_length, turned


class Classifier(TextNetwork):
    """A network with a head for classes or values.

    Args:
        network, tokeniser, revision: as for :class:`~hybridopt_transformers.network.TextNetwork`.
    """

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """input_ids, attention_mask and maybe token_type_ids, each (B, L), padded on any side, to (B, outputs)."""
        inputs = turned(inputs, to_end=False)
        padding = self.network.config.pad_token_id  # by which decoders know where a text ends
        tokens = torch.where(inputs["attention_mask"].bool(), inputs["input_ids"], padding)
        return self._outputs({**inputs, "input_ids": tokens})


def transformer(
    spec: DataSpec,
    checkpoint: str,
    revision: str | None = None,
    pretrained: bool = True,
    dropout: bool = False,
    lora: int | None = None,
    lora_alpha: float | None = None,
    lora_targets: list[str] | None = None,
) -> nn.Module:
    """A text classifier (or regressor) of the transformers library, pretrained or not, with a head for these data.

    A head of the checkpoint's own is kept where it has as many outputs. Attention is computed by torch's fused kernel
    where the network has it, which vmap runs for populations too; forward-mode derivatives take the plain one.

    Args:
        spec: tokens, as ``dataset=tokenised`` gives them.
        checkpoint: a name on the hub, or a folder that ``save_pretrained`` wrote.
        revision: a commit, tag or branch on the hub; pin a commit to repeat a run exactly.
        pretrained: false takes the checkpoint's configuration alone, and draws all weights at random.
        dropout: the checkpoint's own, in gradient descent; off by default.
        lora: the rank of adapters; they and the head are then all that is trained. None trains all weights.
        lora_alpha: the adapters' product counts lora_alpha / lora times; by default twice.
        lora_targets: the ends of the names of the linear layers that get an adapter; by default those that peft knows
            for the kind of network (query and value projections, for most), else all.

    Returns:
        A module that maps input_ids, attention_mask and maybe token_type_ids, each (B, L), to (B, output_size).

    Raises:
        ConfigError: the inputs are no tokens or too long, the checkpoint cannot be read, or a setting is out of range.
    """
    length = token_length(spec, "transformer")
    config = config_of(checkpoint, revision, dropout, num_labels=spec.output_size)
    if getattr(config, "pad_token_id", None) is None:
        config.pad_token_id = padding_of(config)
    check_length(config, length, f"write dataset.length={getattr(config, 'max_position_embeddings', 0)} or less")
    network, new = network_of(AutoModelForSequenceClassification, config, checkpoint, revision, pretrained)
    tell_new(new, checkpoint)
    adapt(network, lora, lora_alpha, lora_targets)
    return Classifier(network, checkpoint, revision)


transformer.conformance = {
    "settings": classifier_examples,
    "problem": {"dataset": {"name": "hybridopt-transformers:tokenised"}},
}
