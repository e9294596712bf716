"""Why this ad: in sentences, from the receipt alone plus the model it names.

The weight of a reason is how much pCTR falls when the fields behind it are set to what a stranger would have
(one group of fields at a time, in logits). That is a statement about the model, not about the world.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from zhitou.campaign.adbook import AdBook
from zhitou.catalog.table import ItemTable
from zhitou.core.units import Money
from zhitou.strategy.eligibility import REASONS
from zhitou.strategy.ports import ResponseModel

# What each group of personal fields means to a shopper; {kind} is the item's finest category.
GROUPS: dict[str, tuple[str, ...]] = {
    "you clicked on this or on other {kind} lately": (
        "item_clicks_log",
        "category_clicks_log",
        "category_clicks_week_log",
    ),
    "you have bought it before": ("item_purchases_log", "item_purchase_hours_log"),
    "you looked at or bought {kind} not long ago": ("type_event_hours_log",),
    "you often buy {kind}": ("category_share_log", "category_lift_log", "type_lift_log"),
    "you often buy this brand": ("brand_lift_log",),
    "its price is close to what you usually pay": ("price_ratio_log",),
    "what you bought in the past resembles what others bought before this": (
        "interest_score",
        "interest_lift",
        "interest_rank",
    ),
    "you shop at this time of the day": ("shopper_hour_lift_log",),
}
# A reason below this many logits changes pCTR by less than a twentieth: not worth a sentence.
LEAST_LOGITS = 0.05


@dataclass(frozen=True)
class Reason:
    """One reason in words and its weight in logits of pCTR against a stranger's fields."""

    sentence: str
    logits: float


def reasons(fields: np.ndarray, strangers: np.ndarray, k: int, model: ResponseModel, kind: str) -> list[Reason]:
    """Reasons for ad number k, the strongest first.

    fields: float32 [F], as logged. strangers: float32 [K, F], what the ads' fields are for someone unknown.
    kind: the item's category in words.
    """
    names = list(model.fields)
    variants = [fields]
    for group in GROUPS.values():
        changed = fields.copy()
        columns = [names.index(name) for name in group if name in names]
        changed[columns] = strangers[k, columns]
        variants.append(changed)
    asked = np.repeat(strangers[None], len(variants), axis=0)  # a model may know which column is which ad
    asked[:, k] = variants
    pctr = model.predict(asked.astype(np.float32))[0][:, k]
    logits = np.log(pctr / (1 - pctr))
    found = [
        Reason(words.format(kind=kind), float(logits[0] - x)) for words, x in zip(GROUPS, logits[1:], strict=True)
    ]
    return sorted((r for r in found if r.logits >= LEAST_LOGITS), key=lambda r: -r.logits)


def for_advertiser(record: dict[str, Any]) -> list[str]:
    """The decision as advertiser and operator read it: the path, who was removed and why, price and chance."""
    request, candidates = record["request"], record["candidates"]
    lines = [
        f"decision {record['decision_id']}: {request['channel']}, {request['slots']} slots of "
        f"{request['size'][0]}x{request['size'][1]}, consent basis: {record['consent_basis']}",
        "models: " + ", ".join(f"{part} {version}" for part, version in sorted(record["models"].items())),
        f"{len(candidates['ad_id'])} candidates: "
        + ", ".join(f"{count} {name}" for name, count in sorted(Counter(candidates["reason"]).items())),
    ]
    sentences = {reason.name: reason.sentence for reason in REASONS}
    removed = sorted(set(candidates["reason"]) - {"eligible", "outbid"})
    lines += [f"  {name}: {sentences[name]}" for name in removed]
    for slot in record["slots"]:
        if slot["ad_id"] is None:
            lines.append(f"slot {slot['slot'] + 1}: empty")
            continue
        at = candidates["ad_id"].index(slot["ad_id"])
        currency = slot["currency"]
        lines.append(
            f"slot {slot['slot'] + 1}: ad {slot['ad_id']} of campaign {slot['campaign_id']}, creative "
            f"{slot['creative_id']}; pCTR {slot['pctr']:.4%} in the first slot, "
            f"{slot.get('pctr_in_slot', slot['pctr']):.4%} here, pCVR {slot['pcvr']:.3%}; bid "
            f"{Money(slot['bid_micros'], currency)} a click (pacing x {candidates['pacing_multiplier'][at]:.3f}), "
            f"price {Money(slot['price_micros_per_click'], currency)} a click; shown with probability "
            f"{slot['propensity']:.4f}"
        )
    return lines


def for_shopper(
    record: dict[str, Any], book: AdBook, items: ItemTable, model: ResponseModel | None, strangers: np.ndarray | None
) -> dict[str, Any]:
    """What the shopper may know: whose ad, which reasons, what was not used, how to object.

    strangers: float32 [K, F], each ad's fields for someone unknown. Without the model that decided (it may have
    been replaced), the reasons say so instead of guessing.
    """
    rows = {ad: k for k, ad in enumerate(book.ad_ids)}
    sentences, ads = [], []
    personal = "contextual" not in record["consent_basis"]
    for slot in record["slots"]:
        k = rows.get(slot["ad_id"]) if slot["ad_id"] else None
        if k is None:
            continue
        item = items.item(int(book.item[k]))
        campaign = book.campaigns[book.campaign[k]]
        found: list[Reason] = []
        if personal and model is not None and strangers is not None and model.version == record["models"]["response"]:
            kind = (item.category[-1] if item.category else "such things").lower()
            found = reasons(np.asarray(slot["fields"], dtype=np.float32), strangers, k, model, kind)[:3]
        because = "; ".join(r.sentence for r in found)
        sentences.append(
            f"{item.title} is an ad of {campaign.advertiser}. "
            + (f"You see it because {because}." if because else "It was chosen without looking at you in particular.")
        )
        ads.append(
            {
                "slot": slot["slot"],
                "ad_id": slot["ad_id"],
                "title": item.title,
                "advertiser": campaign.advertiser,
                "reasons": [{"sentence": r.sentence, "logits": round(r.logits, 3)} for r in found],
            }
        )
    if not ads:
        sentences.append("No ad was shown.")
    sentences.append(
        "Used: your visits, clicks and purchases in this shop under a pseudonym. Not used: your name, your address, "
        "what you did elsewhere."
        if personal
        else "Nothing that is known about you was used."
    )
    sentences.append("You may refuse profiles or ads at any time; the next decision obeys.")
    return {
        "decision_id": record["decision_id"],
        "consent_basis": record["consent_basis"],
        "sentences": sentences,
        "ads": ads,
    }
