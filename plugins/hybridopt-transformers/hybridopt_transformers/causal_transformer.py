"""A language model that classifies by the answer that it finds likeliest after a prompt.

So MeZO fine-tunes (Malladi et al. 2023, https://arxiv.org/abs/2305.17333, the appendix on prompts): a class's logit is
the log-likelihood of its answer, divided by the number of its tokens as in the authors' code, and any objective of
classification (cross_entropy, zero_one, f1) is a loss over the answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from hybridopt import ConfigError, DataSpec
from hybridopt_transformers.checkpoints import config_of, network_of, tokeniser_of
from hybridopt_transformers.examples import causal_examples
from hybridopt_transformers.lora import adapt
from hybridopt_transformers.network import TextNetwork, check_length, token_length, turned

CONTEXT = "It was"  # before an answer, whose tokens are those that it adds


class AnswerChoice(TextNetwork):
    """A language model, read where its prompt ends.

    Args:
        network, tokeniser, revision: as for :class:`~hybridopt_transformers.network.TextNetwork`.
        answers: the tokens of each class's answer.
    """

    answers: Tensor  # (C, A) tokens, filled up with zeros
    lengths: Tensor  # (C,) tokens of each

    def __init__(
        self, network: PreTrainedModel, tokeniser: str, revision: str | None, answers: Sequence[Sequence[int]]
    ):
        super().__init__(network, tokeniser, revision)
        rows = [torch.tensor(answer) for answer in answers]
        self.register_buffer("answers", nn.utils.rnn.pad_sequence(rows, batch_first=True), persistent=False)
        self.register_buffer("lengths", torch.tensor([len(answer) for answer in answers]), persistent=False)
        self.single = all(len(answer) == 1 for answer in answers)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """input_ids and attention_mask of prompts, each (B, L), padded on any side, to log-likelihoods (B, C)."""
        inputs = turned(inputs, to_end=True)
        tokens, mask = inputs["input_ids"], inputs["attention_mask"]
        if self.single:
            return self._log_likelihoods(tokens, mask, 1)[:, -1, self.answers[:, 0]]
        return self._continued(tokens, mask)

    def _continued(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Each prompt with each answer behind it, in one pass of B·C texts."""
        (count, longest), samples = self.answers.shape, len(tokens)
        there = torch.arange(longest, device=tokens.device) < self.lengths[:, None]  # (C, A)
        tokens, mask = (
            torch.cat([part[:, None].expand(-1, count, -1), more.expand(samples, -1, -1)], dim=2).flatten(0, 1)
            for part, more in ((tokens, self.answers), (mask, there.to(mask.dtype)))
        )
        found = self._log_likelihoods(tokens, mask, longest + 1)[:, :-1].unflatten(0, (samples, count))
        chosen = found.gather(3, self.answers.expand(samples, -1, -1)[..., None])[..., 0]  # (B, C, A)
        return (chosen * there).sum(2) / self.lengths

    def _log_likelihoods(self, tokens: Tensor, mask: Tensor, last: int) -> Tensor:
        """Of each token of the vocabulary after each of the last places of texts (n, L): (n, last, V)."""
        places = (mask.cumsum(1) - 1).clamp(min=0)
        inputs = {"input_ids": tokens, "attention_mask": mask, "position_ids": places, "logits_to_keep": last}
        return self._outputs(inputs)[:, -last:].float().log_softmax(2)


def causal_transformer(
    spec: DataSpec,
    checkpoint: str,
    answers: list[str],
    revision: str | None = None,
    pretrained: bool = True,
    dropout: bool = False,
    lora: int | None = None,
    lora_alpha: float | None = None,
    lora_targets: list[str] | None = None,
) -> nn.Module:
    """A language model of the transformers library that classifies by the likeliest of given answers to a prompt.

    Where each answer is a single token, one pass over the prompt gives all of them; else each answer is read behind the
    prompt: as many passes as there are classes, over texts that are longer by the longest answer. The budget counts one
    forward either way.

    Args:
        spec: tokens of prompts, as ``dataset=tokenised`` gives them with ``dataset.template``; classes.
        checkpoint: a name on the hub, or a folder that ``save_pretrained`` wrote, with its tokeniser.
        answers: one for each class, in the order of the classes, which the log says; a space is put before each that
            begins with none.
        revision: a commit, tag or branch on the hub; pin a commit to repeat a run exactly.
        pretrained: false takes the checkpoint's configuration alone, and draws all weights at random.
        dropout: the checkpoint's own, in gradient descent; off by default.
        lora: the rank of adapters, which are then all that is trained. None trains all weights.
        lora_alpha: the adapters' product counts lora_alpha / lora times; by default twice.
        lora_targets: the ends of the names of the linear layers that get an adapter; by default those that peft knows
            for the kind of network (query and value projections, for most), else all.

    Returns:
        A module that maps input_ids and attention_mask, each (B, L), padded on any side, to mean log-likelihoods of a
        token of each answer (B, classes).

    Raises:
        ConfigError: the inputs are no tokens or too long, the checkpoint cannot be read or is no language model, there
            are not as many answers as classes, two have the same tokens, or a setting is out of range.
    """
    length = token_length(spec, "causal_transformer")
    check_count(spec, answers)
    config = config_of(checkpoint, revision, dropout)
    check_causal(config, checkpoint)
    tokens = answer_tokens(tokeniser_of(checkpoint, revision, "model.checkpoint"), answers)
    longest = max(map(len, tokens)) if any(len(answer) > 1 for answer in tokens) else 0
    check_length(config, length + longest, "write a smaller dataset.length, or shorter answers")
    network, new = network_of(AutoModelForCausalLM, config, checkpoint, revision, pretrained)
    if new:
        raise ConfigError(
            f"model.checkpoint={checkpoint} lacks weights of a language model ({', '.join(new[:3])}): choose one that "
            "was trained to continue texts, or take model=transformer."
        )
    adapt(network, lora, lora_alpha, lora_targets, head=False)
    return AnswerChoice(network, checkpoint, revision, tokens)


def check_count(spec: DataSpec, answers: Sequence[str]) -> None:
    """Refuse data without classes, and other than one answer for each.

    Raises:
        ConfigError: they are.
    """
    if spec.task != "classification":
        raise ConfigError(
            f"model=causal_transformer chooses among answers, one for each class, but the task is {spec.task}: take "
            "model=transformer."
        )
    if len(answers) != spec.output_size:
        raise ConfigError(
            f"model.answers has {len(answers)} answers, but the data have {spec.output_size} classes: write one for "
            "each, in the order of the classes, such as model.answers=[terrible,great]."
        )


def check_causal(config: PretrainedConfig, checkpoint: str) -> None:
    """Refuse what does not continue texts.

    Raises:
        ConfigError: it is an encoder, or has one.
    """
    known: Any = type(config)
    both_ways = known in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False)
    if config.is_encoder_decoder or both_ways or known not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ConfigError(
            f"model.checkpoint={checkpoint} is of the kind {config.model_type}, which does not continue texts: choose "
            "a language model such as facebook/opt-125m, or take model=transformer."
        )


def answer_tokens(tokeniser: PreTrainedTokenizerBase, answers: Sequence[str]) -> list[list[int]]:
    """The tokens that each answer adds to a text.

    Raises:
        ConfigError: an answer has none, or one that is not in the vocabulary, or two have the same.
    """
    before = _tokens(tokeniser, CONTEXT)
    found: dict[tuple[int, ...], str] = {}
    for answer in answers:
        text = answer if answer[:1].isspace() else f" {answer}"
        whole = _tokens(tokeniser, CONTEXT + text)
        tokens = tuple(whole[len(before) :] if whole[: len(before)] == before else _tokens(tokeniser, text))
        if not answer.strip() or not tokens or (tokeniser.unk_token_id in tokens and tokeniser.unk_token not in answer):
            raise ConfigError(
                f"The answer {answer!r} is not in the vocabulary of the tokeniser: write another word in model.answers."
            )
        if tokens in found:
            raise ConfigError(
                f"The answers {found[tokens]!r} and {answer!r} are the same to the tokeniser: write words in "
                "model.answers that tell the classes apart."
            )
        found[tokens] = answer
    return [list(tokens) for tokens in found]


def _tokens(tokeniser: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokeniser(text, add_special_tokens=False)["input_ids"])


causal_transformer.conformance = {
    "settings": causal_examples,
    "problem": {"dataset": {"name": "hybridopt-transformers:tokenised"}},
}
