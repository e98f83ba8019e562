"""Texts: bags and sequences, words and characters, vocabularies from the training rows alone."""

import numpy as np
import pandas as pd
import pytest
import torch
from hf_layouts import refused, whole
from hybridopt_huggingface.huggingface import huggingface

from hybridopt import DataSpec
from hybridopt.composition.building import build

RNG = np.random.default_rng(0)
GOOD, BAD, PLAIN = ["fine", "lovely", "great"], ["awful", "dull", "bad"], ["the", "film", "was", "a", "plot"]


def reviews(count):
    """Texts that are told apart by one word of each class."""
    labels = np.arange(count) % 2
    words = [[*RNG.choice(PLAIN, 5), RNG.choice((BAD, GOOD)[label]), "!"] for label in labels]
    return pd.DataFrame({"text": [" ".join(RNG.permutation(text)) for text in words], "label": labels})


@pytest.fixture
def folder(tmp_path):
    """Training and test reviews as parquet; the test holds a word that training lacks, often."""
    reviews(120).to_parquet(tmp_path / "train.parquet")
    test = reviews(40)
    test.assign(text=test["text"] + " zebra" * 50).to_parquet(tmp_path / "test.parquet")
    return str(tmp_path)


def test_bags_count_the_words_of_the_training_rows(folder):
    module = huggingface(folder)
    assert module.spec == DataSpec((12,), 2, "classification")  # eleven words and a sign; no zebra
    assert (whole(module, "test")[0].sum(1) == 7).all()


def test_the_vocabulary_is_cut_to_the_most_frequent(folder):
    module = huggingface(folder, vocabulary=6)
    assert module.spec.input_shape == (6,)
    assert whole(module, "test")[0].sum(1).mean() > 5  # the five plain words and the sign are everywhere


def test_sequences_are_one_hot_and_end_at_the_end(folder):
    module = huggingface(folder, text="sequence", length=10)
    assert module.spec.input_shape == (10, 13)
    inputs, _ = whole(module, "val")
    assert (inputs.sum(2) == torch.tensor([0.0] * 3 + [1.0] * 7)).all()  # seven tokens, behind three of nothing
    inputs, _ = whole(module, "test")
    assert (inputs.sum(2) == 1).all()
    assert (inputs[:, 7:, 0] == 1).all()  # zebra, unknown


def test_long_texts_are_cut(folder):
    inputs, _ = whole(huggingface(folder, text="sequence", length=4), "test")
    assert inputs.shape[1:] == (4, 13)
    assert inputs[..., 0].sum() == 0  # zebra comes later


def test_sequences_keep_the_order(tmp_path):
    table = pd.DataFrame({"text": ["one two", "two one"] * 20, "label": [0, 1] * 20})
    table.to_csv(tmp_path / "data.csv", index=False)
    inputs, targets = whole(huggingface(str(tmp_path / "data.csv"), text="sequence", length=2), "test")
    first, second = inputs[targets == 0][0], inputs[targets == 1][0]
    assert torch.equal(first, second.flip(0))


def test_characters(folder):
    characters = len(set("".join(pd.read_parquet(folder + "/train.parquet")["text"])))
    module = huggingface(folder, tokens="characters", text="sequence", length=30)
    assert module.spec.input_shape == (30, characters + 1)


def test_more_tokens_than_a_byte_can_number(tmp_path):
    words = [f"w{number}" for number in range(400)]
    table = pd.DataFrame({"text": [" ".join(RNG.permutation(words)) for _ in range(20)], "label": [0, 1] * 10})
    table.to_parquet(tmp_path / "data.parquet")
    inputs, _ = whole(huggingface(str(tmp_path / "data.parquet"), text="sequence", length=400), "val")
    assert inputs.shape[1:] == (400, 401)
    assert (inputs.sum(1)[:, 1:] == 1).all()


def test_several_texts_are_joined(tmp_path):
    pairs = pd.DataFrame({"one": ["a b"] * 40, "two": ["c", "d"] * 20, "label": [0, 1] * 20})
    pairs.to_parquet(tmp_path / "data.parquet")
    kinds = {"one": "text", "two": "text"}
    module = huggingface(str(tmp_path / "data.parquet"), kinds=kinds, text="sequence", length=4)
    assert module.spec.input_shape == (4, 6)  # a, b, c, d, the separator, and the unknown
    assert huggingface(str(tmp_path / "data.parquet"), kinds=kinds).spec.input_shape == (4,)


def test_texts_beside_numbers(tmp_path):
    table = reviews(300)
    table.assign(text=[f"{text} {number}" for number, text in enumerate(table["text"])], stars=RNG.normal(size=300))[
        ["text", "stars", "label"]
    ].to_parquet(tmp_path / "data.parquet")
    path = tmp_path / "data.parquet"
    assert huggingface(str(path), vocabulary=12).spec.input_shape == (13,)  # too various for categories
    refused(r"'text' \(text\) beside 'stars'.*inputs=text, or take dataset\.text=bag", path=path, text="sequence")


@pytest.mark.parametrize(
    ("model", "text"), [("linear", "bag"), ("mlp", "bag"), ("rnn", "sequence"), ("mlp", "sequence")]
)
def test_models_learn_from_it(folder, model, text):
    module = huggingface(folder, text=text, length=8, batch_size=None)
    torch.manual_seed(0)
    network = build("model", {"name": model}, spec=module.spec)
    inputs, targets = whole(module, "train")
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    inputs, targets = whole(module, "val")
    assert (network(inputs).argmax(1) == targets).float().mean() > 0.9


@pytest.mark.parametrize("text", ["bag", "sequence"])
def test_test_texts_have_no_say(folder, text, tmp_path):
    before = huggingface(folder, text=text)
    reviews(40).assign(text="quite other words").to_parquet(tmp_path / "test.parquet")
    after = huggingface(folder, text=text)
    assert torch.equal(whole(before, "val")[0], whole(after, "val")[0])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"vocabulary": 0}, r"dataset\.vocabulary must be at least 1"),
        ({"length": 0, "text": "sequence"}, r"dataset\.length must be at least 1"),
        ({"tokens": "syllables"}, r"dataset\.tokens must be one of words, characters, but is 'syllables'"),
        ({"text": "tree"}, r"dataset\.text must be one of bag, sequence"),
    ],
)
def test_a_bad_setting(folder, settings, says):
    refused(says, path=folder, **settings)


def test_texts_without_a_word(tmp_path):
    pd.DataFrame({"text": ["", " "] * 20, "label": [0, 1] * 20}).to_parquet(tmp_path / "data.parquet")
    refused(r"'text' holds no text in the training set", path=tmp_path / "data.parquet")


def test_missing_texts(tmp_path):
    pd.DataFrame({"text": ["x", None] * 20, "label": [0, 1] * 20}).to_parquet(tmp_path / "data.parquet")
    refused(r"'text' has no value in \d+ rows, the first in row \d+ of the train set", path=tmp_path / "data.parquet")
