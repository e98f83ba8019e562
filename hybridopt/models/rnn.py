"""Recurrent networks: Elman's, LSTM and GRU.

- Elman 1990, https://doi.org/10.1207/s15516709cog1402_1
- LSTM: Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000, https://doi.org/10.1162/089976600300015015
- GRU: Cho et al. 2014, https://arxiv.org/abs/1406.1078; the reset gate acts after the recurrent product, as in cuDNN

The equations, the order of the gates and the initialisation are those of ``torch.nn.RNN``, ``LSTM`` and ``GRU``. They
are written out because those fused kernels know neither vmap (a population would run one by one) nor forward-mode
derivatives.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from hybridopt.core.spec import DataSpec
from hybridopt.errors import ConfigError
from hybridopt.toolbox import ranges


def rnn(spec: DataSpec, cell: Literal["gru", "lstm", "rnn"] = "gru", hidden: int = 64) -> nn.Module:
    """A recurrent network whose last hidden state gives the output.

    Sequences (T, F) are read as they are, images (C, H, W) row by row (H steps of C*W values), flat inputs (F,) value
    by value (F steps of one).

    Args:
        spec: an input shape of one to three dimensions.
        cell: the recurrent unit; "rnn" is Elman's, with tanh.
        hidden: the number of hidden units.

    Returns:
        A module that maps (B, *input_shape) to (B, output_size).

    Raises:
        ConfigError: the input shape has another number of dimensions, there are no hidden units, or no such cell.
    """
    if len(spec.input_shape) not in (1, 2, 3):
        raise ConfigError(
            "model=rnn reads sequences (steps, features), images (channels, height, width) and flat inputs (features,),"
            f" but the data set's inputs have the shape {tuple(spec.input_shape)}: take model=mlp, which reads any."
        )
    ranges.at_least("model", 1, hidden=hidden)
    ranges.one_of("model", CELLS, cell=cell)
    return Recurrent(step_size(spec.input_shape), hidden, spec.output_size, cell)


def step_size(shape: tuple[int, ...]) -> int:
    """The number of values read in one step, for one sample of this shape."""
    match shape:
        case (_,):
            return 1
        case (_, features):
            return features
    channels, _, width = shape
    return channels * width


def as_sequence(inputs: Tensor) -> Tensor:
    """(B, F), (B, T, F) or (B, C, H, W) as sequences (B, T, values per step)."""
    if inputs.ndim == 2:
        return inputs.unsqueeze(2)
    return inputs.transpose(1, 2).flatten(2) if inputs.ndim == 4 else inputs


class Recurrent(nn.Module):
    """One recurrent layer and a linear output.

    Args:
        features: values per step.
        hidden: hidden units H.
        outputs: values of the output.
        cell: a key of :data:`CELLS`.
    """

    def __init__(self, features: int, hidden: int, outputs: int, cell: str):
        super().__init__()
        gates, self.update = CELLS[cell]
        self.input = nn.Linear(features, gates * hidden)
        self.recurrent = nn.Linear(hidden, gates * hidden)
        self.output = nn.Linear(hidden, outputs)
        for parameter in (*self.input.parameters(), *self.recurrent.parameters()):
            nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        steps = self.input(as_sequence(inputs)).unbind(1)
        state = memory = inputs.new_zeros(len(inputs), self.recurrent.in_features)
        for step in steps:
            state, memory = self.update(step, self.recurrent(state), state, memory)
        return self.output(state)


# A cell takes what comes from the input and from the last state (B, gates * H), that state h and its memory c (B, H);
# it returns the next h and c.


def rnn_cell(x: Tensor, r: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    return torch.tanh(x + r), c


def lstm_cell(x: Tensor, r: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = (x + r).chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_cell(x: Tensor, r: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    x_reset, x_update, x_new = x.chunk(3, dim=1)
    r_reset, r_update, r_new = r.chunk(3, dim=1)
    z = torch.sigmoid(x_update + r_update)
    n = torch.tanh(x_new + torch.sigmoid(x_reset + r_reset) * r_new)
    return (1 - z) * n + z * h, c


CELLS = {"gru": (3, gru_cell), "lstm": (4, lstm_cell), "rnn": (1, rnn_cell)}  # gates, equations
