"""Who evaluates which members of a population."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch
from torch import Tensor, distributed

from hybridopt.engine.digest import digest
from hybridopt.engine.randomness import derived_seed

SAVED = 8  # terms that others make, for which a sum is worth being sent: a number is drawn in the time of a few bytes
AHEAD = 2  # parts that are begun before the first one is there

Add = Callable[[slice, Tensor], None]  # adds some terms to a sum


class Sharding(ABC):
    """How a population is shared out over processes that all know it; answers are exchanged, and long sums."""

    @abstractmethod
    def part(self, members: int) -> slice:
        """The members that this process evaluates, at least one; every member counts for exactly one process."""

    @abstractmethod
    def gather(self, answers: Tensor, members: int, cost: int) -> tuple[Tensor, int]:
        """What every process knows afterwards: the answers of all members, and what they have cost.

        Args:
            answers: (k, ...), of the part that this process has just evaluated.
            members: of the whole population.
            cost: of this process's part.

        Returns:
            (members, ...), and the sum of the costs.
        """

    @abstractmethod
    def in_turn(self, terms: int, sums: Sequence[Tensor], add: Add) -> Iterator[Tensor]:
        """A long sum, part by part, of which each process adds its terms to what it gets of the process before it.

        The order of the terms is that of one process, and so is every bit. A process makes a share of the terms, and
        sends and receives the sum once; while one part is on its way the next is added to.

        Args:
            terms: how many there are.
            sums: of each part, something in its shape.
            add: called part by part with the terms of this process, a slice, and the sum, to which it adds them.

        Yields:
            The sum of each part, in order.
        """

    @abstractmethod
    def per_rank_rng(self) -> AbstractContextManager[None]:
        """Inside, torch's global generators give each process draws of its own; afterwards they are in step again.

        For networks that are evaluated with dropout: in step, members of different processes would get equal masks.
        """

    @abstractmethod
    def broadcast(self, value: float) -> float:
        """The first process's value, for what each would measure differently, such as time."""

    @abstractmethod
    def all_equal(self, tensors: Iterable[Tensor]) -> bool:
        """Whether these tensors are the same on every process, bit for bit."""


class SingleProcess(Sharding):
    """One process evaluates all."""

    def part(self, members: int) -> slice:
        return slice(0, members)

    def gather(self, answers: Tensor, members: int, cost: int) -> tuple[Tensor, int]:
        return answers, cost

    def in_turn(self, terms: int, sums: Sequence[Tensor], add: Add) -> Iterator[Tensor]:
        for like in sums:
            total = torch.zeros_like(like)
            add(slice(0, terms), total)
            yield total

    def per_rank_rng(self) -> AbstractContextManager[None]:
        return nullcontext()

    def broadcast(self, value: float) -> float:
        return value

    def all_equal(self, tensors: Iterable[Tensor]) -> bool:
        return True


_shared: ContextVar[Sharding | None] = ContextVar("shared", default=None)


class ProcessGroup(Sharding):
    """The ranks of torch's process group, which Lightning has made, take contiguous parts of nearly equal size.

    Every rank draws the whole population from the same stream, so that what travels is n answers a generation
    (Salimans et al. 2017, https://arxiv.org/abs/1703.03864), what they cost, and long sums. The calls go to torch
    itself: Lightning's ``all_gather`` does the same three times slower, since it is made for gradients to flow through.

    Args:
        device: this rank's, where the backend (gloo, NCCL) wants its tensors.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.rank, self.ranks = distributed.get_rank(), distributed.get_world_size()
        self._counts = True  # whether the part just asked for is this rank's own

    def part(self, members: int) -> slice:
        """As above; a rank for which no member is left repeats the last one, and its answer and cost are dropped."""
        start, end = self._bounds(self.rank, members)
        self._counts = end > start
        return slice(start, end) if self._counts else slice(members - 1, members)

    def gather(self, answers: Tensor, members: int, cost: int) -> tuple[Tensor, int]:
        """As above, in one exchange: the cost travels in the last eight bytes."""
        parts = [self._bounds(rank, members) for rank in range(self.ranks)]
        longest = max(end - start for start, end in parts)
        padded = answers.new_zeros(longest, *answers.shape[1:])  # a collective wants equal shapes
        padded[: len(answers)] = answers
        count = torch.tensor([cost if self._counts else 0], device=answers.device)
        received = self._all(torch.cat([as_bytes(padded), as_bytes(count)]))
        blocks = [block[:-8].view(answers.dtype).view_as(padded) for block in received]
        everything = torch.cat([block[: end - start] for block, (start, end) in zip(blocks, parts, strict=True)])
        return everything, int(sum(block[-8:].clone().view(torch.int64) for block in received))

    def in_turn(self, terms: int, sums: Sequence[Tensor], add: Add) -> Iterator[Tensor]:
        """As above; by itself where there are too few terms to send their sum, and on a GPU, which draws faster."""
        if terms - -(-terms // self.ranks) < SAVED or self.device.type != "cpu":
            yield from SingleProcess().in_turn(terms, sums, add)
            return
        last = self.ranks - 1
        under_way: deque[tuple[Tensor, list[distributed.Work | None]]] = deque()  # sums, and what they wait for
        for like in sums:
            total = torch.zeros_like(like)
            if self.rank > 0:
                distributed.recv(total, self.rank - 1)
            add(slice(*self._bounds(self.rank, terms)), total)
            sent = distributed.isend(total, self.rank + 1) if self.rank < last else None
            whole = torch.empty_like(like) if self.rank < last else total
            under_way.append((whole, [sent, distributed.broadcast(whole, last, async_op=True)]))
            if len(under_way) > last - self.rank + AHEAD:
                yield arrived(*under_way.popleft())
        while under_way:
            yield arrived(*under_way.popleft())

    @contextmanager
    def per_rank_rng(self) -> Iterator[None]:
        seed = int(torch.randint(2**32, ()))  # the same on all ranks, and another one each time
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(derived_seed(seed, self.rank))
            yield

    def broadcast(self, value: float) -> float:
        values = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.broadcast(values, src=0)
        return values.item()

    def all_equal(self, tensors: Iterable[Tensor]) -> bool:
        own = torch.tensor(as_number(digest(*tensors)), device=self.device)
        return all(torch.equal(own, other) for other in self._all(own))

    def _all(self, own: Tensor) -> list[Tensor]:
        received = [torch.empty_like(own) for _ in range(self.ranks)]
        distributed.all_gather(received, own)
        return received

    def _bounds(self, rank: int, members: int) -> tuple[int, int]:
        """First member and end of a rank's part; rounded up, so that the first ranks are not the idle ones."""
        return -(-members * rank // self.ranks), -(-members * (rank + 1) // self.ranks)


def arrived(total: Tensor, waiting: Iterable[distributed.Work | None]) -> Tensor:
    """A sum that is whole, once all that concerns it has happened."""
    for work in waiting:
        if work is not None:
            work.wait()
    return total


def shared() -> Sharding:
    """Over which processes the population that is evaluated now is shared out."""
    return _shared.get() or SingleProcess()


@contextmanager
def sharing(sharding: Sharding) -> Iterator[None]:
    """Inside, :func:`shared` is this."""
    token = _shared.set(sharding)
    try:
        yield
    finally:
        _shared.reset(token)


def as_bytes(tensor: Tensor) -> Tensor:
    """The same memory as (bytes,)."""
    return tensor.contiguous().flatten().view(torch.uint8)


def as_number(hexadecimal: str) -> int:
    """Sixteen hexadecimal digits as a number that an int64 holds."""
    return int.from_bytes(bytes.fromhex(hexadecimal), "little", signed=True)
