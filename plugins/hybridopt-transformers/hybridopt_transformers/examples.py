"""Small texts, tokenisers and checkpoints, made on the spot: for the conformance kit, and to try things out."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from hybridopt_transformers.checkpoints import quiet

GOOD, BAD = ("fine", "lovely", "great", "bright"), ("awful", "dull", "terrible", "grey")
PLAIN = ("the", "film", "was", "a", "plot", "with", "actors", "It")
ROWS = 200
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}
SMALL_GPT2 = {"n_layer": 2, "n_head": 2, "n_embd": 16}


def reviews(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Texts of two to seven words that are told apart by one of them: columns text and label (bad, good)."""
    draw = random.Random(seed)
    labels = [number % 2 for number in range(rows)]
    words = [[*draw.choices(PLAIN, k=draw.randint(1, 6)), draw.choice((BAD, GOOD)[label])] for label in labels]
    texts = [" ".join(draw.sample(text, len(text))) for text in words]
    return pd.DataFrame({"text": texts, "label": [("bad", "good")[label] for label in labels]})


def word_pieces(texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """A tokeniser like BERT's, of the words of these texts."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(special_tokens=special, show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=inputs, **names)


def byte_pairs(texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """A tokeniser like GPT-2's, without a padding token, of the words of these texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1000, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|end|>", eos_token="<|end|>")


def encoder_checkpoint(folder: Path, texts: Iterable[str], classes: int = 2, **sizes: float) -> str:
    """A BERT with random weights and its tokeniser, written as ``save_pretrained`` does; the folder's name."""
    tokeniser = word_pieces(texts)
    config = BertConfig(
        vocab_size=len(tokeniser), num_labels=classes, **{"max_position_embeddings": 64, **SMALL, **sizes}
    )
    return _written(folder, tokeniser, BertForSequenceClassification, config)


def decoder_checkpoint(folder: Path, texts: Iterable[str], **sizes: int) -> str:
    """A GPT-2 with random weights and its tokeniser, written as ``save_pretrained`` does; the folder's name."""
    tokeniser = byte_pairs(texts)
    end = tokeniser.eos_token_id
    sizes = {"n_positions": 64, **SMALL_GPT2, **sizes}
    config = GPT2Config(vocab_size=len(tokeniser), bos_token_id=end, eos_token_id=end, **sizes)
    return _written(folder, tokeniser, GPT2LMHeadModel, config)


def _written(folder: Path, tokeniser: PreTrainedTokenizerBase, network: Any, config: Any) -> str:
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        network(config).save_pretrained(folder)
    tokeniser.save_pretrained(folder)
    return str(folder)


# -- for the conformance kit ------------------------------------------------------------------------------------------


def text_examples(folder: Path) -> list[dict[str, Any]]:
    """Write reviews and a checkpoint; the settings that read them."""
    texts = reviews()
    texts.to_csv(folder / "reviews.csv", index=False)
    pairs = texts.assign(other=texts["text"].sample(frac=1, random_state=0).to_list())
    texts[["text"]].assign(words=texts["text"].str.count(" ") + 1.0).to_csv(folder / "words.csv", index=False)
    pairs.to_csv(folder / "pairs.csv", index=False)
    encoder = encoder_checkpoint(folder / "encoder", texts["text"])
    decoder = decoder_checkpoint(folder / "decoder", texts["text"])
    return [
        {"path": str(folder / "reviews.csv"), "tokeniser": encoder},
        {"path": str(folder / "pairs.csv"), "tokeniser": encoder, "inputs": ["text", "other"]},
        {"path": str(folder / "reviews.csv"), "tokeniser": decoder, "template": "{text} It was"},
        {"path": str(folder / "words.csv"), "tokeniser": encoder, "target": "words", "task": "regression"},
    ]


def classifier_examples(folder: Path) -> list[dict[str, Any]]:
    """Write an encoder and a decoder; the settings that read them, with and without adapters."""
    texts = reviews()["text"]
    encoder, decoder = encoder_checkpoint(folder / "encoder", texts), decoder_checkpoint(folder / "decoder", texts)
    return [
        {"checkpoint": encoder, "pretrained": False},
        {"checkpoint": encoder, "lora": 2},
        {"checkpoint": decoder, "lora": 2, "lora_alpha": 2.0, "lora_targets": ["c_attn", "c_proj"]},
    ]


def causal_examples(folder: Path) -> list[dict[str, Any]]:
    """Write a decoder; the settings that read it, with answers of one token and of several."""
    decoder = decoder_checkpoint(folder / "decoder", reviews()["text"])
    return [
        {"checkpoint": decoder, "answers": ["terrible", "great"], "pretrained": False},
        {"checkpoint": decoder, "answers": ["awful plot", "bright"], "lora": 2},
    ]
