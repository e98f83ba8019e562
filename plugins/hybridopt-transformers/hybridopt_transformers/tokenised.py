"""Texts of Hugging Face's ``datasets`` library, cut by a checkpoint's own tokeniser."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

from datasets import Features, Value
from hybridopt_huggingface.selection import selected
from hybridopt_huggingface.targets import Classes

from hybridopt import ConfigError, DataError, DataModule
from hybridopt_transformers.checkpoints import tokeniser_of
from hybridopt_transformers.examples import text_examples
from hybridopt_transformers.tokens import Tokens, fields_of

log = logging.getLogger(__name__)


def tokenised(
    path: str,
    tokeniser: str,
    tokeniser_revision: str | None = None,
    template: str | None = None,
    length: int = 128,
    special_tokens: bool = True,
    config: str | None = None,
    revision: str | None = None,
    files: str | dict[str, str] | None = None,
    inputs: str | list[str] | None = None,
    target: str | list[str] = "label",
    task: Literal["auto", "classification", "regression"] = "auto",
    train_split: str = "train",
    val_split: str | None = None,
    test_split: str | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    limit: int | None = None,
    in_memory: bool = True,
    batch_size: int | None = 32,
) -> DataModule:
    """Texts, pairs of texts or prompts as tokens, for ``model=transformer`` and ``model=causal_transformer``.

    All samples have the length of the longest one; a mask says what is text. The log says the order of the classes.

    Args:
        path: a name on the hub, or local files, as for ``dataset=huggingface``.
        tokeniser: a checkpoint's: a name on the hub, or a folder.
        tokeniser_revision: a commit, tag or branch of it on the hub.
        template: a prompt with columns in braces, on a command line ``'dataset.template="{sentence} It was"'``.
        length: tokens of a sample at most; of longer ones the end is cut off, or, where the template ends with words of
            its own, the beginning.
        special_tokens: whether the tokeniser adds those that begin, separate and end texts; false for a language model
            whose tokeniser ends each text.
        config: the hub's word for a variant of a data set, where it has several.
        revision: a commit, tag or branch on the hub; pin a commit to repeat a run exactly.
        files: a file or pattern, relative to the folder or repository, or one for each split.
        inputs: the column of texts, or two for pairs; by default those of the template, or else all but the target.
        target: the column to learn (a list for several regression targets).
        task: "auto" takes class labels, text, booleans and few, often repeated whole numbers for classes.
        train_split: a split, a part (``train[:80%]``) or a sum (``train+extra``).
        val_split: the same; by default the set's own validation split, else it is carved out of the training rows.
        test_split: the same; by default the set's own test split, else it is carved out of the training rows.
        val_fraction: the share of the training rows that is carved out for validation.
        test_fraction: the share of the training rows that is carved out for the test.
        split_seed: fixes which row goes where.
        limit: at most this many rows, drawn at random, of each of the three sets.
        in_memory: keep the tokens in memory (on the device); false reads each batch from disk.
        batch_size: rows in a training batch; None for all of them.

    Returns:
        Inputs {input_ids, attention_mask}, for pairs also token_type_ids where the tokeniser has them, each int64
        (B, L), L being ``length`` at most. Targets int64 (N,) for classes, float32 (N, outputs) for values.

    Raises:
        DataError: the data cannot be found, reached, read or learned from.
        ConfigError: the tokeniser cannot be read, or a setting is out of range.
    """
    if template is not None:
        if inputs is not None:
            raise ConfigError("dataset.template names the columns by itself: leave dataset.inputs out.")
        inputs = fields_of(template)
    chosen = selected(
        path,
        config=config,
        revision=revision,
        files=files,
        inputs=inputs,
        target=target,
        task=task,
        train_split=train_split,
        val_split=val_split,
        test_split=test_split,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        limit=limit,
    )
    check_texts(chosen.features, chosen.inputs, template)
    encoder = Tokens(tokeniser_of(tokeniser, tokeniser_revision), chosen.inputs, template, length, special_tokens)
    encoder.measure(chosen.sets.values())
    data = chosen.encoded(encoder, in_memory, batch_size)
    if isinstance(chosen.targets, Classes):
        log.info("Classes: %s.", ", ".join(f"{i} {name}" for i, name in enumerate(chosen.targets.class_names)))
    return data


def check_texts(features: Features, columns: Sequence[str], template: str | None) -> None:
    """Refuse columns that are no texts, and more of them than a pair.

    Raises:
        DataError: a column cannot be read as text.
        ConfigError: there are too many.
    """
    for name in columns:
        feature = features[name]
        if not isinstance(feature, Value) or "binary" in feature.dtype:
            raise DataError(
                f"The column {name!r} has the type {feature}, which is no text: name others in dataset.inputs."
            )
    if template is None and len(columns) > 2:
        raise ConfigError(
            f"A sample is a text or a pair of texts, but there are {len(columns)} columns ({', '.join(columns)}): name "
            "one or two in dataset.inputs, or all of them in braces in dataset.template."
        )


tokenised.conformance = {
    "settings": text_examples,  # the kit tries it on small files
    "expected_failures": {"inputs_tell_of_targets": "numbers of tokens are names: near ones mean nothing in common"},
}
