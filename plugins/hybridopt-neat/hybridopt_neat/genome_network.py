"""A feed-forward network of any topology, in one fixed set of parameters: what a NEAT genome describes.

The equations, and the activation functions with their slopes, are those of neat-python's ``FeedForwardNetwork``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybridopt import ConfigError, DataSpec
from hybridopt.toolbox import ranges

# As neat-python defines them, its clamps included where they change a float32.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda z: torch.sigmoid(5 * z),
    "tanh": lambda z: torch.tanh(2.5 * z),
    "sin": lambda z: torch.sin((5 * z).clamp(-60, 60)),
    "gauss": lambda z: torch.exp(-5 * z.clamp(-3.4, 3.4) ** 2),
    "relu": F.relu,
    "elu": F.elu,
    "lelu": lambda z: F.leaky_relu(z, 0.005),
    "selu": F.selu,
    "softplus": lambda z: 0.2 * F.softplus((5 * z).clamp(-60, 60), threshold=60),
    "identity": lambda z: z,
    "clamped": lambda z: z.clamp(-1, 1),
    "inv": lambda z: torch.where(z == 0, 0.0, 1 / torch.where(z == 0, 1.0, z)),
    "log": lambda z: torch.log(z.clamp(min=1e-7)),
    "exp": lambda z: torch.exp(z.clamp(-60, 60)),
    "abs": torch.abs,
    "hat": lambda z: F.relu(1 - z.abs()),
    "square": lambda z: z**2,
    "cube": lambda z: z**3,
}


def genome_network(
    spec: DataSpec,
    max_hidden: int = 16,
    activations: list[str] = ["sigmoid"],
    output_activation: str | None = None,
) -> nn.Module:
    """A network of nodes in an order, each fed by the inputs and by all hidden nodes before it: any topology fits in.

    Made for strategy=neat, which writes each genome into the parameters and leaves the rest zero; any other strategy
    can train them too. The time a pass takes grows with max_hidden, whatever part of it is in use.

    Args:
        spec: any input shape; inputs are flattened.
        max_hidden: how many hidden nodes a genome can have at most.
        activations: the functions that a node can have, by neat-python's names: sigmoid, tanh, sin, gauss, relu, elu,
            lelu, selu, softplus, identity, clamped, inv, log, exp, abs, hat, square, cube. Of several, each node has
            the sum, weighted by gates; a genome's node opens one gate.
        output_activation: the function of the output nodes; None for the same choice as the hidden ones have, as in
            neat-python. Its sigmoid keeps outputs between 0 and 1: "identity" suits regression and logits.

    Returns:
        A module that maps (B, *input_shape) to (B, output_size).

    Raises:
        ConfigError: there is no room for a hidden node, or no such activation.
    """
    ranges.at_least("model", 1, max_hidden=max_hidden)
    ranges.each_of("model", ACTIVATIONS, activations=activations)
    if len(set(activations)) < len(activations):
        raise ConfigError(f"model.activations must list each function once, but is {list(activations)}.")
    ranges.one_of("model", ACTIVATIONS, output_activation=output_activation)
    return GenomeNetwork(math.prod(spec.input_shape), max_hidden, spec.output_size, activations, output_activation)


class GenomeNetwork(nn.Module):
    """I inputs, H hidden and O output nodes. Nodes are numbered: the hidden ones in the order of evaluation, then the
    outputs.

    Attributes:
        input: weights (H + O, I) from the inputs to each node, and biases (H + O,).
        hidden: (H + O, H), from each hidden node to each node; only those to later nodes are read.
        gates: of several activation functions, name -> (H + O,), the weight of each at each node; (H,) where the
            outputs have a function of their own.

    Args:
        inputs: I.
        hidden: H.
        outputs: O.
        activations: names in :data:`ACTIVATIONS`; at first all nodes have the first.
        output_activation: the name of the output nodes' function; None for those of the others.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, activations: list[str], output_activation: str | None):
        super().__init__()
        nodes, gated = hidden + outputs, hidden if output_activation is not None else hidden + outputs
        self.activation, self.output_activation = activations[0], output_activation
        self.input = nn.Linear(inputs, nodes)
        self.hidden = nn.Parameter(torch.empty(nodes, hidden))
        bound = (inputs + hidden) ** -0.5
        nn.init.uniform_(self.hidden, -bound, bound)
        choices = activations if len(activations) > 1 else []
        opened = {name: torch.full((gated,), float(name == activations[0])) for name in choices}
        self.gates = nn.ParameterDict({name: nn.Parameter(gate) for name, gate in opened.items()})

    def forward(self, inputs: Tensor) -> Tensor:
        z = self.input(inputs.flatten(1))  # (B, nodes still to come): what each has received so far
        hidden = self.hidden.shape[1]
        for node in range(hidden):
            value = self._activate(z[:, :1], slice(node, node + 1))
            z = torch.addcmul(z[:, 1:], value, self.hidden[node + 1 :, node])
        if self.output_activation is not None:
            return ACTIVATIONS[self.output_activation](z)
        return self._activate(z, slice(hidden, None))

    def _activate(self, z: Tensor, nodes: slice) -> Tensor:
        if not self.gates:
            return ACTIVATIONS[self.activation](z)
        total = torch.zeros_like(z)
        for name, gates in self.gates.items():
            gate = gates[nodes]
            total = total + torch.where(gate == 0, 0.0, gate * ACTIVATIONS[name](z))  # 0 times inf is no number
        return total
