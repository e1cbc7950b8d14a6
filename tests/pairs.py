"""Few rows of a table that hold every pair of its values: features fail in pairs."""

import collections
import itertools


def is_allowed(row, forbidden):
    """Whether no two values of a row ({factor: value}) exclude each other."""
    return not any(set(pair) <= set(row.items()) for pair in forbidden)


def cover_pairs(factors, forbidden=()):
    """Rows in which every two values of different factors that may meet do so at least once.

    Parameters
    ----------
    factors : mapping of str to sequence
        The values of each factor; the first is the plain one, which goes with all others.
    forbidden : sequence of pairs of (factor, value)
        What never meets.

    Returns
    -------
    list of dict
        Factor to value, the same for the same table.
    """
    cells = [[(factor, value) for value in values] for factor, values in factors.items()]
    n_used = collections.Counter()
    left = [
        pair
        for one, other in itertools.combinations(cells, 2)
        for pair in itertools.product(one, other)
        if is_allowed(dict(pair), forbidden)
    ]
    rows = []
    while left:
        row = dict(left[0])
        for values in cells:
            if values[0][0] not in row:
                fitting = [cell for cell in values if is_allowed(row | dict([cell]), forbidden)]
                # Among equals the rarest so far: threes and fours are met as well.
                row |= dict(
                    [max(fitting, key=lambda c: (_n_met(row | dict([c]), left), -n_used[c]))]
                )
        n_used.update(row.items())
        rows.append({factor: row[factor] for factor in factors})
        left = [pair for pair in left if not set(pair) <= set(row.items())]
    return rows


def _n_met(row, pairs):
    return sum(set(pair) <= set(row.items()) for pair in pairs)
