"""What a network reads of a text: the tokeniser's own tokens, padded and masked, in the right split."""

import pandas as pd
import pytest
import torch
from hybridopt_transformers.tokenised import tokenised
from transformers import AutoTokenizer

from hybridopt import ConfigError, DataError


def whole(module, name):
    """All rows of a set."""
    return module.sets[name]


def test_tokens_are_the_tokeniser_s_own(made):
    module = tokenised(made.path, made.encoder)
    inputs, targets = whole(module, "train")
    theirs = AutoTokenizer.from_pretrained(made.encoder)
    rows = {tuple(theirs(text)["input_ids"]): label for text, label in zip(*made.texts.T.values, strict=True)}
    for tokens, mask, target in zip(inputs["input_ids"], inputs["attention_mask"], targets, strict=True):
        assert rows[tuple(tokens[mask.bool()].tolist())] == ("bad", "good")[target]
        assert (tokens[~mask.bool()] == theirs.pad_token_id).all()
        assert mask.diff().max() <= 0  # text, then nothing


def test_the_length_is_that_of_the_longest_text_of_all_sets(made, tmp_path):
    made.texts.to_csv(tmp_path / "train.csv", index=False)
    made.texts.assign(text=made.texts["text"] + " plot" * 9).to_csv(tmp_path / "test.csv", index=False)
    assert tokenised(str(tmp_path), made.decoder).spec.input_shape["input_ids"] == (16,)  # of seven words, and nine
    inputs, _ = whole(tokenised(str(tmp_path), made.decoder, length=10), "test")
    assert inputs["attention_mask"].sum(1).max() == inputs["input_ids"].shape[1] == 10


def test_pairs_have_types(made, tmp_path):
    made.texts.assign(other="the film").to_csv(tmp_path / "pairs.csv", index=False)
    module = tokenised(str(tmp_path / "pairs.csv"), made.encoder, inputs=["text", "other"])
    inputs, _ = whole(module, "val")
    tokeniser = AutoTokenizer.from_pretrained(made.encoder)
    assert (inputs["token_type_ids"].sum(1) == 3).all()  # the, film, [SEP]
    row = inputs["input_ids"][0][inputs["token_type_ids"][0].bool()]
    assert tokeniser.decode(row) == "the film [SEP]"
    assert set(tokenised(str(tmp_path / "pairs.csv"), made.decoder, inputs=["text", "other"]).spec.input_shape) == {
        "input_ids",
        "attention_mask",
    }


def test_a_template_keeps_its_last_words(made):
    tokeniser = AutoTokenizer.from_pretrained(made.decoder)
    for length in (128, 4):
        inputs, _ = whole(tokenised(made.path, made.decoder, template="{text} It was", length=length), "val")
        for tokens, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
            assert tokeniser.decode(tokens[mask.bool()]).endswith(" It was")
    inputs, _ = whole(tokenised(made.path, made.decoder, template="A film: {text}", length=4), "val")
    assert all(tokeniser.decode(tokens).startswith("A film") for tokens in inputs["input_ids"])


def test_batches_from_disk_are_those_from_memory(made):
    held, read = (tokenised(made.path, made.encoder, in_memory=choice, batch_size=16) for choice in (True, False))
    for one, other in zip(held.train_dataloader().batches(1), read.train_dataloader().batches(1), strict=True):
        assert one[0].keys() == other[0].keys()
        assert all(torch.equal(one[0][key], other[0][key]) for key in one[0])
        assert torch.equal(one[1], other[1])


def test_a_held_out_batch_is_small_enough_for_a_network(made, tmp_path):
    pd.DataFrame({"text": ["plot " * 500] * 400, "label": ["bad", "good"] * 200}).to_csv(tmp_path / "long.csv")
    module = tokenised(str(tmp_path / "long.csv"), made.decoder, inputs="text", length=500)
    assert max(len(targets) for _, targets in module.test_dataloader()) == 32


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"template": "no field"}, r"must be a text that names columns in braces"),
        ({"template": "{text"}, r"must be a text that names columns in braces"),
        ({"template": "{text:>9}"}, r"must be a text that names columns in braces"),
        ({"template": "{text}", "inputs": "text"}, r"names the columns by itself: leave dataset\.inputs out"),
        ({"template": "{txt} It was"}, r"'txt'.*Did you mean 'text'"),
        ({"template": "{label}"}, r"label"),
        ({"length": 0}, r"dataset\.length must be at least 1"),
        ({"tokeniser": "nobody/nothing"}, r"dataset\.tokeniser=nobody/nothing cannot be read"),
        ({"tokeniser": "./nowhere"}, r"nowhere does not exist"),
    ],
)
def test_settings_that_cannot_work(made, settings, says):
    with pytest.raises((ConfigError, DataError), match=says):
        tokenised(**{"path": made.path, "tokeniser": made.encoder} | settings)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"a": ["x"] * 40, "b": ["x"] * 40, "c": ["x"] * 40}, r"3 columns \(a, b, c\): name one or two"),
        ({"a": ["x", ""] * 20}, r"row 0 of the \w+ set has no token|row 1 of the \w+ set has no token"),
        ({"a": [[1.0]] * 40}, r"which is no text"),
    ],
)
def test_tables_that_cannot_be_read(made, tmp_path, table, says):
    pd.DataFrame(table | {"label": ["bad", "good"] * 20}).to_parquet(tmp_path / "data.parquet")
    with pytest.raises((ConfigError, DataError), match=says):
        tokenised(str(tmp_path / "data.parquet"), made.decoder)
