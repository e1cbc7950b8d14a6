"""The table of pairs that combinations are taken from."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from pairs import cover_pairs, is_allowed


@st.composite
def tables(draw):
    sizes = draw(st.lists(st.integers(1, 4), min_size=2, max_size=5))
    factors = {f"f{i}": list(range(n)) for i, n in enumerate(sizes)}
    odd = [(factor, value) for factor, values in factors.items() for value in values[1:]]
    pairs = [pair for pair in itertools.combinations(odd, 2) if pair[0][0] != pair[1][0]]
    return factors, draw(st.lists(st.sampled_from(pairs), max_size=4)) if pairs else []


@given(tables())
def test_every_pair_that_is_allowed_stands_in_a_row_and_no_other(table):
    factors, forbidden = table
    rows = cover_pairs(factors, forbidden)
    for one, other in itertools.combinations(factors, 2):
        for pair in itertools.product(factors[one], factors[other]):
            cells = {one: pair[0], other: pair[1]}
            met = any(cells.items() <= row.items() for row in rows)
            assert met == is_allowed(cells, forbidden), cells
    assert all(list(row) == list(factors) for row in rows)


def test_it_takes_far_fewer_rows_than_there_are_products():
    factors = {"a": list(range(8)), "b": list(range(4)), **{c: [0, 1, 2] for c in "cdef"}}
    assert 8 * 4 <= len(cover_pairs(factors)) < 8 * 4 * 1.3
