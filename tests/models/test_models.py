"""What built-in models promise beyond the kit's checks, on every kind of input that they accept."""

import re

import pytest
import torch
from torch.func import functional_call

from hybridopt.composition.building import build
from hybridopt.composition.registry import find, plugins
from hybridopt.core.spec import DataSpec
from hybridopt.errors import ConfigError, HybridoptError
from hybridopt.models.cnn import cnn
from hybridopt.models.mlp import ACTIVATIONS, mlp
from hybridopt.models.rnn import rnn
from hybridopt.models.ternary_mlp import ternary

MODELS = [name for name, claims in plugins("model").items() if any(p.distribution == "hybridopt" for p in claims)]
SHAPES = [(2,), (5,), (7, 3), (1, 8, 8), (3, 9, 13), (2, 3, 4, 5)]
STRAIGHT_THROUGH = {"heaviside_mlp", "ternary_mlp"}  # whose derivatives are meant to be others than the differences
BATCH = 6
FLAT = DataSpec((4,), 2, "classification")
IMAGE = DataSpec((1, 8, 8), 10, "classification")


def accepted(name):
    """The specs that a model accepts, each with a model built for it."""
    for shape in SHAPES:
        spec = DataSpec(shape, 3, "classification")
        try:
            yield spec, build("model", {"name": f"hybridopt:{name}"}, spec=spec)
        except ConfigError:
            continue


def inputs_for(spec):
    return torch.randn(BATCH, *spec.input_shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_builds_or_names_a_model_that_does(name, shape):
    spec = DataSpec(shape, 3, "classification")
    if spec in [accepted_spec for accepted_spec, _ in accepted(name)]:
        return
    with pytest.raises(ConfigError, match=re.escape(str(shape))) as caught:
        build("model", {"name": f"hybridopt:{name}"}, spec=spec)
    alternative = re.search(r"take model=(\w+)", str(caught.value))[1]
    build("model", {"name": f"hybridopt:{alternative}"}, spec=spec)


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_can_be_trained(name):
    for spec, model in accepted(name):
        model(torch.randn(64, *spec.input_shape, generator=torch.Generator().manual_seed(0))).square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters()), spec


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own first jvp
@pytest.mark.parametrize("name", [name for name in MODELS if name not in STRAIGHT_THROUGH])
def test_forward_mode_derivative_agrees_with_a_difference(name):
    torch.manual_seed(0)  # no kink of a ReLU or of pooling lies between the points of this network
    for spec, model in accepted(name):
        model = model.double()
        inputs = inputs_for(spec).double()
        weights = {key: value.detach() for key, value in model.named_parameters()}
        tangents = {key: torch.ones_like(value) for key, value in weights.items()}

        def run(p, model=model, inputs=inputs):
            return functional_call(model, p, (inputs,))

        _, slope = torch.func.jvp(run, (weights,), (tangents,))
        ahead, behind = ({key: value + h for key, value in weights.items()} for h in (1e-6, -1e-6))
        torch.testing.assert_close(slope, (run(ahead) - run(behind)) / 2e-6, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_mlp_offers_the_activations_it_has(activation):
    config = {"name": "hybridopt:mlp", "activation": activation}
    assert build("model", config, spec=FLAT)(torch.randn(3, 4)).shape == (3, 2)
    assert activation in next(p.choices for p in find("model", "mlp").describe().parameters if p.name == "activation")


def test_mlp_has_the_layers_asked_for():
    shapes = [tuple(parameter.shape) for parameter in mlp(FLAT, hidden=[7, 5]).parameters()]
    assert shapes == [(7, 4), (7,), (5, 7), (5,), (2, 5), (2,)]


@pytest.mark.parametrize("channels", [[2], [2, 3, 4]], ids=str)
def test_cnn_has_the_stages_asked_for(channels):
    model = cnn(DataSpec((1, 9, 13), 10, "classification"), channels=channels)
    assert [module.out_channels for module in model.modules() if isinstance(module, torch.nn.Conv2d)] == channels
    assert model(torch.randn(BATCH, 1, 9, 13)).shape == (BATCH, 10)


@pytest.mark.parametrize(("activation", "layer"), [("tanh", torch.nn.Tanh), ("sigmoid", torch.nn.Sigmoid)])
def test_cnn_has_the_activation_asked_for_after_every_layer_but_the_last(activation, layer):
    model = cnn(DataSpec((1, 8, 8), 10, "classification"), channels=[2, 3], activation=activation)
    assert sum(isinstance(module, layer) for module in model) == 3
    assert not any(isinstance(module, torch.nn.ReLU) for module in model)


@pytest.mark.parametrize(("cell", "reference"), [("rnn", "RNN"), ("lstm", "LSTM"), ("gru", "GRU")])
def test_rnn_computes_what_torch_computes(cell, reference):
    model = rnn(DataSpec((7, 3), 2, "regression"), cell=cell, hidden=5)
    fused = getattr(torch.nn, reference)(3, 5, batch_first=True)
    parts = [*model.input.parameters(), *model.recurrent.parameters()]
    fused.load_state_dict(dict(zip(("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0"), parts, strict=True)))
    inputs = torch.randn(BATCH, 7, 3)
    torch.testing.assert_close(model(inputs), model.output(fused(inputs)[0][:, -1]))


def test_rnn_reads_images_row_by_row_and_flat_inputs_value_by_value():
    image = torch.randn(BATCH, 2, 8, 9)
    rows = torch.stack([torch.cat([image[:, 0, r], image[:, 1, r]], dim=1) for r in range(8)], dim=1)
    model = rnn(DataSpec((2, 8, 9), 3, "classification"))
    torch.testing.assert_close(model(image), model(rows))
    flat = torch.randn(BATCH, 5)
    model = rnn(DataSpec((5,), 3, "classification"))
    torch.testing.assert_close(model(flat), model(flat.reshape(BATCH, 5, 1)))


@pytest.mark.parametrize(
    ("model", "spec", "settings", "says"),
    [
        (mlp, FLAT, {"hidden": []}, r"model\.hidden .* is \[\].* model=linear"),
        (mlp, FLAT, {"hidden": [8, 0]}, r"model\.hidden .* is \[8, 0\]"),
        (mlp, FLAT, {"activation": "rellu"}, r"model\.activation must be one of .* is 'rellu'\. Did you mean 'relu'\?"),
        (cnn, IMAGE, {"channels": []}, r"model\.channels must list 1 to 3 stages .* is \[\]"),
        (cnn, IMAGE, {"channels": [4, -1]}, r"model\.channels .* is \[4, -1\]"),
        (cnn, IMAGE, {"channels": [4, 4, 4, 4]}, r"model\.channels must list 1 to 3 stages"),
        (cnn, IMAGE, {"hidden": 0}, r"model\.hidden .* is 0"),
        (cnn, IMAGE, {"activation": "relux"}, r"model\.activation .*relu"),
        (cnn, DataSpec((1, 8, 7), 2, "classification"), {}, r"8x8 pixels.*\(1, 8, 7\).*model=mlp"),
        (rnn, FLAT, {"hidden": 0}, r"model\.hidden .* is 0"),
        (rnn, FLAT, {"cell": "gruu"}, r"model\.cell must be one of .* is 'gruu'\. Did you mean 'gru'\?"),
        (rnn, DataSpec((1, 2, 3, 4), 2, "classification"), {}, r"\(1, 2, 3, 4\).*model=mlp"),
    ],
)
def test_a_bad_setting_is_refused_in_one_sentence(model, spec, settings, says):
    with pytest.raises(HybridoptError, match=says):
        model(spec, **settings)


# -- networks without a useful gradient -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["heaviside_mlp", "ternary_mlp"])
def test_gradients_go_straight_through_or_not_at_all(name):
    for straight in (True, False):
        torch.manual_seed(0)
        model = build("model", {"name": name, "straight_through": straight}, spec=FLAT)
        model(torch.randn(20, 4)).square().mean().backward()
        assert bool(model[1].weight.grad is not None and model[1].weight.grad.any()) == straight


def test_hidden_units_fire_or_do_not():
    model = build("model", {"name": "heaviside_mlp"}, spec=FLAT)
    assert set(model[:3](torch.randn(20, 4)).unique().tolist()) == {0.0, 1.0}


def test_ternary_weights_are_the_published_ones():
    """0 below 0.7 of the mean magnitude; the others are of the mean magnitude of themselves."""
    weight = torch.tensor([[0.1, -0.2, 1.0, -2.0]])  # mean magnitude 0.825, threshold 0.5775
    assert ternary(weight).tolist() == [[0.0, 0.0, 1.5, -1.5]]


def test_the_last_layer_sees_the_inputs_where_there_is_a_direct_link():
    model = build("model", {"name": "random_features", "features": 7, "direct_link": True}, spec=FLAT)
    inputs = torch.randn(3, 4)
    seen = model[:-1](inputs)
    assert seen.shape == (3, 11)
    assert torch.equal(seen[:, 7:], inputs)


@pytest.mark.parametrize("name", ["heaviside_mlp", "ternary_mlp"])
def test_a_network_without_hidden_units_is_refused(name):
    with pytest.raises(ConfigError, match=r"model\.hidden must list at least one size"):
        build("model", {"name": name, "hidden": []}, spec=FLAT)
