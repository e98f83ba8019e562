"""The networks give what the library gives, whatever the padding; adapters are all that moves, and merge."""

import pytest
import torch
from hybridopt_transformers.causal_transformer import answer_tokens, causal_transformer
from hybridopt_transformers.examples import reviews, word_pieces
from hybridopt_transformers.lora import merged
from hybridopt_transformers.tokenised import tokenised
from hybridopt_transformers.transformer import transformer
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForMaskedLM,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
)

from hybridopt import ConfigError, DataSpec

TOKENS = DataSpec({"input_ids": (9,), "attention_mask": (9,)}, 2, "classification")
ANSWERS = {"single": ["terrible", "great"], "several": ["awful plot", "bright"]}


@pytest.fixture(scope="module")
def decoders(made):
    """Checkpoints of three families with one tokeniser."""
    tokeniser = AutoTokenizer.from_pretrained(made.decoder)
    size = {"vocab_size": len(tokeniser), "max_position_embeddings": 64, "num_hidden_layers": 2, "hidden_size": 16}
    heads = {"num_attention_heads": 2}
    torch.manual_seed(0)
    opt = OPTForCausalLM(OPTConfig(**size, **heads, ffn_dim=32, word_embed_proj_dim=16))
    llama = LlamaForCausalLM(LlamaConfig(**size, **heads, num_key_value_heads=1, intermediate_size=32))
    found = {"gpt2": made.decoder}
    for name, network in {"opt": opt, "llama": llama}.items():
        found[name] = str(made.folder / name)
        network.save_pretrained(found[name])
        tokeniser.save_pretrained(found[name])
    return found


def prompts(checkpoint, side):
    """Four prompts of different lengths, padded on a side."""
    tokeniser = AutoTokenizer.from_pretrained(checkpoint, padding_side=side)
    tokeniser.pad_token = tokeniser.eos_token
    texts = [f"{text} It was" for text in reviews(4)["text"]]
    return texts, dict(tokeniser(texts, padding=True, return_tensors="pt", return_token_type_ids=False))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("family", ["gpt2", "opt", "llama"])
def test_a_logit_is_the_mean_log_likelihood_of_an_answer(decoders, family, answers, side):
    checkpoint = decoders[family]
    model = causal_transformer(TOKENS, checkpoint, ANSWERS[answers]).eval()
    texts, inputs = prompts(checkpoint, side)
    network, tokeniser = (
        AutoModelForCausalLM.from_pretrained(checkpoint).eval(),
        AutoTokenizer.from_pretrained(checkpoint),
    )
    with torch.no_grad():
        for text, row in zip(texts, model(inputs), strict=True):
            before = tokeniser(text)["input_ids"]
            for answer, found in zip(ANSWERS[answers], row, strict=True):
                tokens = torch.tensor([tokeniser(f"{text} {answer}")["input_ids"]])  # alone, without padding
                chances = network(tokens).logits[0].log_softmax(1)
                wanted = [chances[i - 1, tokens[0, i]] for i in range(len(before), tokens.shape[1])]
                torch.testing.assert_close(found, torch.stack(wanted).mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("checkpoint", ["encoder", "decoder"])
def test_a_classifier_gives_what_the_library_gives_for_a_text_alone(made, checkpoint, side):
    folder = getattr(made, checkpoint)
    model = transformer(TOKENS, folder).eval()
    texts, inputs = prompts(folder, side) if checkpoint == "decoder" else encoded(folder)
    tokeniser = AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        together = model(inputs)
        for text, row in zip(texts, together, strict=True):
            alone = model.network(**tokeniser(text, return_tensors="pt")).logits[0]
            torch.testing.assert_close(row, alone, rtol=1e-4, atol=1e-5)


def encoded(folder):
    texts = reviews(4)["text"].to_list()
    return texts, dict(AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt"))


def test_a_head_of_as_many_classes_is_kept_and_another_is_drawn_anew(made):
    theirs = AutoModelForSequenceClassification.from_pretrained(made.encoder)
    kept = transformer(TOKENS, made.encoder).network.classifier.weight
    assert torch.equal(kept, theirs.classifier.weight)
    three = DataSpec(TOKENS.input_shape, 3, "classification")
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(transformer(three, made.encoder).network.classifier.weight)
    assert drawn[0].shape == (3, 16)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_dropout_is_off_unless_it_is_asked_for(made):
    _, inputs = encoded(made.encoder)
    for dropout in (False, True):
        model = transformer(TOKENS, made.encoder, dropout=dropout)
        assert model.training
        assert torch.equal(model(inputs), model(inputs)) is not dropout


@pytest.mark.parametrize("checkpoint", ["encoder", "decoder"])
def test_adapters_and_head_are_all_that_is_trained_and_they_merge(made, checkpoint, tmp_path):
    folder = getattr(made, checkpoint)
    model = transformer(DataSpec(TOKENS.input_shape, 3, "classification"), folder, lora=2)
    free = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert free
    assert all(".lora_" in name or ".classifier." in name or ".score." in name for name in free)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    _, inputs = encoded(folder) if checkpoint == "encoder" else prompts(folder, "right")
    model.save(tmp_path)
    again = transformer(DataSpec(TOKENS.input_shape, 3, "classification"), str(tmp_path))
    assert not any("lora" in name for name, _ in again.named_parameters())
    assert any("lora" in name for name, _ in model.named_parameters())  # saving leaves the network as it was
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(inputs), model.eval()(inputs), rtol=1e-4, atol=1e-5)
    assert AutoTokenizer.from_pretrained(tmp_path)("the film")["input_ids"]


def test_merging_without_adapters_is_a_copy(made):
    network = transformer(TOKENS, made.encoder).network
    copy = merged(network)
    assert copy is not network
    assert all(map(torch.equal, copy.state_dict().values(), network.state_dict().values()))


def test_an_answer_s_tokens_are_those_that_it_adds_to_a_text(made):
    tokeniser = AutoTokenizer.from_pretrained(made.decoder)
    tokens = answer_tokens(tokeniser, ["great", "awful plot"])
    assert [tokeniser.decode(row) for row in tokens] == [" great", " awful plot"]
    assert [tokeniser.decode(row) for row in answer_tokens(tokeniser, ["\ngreat", "great"])] == ["\ngreat", " great"]
    pieces = word_pieces(reviews()["text"])
    assert [pieces.decode(row) for row in answer_tokens(pieces, ["great", "the film"])] == ["great", "the film"]


def refused(says, model=transformer, spec=TOKENS, **settings):
    with pytest.raises(ConfigError, match=says) as caught:
        model(spec, **settings)
    assert str(caught.value).count(". ") <= 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"answers": ["great"]}, r"1 answers, but the data have 2 classes"),
        ({"answers": ["great", " great"]}, r"'great' and ' great' are the same to the tokeniser"),
        ({"answers": ["great", ""]}, r"'' is not in the vocabulary"),
        ({"answers": ["good", "bad"], "checkpoint": "encoder"}, r"kind bert, which does not continue texts"),
        ({"spec": DataSpec(TOKENS.input_shape, 1, "regression")}, r"take model=transformer"),
        ({"spec": DataSpec((1, 8, 8), 2, "classification")}, r"take dataset=tokenised"),
    ],
)
def test_answers_that_cannot_be_chosen(made, settings, says):
    base = {"checkpoint": "decoder", "answers": ["terrible", "great"]} | settings
    refused(says, causal_transformer, **base | {"checkpoint": getattr(made, base["checkpoint"])})


def test_a_checkpoint_without_the_head_of_a_language_model(made, tmp_path):
    config = LlamaConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    LlamaForCausalLM(config).model.save_pretrained(tmp_path / "llama")
    AutoTokenizer.from_pretrained(made.decoder).save_pretrained(tmp_path / "llama")
    says = r"lacks weights of a language model \(lm_head\.weight\)"
    refused(says, causal_transformer, checkpoint=str(tmp_path / "llama"), answers=["terrible", "great"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"checkpoint": "nobody/nothing"}, r"model\.checkpoint=nobody/nothing cannot be read"),
        ({"checkpoint": "../nowhere"}, r"nowhere does not exist"),
        ({"revision": "main"}, r"model\.revision='main' is a commit on the hub, but"),
        ({"lora": 0}, r"model\.lora must be at least 1"),
        ({"lora": 2, "lora_alpha": -1.0}, r"model\.lora_alpha must be a positive number"),
        ({"lora_alpha": 2.0}, r"write their rank too, such as model\.lora=8"),
        ({"lora": 2, "lora_targets": ["keys"]}, r"model\.lora_targets=\['keys'\] fits no layer.*choose from .*query"),
        (
            {"spec": DataSpec({"input_ids": (99,), "attention_mask": (99,)}, 2, "classification")},
            r"64 positions, but 99",
        ),
    ],
)
def test_checkpoints_and_settings_that_cannot_work(made, settings, says):
    refused(says, **{"checkpoint": made.encoder} | settings)


@pytest.mark.parametrize("damage", ["no config", "broken weights", "unknown kind"])
def test_damaged_checkpoints(made, tmp_path, damage):
    folder = tmp_path / "damaged"
    transformer(TOKENS, made.encoder).save(folder)
    if damage == "no config":
        (folder / "config.json").unlink()
    if damage == "broken weights":
        (folder / "model.safetensors").write_bytes(b"no tensors")
    if damage == "unknown kind":
        (folder / "config.json").write_text('{"model_type": "nothing"}')
    refused(r"model\.checkpoint=.*damaged cannot be read by the transformers library", checkpoint=str(folder))


def test_tokens_of_another_tokeniser(made):
    model = transformer(TOKENS, made.encoder)
    inputs = {"input_ids": torch.tensor([[5000]]), "attention_mask": torch.tensor([[1]])}
    with pytest.raises(ConfigError, match=r"the data have others: take its own tokeniser in dataset\.tokeniser"):
        model(inputs)


def test_the_base_model_of_a_masked_language_model_is_taken(made, tmp_path):
    config = AutoModelForSequenceClassification.from_pretrained(made.encoder).config
    theirs = BertForMaskedLM(config)
    theirs.save_pretrained(tmp_path)
    ours = transformer(TOKENS, str(tmp_path)).network
    for name, value in theirs.bert.encoder.state_dict().items():
        assert torch.equal(ours.bert.encoder.state_dict()[name], value)


def test_gpt2_without_a_head_file_shares_its_embedding(made, tmp_path):
    config = GPT2Config.from_pretrained(made.decoder)
    GPT2Model(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(made.decoder).save_pretrained(tmp_path)
    network = causal_transformer(TOKENS, str(tmp_path), ["terrible", "great"]).network
    assert network.lm_head.weight is network.transformer.wte.weight


def test_the_tree_of_the_data_is_what_the_network_is_built_for(made):
    spec = tokenised(made.path, made.decoder, template="{text} It was").spec
    assert causal_transformer(spec, made.decoder, ["terrible", "great"]) is not None
