"""What a place does to the chance of a click, channel by channel and slot by slot, as plain numbers for the desk.

A model's slots are measured on all channels together; in one of them, people may look otherwise. `calibrate_groups`
finds how far each channel lies from all, and each slot of it from its channel. Its two lines in logits are one line,
so that serving reads a shift and a slope from a table. R = rows, C = channels, S = slots.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import logit

from zhitou.evaluation.classification import log_losses
from zhitou.response.calibrate import Calibration
from zhitou.response.compare import in_slots
from zhitou.response.groups import GroupCalibration, calibrate_groups
from zhitou.response.response import Response
from zhitou.response.rows import Rows

CLICKS_LEAST = 200  # of the later rows; fewer tell a place's level to no better than a tenth
_GAIN_LEAST = 1.0  # nats: rows that were not fitted must become e times more probable


def by_place(response: Response, rows: Rows, later_share: float) -> tuple[Response, str]:
    """(the model calibrated by channel and slot, or as it is where that is not borne out; which and why, in words).

    rows: those it was fitted to; only the later share of them, on which its own calibration was made, is read. Places
    are fitted on the first half of these by time and count only if they make the second half e times more probable;
    then they are fitted on both.
    """
    plain = replace(response, places=None)
    if rows.channel is None:
        return plain, "not calibrated by place: the rows do not say their channel"
    later = rows.select(rows.time_s >= rows.cut_s(1 - later_share))
    if (clicks := int(later.clicked.sum())) < CLICKS_LEAST:
        return plain, f"not calibrated by place: {clicks} of {CLICKS_LEAST} later clicks that it takes"
    first, second = later.split(later.cut_s(0.5))
    tried = replace(plain, places=_places(plain, first))
    without, with_them = (float(log_losses(second.clicked, in_slots(m, second)[0]).sum()) for m in (plain, tried))
    gain = f"{without - with_them:+.1f} nats on {len(second):,} rows they were not fitted to"
    if without - with_them < _GAIN_LEAST:
        return plain, f"not calibrated by place: {gain}, {_GAIN_LEAST:.0f} needed"
    return replace(plain, places=_places(plain, later)), f"calibrated by channel and slot: {gain}"


def _places(response: Response, rows: Rows) -> np.ndarray:
    z = logit(in_slots(response, rows)[0])
    assert rows.channel is not None, "asked only where the rows say their channel"
    groups = (rows.channel.astype(np.int64), rows.slot.astype(np.int64))
    return table_of(calibrate_groups(z, rows.clicked, groups, 0, base=Calibration("none")))


def table_of(calibration: GroupCalibration) -> np.ndarray:
    """float64 [C + 1, S + 1, 2]: (shift, slope) of each place's logit; the last channel and slot are unseen ones,
    which are as all channels and as their channel. The calibration has groups by channel and slot and no base."""
    channels, slots = calibration.levels
    C = 1 + max(int(key[0]) for key in channels.keys)
    S = 1 + max(int(key[1]) for key in slots.keys)
    out = np.tile([0.0, 1.0], (C + 1, S + 1, 1))
    for (channel,), line in zip(channels.keys, channels.lines, strict=True):
        out[int(channel)] = line
    for (channel, slot), (shift, slope) in zip(slots.keys, slots.lines, strict=True):
        at = int(channel), int(slot)
        out[at] = shift + slope * out[at][0], slope * out[at][1]
    return out
