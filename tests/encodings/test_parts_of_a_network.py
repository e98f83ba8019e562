"""Fine-tuning of a part: adapters, biases, a head; by gradients as by searches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from jobs import SMALL
from torch import Tensor, nn

from hybridopt import Budget, Oracle, run
from hybridopt.composition import building
from hybridopt.core.encoding import Encoding
from hybridopt.core.ledger import Ledger
from hybridopt.errors import ConfigError
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.testing.by_hand import begin, deploy
from hybridopt.toolbox.gradient import GradientStrategy

BITFIT = {"name": "parameter_group", "pattern": ["*.bias", "2.*"]}
LORA = {"name": "lora", "rank": 2, "alpha": 4.0, "pattern": ["0.weight"], "whole": "2.*"}
MOVED = {"parameter_group": {"0.bias", "2.weight", "2.bias"}, "lora": {"0.weight", "2.weight", "2.bias"}}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(20, 6, generator=generator), torch.randint(3, (20,), generator=generator)


def oracle_for(model: nn.Module, encoding: Encoding | None) -> Oracle:
    return Oracle(
        model, CrossEntropy(), Ledger(Budget(forwards=1e6)), torch.Generator().manual_seed(2), encoding=encoding
    )


@pytest.mark.parametrize("strategy", ["adam", "mezo", "openai_es"])
@pytest.mark.parametrize("settings", [BITFIT, LORA])
def test_only_the_chosen_parameters_move(strategy: str, settings: dict) -> None:
    model = network()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    oracle = oracle_for(model, building.build("encoding", settings))
    search = begin(building.build("strategy", {"name": strategy, "lr": 0.01}), oracle, batch())
    losses = [float(search.step(oracle, batch())["loss"]) for _ in range(15)]
    deploy(search, oracle)
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == MOVED[settings["name"]]
    if strategy == "adam":
        assert losses[-1] < losses[0]
    if settings["name"] == "lora":
        assert torch.linalg.matrix_rank(model[0].weight - before["0.weight"]) <= 2
    assert all(value.requires_grad and value.grad is None for value in model.parameters())


def test_what_does_not_move_keeps_nothing_for_the_backward_pass() -> None:
    """The input of a layer is kept for the gradient of its weight alone."""
    inputs, targets = batch()
    for pattern, wanted in (("*.weight", True), ("*.bias", False)):
        kept: set[int] = set()
        oracle = oracle_for(network(), building.build("encoding", {"name": "parameter_group", "pattern": pattern}))

        def note(value: Tensor, kept: set[int] = kept) -> Tensor:
            kept.add(value.data_ptr())
            return value

        with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
            oracle.gradients(oracle.start[None], (inputs, targets))
        assert (inputs.data_ptr() in kept) == wanted


def test_gradients_are_those_of_a_backward_pass_through_the_factors() -> None:
    model = network()
    encoding = building.build("encoding", LORA)
    oracle = oracle_for(model, encoding)
    z = oracle.start + 0.1
    _, slopes = oracle.gradients(z[None], batch())
    B, A = z[:32].view(16, 2), z[32:44].view(2, 6)  # the head follows
    B, A = B.clone().requires_grad_(), A.clone().requires_grad_()
    hidden = (batch()[0] @ (model[0].weight.detach() + 2 * B @ A).T + model[0].bias).tanh()
    head = z[44:92].view(3, 16), z[92:]
    loss = nn.functional.cross_entropy(hidden @ head[0].T + head[1], batch()[1])
    expected = torch.cat([slope.flatten() for slope in torch.autograd.grad(loss, (B, A))])
    torch.testing.assert_close(slopes[0, :44], expected)


def test_patterns_and_ranks_that_cannot_be_are_refused() -> None:
    own = dict(network().named_parameters())
    for settings, sentence in (
        ({"name": "parameter_group", "pattern": ["0.*", "tail.*"]}, r"matches encoding\.pattern='tail\.\*'"),
        ({"name": "lora", "whole": "tail.*"}, r"matches encoding\.whole='tail\.\*'"),
        ({"name": "lora", "pattern": "*.bias"}, r"LoRA adapts weights of two or more dimensions"),
        ({"name": "lora", "whole": "*.weight"}, r"LoRA adapts weights of two or more dimensions"),
        ({"name": "lora", "rank": 0}, r"encoding\.rank must be at least 1"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            building.build("encoding", settings).attach(own)


@pytest.mark.parametrize(
    "encoding",
    [
        ("encoding=parameter_group", "encoding.pattern=[3.*,*.bias]"),
        ("encoding=lora", "encoding.rank=2", "encoding.whole=*.bias"),
    ],
)
def test_a_run_goes_on_where_it_was(encoding: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fallen(Exception):
        pass

    slope = GradientStrategy.slope

    def fall(self: GradientStrategy, oracle: Oracle, batch: tuple[Tensor, Tensor]) -> Tensor:
        if oracle.progress > 0.6:
            raise Fallen
        return slope(self, oracle, batch)

    job = (*SMALL, "strategy=adam", "budget.forwards=4e3", "budget.marks=4", *encoding)
    whole = run(*job, directory=tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(GradientStrategy, "slope", fall)
        with pytest.raises(Fallen):
            run(*job, directory=tmp_path / "resumed")
    resumed = run(f"resume={tmp_path / 'resumed'}")
    pairs = zip(whole.module.parameters(), resumed.module.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert resumed.curve == whole.curve
