"""AdamDescent against torch's Adam."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hybridopt.toolbox.descent import AdamDescent


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
