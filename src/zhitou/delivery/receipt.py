"""The record of one decision: enough to pay by, to explain, and to compute again to the last bit.

A receipt is canonical JSON (sorted keys, no spaces, floats as the shortest text that reads back to the same
double), so that equal decisions are equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from zhitou.campaign.adbook import AdBook
from zhitou.campaign.campaign import CHANNELS
from zhitou.core.errors import SchemaError
from zhitou.strategy.auction import clear
from zhitou.strategy.eligibility import CODE, REASONS
from zhitou.strategy.exploration import slate

VERSION = 1


@dataclass(frozen=True)
class Asks:
    """B requests for ads.

    subjects: object [B], pseudonyms, "" for a stranger. time_us: int64 [B]. channel: int8 [B], place in CHANNELS.
    request_ids: object [B], unique; the decision ids follow from them. size: (width, height) of the slots in px.
    """

    subjects: np.ndarray
    time_us: np.ndarray
    channel: np.ndarray
    request_ids: np.ndarray
    slots: int
    size: tuple[int, int]
    locale: str = "en"

    def __len__(self) -> int:
        return len(self.subjects)


@dataclass(frozen=True)
class Decisions:
    """What was decided for B requests with K candidates and S slots, and everything it followed from.

    drawn: int32 [B, S], the slate; ad: the same without the slots whose money the ledger refused to set aside (-1 =
    left empty). price_micros (per click), bid_micros, propensity, pctr, pcvr: [B, S] of the slate's ads. pctr is of
    the first slot of the request's channel, pctr_in_slot of the slot itself; calibration: by what places differ.
    fields: float32 [B, S, F], as the response model read them. reason: uint8 [B, K] code in
    strategy.eligibility.REASONS, 0 for candidates that stayed. candidate_*: [B, K]. uniforms: float64 [B, S].
    """

    decision_ids: tuple[str, ...]
    asks: Asks
    rows: np.ndarray
    drawn: np.ndarray
    ad: np.ndarray
    price_micros: np.ndarray
    bid_micros: np.ndarray
    propensity: np.ndarray
    pctr: np.ndarray
    pctr_in_slot: np.ndarray
    pcvr: np.ndarray
    fields: np.ndarray
    reason: np.ndarray
    candidate_pctr: np.ndarray
    candidate_pcvr: np.ndarray
    candidate_bid_micros: np.ndarray
    candidate_score: np.ndarray
    candidate_probability: np.ndarray
    uniforms: np.ndarray
    multiplier: np.ndarray
    consent_basis: tuple[str, ...]
    flat_price: bool
    reserve_micros: int
    policy: str
    response_version: str
    interest_version: str
    calibration: str
    finished_us: int

    def __len__(self) -> int:
        return len(self.decision_ids)


def receipt(decisions: Decisions, number: int, book: AdBook, creative_ids: list[str | None]) -> dict[str, Any]:
    """The receipt of one of the decisions, as plain JSON values.

    creative_ids: the creative of each slot, None where the slot stayed empty.
    """
    d, b = decisions, number
    at_us = int(d.asks.time_us[b])
    return {
        "version": VERSION,
        "decision_id": d.decision_ids[b],
        "request": {
            "request_id": str(d.asks.request_ids[b]),
            "subject": str(d.asks.subjects[b]) or None,
            "at_us": at_us,
            "channel": CHANNELS[int(d.asks.channel[b])],
            "size": list(d.asks.size),
            "slots": d.asks.slots,
            "locale": d.asks.locale,
        },
        "consent_basis": d.consent_basis[b],
        "models": {
            "policy": d.policy,
            "response": d.response_version,
            "calibration": d.calibration,
            "interest": d.interest_version,
        },
        "latency_us": d.finished_us - at_us if d.finished_us >= at_us else 0,
        "auction": {
            "reserve_micros": d.reserve_micros,
            "flat_price": d.flat_price,
            "uniforms": d.uniforms[b].tolist(),
        },
        "candidates": _candidates(d, b, book),
        "slots": [_slot(d, b, slot, book, creative_ids[slot]) for slot in range(d.asks.slots)],
    }


def _candidates(d: Decisions, b: int, book: AdBook) -> dict[str, Any]:
    """All K ads as columns: shorter and faster than K objects."""
    reason = d.reason[b].copy()
    reason[reason == 0] = CODE["outbid"]
    reason[d.drawn[b][d.drawn[b] >= 0]] = 0
    return {
        "ad_id": list(book.ad_ids),
        "campaign": book.campaign.tolist(),
        "reason": [REASONS[code].name for code in reason],
        "pctr": d.candidate_pctr[b].tolist(),
        "pcvr": d.candidate_pcvr[b].tolist(),
        "bid_micros": d.candidate_bid_micros[b].tolist(),
        "pacing_multiplier": d.multiplier[book.campaign].tolist(),
        "score": d.candidate_score[b].tolist(),
        "probability": d.candidate_probability[b].tolist(),
    }


def _slot(d: Decisions, b: int, slot: int, book: AdBook, creative_id: str | None) -> dict[str, Any]:
    ad = int(d.ad[b, slot])
    if ad < 0:
        drawn = int(d.drawn[b, slot])
        refused = {"refused": "budget", "drawn_ad_id": book.ad_ids[drawn]} if drawn >= 0 else {}
        return {"slot": slot, "ad_id": None, **refused}
    campaign = book.campaigns[book.campaign[ad]]
    return {
        "slot": slot,
        "ad_id": book.ad_ids[ad],
        "campaign_id": campaign.campaign_id,
        "creative_id": creative_id,
        "price_micros_per_click": int(d.price_micros[b, slot]),
        "bid_micros": int(d.bid_micros[b, slot]),
        "currency": campaign.currency,
        "propensity": float(d.propensity[b, slot]),
        "pctr": float(d.pctr[b, slot]),
        "pctr_in_slot": float(d.pctr_in_slot[b, slot]),
        "pcvr": float(d.pcvr[b, slot]),
        "fields": d.fields[b, slot].tolist(),
    }


def to_bytes(record: dict[str, Any]) -> bytes:
    """Canonical JSON. Refused: a value JSON cannot hold exactly (SchemaError)."""
    try:
        return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"a receipt holds plain JSON values; {error}") from None


def from_bytes(data: bytes) -> dict[str, Any]:
    """The receipt in these bytes. Refused (SchemaError): what is no receipt of a version known here."""
    try:
        record = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise SchemaError(f"expected a receipt as JSON; {error}") from None
    if not isinstance(record, dict) or record.get("version") != VERSION:
        raise SchemaError(f"expected a receipt of version {VERSION}")
    return record


def replay(record: dict[str, Any]) -> list[dict[str, Any]]:
    """The slate that follows from the recorded candidates and uniforms: ad, propensity and price of each slot.

    Computed with the same functions that decided; what comes back must equal the record's slots to the last bit
    (a slot whose budget was refused says so, with the ad that was drawn). A difference means that the record was
    altered or that the rules have changed since.
    """
    columns, auction = record["candidates"], record["auction"]
    eligible = np.asarray([[name in (REASONS[0].name, "outbid") for name in columns["reason"]]])
    probability = np.asarray([columns["probability"]], dtype=np.float64)
    group = np.asarray(columns["campaign"], dtype=np.int32)
    order, propensity = slate(probability, np.asarray([auction["uniforms"]], dtype=np.float64), group)
    bid = np.asarray([columns["bid_micros"]], dtype=np.int64)
    if auction["flat_price"]:
        price = np.where(order >= 0, np.take_along_axis(bid, np.maximum(order, 0), axis=1), 0)
    else:
        score = np.asarray([columns["score"]], dtype=np.float64)
        pctr = np.asarray([columns["pctr"]], dtype=np.float64)
        price = clear(score, order, pctr, bid, eligible, int(auction["reserve_micros"]), group)
    slots = []
    for slot, ad in enumerate(order[0]):
        recorded = record["slots"][slot]
        found: dict[str, Any] = {"slot": slot, "ad_id": None}
        if ad >= 0 and recorded.get("refused"):
            found |= {"refused": recorded["refused"], "drawn_ad_id": columns["ad_id"][ad]}
        elif ad >= 0:
            found |= {
                "ad_id": columns["ad_id"][ad],
                "propensity": float(propensity[0, slot]),
                "price_micros_per_click": int(price[0, slot]),
            }
        slots.append(found)
    return slots


def matches(record: dict[str, Any]) -> bool:
    """Whether `replay` gives what was recorded, to the last bit."""
    return all(
        all(slot.get(name) == value for name, value in found.items())
        for found, slot in zip(replay(record), record["slots"], strict=True)
    )
