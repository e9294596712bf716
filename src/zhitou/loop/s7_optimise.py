"""Stage 7: the models learn from what came back; a new one replaces the old one only on evidence from later rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.assembly import Stage
from zhitou.core.chance import Chance
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import Histories
from zhitou.feedback.promotion import LaterRows, Verdict, judge
from zhitou.loop.play import Stretch
from zhitou.loop.s5_deliver import Life
from zhitou.market.world import Organic
from zhitou.response.compare import in_slots
from zhitou.response.delay import Lateness, lateness_of
from zhitou.response.places import by_place
from zhitou.response.response import BoundResponse, Response
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response

LATER_SHARE = 0.7  # of the learning days' rows come before the slice that the candidate is judged on


@dataclass(frozen=True)
class Optimised:
    """What the feedback was worth: the model to go on with, the verdict that chose it, and what is known of late
    conversions, for which pCVR is corrected."""

    response: Response
    verdict: Verdict
    rows: int
    lateness: Lateness


def first_response(stage: Stage, warm: Rows, chance: Chance, now_s: int) -> Response:
    """The first round's model, from the warm-up's random ads and what is known of them at `now_s`."""
    return fitted(stage, warm, lateness(stage, warm, now_s), chance.child("response", "first"))


def lateness(stage: Stage, rows: Rows, now_s: int) -> Lateness:
    """How late these rows' conversions come."""
    return lateness_of(rows, now_s, stage.shop.config.study.conversion_days * SECONDS_PER_DAY)


def fitted(stage: Stage, rows: Rows, late: Lateness, chance: Chance) -> Response:
    """A model of these rows whose pCVR counts each click as far as its age lets it speak, calibrated by place where
    the later rows bear it out."""
    config = stage.shop.config.response
    return by_place(fit_response(rows, config, chance, matured=late.matured(rows)), rows, config.later_share)[0]


def bound(stage: Stage, response: Response) -> BoundResponse:
    """The model for the ads of this book."""
    return response.for_ads(np.arange(len(stage.book)))


def optimise(
    stage: Stage, champion: Response, warm: Rows, learnt: Rows, subjects: np.ndarray, chance: Chance, now_s: int
) -> Optimised:
    """Train a candidate on all but the last of the learnt rows, judge both on these, and refit if it won.

    subjects: int [R] of `learnt`, whose rows are not independent of each other. now_s: when their outcomes were read.
    """
    cut_s = learnt.cut_s(LATER_SHARE)
    early, later = learnt.split(cut_s)
    taught = Rows.concat(warm, early)
    candidate = fitted(stage, taught, lateness(stage, taught, now_s), chance.child("response", "candidate"))
    of = subjects[learnt.time_s >= cut_s]
    rows = LaterRows(later.clicked, in_slots(champion, later)[0], in_slots(candidate, later)[0], of)
    verdict = judge(rows)
    everything = Rows.concat(warm, learnt)
    late = lateness(stage, everything, now_s)
    if not verdict.promote:
        return Optimised(champion, verdict, len(everything), late)
    return Optimised(
        fitted(stage, everything, late, chance.child("response", "next")), verdict, len(everything), late
    )


def newer(past: Histories, life: Life, *stretches: Stretch) -> Histories:
    """The histories with what shoppers have bought since on their own, as far as they agreed to a profile."""
    parts: list[Organic] = [own for stretch in stretches for own in stretch.organic]

    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(own, name) for own in parts])

    owner = life.rows[column("subjects")]
    known = owner >= 0
    names = ("item", "kind", "time_s", "price_micros", "quantity", "order")
    return past.extended(owner[known], *(column(name)[known] for name in names))
