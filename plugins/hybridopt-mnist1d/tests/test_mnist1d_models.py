"""The networks are those that MNIST-1D was published with."""

import pytest
import torch
from hybridopt_mnist1d.mnist1d_cnn import mnist1d_cnn
from hybridopt_mnist1d.mnist1d_gru import mnist1d_gru
from hybridopt_mnist1d.mnist1d_mlp import mnist1d_mlp
from torch import nn

from hybridopt import ConfigError, DataSpec

SPEC = DataSpec((40,), 10, "classification")
COUNTS = {mnist1d_mlp: 15210, mnist1d_cnn: 5210, mnist1d_gru: 5134}  # which the published notebook prints


@pytest.mark.parametrize("model", COUNTS)
def test_there_are_as_many_parameters_as_published(model):
    assert sum(parameter.numel() for parameter in model(SPEC).parameters()) == COUNTS[model]


@pytest.mark.parametrize("length", [3, 4, 5, 17, 40, 61])
def test_convolutions_fit_any_length(length):
    assert mnist1d_cnn(DataSpec((length,), 3, "classification"))(torch.zeros(2, length)).shape == (2, 3)


def test_the_gru_is_torch_s():
    ours = mnist1d_gru(DataSpec((9,), 4, "classification"), hidden=5)
    theirs = nn.GRU(1, 5, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for direction, suffix in enumerate(("l0", "l0_reverse")):
            getattr(theirs, f"weight_ih_{suffix}").copy_(ours.weight_x[direction].T)
            getattr(theirs, f"weight_hh_{suffix}").copy_(ours.weight_h[direction].T)
            getattr(theirs, f"bias_ih_{suffix}").copy_(ours.bias_x[direction, 0])
            getattr(theirs, f"bias_hh_{suffix}").copy_(ours.bias_h[direction, 0])
    inputs = torch.randn(6, 9)
    states, _ = theirs(inputs.unsqueeze(2))
    torch.testing.assert_close(ours(inputs), ours.output(states.flatten(1)))


@pytest.mark.parametrize(("model", "shape"), [(mnist1d_cnn, (2,)), (mnist1d_cnn, (1, 8, 8)), (mnist1d_gru, (5, 3))])
def test_other_shapes_are_refused(model, shape):
    with pytest.raises(ConfigError, match=rf"model={model.__name__} needs sequences .* take model="):
        model(DataSpec(shape, 10, "classification"))


@pytest.mark.parametrize(
    ("model", "setting"), [(mnist1d_mlp, "hidden"), (mnist1d_cnn, "channels"), (mnist1d_gru, "hidden")]
)
def test_sizes_are_positive(model, setting):
    with pytest.raises(ConfigError, match=rf"model\.{setting} must be at least 1"):
        model(SPEC, **{setting: 0})
