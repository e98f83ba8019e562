"""ZO-Muon, zeroth-order descent by orthogonalised steps in a subspace (Lang et al. 2026).

https://arxiv.org/abs/2602.17155. The direction of a weight matrix is P Psi_i: the columns of P are orthonormal and kept
for a while, Psi_i is normal. Forward differences give the gradient g (r x n) in the subspace, and the step is
P msign(g), where msign makes all singular values 1 (Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon).
Here that is by a singular value decomposition, of r rows, and not by Newton and Schulz's iteration. A vector is a
matrix of one column, whose msign is its direction. Steps are scaled to a root mean square of 1, so that ``lr`` is the
size of a step in a coordinate, as Adam's; epsilon is the standard deviation of the perturbation of each parameter.

The paper's claim against MeZO does not hold at this scale: a matrix 16 x 32 in linear regression, whose inputs have
scales from 0.03 to 1, ends above ``mezo`` after as many losses, both at their best step size
(``hybridopt-study run mezo_variants``). Four queries in a subspace of rank 4 are mostly noise there, of which all
directions are given the same length.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hybridopt.engine.population import LowRankPopulation
from hybridopt.toolbox.curvature import Curvature, ProbedSearch
from hybridopt.toolbox.ranges import at_least, positive
from hybridopt.toolbox.schedule import Decay, Schedule

Factors = dict[str, Tensor]


class ZOMuon(ProbedSearch):
    """Descent by steps of equal length in each direction of a random subspace, from few losses along it.

    Good for large weight matrices whose gradient is dominated by few directions.

    Args:
        queries: N_q, directions per step; their losses, and that of the weights themselves, are asked for.
        rank: r, the columns of P, or as many as a matrix has rows.
        keep: steps for which P is kept.
        epsilon: the standard deviation of the perturbation of each parameter, on one side.
        lr: the size of a step in a coordinate at the start, of which ``probe`` takes less where the loss is curved.
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
        "rank": "choice(2, 4, 8, 16)",
        "queries": "choice(2, 4, 8, 16)",
    }
    in_place: ClassVar[bool] = True
    theta: Tensor  # (d,)
    t: Tensor  # a whole number, steps so far
    subspace: Tensor  # a whole number, the seed of P

    def __init__(
        self,
        queries: int = 4,
        rank: int = 4,
        keep: int = 100,
        epsilon: float = 1e-3,
        lr: float = 5e-3,
        schedule: Schedule = "cosine",
        final_lr: float = 0.01,
        probe: int = 2,
    ):
        super().__init__()
        at_least("strategy", 1, queries=queries, rank=rank, keep=keep)
        positive("strategy", epsilon=epsilon, lr=lr)
        self.queries, self.rank, self.keep, self.epsilon, self.lr = queries, rank, keep, epsilon, lr
        self.schedule, self.curvature = Decay(schedule, final_lr), Curvature(probe)

    def start(self, x0: Tensor) -> None:
        self.register_buffer("theta", x0)
        self.register_buffer("t", torch.zeros((), dtype=torch.int64))
        self.register_buffer("subspace", self._seed())
        self.curvature.start(x0)

    def ask(self) -> LowRankPopulation:
        if int(self.t) and int(self.t) % self.keep == 0:
            self.subspace = self._seed()
        self._P, self._Psi = self._projections(), {}
        for name, shape in self.shapes.items():
            size = (shape[1:].numel(), self._P[name].shape[1]) if name in self._P else tuple(shape)
            self._Psi[name] = self._normal(self.queries, *size)
        psi = {name: torch.cat([torch.zeros_like(value[:1]), value]) for name, value in self._Psi.items()}
        left = {name: (len(P) ** 0.5 * P).expand(1 + self.queries, -1, -1) for name, P in self._P.items()}
        right = {name: value for name, value in psi.items() if name in left}
        dense = {name: value for name, value in psi.items() if name not in left}
        return LowRankPopulation(self.theta, self.shapes, left, right, dense, self.epsilon)

    def tell(self, population: LowRankPopulation, losses: Tensor) -> None:
        rises = (losses[1:] - losses[0]) / (self.epsilon * self.queries)
        rises = torch.where(torch.isfinite(rises), rises, 0.0).to(self.theta)
        rate = self.curvature.size(self.lr) * self.schedule(self.progress)
        first = 0
        for name, shape in self.shapes.items():
            where = slice(first, first := first + shape.numel())
            g = torch.tensordot(rises, self._Psi[name], dims=1)  # of a matrix g^T, (n, r)
            step = self._P[name] @ msign(g).mT if name in self._P else msign(g.reshape(-1, 1))
            size = float(step.square().mean().sqrt())
            self.theta[where] -= rate / (size or 1.0) * step.flatten()
        self.t += 1

    def recommend(self) -> Tensor:
        return self.theta

    def _projections(self) -> Factors:
        """P (m, r) by matrix, made again from its seed."""
        generator, like = torch.Generator(self.theta.device).manual_seed(int(self.subspace)), self.theta
        sizes = {name: (shape[0], min(self.rank, shape[0])) for name, shape in self.shapes.items() if len(shape) > 1}
        return {
            name: torch.linalg.qr(torch.randn(size, generator=generator, device=like.device, dtype=like.dtype)).Q
            for name, size in sizes.items()
        }

    def _normal(self, *size: int) -> Tensor:
        generator, like = self.generator, self.theta
        return torch.randn(size, generator=generator, device=generator.device, dtype=like.dtype).to(like)

    def _seed(self) -> Tensor:
        return torch.randint(2**32, (), generator=self.generator, device=self.generator.device).cpu()


def msign(g: Tensor) -> Tensor:
    """The matrix sign (m, n) -> (m, n): U V^T of a singular value decomposition, without what is next to zero."""
    U, s, V = torch.linalg.svd(g, full_matrices=False)
    known = s > s.amax() * torch.finfo(s.dtype).eps * max(g.shape)
    return U[:, known] @ V[known]
