"""Stage 6: outcomes come back as events and are joined by id to what was shown; only that is learnt from."""

from __future__ import annotations

import json

import numpy as np

from zhitou.assembly import Stage
from zhitou.core.ids import stable_id
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.events.schema import Event
from zhitou.feedback import join as joining
from zhitou.feedback.facts import facts_of
from zhitou.feedback.join import Joined, Windows, join
from zhitou.loop.play import ONSITE, Shown
from zhitou.response.rows import NEVER, Rows


def outcome_events(stage: Stage, shown: Shown) -> list[Event]:
    """The clicks and conversions of these ads as events that name their decision, as a browser would send them."""
    book, shop = stage.book, stage.shop
    subjects = stage.shop.everybody.subjects
    events = []
    for at in np.flatnonzero(shown.clicked):
        k, decision = int(shown.ad[at]), str(shown.decision[at])
        context = json.dumps({"slot": int(shown.slot[at])})
        times = [("click", int(shown.click_time_s[at]))]
        if shown.converted[at]:
            times.append(("conversion", int(shown.conversion_time_s[at])))
        for kind, time_s in times:
            events.append(
                Event(
                    event_id=stable_id("e", decision, int(shown.slot[at]), kind),
                    tenant=shop.config.tenant,
                    subject=str(subjects[shown.subject[at]]),
                    kind=kind,
                    occurred_us=time_s * MICROSECONDS,
                    received_us=time_s * MICROSECONDS,
                    item=str(shop.items.ids[book.item[k]]),
                    quantity=1,
                    price_micros=int(shown.value_micros[at]) if kind == "conversion" else None,
                    currency=shop.items.currency,
                    channel="onsite",
                    decision_id=decision,
                    context=context,
                )
            )
    return events


def collect(stage: Stage, shown: Shown, until_s: int) -> Joined:
    """What is known at `until_s` of what became of the shown ads."""
    windows = Windows(conversion_us=stage.shop.config.study.conversion_days * SECONDS_PER_DAY * MICROSECONDS)
    rows = joining.Shown(
        decision_id=shown.decision,
        slot=shown.slot,
        subject=stage.shop.everybody.subjects[shown.subject],
        item=stage.shop.items.ids[stage.book.item[shown.ad]],
        time_us=shown.time_s * MICROSECONDS,
    )
    return join(rows, facts_of(outcome_events(stage, shown)), watermark_us=until_s * MICROSECONDS, windows=windows)


def training_rows(names: tuple[str, ...], shown: Shown, joined: Joined) -> Rows:
    """Rows to train a response model on: fields as logged, outcomes and their times as joined, labels that are too
    young marked. The market's visits are all on the shop's own pages."""
    return Rows(
        fields=shown.fields,
        names=names,
        slot=shown.slot,
        ad=shown.ad,
        clicked=joined.clicked,
        converted=joined.converted,
        mature=joined.mature,
        time_s=shown.time_s,
        propensity=shown.propensity,
        channel=np.full(len(shown), ONSITE, dtype=np.int8),
        **outcome_times(joined),
    )


def outcome_times(joined: Joined) -> dict[str, np.ndarray]:
    """The columns of Rows that say when: int64 [R] Unix seconds, -1 = never."""
    times = {
        "click_s": joined.click_time_us,
        "conversion_s": joined.conversion_time_us,
        "refund_s": joined.refund_time_us,
    }
    return {name: np.where(us == joining.NEVER, NEVER, us // MICROSECONDS) for name, us in times.items()}
