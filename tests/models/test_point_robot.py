"""A robot, a cup, and which way the gradient leads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hybridopt.core.spec import DataSpec
from hybridopt.datasets.detour import detour
from hybridopt.errors import ConfigError
from hybridopt.models.point_robot import PointRobot, point_robot

START_AND_GOAL = torch.tensor([[0.0, 0.0, 0.0, 1.0]])


def driven(*velocities: tuple[float, float]) -> Tensor:
    """Where a robot ends that drives one way after the other, and what it touches; each lasts for five steps."""
    robot = PointRobot(hidden=4, steps=5, speed=0.2)
    here, touched = START_AND_GOAL, 0.0
    for velocity in velocities:
        with torch.no_grad():
            for value in robot.parameters():
                value.zero_()
            robot.controller[2].bias.copy_(torch.tensor(velocity).clamp(-0.999999, 0.999999).atanh())
            end = robot(here)
        here, touched = torch.cat([end[:, :2], START_AND_GOAL[:, 2:]], 1), touched + end[0, 2]
    return torch.cat([here[0, :2], touched[None]])


def test_the_straight_way_passes_a_wall_and_the_detour_none() -> None:
    straight = driven((0.0, 1.0))
    around = driven((0.9, 0.0), (0.0, 1.0), (-0.9, 0.0))
    assert torch.allclose(straight[:2], torch.tensor([0.0, 1.0]), atol=1e-4)
    assert torch.allclose(around[:2], torch.tensor([0.0, 1.0]), atol=1e-4)
    assert straight[2] > 0.6
    assert around[2] < 0.1


def test_descent_goes_straight_ahead_and_pays() -> None:
    inputs, targets = detour(samples=48).sets["train"]
    torch.manual_seed(0)
    robot = PointRobot(hidden=16, steps=15, speed=0.2)
    descent = torch.optim.Adam(robot.parameters(), lr=0.01)
    for _ in range(300):
        descent.zero_grad()
        (robot(inputs) - targets).square().mean().backward()
        descent.step()
    distance, touched = (robot(inputs) - targets).detach().split([2, 1], dim=1)
    assert distance.norm(dim=1).max() < 0.2
    assert touched.min() > 0.5


@pytest.mark.parametrize(("shape", "outputs"), [((2,), 3), ((4,), 2), ((1, 8, 8), 10)])
def test_other_data_are_refused(shape: tuple[int, ...], outputs: int) -> None:
    with pytest.raises(ConfigError, match="dataset=detour"):
        point_robot(DataSpec(shape, outputs, "regression"))


@pytest.mark.parametrize("settings", [{"hidden": 0}, {"steps": 0}, {"speed": 0.3}, {"speed": -0.1}])
def test_what_cannot_work_is_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match=rf"model\.{next(iter(settings))} must"):
        point_robot(DataSpec((4,), 3, "regression"), **settings)
