"""Pictures that show the same: copies of another size, compression or a few pixels' crop.

A picture becomes 256 bits, each of which says whether a cell of its gray thumbnail is brighter than the one to its
left (a difference hash). Pictures are alike when at most `BITS` of them differ, and fewer where a picture is plain:
an object on black sets a few bits, and all other bits of two such pictures agree whatever the objects are.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

BITS = 15  # with one fewer than BANDS, alike pictures have at least one band in common
BANDS = 16  # of 16 bits
TELLING = 64  # bits set in one of two pictures, and bits not set in one: with fewer, in proportion fewer may differ


def picture_hash(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 BGR -> (16,) uint16."""
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), (BANDS + 1, BANDS), interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, 1:] > small[:, :-1], axis=1).view(np.uint16)[:, 0]


def similar(hashes: np.ndarray, other: np.ndarray, bits: int = BITS) -> np.ndarray:
    """Which of (N, 16) hashes are of pictures like that of another (16,)."""
    apart = np.bitwise_count(hashes ^ other).sum(axis=1)
    bright = np.bitwise_count(hashes | other).sum(axis=1)
    dark = np.bitwise_count(~(hashes & other)).sum(axis=1)
    return apart <= bits * np.minimum(np.minimum(bright, dark) / TELLING, 1)


def alike(hashes: np.ndarray, bits: int = BITS) -> list[tuple[int, int]]:
    """Pairs of rows (i < j) of (N, 16) hashes that are `similar`: at most `bits` (up to 15) bits differ."""
    if not 0 <= bits <= BITS:
        raise ValueError(f"bits is {bits}, expected 0 to {BITS}: above that pairs would be missed")
    pairs: set[tuple[int, int]] = set()
    for band in range(BANDS):
        order = np.argsort(hashes[:, band], kind="stable")
        edges = np.flatnonzero(np.diff(hashes[order, band])) + 1
        for rows in np.split(order, edges):
            for place, row in enumerate(rows[:-1]):
                others = rows[place + 1 :]
                same = others[similar(hashes[others], hashes[row], bits)]
                pairs.update((int(min(row, other)), int(max(row, other))) for other in same)
    return sorted(pairs)


def groups(count: int, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """(count,) number of the group of each row, where rows of a pair, and of pairs with one in common, are together."""
    root = list(range(count))

    def found(row: int) -> int:
        while root[row] != row:
            root[row] = root[root[row]]
            row = root[row]
        return row

    for a, b in pairs:
        a, b = sorted((found(a), found(b)))
        root[b] = a
    return np.unique([found(row) for row in range(count)], return_inverse=True)[1]
