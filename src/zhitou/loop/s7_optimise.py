"""Stage 7: the models learn from what came back; a new one replaces the old one only on evidence from later rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.assembly import Stage
from zhitou.core.chance import Chance
from zhitou.events.histories import Histories
from zhitou.feedback.promotion import LaterRows, Verdict, judge
from zhitou.loop.play import Stretch
from zhitou.loop.s5_deliver import Life
from zhitou.market.world import Organic
from zhitou.response.compare import in_slots
from zhitou.response.response import BoundResponse, Response
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response

LATER_SHARE = 0.7  # of the learning days' rows come before the slice that the candidate is judged on


@dataclass(frozen=True)
class Optimised:
    """What the feedback was worth: the model to go on with and the verdict that chose it."""

    response: Response
    verdict: Verdict
    rows: int


def first_response(stage: Stage, warm: Rows, chance: Chance) -> Response:
    """The first round's model, from the warm-up's random ads."""
    return fit_response(warm, stage.shop.config.response, chance.child("response", "first"))


def bound(stage: Stage, response: Response) -> BoundResponse:
    """The model for the ads of this book."""
    return response.for_ads(np.arange(len(stage.book)))


def optimise(
    stage: Stage, champion: Response, warm: Rows, learnt: Rows, subjects: np.ndarray, chance: Chance
) -> Optimised:
    """Train a candidate on all but the last of the learnt rows, judge both on these, and refit if it won.

    subjects: int [R] of `learnt`, whose rows are not independent of each other.
    """
    config = stage.shop.config.response
    cut_s = learnt.cut_s(LATER_SHARE)
    early, later = learnt.split(cut_s)
    candidate = fit_response(Rows.concat(warm, early), config, chance.child("response", "candidate"))
    of = subjects[learnt.time_s >= cut_s]
    rows = LaterRows(later.clicked, in_slots(champion, later)[0], in_slots(candidate, later)[0], of)
    verdict = judge(rows)
    if not verdict.promote:
        return Optimised(champion, verdict, len(warm) + len(learnt))
    everything = Rows.concat(warm, learnt)
    return Optimised(fit_response(everything, config, chance.child("response", "next")), verdict, len(everything))


def newer(past: Histories, life: Life, *stretches: Stretch) -> Histories:
    """The histories with what shoppers have bought since on their own, as far as they agreed to a profile."""
    parts: list[Organic] = [own for stretch in stretches for own in stretch.organic]

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(own, name) for own in parts])

    owner = life.rows[column("subjects")]
    known = owner >= 0
    names = ("item", "kind", "time_s", "price_micros", "quantity", "order")
    return past.extended(owner[known], *(column(name)[known] for name in names))
