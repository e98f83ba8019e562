"""Batches: seeded, complete, and read on exactly where a run stopped."""

from itertools import chain, islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from hybridopt.core.data import EVALUATION_BATCH, InOrder, TensorDataModule, replayable
from hybridopt.core.spec import DataSpec
from hybridopt.core.stream import LoaderStream, TensorStream
from hybridopt.errors import ConfigError, DataError

SPEC = DataSpec((1,), 1, "regression")


def numbered(count):
    """Samples that are their own index, with targets that tell whose they are."""
    inputs = torch.arange(count, dtype=torch.float32)[:, None]
    return inputs, -inputs


def datamodule(count=10, batch_size=3, seed=0):
    module = TensorDataModule(numbered(count), numbered(4), numbered(5), SPEC, batch_size)
    module.batch_seed = seed
    return module


def loader(count=10, batch_size=3, **kwargs):
    return DataLoader(TensorDataset(*numbered(count)), batch_size=batch_size, **{"shuffle": True} | kwargs)


def tensor_stream(count, batch_size, seed):
    return TensorStream(*numbered(count), batch_size, seed)


def loader_stream(count, batch_size, seed):
    return LoaderStream(loader(count, batch_size), seed)


def own_generator_stream(count, batch_size, seed):
    """A loader that brings a generator of its own, as many datamodules do."""
    return LoaderStream(loader(count, batch_size, generator=torch.Generator().manual_seed(1)), seed)


STREAMS = [tensor_stream, loader_stream]


def samples(batches):
    """Which samples the batches hold, in order; checks that each target is its own."""
    pairs = [(inputs[:, 0], targets[:, 0]) for inputs, targets in batches]
    assert all(torch.equal(inputs, -targets) for inputs, targets in pairs)
    return [inputs.int().tolist() for inputs, _ in pairs]


def flat(batches):
    """The samples of all batches in one list."""
    return list(chain.from_iterable(batches))


def take(stream, count):
    return samples(islice(stream, count))


@pytest.fixture(params=STREAMS, ids=lambda build: build.__name__)
def stream_of(request):
    return request.param


# -- any stream -------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_batches_and_another_seed_others(stream_of):
    first, again, other = (take(stream_of(20, 5, seed), 12) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_no_two_of_many_seeds_and_epochs_share_an_order(stream_of):
    """That any two of 400 random orders of 20 samples are the same has probability below 1e-13."""
    orders = [tuple(batch) for seed in range(40) for batch in take(stream_of(21, 20, seed), 10) if len(batch) == 20]
    assert len(set(orders)) == len(orders)


def test_epochs_are_shuffled_anew(stream_of):
    batches = take(stream_of(20, 4, 0), 10)
    assert batches[:5] != batches[5:]


@settings(max_examples=25, deadline=None)
@given(count=st.integers(2, 20), batch_size=st.integers(1, 8), seed=st.integers(0, 2**31 - 1))
def test_every_epoch_is_a_permutation_without_the_remainder(count, batch_size, seed):
    batch_size = min(batch_size, count - 1)
    per_epoch = count // batch_size
    batches = take(tensor_stream(count, batch_size, seed), 3 * per_epoch)
    assert {len(batch) for batch in batches} == {batch_size}
    for epoch in range(3):
        seen = flat(batches[epoch * per_epoch : (epoch + 1) * per_epoch])
        assert len(set(seen)) == len(seen) == per_epoch * batch_size
        assert set(seen) <= set(range(count))


def test_no_sample_is_left_out_for_good():
    batches = take(tensor_stream(10, 4, 0), 40)
    assert set(flat(batches)) == set(range(10))


@settings(max_examples=20, deadline=None)
@given(
    stream_of=st.sampled_from(STREAMS),
    count=st.integers(1, 12),
    batch_size=st.integers(1, 14),
    seed=st.integers(0, 2**31 - 1),
    position=st.integers(0, 30),
)
def test_a_resumed_stream_goes_on_as_an_uninterrupted_one(stream_of, count, batch_size, seed, position):
    reference, original = take(stream_of(count, batch_size, seed), position + 8), stream_of(count, batch_size, seed)
    assert take(original, position) == reference[:position]
    copy = stream_of(count, batch_size, seed)
    copy.load_state_dict(dict(original.state_dict()))
    assert take(copy, 8) == reference[position:]


def test_a_stream_can_be_iterated_anew_and_goes_on(stream_of):
    reference, stream = take(stream_of(10, 3, 0), 12), stream_of(10, 3, 0)
    assert take(stream, 5) + take(stream, 7) == reference


def test_loading_a_state_before_the_first_batch_is_in_time(stream_of):
    reference, original = take(stream_of(10, 3, 0), 9), stream_of(10, 3, 0)
    take(original, 6)
    copy = stream_of(10, 3, 0)
    iterator = iter(copy)  # Lightning makes the iterator before it restores the loaders
    copy.load_state_dict(original.state_dict())
    assert take(iterator, 3) == reference[6:]


def test_the_state_is_plain_numbers_and_says_where_the_stream_is():
    stream = tensor_stream(10, 3, 0)
    assert stream.state_dict() == {"epoch": 0, "position": 0}
    take(stream, 5)
    assert stream.state_dict() == {"epoch": 1, "position": 2}


def test_the_global_generator_is_neither_used_nor_changed(stream_of):
    torch.manual_seed(0)
    first = take(stream_of(10, 3, 5), 9)
    torch.manual_seed(1)
    before, stream, batches = torch.get_rng_state(), iter(stream_of(10, 3, 5)), []
    for _ in range(9):
        batches += take(stream, 1)
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(3)  # the strategy's forward passes may draw in between
        torch.set_rng_state(before)
    assert batches == first


def test_what_is_drawn_between_the_batches_changes_nothing(stream_of):
    reference, stream, batches = take(stream_of(10, 3, 0), 9), iter(stream_of(10, 3, 0)), []
    for _ in range(9):
        torch.rand(7)
        batches += take(stream, 1)
    assert batches == reference


# -- tensors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 10, 11, 1000])
def test_the_full_set_comes_every_time_and_in_its_order(batch_size):
    assert take(tensor_stream(10, batch_size, 0), 3) == [list(range(10))] * 3


def test_the_module_hands_out_its_sets():
    module = datamodule(count=10, batch_size=3, seed=7)
    assert take(module.train_dataloader(), 6) == take(tensor_stream(10, 3, 7), 6)
    assert samples(module.val_dataloader()) == [list(range(4))]
    assert samples(module.test_dataloader()) == [list(range(5))]


def test_the_stream_has_a_length_so_that_lightning_does_not_prefetch():
    assert len(datamodule().train_dataloader()) > 10**6


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3 * EVALUATION_BATCH))
def test_in_order_covers_all_in_order_and_again(count):
    held_out = InOrder(*numbered(count))
    for _ in range(2):
        batches = samples(held_out)
        assert flat(batches) == list(range(count))
        assert len(held_out) == len(batches)
        assert max(map(len, batches)) <= EVALUATION_BATCH


@pytest.mark.parametrize("name", ["train", "val", "test"])
@pytest.mark.parametrize(("inputs", "targets"), [(0, 0), (3, 4), (4, 3)])
def test_a_set_that_cannot_be_is_refused(name, inputs, targets):
    sets = {key: numbered(5) for key in ("train", "val", "test")}
    sets[name] = (torch.zeros(inputs, 1), torch.zeros(targets, 1))
    with pytest.raises(DataError) as caught:
        TensorDataModule(**sets, spec=SPEC)
    assert str(caught.value) == (
        f"The {name} set must have as many inputs as targets, and at least one, but has {inputs} and {targets}."
    )


@pytest.mark.parametrize("batch_size", [0, -2])
def test_a_batch_size_below_one_is_refused(batch_size):
    with pytest.raises(ConfigError) as caught:
        datamodule(batch_size=batch_size)
    assert str(caught.value) == (
        f"dataset.batch_size must be at least 1, or null for the full set, but is {batch_size}."
    )


# -- loaders ----------------------------------------------------------------------------------------------------------


def test_a_loader_is_read_epoch_after_epoch_with_its_remainder():
    batches = take(loader_stream(10, 4, 0), 6)
    assert [len(batch) for batch in batches] == [4, 4, 2] * 2
    for epoch in (batches[:3], batches[3:]):
        assert sorted(flat(epoch)) == list(range(10))


@pytest.mark.parametrize("position", [2, 4, 9])
def test_a_loader_with_a_generator_of_its_own_is_resumed_exactly(position):
    reference, original = take(own_generator_stream(10, 3, 0), position + 8), own_generator_stream(10, 3, 0)
    take(original, position)
    copy = own_generator_stream(10, 3, 0)
    copy.load_state_dict(original.state_dict())
    assert take(copy, 8) == reference[position:]


@pytest.mark.parametrize("empty", [[], loader(count=3, batch_size=5, drop_last=True)], ids=["list", "drop_last"])
def test_a_loader_without_a_batch_is_refused(empty):
    with pytest.raises(DataError) as caught:
        next(iter(LoaderStream(empty, 0)))
    assert str(caught.value) == (
        "The training data yields no batch: check the size of the data set and of its batches."
    )


class Foreign(LightningDataModule):
    """Anybody's datamodule."""

    def train_dataloader(self):
        return loader(count=10, batch_size=3)


def test_replayable_makes_a_stream_of_any_loader():
    module = replayable(Foreign(), seed=5)
    stream = module.train_dataloader()
    assert take(stream, 9) == take(loader_stream(10, 3, 5), 9)


def test_replayable_seeds_a_stream_and_leaves_it_what_it_is():
    stream = replayable(datamodule(count=10, batch_size=3), seed=5).train_dataloader()
    assert isinstance(stream, TensorStream)
    assert take(stream, 6) == take(tensor_stream(10, 3, 5), 6)
