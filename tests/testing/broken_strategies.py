"""A sound strategy, and strategies that break the contract in one way each; importable, so that they can be pickled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from hybridopt import Oracle, Search, Strategy


class Climb(Search):
    """Random steps from an incumbent that meets every new batch; the best of them is kept."""

    def __init__(self, popsize: int = 50, sigma: float = 0.1):
        super().__init__()
        self.popsize, self.sigma = popsize, sigma

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x", x0)

    def ask(self) -> Tensor:
        return torch.cat([self.x[None], self.x + self.sigma * self.noise()])

    def noise(self) -> Tensor:
        return torch.randn(self.popsize, len(self.x), generator=self.generator).to(self.x)

    def tell(self, population: Tensor, losses: Tensor) -> None:
        self.x = population[losses.argmin()]

    def recommend(self) -> Tensor:
        return self.x


class ClimbPlainly(Strategy):
    """The same as a strategy that speaks to the oracle itself."""

    requires: ClassVar[frozenset[str]] = frozenset({"losses"})

    def begin(self, oracle: Oracle, batch: Any) -> None:
        self.register_buffer("x", oracle.start)

    def step(self, oracle: Oracle, batch: Any) -> dict[str, Tensor]:
        noise = torch.randn(10, len(self.x), generator=oracle.generator).to(self.x)
        population = torch.cat([self.x[None], self.x + 0.1 * noise])
        losses = oracle.losses(population, batch)
        self.x = population[losses.argmin()]
        return {"loss": losses.min()}

    def recommend(self) -> Tensor:
        return self.x


class Undocumented(Climb):
    pass


class Mistyped(Climb):
    """Whose default does not fit its type."""

    def __init__(self, popsize: int = 50, sigma: int = 0.1):
        super().__init__(popsize, sigma)


class Overambitious(Climb):
    """Which would have something tuned that it does not have."""

    search_space: ClassVar[dict[str, str]] = {"temperature": "interval(0, 1)"}


class Unsweepable(Climb):
    """Which would have something tuned by one value."""

    search_space: ClassVar[dict[str, str]] = {"sigma": "0.1"}


class Uncontrolled(Climb):
    """Whose control arm sets what it does not have."""

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {"without the noise": ("strategy.sigma=0",), "without the luck": ("strategy.luck=false",)}


class Partless(Climb):
    """Whose control arm puts a part in its place that it does not have."""

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {"without the search": ("strategy=@finetune",)}


class HalfDone(Climb):
    """One of whose options is not there."""

    def __init__(self, popsize: int = 50, noise: Literal["normal", "uniform"] = "normal"):
        super().__init__(popsize)
        self.kind = noise

    def noise(self) -> Tensor:
        if self.kind == "uniform":
            raise NotImplementedError("uniform noise is for next week")
        return super().noise()


class Stuck(Climb):
    """Which asks and does not learn."""

    def tell(self, population: Tensor, losses: Tensor) -> None:
        pass


class Misled(Climb):
    """Which maximises."""

    def tell(self, population: Tensor, losses: Tensor) -> None:
        super().tell(population, -losses)


class Greedy(ClimbPlainly):
    """Which makes twenty moves, whatever is left."""

    def step(self, oracle: Oracle, batch: Any) -> dict[str, Tensor]:
        for _ in range(20):
            record = super().step(oracle, batch)
        return record


class Refunding(ClimbPlainly):
    """Which finds that its incumbent was evaluated before, and takes the cost back."""

    def step(self, oracle: Oracle, batch: Any) -> dict[str, Tensor]:
        record = super().step(oracle, batch)
        oracle.ledger.charge(-len(batch[0]), -1)
        return record


class Overcharging(ClimbPlainly):
    """Which charges what the oracle has charged."""

    def step(self, oracle: Oracle, batch: Any) -> dict[str, Tensor]:
        oracle.ledger.forwards += 11 * len(batch[0])
        return super().step(oracle, batch)


class Smuggling(ClimbPlainly):
    """Which looks at the network's loss for nothing."""

    def step(self, oracle: Oracle, batch: Any) -> dict[str, Tensor]:
        with torch.no_grad():
            oracle.objective.loss(oracle.model(batch[0]), batch[1])
        return super().step(oracle, batch)


class Remembering(Climb):
    """Whose class remembers between runs."""

    born = 0

    def start(self, x0: Tensor) -> None:
        type(self).born += 1
        super().start(x0)

    def noise(self) -> Tensor:
        return super().noise() * (1 + 0.01 * self.born)


class Tired(Climb):
    """Which takes smaller steps each time that it begins, as a phase that is entered twice would."""

    begun = 0

    def start(self, x0: Tensor) -> None:
        super().start(x0)
        self.begun += 1

    def noise(self) -> Tensor:
        return super().noise() / max(1, self.begun)


class Reseeding(Climb):
    """Which draws from torch's global generator, though from a seed of its own."""

    def noise(self) -> Tensor:
        torch.manual_seed(int(torch.randint(2**31, (), generator=self.generator)))
        return torch.randn(self.popsize, len(self.x)).to(self.x)


class NumpyDrawing(Climb):
    """Which draws from numpy's global generator."""

    def noise(self) -> Tensor:
        return torch.from_numpy(np.random.standard_normal((self.popsize, len(self.x)))).to(self.x)


class Threaded(Climb):
    """Whose steps depend on the number of threads."""

    def noise(self) -> Tensor:
        return super().noise() * torch.get_num_threads()


class Forgetful(Climb):
    """Which keeps a step size in a plain attribute."""

    def start(self, x0: Tensor) -> None:
        super().start(x0)
        self.scale = 1.0

    def noise(self) -> Tensor:
        return super().noise() * self.scale

    def tell(self, population: Tensor, losses: Tensor) -> None:
        super().tell(population, losses)
        self.scale *= 0.99


class Unsafe(Climb):
    """Whose checkpoint needs pickle."""

    def get_extra_state(self) -> dict[str, Any]:
        return {"history": np.zeros(3)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        pass


class SinglePrecision(Climb):
    """Which recommends float32, whatever the network is."""

    def recommend(self) -> Tensor:
        return self.x.float()


class Averaging(Climb):
    """Which standardises losses as if all were finite."""

    def tell(self, population: Tensor, losses: Tensor) -> None:
        standardised = (losses - losses.mean()) / losses.std()
        self.x = (-5 * standardised).softmax(0).to(self.x) @ population


class Pruned(ClimbPlainly):
    """Which writes to the network past the mask, and recommends it as it stands."""

    def step(self, oracle: Oracle, batch: Any) -> dict[str, Tensor]:
        record = super().step(oracle, batch)
        with torch.no_grad():
            for parameter, piece in zip(oracle.model.parameters(), self.pieces(oracle), strict=True):
                parameter.copy_(piece + 0.01)
        return record

    def recommend(self) -> None:
        return None

    def pieces(self, oracle: Oracle) -> list[Tensor]:
        sizes = [parameter.numel() for parameter in oracle.model.parameters()]
        pieces = self.x.split(sizes)
        return [piece.view_as(like) for piece, like in zip(pieces, oracle.model.parameters(), strict=True)]


class Crowded(Climb):
    """Which takes the mean of the better half, of which a single member has none."""

    def tell(self, population: Tensor, losses: Tensor) -> None:
        better = losses[1:].argsort()[: self.popsize // 2]
        self.x = population[1:][better].mean(0)


class Manifold(Climb):
    """Which keeps the spread of the coordinates, of which a single one has none."""

    def tell(self, population: Tensor, losses: Tensor) -> None:
        super().tell(population, losses)
        spread = (self.x - self.x.mean()).square().mean()
        self.x = self.x / spread * spread


class Tardy(Climb):
    """Which has nothing to recommend before the first step."""

    def tell(self, population: Tensor, losses: Tensor) -> None:
        super().tell(population, losses)
        self.register_buffer("best", self.x)

    def recommend(self) -> Tensor:
        return self.best


class Fickle(Climb):
    """Whose recommendation is drawn, and spends random numbers."""

    def recommend(self) -> Tensor:
        return self.x + 1e-9 * self.noise()[0]


class Unpicklable(Climb):
    """Which holds a function without a name."""

    def __init__(self, popsize: int = 50):
        super().__init__(popsize)
        self.scale = lambda: 1.0


class Absent(Climb):
    """Which does something else in another process."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.sigma = 0.5


class Flat(Climb):
    """Which asks for one candidate, and not for a matrix of one."""

    def ask(self) -> Tensor:
        return super().ask()[0]


class Listed(Climb):
    """Which asks for a list."""

    def ask(self) -> Any:
        return list(super().ask())


class Double(Climb):
    """Which asks in double precision, as numpy does."""

    def ask(self) -> Tensor:
        return super().ask().double()


class Rowed(Climb):
    """Which recommends a matrix of one row."""

    def recommend(self) -> Tensor:
        return self.x[None]


class Silent(ClimbPlainly):
    """Whose steps say nothing."""

    def step(self, oracle: Oracle, batch: Any) -> Any:
        super().step(oracle, batch)


class Unregistered(Climb):
    """Which keeps its incumbent in a plain attribute."""

    def start(self, x0: Tensor) -> None:
        self.x = x0


class Historian(Climb):
    """Which keeps former incumbents in a list."""

    def start(self, x0: Tensor) -> None:
        super().start(x0)
        self.history = [x0]

    def tell(self, population: Tensor, losses: Tensor) -> None:
        super().tell(population, losses)
        self.x = (self.x + 0.01 * self.history[-1]) / 1.01
        self.history.append(self.x)


class Centring(Climb):
    """Which centres the losses in place."""

    def tell(self, population: Tensor, losses: Tensor) -> None:
        super().tell(population, losses.nan_to_num_(posinf=1e9).sub_(1.0))


class Scribbling(ClimbPlainly):
    """Which writes into the network what nobody has asked for."""

    def step(self, oracle: Oracle, batch: Any) -> dict[str, Tensor]:
        record = super().step(oracle, batch)
        with torch.no_grad():
            next(oracle.model.parameters()).mul_(1.5)
        return record


class Threading(Climb):
    """Which sets the number of threads of the process."""

    def start(self, x0: Tensor) -> None:
        super().start(x0)
        torch.set_num_threads(torch.get_num_threads() + 1)


class Mute(Climb):
    """Which says what is to be saved, and not how it is loaded."""

    def get_extra_state(self) -> dict[str, Any]:
        return {"sigma": self.sigma}


class Mislabelled(Climb):
    """Which expects a failure of a check that is none."""

    conformance: ClassVar[dict[str, Any]] = {"expected_failures": {"improves_on_spheres": "it does not"}}


class Gibberish(Climb):
    """Which says what nobody understands."""

    conformance: ClassVar[dict[str, Any]] = {"expected_failure": {}}
