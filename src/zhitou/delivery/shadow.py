"""A candidate beside the champion: it scores the same requests, its decisions are written down and never shown.

It works on a thread of its own behind a short queue. A slow candidate misses requests, a broken one makes errors;
both are counted, and neither an answer nor its delay ever depends on it. K = ads, S = slots, F = fields.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from zhitou.delivery.candidates import FIRST, in_place
from zhitou.delivery.decide import Desk
from zhitou.delivery.receipt import Decisions
from zhitou.strategy.auction import biddable
from zhitou.strategy.eligibility import CODE
from zhitou.strategy.exploration import slate
from zhitou.strategy.policies import Context
from zhitou.strategy.ports import ResponseModel
from zhitou.strategy.value import bids_micros, paced

WAITING_MAX = 256


@dataclass(frozen=True)
class Offer:
    """One decision of the champion as the candidate is asked about it. fields: float32 [1, K, F], of all ads."""

    decisions: Decisions
    fields: np.ndarray


class ShadowScorer:
    """Writes one line of JSON per request to `path`; what it cannot score it counts there too.

    A line: decision_id, at_us, champion and candidate (versions), ads (what the candidate would have shown, by
    number, -1 = nothing), chance (of each shown ad in its slot, given the ads above it, under the candidate), pctr
    (its prediction for each shown ad), same, latency_us; or error; or left_out with a count.
    """

    def __init__(self, desk: Desk, candidate: ResponseModel, path: Path) -> None:
        self.candidate = candidate
        self._desk = desk
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        self._queue: queue.Queue[Offer | None] = queue.Queue(WAITING_MAX)
        self._left_out = 0
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def offer(self, offer: Offer) -> None:
        """Ask the candidate too. Returns at once; a request for which the queue is full is left out and counted."""
        try:
            self._queue.put_nowait(offer)
        except queue.Full:
            self._left_out += 1

    def close(self) -> None:
        """Score what waits, then stop."""
        self._queue.put(None)
        self._thread.join()
        self._file.close()

    def _work(self) -> None:
        while (offer := self._queue.get()) is not None:
            start = time.perf_counter_ns()
            line: dict[str, Any] = {"decision_id": offer.decisions.decision_ids[0]}
            line |= {"at_us": int(offer.decisions.asks.time_us[0]), "candidate": self.candidate.version}
            line["champion"] = offer.decisions.response_version
            try:
                line |= score(self._desk, self.candidate, offer)
            except Exception as error:  # whatever a candidate does, the shop goes on; it is counted and judged by it
                line["error"] = f"{type(error).__name__}: {error}"[:200]
            self._write(line | {"latency_us": (time.perf_counter_ns() - start) // 1_000})
        self._write({})

    def _write(self, line: dict[str, Any]) -> None:
        """The line, and how many requests were left out since the last one."""
        left_out, self._left_out = self._left_out, 0
        if left_out:
            line = line | {"left_out": left_out}
        if line:
            self._file.write(orjson.dumps(line, option=orjson.OPT_SORT_KEYS) + b"\n")
            self._file.flush()


def score(desk: Desk, candidate: ResponseModel, offer: Offer) -> dict[str, Any]:
    """What the candidate would have decided, from the same fields, filters, pacing and uniforms.

    Raises ValueError where it predicts something that is no probability.
    """
    d, book, policy = offer.decisions, desk.book, desk.policy
    assert not policy.flat_price, "a policy without a model has nothing to compare"
    pctr, pcvr = candidate.predict(offer.fields)
    pctr = in_place(candidate, pctr, d.asks.channel[:, None], FIRST)
    if not (np.isfinite(pctr).all() and np.isfinite(pcvr).all()):
        raise ValueError("predicted a chance that is not a number")
    bid = paced(bids_micros(book, pcvr), d.multiplier, book)
    # "below the floor" is the champion's finding; the candidate bids for itself.
    passed = (d.reason == 0) | (d.reason == CODE["below_floor"])
    eligible = biddable(bid, passed, d.reserve_micros)
    context = Context(eligible, pctr, bid, d.rows, d.asks.time_us, d.asks.slots, desk.chance, 0, book.campaign)
    chances = policy.propose(context).probabilities
    order, _ = slate(chances, d.uniforms, book.campaign)
    shown = [int(ad) for ad in d.ad[0]]
    return {
        "ads": order[0].tolist(),
        "chance": _chance_of(d.drawn[0], chances[0], book.campaign),
        "pctr": [float(pctr[0, ad]) if ad >= 0 else None for ad in shown],
        "same": bool((order == d.drawn).all()),
    }


def _chance_of(drawn: np.ndarray, chances: np.ndarray, group: np.ndarray) -> list[float | None]:
    """The chance of each drawn ad in its slot, given those above it; the rule of `exploration.slate`."""
    left, out = chances.copy(), []
    for ad in drawn.tolist():
        total = sum(left.tolist())  # one after the other, as the draw does: equal policies give equal bits
        out.append(float(left[ad]) / total if ad >= 0 and total > 0 else (None if ad < 0 else 0.0))
        if ad >= 0:
            left[group == group[ad]] = 0.0
    return out
