"""LOZO, low-rank zeroth-order descent (Chen, Zhang, Cao, Yuan & Wen 2024), https://arxiv.org/abs/2410.07698.

The direction of a weight matrix is U V^T of rank r, where U is drawn in each step and V kept for nu steps, so that
descent goes on for a while in one random subspace. With momentum (LOZO-M) what is kept is the moving average N of the
U, in the size of a factor. The paper's U V^T has entries of variance r; here it is divided by sqrt(r), so that epsilon
and lr mean what they mean in ``mezo``: the paper's are epsilon / sqrt(r), and lr.

The paper's claim against MeZO does not show at this scale: where a network 64-128-10 that Adam has trained on digits is
fine-tuned to blurred ones on batches of eight, whose gradients have a rank of eight at most, it ends at no lower test
loss than ``mezo`` after as many losses, both at their best step size (``hybridopt-study run mezo_variants``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.engine.population import LowRankPopulation
from hybridopt.toolbox.curvature import Curvature, ProbedSearch
from hybridopt.toolbox.ranges import at_least, positive, share
from hybridopt.toolbox.schedule import Decay, Schedule

Factors = dict[str, Tensor]


class LOZO(ProbedSearch):
    """Descent along directions of low rank: two losses a step, and the memory of the parameters and of thin factors.

    Good for fine-tuning large layers whose gradient is of low rank, with momentum that costs next to no memory.

    Args:
        rank: r, the number of columns of U and V; parameters that are no matrices get full noise.
        keep: nu, the number of steps for which V is kept.
        epsilon: the standard deviation of the perturbation of each parameter, on both sides.
        lr: the step size at the start, of which ``probe`` takes less where the loss is curved.
        momentum: beta of LOZO-M, the moving average of the estimates; 0 for none.
        schedule: how the step size goes to ``final_lr`` times itself over the budget.
        final_lr: the last step size as a share of the first.
        probe: directions in which the loss's curvature is measured on the first batch; the step size is at most what
            that allows. 0 takes ``lr`` as it is.

    Raises:
        ConfigError: a number is out of range.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"losses", "direct"})
    search_space: ClassVar[dict[str, str]] = {
        "lr": "tag(log, interval(5e-4, 0.05))",
        "keep": "choice(20, 50, 100)",
        "momentum": "choice(0.0, 0.9)",
    }
    in_place: ClassVar[bool] = True
    theta: Tensor  # (d,)
    N: Tensor  # with momentum: the factors (a, r) of all matrices and the averages of other parameters, one by one
    t: Tensor  # a whole number, steps so far
    subspace: Tensor  # a whole number, the seed of V

    def __init__(
        self,
        rank: int = 2,
        keep: int = 50,
        epsilon: float = 1e-3,
        lr: float = 5e-3,
        momentum: float = 0.0,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
        probe: int = 2,
    ):
        super().__init__()
        at_least("strategy", 1, rank=rank, keep=keep)
        positive("strategy", epsilon=epsilon, lr=lr)
        share("strategy", "[0, 1)", momentum=momentum)
        self.rank, self.keep, self.epsilon, self.lr, self.momentum = rank, keep, epsilon, lr, momentum
        self.schedule, self.curvature = Decay(schedule, final_lr), Curvature(probe)

    def start(self, x0: Tensor) -> None:
        self.register_buffer("theta", x0)
        self.register_buffer("t", torch.zeros((), dtype=torch.int64))
        self.register_buffer("subspace", self._seed())
        self.curvature.start(x0)
        if self.momentum:
            self.register_buffer("N", x0.new_zeros(sum(self._sizes().values())))

    def ask(self) -> LowRankPopulation:
        self._renew()
        self._U, V = self._draw(self._sizes()), self._V(self.subspace)
        left = {name: U[None] for name, U in self._U.items() if name in V}
        dense = {name: e[None] for name, e in self._U.items() if name not in V}
        both = [{name: torch.cat([value, -value]) for name, value in group.items()} for group in (left, dense)]
        right = {name: value.expand(2, -1, -1) for name, value in V.items()}
        return LowRankPopulation(self.theta, self.shapes, both[0], right, both[1], self.epsilon)

    def tell(self, population: LowRankPopulation, losses: Tensor) -> None:
        rate = self.curvature.rate(self.lr) * self.schedule(self.progress)
        c = float((losses[0] - losses[1]) / (2 * self.epsilon))
        c = c if abs(c) < float("inf") else 0.0
        V, r = self._V(self.subspace), self.rank**0.5
        for name, where, N in self._averaged(c):
            if name in V:
                self.theta[where].view(len(N), -1).addmm_(N, V[name].mT, alpha=-rate / r)
            else:
                self.theta[where] -= rate * N.flatten()
        self.t += 1

    def recommend(self) -> Tensor:
        return self.theta

    # -- U, V and N ---------------------------------------------------------------------------------------------------

    def _averaged(self, c: float) -> Iterator[tuple[str, slice, Tensor]]:
        """c U of each parameter or, with momentum, N <- beta N + (1 - beta) c U, with its place in theta."""
        parts = self._split(self.N) if self.momentum else {}
        first = 0
        for name, shape in self.shapes.items():
            N = c * self._U[name]
            if self.momentum:
                N = parts[name].mul_(self.momentum).add_(N, alpha=1 - self.momentum)
            yield name, slice(first, first := first + shape.numel()), N

    def _renew(self) -> None:
        """Every nu steps another V; what N has gathered is carried over to it: N V_k^T V_{k+1} / n."""
        if int(self.t) == 0 or int(self.t) % self.keep:
            return
        former, self.subspace = self._V(self.subspace), self._seed()
        if self.momentum:
            now, parts = self._V(self.subspace), self._split(self.N)
            for name, old in former.items():
                parts[name].copy_(parts[name] @ (old.mT @ now[name]) / len(old))

    def _sizes(self) -> dict[str, int]:
        """How many values U has, by parameter."""
        return {name: shape[0] * self.rank if len(shape) > 1 else shape.numel() for name, shape in self.shapes.items()}

    def _split(self, values: Tensor) -> Factors:
        """U or N by parameter: (a, r) of a weight (a, \\*rest), other parameters in their own shape; views."""
        parts = zip(self.shapes.items(), values.split(list(self._sizes().values())), strict=True)
        return {name: part.view(shape[0], -1) if len(shape) > 1 else part.view(shape) for (name, shape), part in parts}

    def _draw(self, sizes: Mapping[str, int]) -> Factors:
        device = self.generator.device
        values = torch.randn(sum(sizes.values()), generator=self.generator, device=device, dtype=self.theta.dtype)
        return self._split(values.to(self.theta))

    def _V(self, seed: Tensor) -> Factors:
        """V (b, r) by matrix, made again from its seed."""
        like, generator = self.theta, torch.Generator(self.theta.device).manual_seed(int(seed))
        shapes = {name: (shape[1:].numel(), self.rank) for name, shape in self.shapes.items() if len(shape) > 1}
        return {
            name: torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)
            for name, shape in shapes.items()
        }

    def _seed(self) -> Tensor:
        return torch.randint(2**32, (), generator=self.generator, device=self.generator.device).cpu()
