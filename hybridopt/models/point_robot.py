"""A point robot and a wall on its way: the classic deceptive reward, where the way to the goal begins away from it.

A cup between start and goal, as in the mazes of Lehman & Stanley 2011, https://doi.org/10.1162/EVCO_a_00025, and the
humanoid of Conti et al. 2018, https://arxiv.org/abs/1712.06560. Here walls are not solid: to pass one is a loss. So all
of it has a gradient through time, without the jumps of a collision, and it leads straight ahead.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridopt.core.spec import DataSpec
from hybridopt.errors import ConfigError
from hybridopt.toolbox import ranges

LOW = ((-0.4, 0.5), (-0.4, 0.25), (0.4, 0.25))  # the corners of the three walls: a base, and an arm at each end of it
HIGH = ((0.4, 0.5), (-0.4, 0.5), (0.4, 0.5))
THICKNESS = 0.1  # the standard deviation of a wall's density


def point_robot(spec: DataSpec, hidden: int = 16, steps: int = 15, speed: float = 0.2) -> nn.Module:
    """A network that steers a point through the plane, and the plane: from (0, 0), in a cup, to a goal above it.

    The network sees where the robot is and where the goal is, and sets its velocity; it has one hidden layer. What
    comes out is where the robot is in the end, and how surely it has touched a wall. A pass, as the ledger counts, is
    all of its steps.

    Args:
        spec: inputs (4,), which are where the robot starts and the goal, and three values, as ``dataset=detour`` has.
        hidden: units of the network.
        steps: moves of the robot.
        speed: the farthest that it comes with one move, in each direction.

    Returns:
        A module that maps (B, 4) to (B, 3): the end, and the probability that a wall was touched, where a wall's
        density is the rate of touches in a step.

    Raises:
        ConfigError: the data are others, or a number is out of range.
    """
    if (tuple(spec.input_shape), spec.output_size) != ((4,), 3):
        raise ConfigError(
            "model=point_robot goes from a start to a goal, four numbers, and ends somewhere, three; the data set's "
            f"inputs have the shape {tuple(spec.input_shape)}, its outputs {spec.output_size}: take model=mlp, "
            "which reads any, or dataset=detour."
        )
    ranges.at_least("model", 1, hidden=hidden, steps=steps)
    ranges.between("model", 0, 0.2, speed=speed)  # a faster one might jump over a wall
    return PointRobot(hidden, steps, speed)


point_robot.conformance = {"problem": {"dataset": {"name": "detour"}, "objective": {"name": "mse"}}}


class PointRobot(nn.Module):
    """The robot and its world.

    Args:
        hidden: units of the network.
        steps: moves.
        speed: the farthest that a move goes in each direction.
    """

    low: Tensor  # (walls, 2)
    high: Tensor  # (walls, 2)

    def __init__(self, hidden: int, steps: int, speed: float):
        super().__init__()
        self.controller = nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 2), nn.Tanh())
        self.steps, self.speed = steps, speed
        self.register_buffer("low", torch.tensor(LOW), persistent=False)
        self.register_buffer("high", torch.tensor(HIGH), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        here, goal = inputs[:, :2], inputs[:, 2:]
        touched = here.new_zeros(len(here))
        for _ in range(self.steps):
            here = here + self.speed * self.controller(torch.cat([here, goal], 1))
            touched = touched + self.touch(here)
        return torch.cat([here, -(-touched[:, None]).expm1()], 1)

    def touch(self, here: Tensor) -> Tensor:
        """How much of the walls is where the robot is, (B, 2) -> (B,): 1 on a wall, and less and less beside it."""
        nearest = torch.minimum(torch.maximum(here[:, None], self.low), self.high)
        return (-(here[:, None] - nearest).square().sum(2) / (2 * THICKNESS**2)).exp().sum(1)
