"""The cheapest way to pair rows with columns, for the few faces of a frame (no need for SciPy)."""

from __future__ import annotations

import math
from collections.abc import Sequence


def assign(cost: Sequence[Sequence[float]], limit: float) -> list[tuple[int, int]]:
    """Pair rows with columns so that the sum of costs is least; staying alone costs a row ``limit``.

    The Hungarian method in its O(rows² · columns) form with shortest augmenting paths (Jonker and Volgenant, "A
    Shortest Augmenting Path Algorithm for Dense and Sparse Linear Assignment Problems", Computing 38, 1987).

    Args:
        cost: One sequence a row, all of one length; ``math.inf`` forbids a pair.
        limit: What a pair may cost at most; above 0.

    Returns:
        (row, column) of the pairs that cost less than ``limit``, by row.
    """
    rows, columns = len(cost), len(cost[0]) if cost else 0
    # A column of its own for each row means: it stays alone.
    table = [[min(value, 2 * limit) for value in row] + [limit] * rows for row in cost]
    row_price, column_price = [0.0] * rows, [0.0] * (columns + rows)
    owner = [-1] * (columns + rows)
    for start in range(rows):
        shortest, before, closed = [math.inf] * len(owner), [-1] * len(owner), [False] * len(owner)
        row, last = start, -1
        while row >= 0:
            base = shortest[last] if last >= 0 else 0.0
            for column, value in enumerate(table[row]):
                through = base + value - row_price[row] - column_price[column]
                if not closed[column] and through < shortest[column]:
                    shortest[column], before[column] = through, last
            last = min((c for c in range(len(owner)) if not closed[c]), key=shortest.__getitem__)
            closed[last] = True
            row = owner[last]
        end = shortest[last]
        row_price[start] += end
        for column, seen in enumerate(closed):
            if seen and column != last:
                column_price[column] += shortest[column] - end
                row_price[owner[column]] += end - shortest[column]
        while last >= 0:
            owner[last] = owner[before[last]] if before[last] >= 0 else start
            last = before[last]
    return sorted((row, c) for c, row in enumerate(owner[:columns]) if row >= 0 and cost[row][c] < limit)
