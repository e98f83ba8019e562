"""Descents against the optimisers of torch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hybridopt.toolbox.descent import AdamDescent, MomentumDescent


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    betas=st.tuples(st.floats(0.0, 0.99), st.floats(0.5, 0.9999)),
    epsilon=st.sampled_from([1e-8, 1e-4, 0.1]),
    scale=st.sampled_from([1e-5, 1.0, 1e4]),
)
def test_equals_torch_adam_step_by_step(seed, betas, epsilon, scale):
    generator = torch.Generator().manual_seed(seed)
    parameter = nn.Parameter(torch.randn(7, generator=generator, dtype=torch.float64))
    reference = torch.optim.Adam([parameter], lr=0.1, betas=betas, eps=epsilon)
    ours, x = AdamDescent(betas, epsilon), parameter.detach().clone()
    ours.start(x)
    for step in range(30):
        rate = 0.1 / (1 + step)  # the step size may change on the way
        gradient = scale * torch.randn(7, generator=generator, dtype=torch.float64)
        reference.param_groups[0]["lr"], parameter.grad = rate, gradient.clone()
        reference.step()
        x = x + ours.step(gradient, rate)
        torch.testing.assert_close(x, parameter.detach(), rtol=1e-10, atol=1e-12)


def test_the_first_step_is_as_long_as_the_learning_rate():
    ours = AdamDescent()
    ours.start(torch.zeros(3))
    torch.testing.assert_close(ours.step(torch.tensor([5.0, -0.01, 0.0]), 0.3), torch.tensor([-0.3, 0.3, 0.0]))


def test_leaves_the_gradient_alone():
    ours, gradient = AdamDescent(), torch.tensor([1.0, 2.0])
    ours.start(gradient)
    ours.step(gradient, 0.1)
    assert torch.equal(gradient, torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize("started", [False, True])
def test_goes_on_after_a_checkpoint(started):
    gradients = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    original, copy = AdamDescent(), AdamDescent()
    original.start(torch.zeros(4))
    for gradient in gradients[:5]:
        original.step(gradient, 0.1)
    if started:
        copy.start(torch.ones(4))
    copy.load_state_dict({key: value.clone() for key, value in original.state_dict().items()})
    for gradient in gradients[5:]:
        assert torch.equal(original.step(gradient, 0.1), copy.step(gradient, 0.1))


def test_a_population_has_learning_rates_of_its_own():
    generator = torch.Generator().manual_seed(0)
    rates = torch.tensor([[0.1], [0.01], [0.5]])
    together, x = AdamDescent(), torch.zeros(3, 4)
    together.start(x)
    alone = [AdamDescent() for _ in rates]
    for one in alone:
        one.start(torch.zeros(4))
    for _ in range(5):
        gradients = torch.randn(3, 4, generator=generator)
        step = together.step(gradients, rates)
        for i, one in enumerate(alone):
            torch.testing.assert_close(step[i], one.step(gradients[i], float(rates[i])))


@pytest.mark.parametrize("make", [AdamDescent, MomentumDescent])
def test_selected_members_go_on_as_those_they_were(make):
    gradients = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    before, after, chosen = make(), make(), torch.tensor([2, 0, 2])
    for one in (before, after):
        one.start(torch.zeros(3, 4))
        one.step(gradients[0], 0.1)
    after.select(chosen)
    assert torch.equal(after.step(gradients[1][chosen], 0.1), before.step(gradients[1], 0.1)[chosen])


def test_momentum_of_each_member_is_torchs():
    generator = torch.Generator().manual_seed(0)
    kinds = [(0.1, 0.0, False), (0.05, 0.9, False), (0.2, 0.8, True)]
    rates, momenta, ahead = (torch.tensor(column)[:, None] for column in zip(*kinds, strict=True))
    x = torch.randn(3, 5, generator=generator)
    parameters = [nn.Parameter(row.clone()) for row in x]
    references = [
        torch.optim.SGD([parameter], lr=rate, momentum=momentum, nesterov=nesterov)
        for parameter, (rate, momentum, nesterov) in zip(parameters, kinds, strict=True)
    ]
    ours = MomentumDescent()
    ours.start(x)
    for _ in range(10):
        gradients = torch.randn(3, 5, generator=generator)
        x = x + ours.step(gradients, rates, momenta, ahead)
        for parameter, gradient, reference in zip(parameters, gradients, references, strict=True):
            parameter.grad = gradient.clone()
            reference.step()
    torch.testing.assert_close(x, torch.stack([parameter.detach() for parameter in parameters]))
