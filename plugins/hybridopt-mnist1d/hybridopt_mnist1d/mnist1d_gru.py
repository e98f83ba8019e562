"""The recurrent network that MNIST-1D was published with (Greydanus & Kobak 2020, arXiv 2011.14439).

The GRU is torch's: Cho et al. 2014, https://arxiv.org/abs/1406.1078, whose reset gate acts after the recurrent product.
Its equations are written out, because the fused kernel knows neither vmap nor forward-mode derivatives; both directions
are computed in one pass.
"""

import torch
from torch import Tensor, nn

from hybridopt import ConfigError, DataSpec
from hybridopt.toolbox import ranges

DIRECTIONS = 2


def mnist1d_gru(spec: DataSpec, hidden: int = 6) -> nn.Module:
    """A GRU that reads a sequence in both directions, and a linear layer on its states after every value.

    Args:
        spec: its input shape is (T,), a sequence of values.
        hidden: the number of hidden units in each direction.

    Returns:
        A module that maps (B, T) to (B, output_size).

    Raises:
        ConfigError: the inputs are no sequences of values, or there is no unit.
    """
    if len(spec.input_shape) != 1:
        raise ConfigError(
            "model=mnist1d_gru needs sequences (values,), but the data set's inputs have the shape "
            f"{tuple(spec.input_shape)}: take model=rnn, which reads images and sequences of vectors."
        )
    ranges.at_least("model", 1, hidden=hidden)
    return BidirectionalGRU(spec.input_shape[0], hidden, spec.output_size)


class BidirectionalGRU(nn.Module):
    """(B, T) -> (B, outputs).

    Args:
        steps: values in a sequence, T.
        hidden: units H in each direction.
        outputs: values of the output.
    """

    def __init__(self, steps: int, hidden: int, outputs: int):
        super().__init__()
        self.hidden = hidden
        # The gates r, z, n of both directions: from the value x, from the state h.
        self.weight_x = nn.Parameter(torch.empty(DIRECTIONS, 1, 3 * hidden))
        self.bias_x = nn.Parameter(torch.empty(DIRECTIONS, 1, 3 * hidden))
        self.weight_h = nn.Parameter(torch.empty(DIRECTIONS, hidden, 3 * hidden))
        self.bias_h = nn.Parameter(torch.empty(DIRECTIONS, 1, 3 * hidden))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden**-0.5), hidden**-0.5)
        self.output = nn.Linear(DIRECTIONS * hidden * steps, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """States after each value, those of the second direction at the value that they have read last."""
        both = torch.stack([inputs, inputs.flip(1)])  # (2, B, T)
        gates = (both.unsqueeze(3) * self.weight_x.unsqueeze(1) + self.bias_x.unsqueeze(1)).unbind(2)  # T of (2, B, 3H)
        state = inputs.new_zeros(DIRECTIONS, len(inputs), self.hidden)
        states = [state := self._next(x, state) for x in gates]
        there, back = torch.stack(states, 2).unbind(0)  # (B, T, H) each
        return self.output(torch.cat([there, back.flip(1)], 2).flatten(1))

    def _next(self, x: Tensor, h: Tensor) -> Tensor:
        """The state (2, B, H) after one value."""
        x_rz, x_n = x.split([2 * self.hidden, self.hidden], 2)
        h_rz, h_n = torch.baddbmm(self.bias_h, h, self.weight_h).split([2 * self.hidden, self.hidden], 2)
        r, z = (x_rz + h_rz).sigmoid().chunk(2, 2)
        n = torch.tanh(x_n + r * h_n)
        return n + z * (h - n)
