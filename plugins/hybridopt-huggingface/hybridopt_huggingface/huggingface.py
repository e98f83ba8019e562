"""Any data set of Hugging Face's ``datasets`` library (Lhoest et al. 2021, https://arxiv.org/abs/2109.02846)."""

from __future__ import annotations

from typing import Literal

from hybridopt import DataModule
from hybridopt_huggingface.choose import inputs_for
from hybridopt_huggingface.columns import guessed_kinds
from hybridopt_huggingface.examples import examples
from hybridopt_huggingface.selection import selected


def huggingface(
    path: str,
    config: str | None = None,
    revision: str | None = None,
    files: str | dict[str, str] | None = None,
    inputs: str | list[str] | None = None,
    target: str | list[str] = "label",
    task: Literal["auto", "classification", "regression"] = "auto",
    kinds: str | dict[str, str] | None = None,
    train_split: str = "train",
    val_split: str | None = None,
    test_split: str | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    limit: int | None = None,
    scaling: Literal["auto", "range", "standardise", "none"] = "auto",
    size: list[int] | None = None,
    channels: int | None = None,
    text: Literal["bag", "sequence"] = "bag",
    tokens: Literal["words", "characters"] = "words",
    vocabulary: int = 1000,
    length: int = 64,
    in_memory: bool = True,
    batch_size: int | None = 256,
) -> DataModule:
    """Images, texts or tables of the datasets library, by their name on the hub or from local files.

    Whatever is computed (scales, vocabularies, categories, classes) is computed on the training rows alone.

    Args:
        path: a name on the hub (``owner/name``), or a local .csv, .tsv, .json, .jsonl, .parquet or .arrow file, a
            pattern of such files, a folder of tables or images, or one written by ``save_to_disk``. A local path that
            exists is preferred.
        config: the hub's word for a variant of a data set, where it has several.
        revision: a commit, tag or branch on the hub; pin a commit to repeat a run exactly.
        files: a file or pattern, relative to the folder or repository, or one for each split, where their names do not
            tell: ``'dataset.files={train: old.csv, test: new.csv}'``.
        inputs: the columns to learn from; by default the image column, or else all but the target.
        target: the column to learn (a list for several regression targets).
        task: "auto" takes class labels, text, booleans and few, often repeated whole numbers for classes, fractions and
            several columns for regression, and asks in between.
        kinds: "image", "text", "category" or "number", for all inputs or column by column
            (``'dataset.kinds={zip: category}'``), where a type does not tell. Texts are "text" if they are the only
            input, or have more than 100 different values; else "category".
        train_split: a split, a part (``train[:80%]``, on a command line
            ``"dataset.train_split='train[:80%]'"``) or a sum (``train+extra``).
        val_split: the same; by default the set's own validation split, else it is carved out of the training rows.
        test_split: the same; by default the set's own test split, else it is carved out of the training rows.
        val_fraction: the share of the training rows that is carved out for validation.
        test_fraction: the share of the training rows that is carved out for the test.
        split_seed: fixes which row goes where.
        limit: at most this many rows, drawn at random, of each of the three sets.
        scaling: of pixels and numbers, and of regression targets (hence of loss and metrics). "range" is [-1, 1],
            "standardise" mean 0 and variance 1 (of each channel, each feature); "auto" takes range for images and
            standardise for numbers.
        size: [height, width] that images are resized to.
        channels: 1 makes images grey, 3 coloured; by default they are as they are.
        text: "bag" counts the tokens (for model=linear and mlp), "sequence" keeps their order, one-hot (for model=rnn).
        tokens: what a text is cut into, in lower case.
        vocabulary: the number of tokens known, the most frequent ones.
        length: tokens of a sequence; longer texts are cut, shorter ones filled up with zeros in front.
        in_memory: keep the encoded rows in memory (on the device); false reads each batch from disk.
        batch_size: rows in a training batch; None for all of them.

    Returns:
        Inputs float32: images (C, H, W), sequences (length, vocabulary + 1), else features (F,) or the shape of the one
        array column. Targets int64 (N,) for classes, float32 (N, outputs) for values.

    Raises:
        DataError: the data cannot be found, reached, read or learned from.
        ConfigError: a setting is out of range.
    """
    chosen = selected(
        path,
        config=config,
        revision=revision,
        files=files,
        inputs=inputs,
        target=target,
        task=task,
        kinds=kinds,
        train_split=train_split,
        val_split=val_split,
        test_split=test_split,
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        split_seed=split_seed,
        limit=limit,
        scaling=scaling,
    )
    found = guessed_kinds(chosen.features, chosen.inputs, chosen.kinds, chosen.sets["train"])
    encoder = inputs_for(found, scaling, size, channels, text, tokens, vocabulary, length)
    return chosen.encoded(encoder, in_memory, batch_size)


huggingface.conformance = {"settings": examples}  # the kit tries it on small files of each kind
