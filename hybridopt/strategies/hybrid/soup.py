"""Model soups (Wortsman et al. 2022), https://arxiv.org/abs/2203.05482: the mean of several networks' weights.

The paper's ingredients are networks that were fine-tuned from one start with different settings, and its greedy recipe
goes by their accuracy on held-out data; ours goes by their loss on a batch of training data, which is charged, because
validation and test data are not a strategy's to look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Parts, Record, Strategy
from hybridopt.toolbox.ingredients import Mixing, Source, affordable, ranked
from hybridopt.toolbox.ranges import at_least

Rule = Literal["greedy", "uniform"]


class Soup(Mixing):
    """Let a strategy find networks, and recommend the mean of those that go well together.

    Good for populations and for descent at a large step size: what is found on the way is of use in the end.

    Greedily (the paper's recipe 1), the networks are sorted by their loss on one batch, and each is added if the loss
    of the mean on that batch does not rise; so the soup is never worse there than the best network. A batch that is
    small says little: ``dataset.batch_size=null`` takes all training data. Networks from different starts have no use
    for their mean, and the greedy soup is then the best one of them.

    Args:
        inner: finds the networks; any strategy.
        source: "phases" mixes what the inner strategy recommends at the ends of its phases, "last" what it recommends
            every so often; None mixes the population that it hands over, or else the "last". What it recommends in the
            end is always among them.
        ingredients: how many networks are kept, and tried greedily: the best of a population.
        since: with "last", the share of the inner strategy's budget after which recommendations are kept.
        soup_share: the share of the budget that is kept for choosing; what is left then is not spent.
        rule: "greedy", or "uniform", the control: the mean of all networks, which asks for no loss.

    Raises:
        ConfigError: a number is out of range; fewer than two networks leave nothing to mix.
    """

    search_space: ClassVar[dict[str, str]] = {"ingredients": "choice(5, 10, 20)", "since": "interval(0.2, 0.9)"}

    def __init__(
        self,
        inner: Annotated[Strategy, "adam"],
        source: Source | None = None,
        ingredients: int = 10,
        since: float = 0.5,
        soup_share: float = 0.05,
        rule: Rule = "greedy",
    ):
        at_least("strategy", 2, ingredients=ingredients)
        super().__init__("inner", inner, "soup", Pot(rule, ingredients), soup_share, source, ingredients, since)

    @property
    def requires(self) -> frozenset[str]:
        """What the choice requires."""
        return self.phases["soup"].requires

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {"without the soup": ("strategy=@inner",), "with a uniform soup": ("strategy.rule=uniform",)}

    def parts(self, encoding: Encoding) -> Parts:
        return {"inner": (self.finder, encoding)}

    def view(self, name: str, oracle: Oracle) -> Oracle:
        return oracle

    def mix(self, found: Tensor, oracle: Oracle, batch: Batch) -> None:
        cast(Pot, self.phases["soup"]).fill(found)


class Pot(Strategy):
    """Makes a soup in one step.

    Args:
        rule: "greedy" or "uniform".
        most: networks that are tried greedily.
    """

    found: Tensor  # (n, d), networks; empty once they are mixed
    soup: Tensor  # (d,)

    def __init__(self, rule: Rule, most: int):
        super().__init__()
        self.rule, self.most = rule, most

    @property
    def requires(self) -> frozenset[str]:
        """Losses, if it is greedy."""
        return frozenset({"losses"} if self.rule == "greedy" else {})

    def fill(self, found: Tensor) -> None:
        """Take networks (n, d), of which the first is recommended until there is a soup."""
        self.register_buffer("found", found)
        self.register_buffer("soup", found[0].clone())

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        found, self.found = self.found, self.found[:0]
        if self.rule == "uniform":
            self.soup = found.mean(dim=0)
            return {}
        left = affordable(oracle, batch)
        found = found[: max(1, left // 2, left - self.most)]
        found, losses = ranked(found, oracle.losses(found, batch))
        self.soup, loss, used = greedy(found[: self.most], losses, oracle, batch)
        return {"loss": loss, "ingredients": used}

    def recommend(self) -> Tensor:
        return self.soup

    def finished(self) -> bool:
        return len(self.found) == 0


def greedy(found: Tensor, losses: Tensor, oracle: Oracle, batch: Batch) -> tuple[Tensor, Tensor, int]:
    """The paper's recipe 1: networks (n, d) by rising losses (n,) are added while the loss of the mean does not rise.

    Returns:
        The soup (d,), its loss, and how many networks are in it.
    """
    soup, loss, used = found[0], losses[0], 1
    for one in found[1:]:
        if oracle.exhausted:
            break
        tried = soup + (one - soup) / (used + 1)
        reached = oracle.losses(tried[None], batch)[0]
        if reached.isfinite() and reached <= loss:
            soup, loss, used = tried, reached, used + 1
    return soup, loss, used
