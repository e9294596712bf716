"""Budgets that several blocks of requests spend at once and that are never overspent.

C = campaigns, W = blocks that run side by side.

Requests are numbered. A block is `block_size` requests in a row, a round is W blocks; the blocks of a round may run
at the same time. Before a round each campaign's money is leased to the blocks in shares, a block spends only what it
holds, and what is left returns after the round. Which request may spend what therefore depends on its number alone,
never on threads or on how the stream is cut into batches, and overspending is impossible rather than unlikely.
"""

from __future__ import annotations

import numpy as np


class Leases:
    """The money of C campaigns, budget_micros int64 [C], for requests 0, 1, 2, ...

    least_micros: the smallest share worth leasing, such as the highest bid: a campaign that cannot give it to W
    blocks gives larger shares to fewer of them, the whole rest to one in the end, so that no money is stranded in
    crumbs. Which blocks get the shares moves on by one each round.
    """

    def __init__(
        self, budget_micros: np.ndarray, *, blocks: int = 8, block_size: int = 4096, least_micros: int = 1_000_000
    ) -> None:
        assert min(blocks, block_size, least_micros) >= 1, "blocks, their size and shares are at least 1"
        self._pool = np.asarray(budget_micros, dtype=np.int64).copy()
        assert (self._pool >= 0).all(), "a budget is not negative"
        self.blocks, self.block_size, self._least = blocks, block_size, least_micros
        self.lease = np.zeros((blocks, len(self._pool)), dtype=np.int64)
        self._round = -1

    @property
    def remaining_micros(self) -> np.ndarray:
        """int64 [C]: what each campaign may still spend, leased or not."""
        answer: np.ndarray = self._pool + self.lease.sum(axis=0)
        return answer

    def open(self, number: int) -> np.ndarray:
        """int64 [W, C]: what each block of round `number` holds, to be spent in place. A round that is open already
        goes on; another one first takes all leases back. Refused: a round that is over."""
        assert number >= self._round, f"rounds go forward: {number} came after {self._round}"
        if number > self._round:
            self._pool += self.lease.sum(axis=0)
            self._round = number
            shares = np.clip(self._pool // self._least, 1, self.blocks)
            place = (np.arange(self.blocks)[:, None] - number) % self.blocks
            self.lease[:] = np.where(place < shares, self._pool // shares, 0)
            self._pool -= self.lease.sum(axis=0)
        return self.lease
