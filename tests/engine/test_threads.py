"""Populations that several threads run: the same numbers, or one thread."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from hybridopt.engine import threads
from hybridopt.engine.forward import PopulationForward
from hybridopt.engine.parameters import LowRankParameter
from hybridopt.execution import runtime

RUNNERS: set[int] = set()  # threads that have run a network; a copy of a network shares what is global


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("hybridopt.engine.forward.SMALL", 0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    RUNNERS.clear()
    with threads.allowing(2):
        yield
    torch.set_num_threads(before)


class Told(nn.Module):
    """A network that tells which thread runs it."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> Tensor:
        RUNNERS.add(threading.get_ident())
        return self.network(inputs)


class Recurrent(nn.Module):
    """The last state of a GRU."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.output = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.output(self.cell(inputs)[0][:, -1])


class Elsewhere(nn.Module):
    """A layer is reached through a function, which a copy shares with the original."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        layer = self.layer
        self.run: Callable[[Tensor], Tensor] = lambda inputs: layer(inputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.run(inputs)


class Drawing(nn.Module):
    """Draws noise whether it is trained or not."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs) + torch.rand(())


class Uncopied(nn.Linear):
    """Refuses to be copied."""

    def __deepcopy__(self, memo: object) -> nn.Module:
        raise TypeError("there is only one")


class Brittle(nn.Module):
    """Fails where a weight is large."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.layer.weight[0, 0] > 100:
            raise ArithmeticError("too large")
        return self.layer(inputs)


def tied() -> nn.Module:
    network = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 6))
    network[3].weight = network[0].weight
    return network


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (10, 6)),
    "tied": (tied, (10, 6)),
    "recurrent": (Recurrent, (10, 4, 6)),
    "attention": (lambda: nn.TransformerEncoderLayer(6, 2, 8, dropout=0.1, batch_first=True), (10, 4, 6)),
    "normed": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)), (10, 6)),
}


def made(build: Callable[[], nn.Module], shape: tuple[int, ...], n: int = 9) -> tuple[nn.Module, dict, Tensor]:
    torch.manual_seed(0)
    module = Told(build())
    values = {name: value + 0.1 * torch.randn(n, *value.shape) for name, value in module.named_parameters()}
    return module, {name: value.detach() for name, value in values.items()}, torch.randn(shape)


def outputs(module: nn.Module, mode: str, parameters: dict, inputs: Tensor, times: int = 2) -> list[Tensor]:
    forward = PopulationForward(module, mode)
    answers = []
    for _ in range(times):
        with forward.evaluating():
            answers.append(forward(parameters, inputs, True))
    return answers


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, mode) for name in NETWORKS for mode in ("vmap", "loop") if (name, mode) != ("recurrent", "vmap")],
)  # torch's GRU cannot be vectorised
def test_the_outputs_are_those_of_one_thread_bit_for_bit(name: str, mode: str) -> None:
    module, parameters, inputs = made(*NETWORKS[name])
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with threads.allowing(1):
        (alone,) = outputs(module, mode, parameters, inputs, 1)
    assert {threading.get_ident()} == RUNNERS
    for found in outputs(module, mode, parameters, inputs):
        assert torch.equal(found, alone)
        assert found.stride() == alone.stride()
    assert len(RUNNERS) > 1  # this one at the first population, to compare with, and others
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("build", [Elsewhere, Drawing, lambda: Uncopied(6, 3)], ids=["elsewhere", "drawing", "single"])
def test_a_network_that_cannot_be_divided_is_run_by_one(build: Callable[[], nn.Module]) -> None:
    module, parameters, inputs = made(build, (10, 6))
    torch.manual_seed(1)
    found = outputs(module, "loop", parameters, inputs)
    RUNNERS.clear()
    torch.manual_seed(1)
    with threads.allowing(1):
        alone = outputs(module, "loop", parameters, inputs)
    assert all(map(torch.equal, found, alone))
    assert {threading.get_ident()} == RUNNERS


def test_what_is_changed_in_a_network_between_populations_counts() -> None:
    module, parameters, inputs = made(tied, (10, 6))
    forward = PopulationForward(module, "loop")
    for scale in (1.0, 1.0, 2.0):
        module.network[1].running_var.fill_(scale)
        with forward.evaluating():
            found = forward(parameters, inputs, True)
        with threads.allowing(1):
            (alone,) = outputs(module, "loop", parameters, inputs, 1)
        assert torch.equal(found, alone)


def test_an_error_in_one_thread_is_the_populations() -> None:
    module, parameters, inputs = made(Brittle, (10, 6))
    outputs(module, "loop", parameters, inputs)
    forward = PopulationForward(module, "loop")
    with forward.evaluating():
        forward(parameters, inputs, True)
        parameters["network.layer.weight"][8] = 1000.0
        with pytest.raises(ArithmeticError, match="too large"):
            forward(parameters, inputs, True)
    assert not (module.network.layer.weight > 100).any()


def test_low_rank_members_and_inputs_of_their_own_are_divided_too() -> None:
    module, parameters, inputs = made(NETWORKS["mlp"][0], (9, 10, 6))
    weight = dict(module.named_parameters())["network.0.weight"].detach()
    parameters["network.0.weight"] = LowRankParameter(weight, torch.randn(9, 5, 1), torch.randn(9, 6, 1), 0.1)
    forward = PopulationForward(module, "auto")
    answers = []
    for allowed in (1, 2, 2):
        with threads.allowing(allowed), forward.evaluating():
            answers.append(forward(parameters, inputs, False))
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def run_in_child(answers: multiprocessing.Queue) -> None:
    answers.put(threads.each([lambda: 1, lambda: 2]))


def test_a_forked_process_has_threads_of_its_own() -> None:
    assert threads.each([lambda: 1, lambda: 2]) == [1, 2]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(target=run_in_child, args=(answers,))
    child.start()
    assert answers.get(timeout=30) == [1, 2]
    child.join()


@pytest.mark.parametrize(
    ("setting", "width", "operations", "members"),
    [("auto", 8, 1, 2), ("auto", 512, 2, 2), (1, 512, 1, 1), (3, 8, 3, 3)],
)
def test_a_small_network_leaves_threads_to_its_members(
    setting: int | str, width: int, operations: int, members: int
) -> None:
    torch.set_num_threads(2)
    with runtime.threads(setting, nn.Linear(width, width)):
        assert (torch.get_num_threads(), threads.count()) == (operations, members)
    assert torch.get_num_threads() == 2
