"""The oracle: right answers, honest accounts, and a model that is as it was.

Rows that pass through a network are counted by a forward hook that looks through vmap, so that the ledger is compared
with what was computed and not with a formula.
"""

import logging
import re
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from hybridopt.core.encoding import Direct
from hybridopt.core.ledger import Budget, Ledger
from hybridopt.core.objective import Objective
from hybridopt.core.oracle import Oracle
from hybridopt.core.spec import DataSpec
from hybridopt.encodings.subspace import Subspace
from hybridopt.encodings.supermask import Supermask
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.engine.population import LowRankPopulation, materialize
from hybridopt.errors import ConfigError
from hybridopt.models.cnn import cnn
from hybridopt.models.mlp import mlp
from hybridopt.models.rnn import rnn
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.objectives.hinge import Hinge
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.objectives.zero_one import ZeroOne

B, FEATURES, CLASSES = 6, 5, 3
VECTORS, IMAGES = DataSpec((FEATURES,), CLASSES, "classification"), DataSpec((1, 8, 8), CLASSES, "classification")
MODES = ["vmap", "loop"]


# -- networks ---------------------------------------------------------------------------------------------------------


class Lstm(nn.Module):
    """Torch's fused LSTM, which vmap cannot run."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, CLASSES)

    def forward(self, x):
        return self.head(self.cell(x[..., None])[0][:, -1])


class Branching(nn.Module):
    """Control flow that depends on the data: each member may take another way."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(FEATURES, 4), nn.Linear(4, CLASSES)

    def forward(self, x):
        hidden = self.first(x)
        return self.last(hidden.tanh() if hidden.sum() > 0 else hidden.sin())


class Counting(nn.Module):
    """Writes to its buffers in every pass, in place: a number, and a statistic of what it saw."""

    def __init__(self, statistic):
        super().__init__()
        self.layer, self.statistic = nn.Linear(FEATURES, CLASSES), statistic
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(CLASSES))

    def forward(self, x):
        self.passes += 1
        outputs = self.layer(x)
        if self.statistic:
            self.mean.lerp_(outputs.detach().mean(0), 0.1)
        return outputs


class Remembering(nn.Module):
    """Replaces a buffer in every pass."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(FEATURES, CLASSES)
        self.register_buffer("last", torch.zeros(CLASSES))

    def forward(self, x):
        outputs = self.layer(x)
        self.last = outputs.detach().mean(0)
        return outputs


def batch_norm():
    norm = nn.BatchNorm1d(8)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    return nn.Sequential(nn.Linear(FEATURES, 8), norm, nn.ReLU(), nn.Linear(8, CLASSES))


def dropout():
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.Dropout(0.5), nn.ReLU(), nn.AlphaDropout(), nn.Linear(8, CLASSES))


MODELS = {
    "linear": lambda: nn.Linear(FEATURES, CLASSES),
    "mlp": lambda: mlp(VECTORS, [7], "tanh"),
    "cnn": lambda: cnn(IMAGES, [2], 5),
    "gru": lambda: rnn(VECTORS, "gru", 4),
    "batch_norm": batch_norm,
    "dropout": dropout,
    "counting": lambda: Counting(statistic=False),
    "statistic": lambda: Counting(statistic=True),
    "remembering": Remembering,
    "lstm": Lstm,
    "branching": Branching,
}
NOT_FOR_VMAP = {"lstm", "branching", "statistic"}  # what vmap cannot run at all


def network(name, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MODELS[name]()


def cases():
    return [
        (name, mode) for name in MODELS for mode in ("auto", *MODES) if not (mode == "vmap" and name in NOT_FOR_VMAP)
    ]


# -- the rest of the problem ------------------------------------------------------------------------------------------


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def batch_for(name="mlp", size=B, seed=5):
    shape = IMAGES.input_shape if name == "cnn" else VECTORS.input_shape
    generator = source(seed)
    inputs = torch.randn(size, *shape, generator=generator)
    return inputs, torch.randint(CLASSES, (size,), generator=generator)


def oracle_of(model, objective=None, budget=None, **kwargs):
    budget = budget or Budget(forwards=10**9)
    return Oracle(model, objective or CrossEntropy(), Ledger(budget), source(), **kwargs)


def around(oracle, count, scale=0.1, seed=3):
    """Candidates near the start."""
    return oracle.start + scale * torch.randn(count, oracle.dimension, generator=source(seed))


def low_rank(model, count, rank=2, seed=3):
    """A low-rank population around the model: factors for matrices, plain noise for the rest."""
    parameters, generator = dict(model.named_parameters()), source(seed)
    shapes = {name: value.shape for name, value in parameters.items()}
    matrices = {name: shape for name, shape in shapes.items() if len(shape) == 2}
    left = {name: torch.randn(count, a, rank, generator=generator) for name, (a, _) in matrices.items()}
    right = {name: torch.randn(count, b, rank, generator=generator) for name, (_, b) in matrices.items()}
    others = {name: shape for name, shape in shapes.items() if name not in matrices}
    dense = {name: torch.randn(count, *shape, generator=generator) for name, shape in others.items()}
    center = ParameterLayout.of(parameters).flatten(parameters)
    return LowRankPopulation(center, shapes, left, right, dense, sigma=0.1)


def one_by_one(model, population, batch, loss=F.cross_entropy):
    """The losses as anybody would compute them: evaluation mode, one member at a time, on buffers of its own."""
    layout, losses = ParameterLayout.of(dict(model.named_parameters())), []
    modes = {part: part.training for part in model.modules()}
    model.eval()
    for z in population:
        member = {name: value[0] for name, value in layout.unflatten(z[None]).items()}
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        losses.append(loss(functional_call(model, member | buffers, (batch[0],)), batch[1]).detach())
    for part, mode in modes.items():
        part.training = mode
    return torch.stack(losses)


class Twice(Objective):
    """Two calls of forward for a loss: inputs that all share, and inputs that each member has for itself."""

    differentiable = False

    def __init__(self, extra=0):
        super().__init__()
        self.extra = extra  # more samples in the second call than in the first

    def loss(self, outputs, targets):
        return F.cross_entropy(outputs, targets)

    def metrics(self, spec):
        raise NotImplementedError

    def outputs(self, forward, batch):
        inputs, _ = batch
        outputs = forward(inputs)
        own = torch.cat([inputs, inputs[: self.extra]]) + outputs.mean(dim=(1, 2))[:, None, None]
        again = forward(own)
        return outputs + again[:, : len(inputs)]


class Failing(Twice):
    """Raises after the network was run."""

    def outputs(self, forward, batch):
        super().outputs(forward, batch)
        raise RuntimeError("the solver gave up")


# -- counting ---------------------------------------------------------------------------------------------------------


def unwrapped(tensor):
    """What is below the wrappers of vmap and of forward and reverse mode."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


@contextmanager
def counting(model):
    """Counts the samples that pass the network forwards, and those whose gradient comes back: two lists of rows."""
    forward, backward = [], []

    def look(module, args, output):
        forward.append(unwrapped(output).numel() // CLASSES)
        if output.requires_grad:
            output.register_hook(lambda gradient: backward.append(gradient.numel() // CLASSES))

    hook = model.register_forward_hook(look)
    try:
        yield forward, backward
    finally:
        hook.remove()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("ask", ["losses", "outputs"])
def test_charges_what_passed_the_network(mode, chunk, ask):
    oracle = oracle_of(network("mlp"), mode=mode, chunk=chunk)
    with counting(oracle.model) as (rows, _):
        getattr(oracle, ask)(around(oracle, 7), batch_for())
    assert oracle.ledger.forwards == sum(rows) == 7 * B
    assert oracle.ledger.evaluations == 7


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chunk", [1, 2, 100])
@pytest.mark.parametrize("extra", [0, 4])
def test_charges_every_call_of_forward(mode, chunk, extra):
    oracle = oracle_of(network("mlp"), Twice(extra), mode=mode, chunk=chunk)
    with counting(oracle.model) as (rows, _):
        oracle.losses(around(oracle, 5), batch_for())
    assert oracle.ledger.forwards == sum(rows) == 5 * (2 * B + extra)
    assert oracle.ledger.evaluations == 5


@pytest.mark.parametrize("mode", MODES)
def test_charges_the_members_of_a_low_rank_population(mode):
    oracle = oracle_of(network("mlp"), mode=mode, chunk=3)
    with counting(oracle.model) as (rows, _):
        oracle.losses(low_rank(oracle.model, 8), batch_for())
    assert oracle.ledger.forwards == sum(rows) == 8 * B
    assert oracle.ledger.evaluations == 8


@pytest.mark.parametrize("name", ["mlp", "lstm"])
def test_automatic_settings_charge_the_same_and_compute_no_more_once_they_are_chosen(name):
    oracle = oracle_of(network(name))
    oracle.losses(around(oracle, 7), batch_for())
    assert oracle.ledger.forwards == 7 * B
    with counting(oracle.model) as (rows, _):
        oracle.losses(around(oracle, 7), batch_for())
    assert sum(rows) == 7 * B
    assert oracle.ledger.forwards == 2 * 7 * B


@pytest.mark.parametrize("name", ["mlp", "gru", "batch_norm"])
def test_a_gradient_costs_what_went_forwards_and_twice_what_went_backwards(name):
    oracle = oracle_of(network(name))
    with counting(oracle.model) as (forward, backward):
        oracle.gradient(batch_for())
    assert (forward, backward) == ([B], [B])
    assert oracle.ledger.forwards == sum(forward) + 2 * sum(backward)
    assert oracle.ledger.evaluations == 1


def test_a_directional_derivative_costs_two_forwards():
    oracle = oracle_of(network("mlp"), mode="loop", chunk=1)  # one by one, a hook sees every row
    with counting(oracle.model) as (rows, _):
        oracle.jvp(around(oracle, 4), batch_for())
    assert oracle.ledger.forwards == 2 * sum(rows) == 2 * 4 * B
    assert oracle.ledger.evaluations == 4


def test_a_jacobian_costs_a_forward_and_a_backward_for_each_output():
    oracle = oracle_of(network("mlp"), mode="loop")
    with counting(oracle.model) as (rows, _):
        oracle.jacobian(batch_for())
    assert oracle.ledger.forwards == sum(rows) * (1 + 2 * CLASSES) == B * (1 + 2 * CLASSES)


def test_what_costs_nothing_is_not_charged():
    oracle = oracle_of(network("mlp"))
    oracle.assign(around(oracle, 1)[0])
    view = oracle.encoded(Subspace(4))
    view.assign(view.start + 1)
    oracle.masked({"1.weight": torch.zeros(7, FEATURES, dtype=torch.bool)})
    assert (oracle.ledger.forwards, oracle.ledger.evaluations) == (0, 0)


# -- memory -----------------------------------------------------------------------------------------------------------


class Tight(nn.Module):
    """Has memory for so many members at a time, and says so as the CPU or a GPU does."""

    def __init__(self, most, error):
        super().__init__()
        self.layer, self.most, self.error, self.sizes = nn.Linear(FEATURES, CLASSES), most, error, []

    def forward(self, x):
        outputs = self.layer(x)
        members = unwrapped(outputs).numel() // (CLASSES * B)
        self.sizes.append(members)
        if members > self.most:
            raise self.error
        return outputs


OUT_OF_MEMORY = {
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried"),
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    "python": MemoryError(),
}


def tight(most=3, device="cpu", **kwargs):
    return oracle_of(Tight(most, OUT_OF_MEMORY[device]), **{"mode": "vmap"} | kwargs)


@pytest.mark.parametrize("device", OUT_OF_MEMORY)
@pytest.mark.parametrize("chunk", ["auto", 16])
def test_where_memory_runs_out_the_chunk_is_split_and_the_run_goes_on(device, chunk, caplog):
    oracle = tight(3, device, chunk=chunk)
    population = around(oracle, 11)
    with caplog.at_level(logging.WARNING):
        losses = oracle.losses(population, batch_for())
    plenty = oracle_of(network("linear"))
    plenty.model.load_state_dict(oracle.model.layer.state_dict())
    torch.testing.assert_close(losses, plenty.losses(population, batch_for()))
    assert (oracle.ledger.forwards, oracle.ledger.evaluations) == (11 * B, 11)
    assert re.match(r"Memory ran out: the population is run in chunks of [1-3] from here on", caplog.messages[-1])


@pytest.mark.parametrize("chunk", ["auto", 16])
def test_every_attempt_is_smaller_than_the_one_that_failed(chunk):
    oracle = tight(3, chunk=chunk)
    oracle.losses(around(oracle, 11), batch_for())
    failed = [members for members in oracle.model.sizes if members > 3]
    assert failed
    assert failed == sorted(set(failed), reverse=True)


@pytest.mark.parametrize("chunk", ["auto", 16])
def test_a_chunk_that_was_too_large_is_not_tried_again(chunk, caplog):
    oracle = tight(3, chunk=chunk)
    oracle.losses(around(oracle, 11), batch_for())
    oracle.model.sizes.clear()
    with caplog.at_level(logging.WARNING):
        caplog.clear()
        oracle.losses(around(oracle, 11), batch_for())
    assert max(oracle.model.sizes) <= 3
    assert not caplog.messages


def test_memory_that_is_too_small_for_one_member_is_an_error():
    oracle = tight(0, "gpu", chunk=4)
    with pytest.raises(torch.OutOfMemoryError):
        oracle.losses(around(oracle, 4), batch_for())
    assert oracle.ledger.forwards == 0


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    oracle = oracle_of(network("mlp"), Failing(), chunk=4)
    with pytest.raises(RuntimeError, match="the solver gave up"):
        oracle.losses(around(oracle, 4), batch_for())


# -- the model is untouched -------------------------------------------------------------------------------------------


def mixed_modes(model):
    """Training mode, but for the last part: a flag that must come back as it was."""
    model.train()
    list(model.modules())[-1].eval()
    return model


class AlwaysDropping(nn.Module):
    """Draws from the global generator in every pass, in evaluation mode too."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(FEATURES, CLASSES)

    def forward(self, x):
        return F.dropout(self.layer(x), 0.5, training=True)


def test_choosing_automatic_settings_draws_nothing_from_the_global_generator():
    states = []
    for kwargs in ({}, {"mode": "loop", "chunk": 100}):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            oracle = oracle_of(AlwaysDropping(), **kwargs)
            oracle.losses(around(oracle, 5), batch_for())
            states.append(torch.get_rng_state())
    assert torch.equal(*states)


@contextmanager
def nothing_changes(model):
    """Parameters, buffers (the tensors themselves, too), gradients and training flags are what they were."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    before = {name: value.detach().clone() for name, value in tensors.items()}
    modes = [part.training for part in model.modules()]
    yield
    after = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert [part.training for part in model.modules()] == modes
    assert after.keys() == before.keys()
    for name, value in after.items():
        assert value is tensors[name], name
        assert torch.equal(value, before[name]), name
        assert value.grad is None, name


@pytest.mark.parametrize(("name", "mode"), cases())
def test_evaluating_a_population_leaves_the_model_untouched(name, mode):
    oracle = oracle_of(mixed_modes(network(name)), mode=mode)
    batch, rng = batch_for(name), torch.get_rng_state()
    with nothing_changes(oracle.model):
        oracle.losses(around(oracle, 5), batch)
        oracle.outputs(around(oracle, 3), batch)
    assert torch.equal(torch.get_rng_state(), rng)


@pytest.mark.parametrize("mode", ["auto", *MODES])
@pytest.mark.parametrize("name", ["batch_norm", "dropout", "counting"])
def test_an_error_leaves_the_model_untouched(name, mode):
    oracle = oracle_of(mixed_modes(network(name)), Failing(), mode=mode)
    with nothing_changes(oracle.model), pytest.raises(RuntimeError, match="the solver gave up"):
        oracle.losses(around(oracle, 5), batch_for())


@pytest.mark.parametrize("name", ["mlp", "batch_norm", "dropout", "counting"])
@pytest.mark.parametrize("ask", ["jvp", "jacobian"])
def test_derivatives_in_evaluation_mode_leave_the_model_untouched(name, ask):
    oracle = oracle_of(mixed_modes(network(name)))
    rng = torch.get_rng_state()
    with nothing_changes(oracle.model):
        oracle.jvp(around(oracle, 2), batch_for()) if ask == "jvp" else oracle.jacobian(batch_for())
    assert torch.equal(torch.get_rng_state(), rng)


# -- losses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "mode"), cases())
def test_losses_are_those_of_one_member_at_a_time(name, mode):
    """To 1e-4 relative and 1e-5 absolute, in single precision."""
    oracle = oracle_of(network(name), mode=mode)
    population, batch = around(oracle, 6, scale=0.5), batch_for(name)
    losses = oracle.losses(population, batch)
    assert losses.shape == (6,)
    assert losses.dtype == torch.float32
    torch.testing.assert_close(losses, one_by_one(oracle.model, population, batch), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_one_member_at_a_time(name):
    oracle = oracle_of(network(name))
    population, batch = around(oracle, 4, scale=0.5), batch_for(name)
    outputs = oracle.outputs(population, batch)
    assert outputs.shape == (4, B, CLASSES)
    expected = torch.stack([F.cross_entropy(member, batch[1]) for member in outputs])
    torch.testing.assert_close(one_by_one(oracle.model, population, batch), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["lstm", "branching"])
def test_what_vmap_cannot_run_is_run_one_by_one_and_that_is_said_once(name, caplog):
    oracle = oracle_of(network(name))
    with caplog.at_level(logging.INFO, logger="hybridopt"):
        for seed in range(3):
            oracle.losses(around(oracle, 7, seed=seed), batch_for(seed=seed))
        view = oracle.encoded(Subspace(2))
        view.losses(view.start + torch.ones(7, 2), batch_for())
    said = [text for text in caplog.messages if "members run one by one" in text]
    assert len(said) == 1
    assert said[0].startswith(type(oracle.model).__name__)


def test_what_vmap_can_run_is_run_by_vmap(caplog):
    oracle = oracle_of(network("mlp"), chunk=100)
    with caplog.at_level(logging.INFO, logger="hybridopt"):
        oracle.losses(around(oracle, 7), batch_for())
        with counting(oracle.model) as (rows, _):
            oracle.losses(around(oracle, 7), batch_for())
    assert rows == [7 * B]
    assert not caplog.messages


@pytest.mark.parametrize("mode", ["auto", *MODES])
def test_members_may_have_inputs_of_their_own(mode):
    oracle = oracle_of(network("mlp"), Twice(extra=2), mode=mode)
    population, (inputs, targets) = around(oracle, 5, scale=0.5), batch_for()
    expected = []
    for z in population:
        oracle.assign(z)
        outputs = oracle.model(inputs)
        expected.append(F.cross_entropy(outputs + oracle.model(inputs + outputs.mean()), targets).detach())
    torch.testing.assert_close(oracle.losses(population, (inputs, targets)), torch.stack(expected))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 14), st.sampled_from(MODES), st.sampled_from([CrossEntropy, Twice]))
def test_the_chunk_size_is_of_no_matter(count, chunk, mode, objective):
    """To 1e-5: a matrix product of another size may be summed in another order."""
    whole, pieces = (oracle_of(network("mlp"), objective(), mode=mode, chunk=size) for size in (100, chunk))
    population, batch = around(whole, count), batch_for()
    torch.testing.assert_close(pieces.losses(population, batch), whole.losses(population, batch), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        pieces.outputs(population, batch), whole.outputs(population, batch), rtol=1e-5, atol=1e-5
    )
    assert pieces.ledger.state_dict() == whole.ledger.state_dict()


@pytest.mark.parametrize("mode", MODES)
def test_losses_that_are_not_finite_come_back_as_infinity(mode):
    oracle = oracle_of(network("linear"), mode=mode, chunk=2)
    population = around(oracle, 5)
    population[1], population[2], population[3] = torch.nan, torch.inf, -torch.inf
    losses = oracle.losses(population, batch_for())
    assert losses[1:4].tolist() == [torch.inf] * 3
    assert losses[[0, 4]].isfinite().all()


def test_a_loss_of_minus_infinity_is_a_failure_too():
    class Bottomless(Hinge):
        def loss(self, outputs, targets):
            return outputs.sum() * 0 - torch.inf

    oracle = oracle_of(network("linear"), Bottomless())
    assert oracle.losses(around(oracle, 2), batch_for()).tolist() == [torch.inf] * 2


@pytest.mark.parametrize("name", ["mlp", "batch_norm", "cnn"])
@pytest.mark.parametrize("chunk", ["auto", 2])
def test_a_low_rank_population_has_the_losses_of_its_dense_form(name, chunk):
    oracle = oracle_of(network(name), chunk=chunk)
    population, batch = low_rank(oracle.model, 5), batch_for(name)
    dense = population.materialize()
    assert dense.shape == (5, oracle.dimension)
    assert torch.equal(materialize(population), dense)
    torch.testing.assert_close(oracle.losses(population, batch), oracle.losses(dense, batch), rtol=1e-5, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(0, 10**6))
def test_a_low_rank_population_means_what_it_says(rank, seed):
    model = network("mlp")
    population = low_rank(model, 3, rank, seed)
    layout = ParameterLayout.of(dict(model.named_parameters()))
    members = layout.unflatten(population.materialize())
    for name, value in model.named_parameters():
        if value.ndim == 2:
            noise = torch.einsum("nar,nbr->nab", population.left[name], population.right[name]) / rank**0.5
        else:
            noise = population.dense[name]
        torch.testing.assert_close(members[name], value.detach() + 0.1 * noise, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(population[1:].materialize(), population.materialize()[1:])


# -- derivatives ------------------------------------------------------------------------------------------------------


def flat_gradient(model):
    return torch.cat([parameter.grad.reshape(-1) for parameter in model.parameters() if parameter.requires_grad])


@pytest.mark.parametrize("name", ["linear", "mlp", "cnn", "gru"])
def test_the_gradient_is_autograds(name):
    oracle, batch = oracle_of(network(name)), batch_for(name)
    loss = oracle.gradient(batch)
    reference = network(name)
    outputs = reference(batch[0])
    expected = oracle.objective.loss(outputs, batch[1])
    torch.testing.assert_close(expected, F.cross_entropy(outputs, batch[1]))
    expected.backward()
    assert not loss.requires_grad
    assert torch.equal(loss, expected.detach())
    assert torch.equal(flat_gradient(oracle.model), flat_gradient(reference))


def test_gradients_do_not_accumulate():
    oracle = oracle_of(network("mlp"))
    oracle.gradient(batch_for())
    once = flat_gradient(oracle.model).clone()
    oracle.gradient(batch_for())
    assert torch.equal(flat_gradient(oracle.model), once)


def test_the_gradient_is_that_of_the_training_mode():
    oracle = oracle_of(network("batch_norm").train())
    before = oracle.model[1].running_mean.clone()
    oracle.gradient(batch_for())
    assert not torch.equal(oracle.model[1].running_mean, before)


@pytest.mark.parametrize("name", ["linear", "mlp", "cnn", "gru"])
def test_a_directional_derivative_is_gradient_times_tangent(name):
    oracle, batch = oracle_of(network(name)), batch_for(name)
    tangents = torch.randn(3, oracle.dimension, generator=source(1))
    loss, slopes = oracle.jvp(tangents, batch)
    assert slopes.shape == (3,)
    torch.testing.assert_close(loss, oracle.gradient(batch))
    torch.testing.assert_close(slopes, tangents @ flat_gradient(oracle.model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["linear", "mlp", "cnn", "gru", "batch_norm"])
def test_the_jacobian_is_autograds(name):
    oracle, batch = oracle_of(network(name).eval()), batch_for(name)
    jacobian = oracle.jacobian(batch)
    assert jacobian.shape == (B, CLASSES, oracle.dimension)
    outputs, parameters = oracle.model(batch[0]), list(oracle.model.parameters())
    for sample in range(B):
        for output in range(CLASSES):
            rows = torch.autograd.grad(outputs[sample, output], parameters, retain_graph=True)
            expected = torch.cat([row.reshape(-1) for row in rows])
            torch.testing.assert_close(jacobian[sample, output], expected, rtol=1e-4, atol=1e-5)


def test_frozen_parameters_are_left_out_of_everything():
    model = network("mlp")
    model[1].weight.requires_grad_(False)
    frozen, oracle = model[1].weight.clone(), oracle_of(model)
    assert oracle.dimension == sum(p.numel() for p in model.parameters()) - frozen.numel()
    oracle.assign(torch.zeros(oracle.dimension))
    assert oracle.jacobian(batch_for()).shape[2] == oracle.dimension
    _, slopes = oracle.jvp(torch.ones(1, oracle.dimension), batch_for())
    oracle.gradient(batch_for())
    torch.testing.assert_close(slopes[0], flat_gradient(model).sum())
    assert torch.equal(model[1].weight, frozen)
    assert all(not parameter.any() for name, parameter in model.named_parameters() if name != "1.weight")


@pytest.mark.parametrize("ask", ["gradient", "jvp"])
def test_an_objective_without_gradient_is_refused_a_derivative(ask):
    oracle = oracle_of(network("mlp"), ZeroOne())
    with pytest.raises(ConfigError) as caught:
        oracle.gradient(batch_for()) if ask == "gradient" else oracle.jvp(around(oracle, 1), batch_for())
    assert str(caught.value).startswith("ZeroOne has no gradient: choose another objective")
    assert oracle.ledger.forwards == 0


# -- assigning --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", [Direct(), Subspace(4), Supermask(0.5)], ids=["direct", "subspace", "supermask"])
def test_assign_makes_the_model_what_the_vector_decodes_to(encoding):
    oracle = oracle_of(network("mlp"), encoding=encoding)
    z, batch = around(oracle, 2), batch_for()
    expected = {name: value[0] for name, value in encoding.decode(z[:1]).items()}
    tensors = dict(oracle.model.named_parameters())
    losses = oracle.losses(z, batch)
    oracle.assign(z[0])
    for name, value in oracle.model.named_parameters():
        assert value is tensors[name]
        assert value.requires_grad
        assert name not in expected or torch.equal(value, expected[name])
    torch.testing.assert_close(F.cross_entropy(oracle.model(batch[0]), batch[1]).detach(), losses[0])


def test_the_start_is_a_copy_of_where_the_model_is():
    model = network("mlp")
    oracle = oracle_of(model)
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    start = oracle.start
    oracle.assign(torch.zeros(oracle.dimension))
    assert torch.equal(start, before)
    start.add_(1)
    assert torch.equal(oracle.start, torch.zeros(oracle.dimension))


def test_the_start_of_an_encoding_does_not_move():
    oracle = oracle_of(network("mlp"))
    view = oracle.encoded(Subspace(3))
    view.start.add_(1)
    view.assign(torch.ones(3))
    assert torch.equal(view.start, torch.zeros(3))


# -- views ------------------------------------------------------------------------------------------------------------


def test_views_share_the_ledger():
    oracle, batch = oracle_of(network("mlp")), batch_for()
    view = oracle.encoded(Subspace(4))
    assert view.dimension == 4
    view.losses(view.start + torch.zeros(3, 4), batch)
    assert oracle.ledger.forwards == 3 * B
    oracle.masked({}).losses(around(oracle, 2), batch)
    assert oracle.ledger.forwards == view.ledger.forwards == 5 * B


def test_a_view_speaks_another_encoding_and_leaves_the_first_one_as_it_is():
    oracle, batch = oracle_of(network("mlp")), batch_for()
    population = around(oracle, 3)
    before, view = oracle.losses(population, batch), oracle.encoded(Supermask(0.3))
    decoded = view.encoding.decode(view.start[None])
    biases = {name: value[None] for name, value in oracle.parameters().items() if name not in decoded}
    z = torch.cat([{**decoded, **biases}[name].flatten(1) for name in oracle.parameters()], dim=1)
    torch.testing.assert_close(view.losses(view.start[None], batch), oracle.losses(z, batch))
    assert torch.equal(oracle.losses(population, batch), before)


def test_a_phase_has_an_account_of_its_own_that_is_part_of_the_whole():
    oracle, batch = oracle_of(network("mlp"), budget=Budget(forwards=10 * B)), batch_for()
    phase = oracle.phase("a", 0.5)
    assert (oracle.remaining, phase.remaining) == (10 * B, 5 * B)
    phase.encoded(Direct()).losses(around(oracle, 5), batch)
    assert (oracle.remaining, phase.remaining) == (5 * B, 0)
    assert (oracle.progress, phase.progress) == (0.5, 1.0)
    assert phase.exhausted
    assert not oracle.exhausted


def test_progress_is_never_more_than_the_whole():
    oracle = oracle_of(network("mlp"), budget=Budget(forwards=10 * B))
    for _ in range(3):
        oracle.losses(around(oracle, 4), batch_for())
    assert oracle.progress == 1.0
    assert oracle.remaining == 0


@pytest.mark.parametrize(
    ("budget", "horizon"),
    [
        (Budget(forwards=10 * B + 1), 10),
        (Budget(evaluations=7), 7),
        (Budget(forwards=100 * B, evaluations=7), 7),
        (Budget(forwards=1), 1),
    ],
)
def test_the_horizon_is_what_the_budget_buys(budget, horizon):
    assert oracle_of(network("mlp"), budget=budget).horizon(batch_for()) == horizon


# -- masks ------------------------------------------------------------------------------------------------------------


def random_mask(model, seed=7):
    """About half of each weight; biases are free."""
    generator = source(seed)
    weights = {name: value for name, value in model.named_parameters() if value.ndim > 1}
    return {name: torch.rand(value.shape, generator=generator) < 0.5 for name, value in weights.items()}


def masked_vectors(population, model, mask):
    """The same vectors with zeros where the mask says so."""
    ones = {name: torch.ones(value.shape, dtype=torch.bool) for name, value in model.named_parameters()}
    kept = torch.cat([value.reshape(-1) for value in (ones | mask).values()])
    return torch.where(kept, population, 0.0)


def assert_masked(tensors, mask):
    for name, kept in mask.items():
        assert (tensors[name][~kept] == 0).all(), name
        assert (tensors[name][kept] != 0).any(), name


@pytest.mark.parametrize("name", ["mlp", "cnn", "branching"])
def test_losses_behind_a_mask_are_those_of_masked_parameters(name):
    oracle, batch = oracle_of(network(name)), batch_for(name)
    population, mask = around(oracle, 4, scale=0.5), random_mask(oracle.model)
    expected = oracle.losses(masked_vectors(population, oracle.model, mask), batch)
    assert not torch.allclose(oracle.losses(population, batch), expected)
    torch.testing.assert_close(oracle.masked(mask).losses(population, batch), expected)


def test_a_mask_zeroes_the_model_at_once_and_the_start():
    oracle = oracle_of(network("mlp"))
    mask, start = random_mask(oracle.model), oracle.start.clone()
    view = oracle.masked(mask)
    assert_masked(dict(oracle.model.named_parameters()), mask)
    assert torch.equal(view.start, masked_vectors(start, oracle.model, mask))


def test_what_is_assigned_behind_a_mask_is_masked():
    oracle = oracle_of(network("mlp"))
    mask = random_mask(oracle.model)
    view = oracle.masked(mask)
    view.assign(torch.ones(view.dimension))
    assert torch.equal(
        nn.utils.parameters_to_vector(oracle.model.parameters()),
        masked_vectors(torch.ones(view.dimension), oracle.model, mask),
    )


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_masked_parameters_are_zero_whatever_the_vector_holds_there(value):
    oracle, batch = oracle_of(network("mlp")), batch_for()
    mask = random_mask(oracle.model)
    view = oracle.masked(mask)
    z = view.start.clone()
    z[masked_vectors(torch.ones(len(z)), oracle.model, mask) == 0] = value
    torch.testing.assert_close(view.losses(z[None], batch), view.losses(view.start[None], batch))
    view.assign(z)
    assert_masked(dict(oracle.model.named_parameters()), mask)


def test_a_mask_behind_a_mask_frees_nothing():
    oracle = oracle_of(network("mlp"))
    outer, inner = random_mask(oracle.model, 1), random_mask(oracle.model, 2)
    view = oracle.masked(outer).masked(inner)
    view.assign(torch.ones(view.dimension))
    assert_masked(dict(oracle.model.named_parameters()), {name: outer[name] & inner[name] for name in outer})


def test_a_mask_holds_in_every_other_view():
    oracle = oracle_of(network("mlp"))
    mask = random_mask(oracle.model)
    view = oracle.masked(mask).phase("a", 0.5).encoded(Subspace(4))
    view.assign(view.start + 1)
    assert_masked(dict(oracle.model.named_parameters()), mask)


def test_derivatives_behind_a_mask_are_zero_where_it_is():
    oracle, batch = oracle_of(network("mlp")), batch_for()
    view = oracle.masked(mask := random_mask(oracle.model))
    tangents = torch.randn(3, view.dimension, generator=source(1))
    _, slopes = view.jvp(tangents, batch)
    assert torch.equal(slopes, view.jvp(masked_vectors(tangents, oracle.model, mask), batch)[1])
    view.gradient(batch)
    assert_masked({name: value.grad for name, value in oracle.model.named_parameters()}, mask)
    torch.testing.assert_close(slopes, tangents @ flat_gradient(oracle.model), rtol=1e-4, atol=1e-5)
    jacobian = view.jacobian(batch)
    assert torch.equal(jacobian, masked_vectors(jacobian, oracle.model, mask))


def optimizers():
    """Every class of torch.optim that works from one dense gradient, with momentum and decay where it has them."""
    unusable = {"Optimizer", "LBFGS", "SparseAdam", "Muon"}  # Muon takes matrices only, and has a test of its own
    classes = {key: value for key, value in vars(torch.optim).items() if isinstance(value, type)}
    usual = {name: (name, {}) for name in classes if name not in unusable}
    decaying = {
        "SGD, momentum, decay": ("SGD", {"momentum": 0.9, "weight_decay": 0.1}),
        "SGD, nesterov, decay": ("SGD", {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
        "Adam, decay": ("Adam", {"weight_decay": 0.1}),
        "AdamW, decay": ("AdamW", {"weight_decay": 0.1}),
        "RMSprop, momentum, decay": ("RMSprop", {"momentum": 0.9, "weight_decay": 0.1, "centered": True}),
    }
    return usual | decaying


OPTIMIZERS = optimizers()


def train(view, optimizer, mask, steps=40):
    for step in range(steps):
        view.gradient(batch_for(seed=step))
        view.update(optimizer)
        assert_masked(dict(view.model.named_parameters()), mask)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masked_weights_stay_exactly_zero_under_any_optimizer(name):
    key, settings = OPTIMIZERS[name]
    model = network("mlp")
    before = nn.utils.parameters_to_vector(model.parameters()).detach().clone()
    view = oracle_of(model).masked(mask := random_mask(model))
    optimizer = getattr(torch.optim, key)(model.parameters(), lr=0.01, **settings)
    train(view, optimizer, mask)
    after = nn.utils.parameters_to_vector(model.parameters()).detach()
    assert after.isfinite().all()
    assert not torch.equal(after, masked_vectors(before, model, mask))


def test_masked_weights_stay_exactly_zero_though_the_optimizer_mixes_them():
    """Muon's step for one weight depends on the gradients of all, masked ones included."""
    model = network("mlp")
    view = oracle_of(model).masked(mask := random_mask(model))
    matrices = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    train(view, torch.optim.Muon(matrices, lr=0.01, weight_decay=0.1), mask)


def test_momentum_from_before_the_mask_does_not_bring_a_weight_back():
    model = network("mlp")
    oracle, optimizer = oracle_of(model), torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    oracle.gradient(batch_for())
    oracle.update(optimizer)
    train(oracle.masked(mask := random_mask(model)), optimizer, mask, steps=5)


def test_an_update_goes_through_what_was_given_for_it():
    seen, model = [], network("mlp")
    oracle = oracle_of(
        model,
        backward=lambda loss: (seen.append("backward"), loss.backward()),
        update=lambda *given: seen.append(given),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    oracle.gradient(batch_for())
    oracle.update(optimizer)
    assert seen == ["backward", (optimizer, None)]


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["losses", "outputs"])
@pytest.mark.parametrize("phased", [False, True])
def test_a_generation_beyond_the_whole_budget_is_refused_and_costs_nothing(ask, phased):
    oracle = oracle_of(network("mlp"), budget=Budget(forwards=5 * B))
    view = oracle.phase("a", 0.1) if phased else oracle
    with pytest.raises(ConfigError) as caught:
        getattr(view, ask)(around(oracle, 6), batch_for())
    assert str(caught.value) == (
        f"One generation of 6 members on a batch of {B} costs {6 * B} forwards, more than the whole budget of {5 * B}: "
        "lower the strategy's population or dataset.batch_size, or raise budget.forwards."
    )
    assert (oracle.ledger.forwards, oracle.ledger.evaluations) == (0, 0)


@pytest.mark.parametrize("phased", [False, True])
def test_a_generation_of_the_whole_budget_is_not_refused(phased):
    oracle = oracle_of(network("mlp"), budget=Budget(forwards=5 * B))
    view = oracle.phase("a", 0.1) if phased else oracle
    assert len(view.losses(around(oracle, 5), batch_for())) == 5


def test_an_unknown_mode_is_refused():
    with pytest.raises(ConfigError) as caught:
        oracle_of(network("mlp"), mode="map")
    assert str(caught.value) == "oracle.mode must be auto, vmap or loop, but is 'map'."


@pytest.mark.parametrize("chunk", [0, -1, 2.5, "many", None])
def test_a_chunk_that_is_no_number_of_members_is_refused(chunk):
    with pytest.raises(ConfigError) as caught:
        oracle_of(network("mlp"), chunk=chunk)
    assert str(caught.value) == f"oracle.chunk must be auto or a positive whole number, but is {chunk!r}."


def test_errors_of_the_objective_pass_through_under_vmap():
    oracle = oracle_of(network("mlp"), MeanSquaredError())
    with pytest.raises(Exception, match="objective=mse needs targets of the outputs' shape"):
        oracle.losses(around(oracle, 2), batch_for())
