"""Rows: one shown ad each, with the fields as they stood when it was chosen. R = rows, F = fields.

The fields are logged by the decision itself and never computed again, so what is trained on is what is served.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zhitou.core.errors import SchemaError

_COLUMNS = {
    "slot": np.int8,
    "ad": np.int32,
    "clicked": np.bool_,
    "converted": np.bool_,
    "mature": np.bool_,
    "time_s": np.int64,
    "propensity": np.float64,
}
_SOMETIMES = {"click_s": np.int64, "conversion_s": np.int64, "refund_s": np.int64, "channel": np.int8}
_TIMES = ("click_s", "conversion_s", "refund_s")
NEVER = -1


@dataclass(frozen=True)
class Rows:
    """R impressions.

    fields: float32 [R, F], NaN = unknown; names: the F columns. slot: int8 [R], 0 = the first one looked at.
    ad: int32 [R], the ad's number in the AdBook, -1 = unknown. clicked, converted: bool [R]; a conversion here
    is one that followed the click. mature: bool [R], whether the row's conversion window has passed, clicked or
    not: until then converted == False says nothing. time_s: int64 [R], Unix seconds of the decision.
    propensity: float64 [R], the logged probability of showing this ad, after all filters.

    Not every log knows the rest (None). click_s, conversion_s, refund_s: int64 [R], Unix seconds of the click, of the
    first conversion after it and of the first refund of that, NEVER where there is none; the three come together.
    channel: int8 [R], where it was shown, in the numbers of campaign.CHANNELS.

    Refused (SchemaError): columns of other lengths, infinite fields, negative slots, a conversion without a
    click, a propensity outside (0, 1], times that do not fit the labels, a conversion before its click.
    """

    fields: np.ndarray
    names: tuple[str, ...]
    slot: np.ndarray
    ad: np.ndarray
    clicked: np.ndarray
    converted: np.ndarray
    mature: np.ndarray
    time_s: np.ndarray
    propensity: np.ndarray
    click_s: np.ndarray | None = None
    conversion_s: np.ndarray | None = None
    refund_s: np.ndarray | None = None
    channel: np.ndarray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", np.asarray(self.fields, dtype=np.float32))
        object.__setattr__(self, "names", tuple(self.names))
        for name, kind in (_COLUMNS | _SOMETIMES).items():
            if name in _COLUMNS or getattr(self, name) is not None:
                object.__setattr__(self, name, np.asarray(getattr(self, name)).astype(kind, copy=False))
        _refuse_wrong_shapes(self)
        _refuse_wrong_values(self)
        _refuse_wrong_times(self)

    def __len__(self) -> int:
        return len(self.fields)

    def select(self, rows: np.ndarray) -> Rows:
        """These rows (int numbers or bool [R]), in that order."""
        kept = {name: getattr(self, name)[rows] for name in self._known()}
        return replace(self, fields=self.fields[rows], **kept)

    def split(self, cut_s: int) -> tuple[Rows, Rows]:
        """(rows decided before `cut_s`, rows decided then or later)."""
        early = self.time_s < cut_s
        return self.select(early), self.select(~early)

    def cut_s(self, share: float) -> int:
        """A time before which about `share` of the rows lie, and never all of them if two times differ."""
        assert 0 < share < 1, "a share lies between 0 and 1"
        times = np.sort(self.time_s)
        if not len(times):
            return 0
        cut = times[min(int(len(times) * share), len(times) - 1)]
        if cut > times[0]:
            return int(cut)
        later = times[times > cut]
        return int(later[0] if len(later) else cut + 1)

    def as_known_at(self, now_s: int, window_s: int) -> Rows:
        """The rows decided before `now_s` as one knew them then: what still had time to convert is not mature.

        Without this a model "trained at the cut" would have read conversions that came after it. With times, each
        click, conversion and refund is known from its own moment on, so that a young click keeps the conversion it
        had by then; without them nobody can say when a young click's conversion came, and it is left out.
        """
        kept = self.select(self.time_s < now_s)
        if kept.click_s is None or kept.conversion_s is None or kept.refund_s is None:
            mature = kept.mature & (kept.time_s + window_s <= now_s)
            return replace(kept, mature=mature, converted=kept.converted & mature)
        click, bought, back = (
            np.where(t <= now_s, t, NEVER) for t in (kept.click_s, kept.conversion_s, kept.refund_s)
        )
        since = np.where(click >= 0, click, kept.time_s)
        return replace(
            kept,
            clicked=click >= 0,
            converted=bought >= 0,
            mature=kept.mature & (since + window_s <= now_s),
            click_s=click,
            conversion_s=bought,
            refund_s=back,
        )

    def _known(self) -> list[str]:
        """Names of the columns that these rows have."""
        return [*_COLUMNS, *(name for name in _SOMETIMES if getattr(self, name) is not None)]

    def counts(self) -> dict[str, int]:
        """How many there are of what, and from when until when (Unix seconds), for a manifest. Needs a row."""
        return {
            "rows": len(self),
            "clicks": int(self.clicked.sum()),
            "mature_clicks": int((self.clicked & self.mature).sum()),
            "mature_conversions": int((self.converted & self.mature).sum()),
            "from_s": int(self.time_s.min()),
            "until_s": int(self.time_s.max()),
        }

    @classmethod
    def concat(cls, *parts: Rows) -> Rows:
        """All rows of the parts, one part after the other; what one of them does not know is not known of all.

        Refused: other fields, or another order of them.
        """
        assert parts, "something is concatenated"
        for part in parts[1:]:
            if part.names != parts[0].names:
                raise SchemaError(f"expected fields {parts[0].names}, got {part.names}; log one set of fields")
        known = [name for name in parts[0]._known() if all(getattr(part, name) is not None for part in parts)]
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in known}
        return cls(fields=np.concatenate([part.fields for part in parts]), names=parts[0].names, **joined)


def _refuse_wrong_shapes(rows: Rows) -> None:
    if rows.fields.ndim != 2 or rows.fields.shape[1] != len(rows.names):
        raise SchemaError(f"expected fields [R, {len(rows.names)}] as named, got shape {rows.fields.shape}")
    for name in rows._known():
        if getattr(rows, name).shape != (len(rows),):
            raise SchemaError(f"expected {len(rows):,} values of {name}, got shape {getattr(rows, name).shape}")


def _refuse_wrong_values(rows: Rows) -> None:
    if np.isinf(rows.fields).any():
        worst = [n for n, bad in zip(rows.names, np.isinf(rows.fields).any(0), strict=True) if bad]
        raise SchemaError(f"expected finite fields (NaN = unknown), got infinite {worst}; clip them at their source")
    if len(rows) and rows.slot.min() < 0:
        raise SchemaError("expected slots 0, 1, 2 ..., got a negative one; number them in the order they are seen")
    if lost := int((rows.converted & ~rows.clicked).sum()):
        raise SchemaError(f"{lost:,} rows converted without a click; leave such conversions to attribution")
    if bad := int((~((rows.propensity > 0) & (rows.propensity <= 1))).sum()):
        raise SchemaError(f"expected propensities in (0, 1], got {bad:,} outside; log them after all filters")


def _refuse_wrong_times(rows: Rows) -> None:
    told = [name for name in _TIMES if getattr(rows, name) is not None]
    if rows.click_s is None or rows.conversion_s is None or rows.refund_s is None:
        if told:
            raise SchemaError(f"expected all of {_TIMES} or none, got {tuple(told)}; join them from one log")
        return
    for name, time_s in (("clicked", rows.click_s), ("converted", rows.conversion_s)):
        if bad := int((getattr(rows, name) != (time_s >= 0)).sum()):
            raise SchemaError(
                f"{bad:,} rows are {name} without a time, or have one and are not; use one join for both"
            )
    early = (rows.conversion_s >= 0) & (rows.conversion_s < rows.click_s)
    early |= (rows.refund_s >= 0) & ((rows.conversion_s < 0) | (rows.refund_s < rows.conversion_s))
    if bad := int(early.sum()):
        raise SchemaError(f"{bad:,} rows were bought before their click or refunded before they were bought")
