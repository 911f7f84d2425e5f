"""How many units make a batch, over units whose durations are simulated."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from caml_dask.executors.pace import Pace

BATCH_S = 2.0
SIZES = st.one_of(st.none(), st.floats(0, 1e9))


def batched(units):
    """Units, each a size and the seconds that it takes, in the batches that the executor would make of them."""
    pace, batches, left = Pace(), [], list(units)
    while left:
        batch, room = [], 1.0
        while left and (not batch or pace.share("read", left[0][0]) <= room):
            room -= pace.share("read", left[0][0])
            batch.append(left.pop(0))
        for size, seconds in batch:
            pace.learn("read", size, seconds)
        batches.append(batch)
    return batches


@given(st.lists(st.tuples(SIZES, st.floats(1e-4, 1e3)), min_size=1, max_size=30))
def test_the_slowest_unit_of_its_size_is_believed_at_once(units):
    """After any units, one of the last size is expected to take at least as long as the last did."""
    pace = Pace()
    assert pace.share("read", units[0][0]) == 1.0
    for size, seconds in units:
        pace.learn("read", size, seconds)
    size, seconds = units[-1]
    assert pace.share("read", size) >= min(1.0, 0.999 * seconds / BATCH_S)
    assert pace.share("read", size) >= 1 / 64 and pace.share("link", size) == 1.0


@given(st.lists(st.tuples(SIZES, st.floats(1e-4, 1e3)), max_size=30), st.floats(0, 1e9))
def test_units_of_unknown_size_tell_nothing_of_the_others(units, size):
    mixed, known = Pace(), Pace()
    for unit in units:
        mixed.learn("read", *unit)
        if unit[0] is not None:
            known.learn("read", *unit)
    assert mixed.share("read", size) == known.share("read", size)


@given(
    st.lists(st.floats(2, 6.5), min_size=200, max_size=300),
    st.sets(st.integers(0, 299), max_size=30),
    st.floats(0.01, 0.05),
    st.floats(0.3e-6, 2e-6),
)
def test_batches_are_few_and_short_whatever_sizes_are_mixed_or_unknown(exponents, unknown, fixed_s, seconds_a_byte):
    """Of units that take a time of their own and a time for each byte, up to three times as many batches as can be."""
    sizes = [10**exponent for exponent in exponents]
    durations = [fixed_s + seconds_a_byte * size for size in sizes]
    units = [(None if i in unknown else size, s) for i, (size, s) in enumerate(zip(sizes, durations, strict=True))]
    batches = batched(units)
    assert [unit for batch in batches for unit in batch] == units
    least = sum(durations) / BATCH_S + len(units) / 64
    assert len(batches) <= 3 * least + 3 * len(unknown) + 10
    long = [batch for batch in batches if len(batch) > 1 and all(size is not None for size, _ in batch)]
    assert all(sum(seconds for _, seconds in batch) <= 3 * BATCH_S for batch in long)


def test_one_unknown_size_in_thirty_leaves_batches_as_they_were():
    def units(every):
        return [(None if i % every == every - 1 else 1e4, 0.03) for i in range(3000)]

    assert len(batched(units(30))) < 1.2 * len(batched(units(3001)))


def test_units_that_became_fast_come_in_large_batches_again():
    pace = Pace()
    pace.learn("read", 1e4, 20.0)  # the first unit of a process imports and compiles
    assert pace.share("read", 1e4) > 1
    for _ in range(40):
        pace.learn("read", 1e4, 0.01)
    assert pace.share("read", 1e4) == 1 / 64
