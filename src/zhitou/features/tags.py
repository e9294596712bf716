"""What a shopper is like, in words: recency, frequency and money in quintiles, and tags with weights.

A tag's *weight* is its share of the shopper's points (decayed acts, features/acts.py); its *lift* is that share
over everybody's. Tags are ranked by weight * ln(lift): how much each tells this shopper apart from the average.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import _

from zhitou.catalog.table import ItemTable
from zhitou.core import columns as c
from zhitou.core.errors import NotFoundError, SourceError
from zhitou.core.units import MICROS, SECONDS_PER_DAY
from zhitou.features.acts import PARTS_OF_DAY, PRICE_LEVELS, Acts
from zhitou.features.cells import CATEGORY_LEVEL

PROFILES_FILE = "profiles.parquet"
QUINTILES = 5
# kind of tag -> (column of the acts, how many of them a profile holds)
TAG_KINDS = {"category": ("category", 8), "brand": ("brand", 3), "price": ("price_level", 2), "time": ("part", 2)}
EVIDENCE_ACTS = 3  # fewer lines than this are no tag
TAG_TYPE = pa.list_(
    pa.struct([("kind", pa.string()), ("tag", pa.string()), ("weight", pa.float32()), ("lift", pa.float32())])
)
PROFILE_SCHEMA = pa.schema(
    [
        pa.field(c.SUBJECT, pa.string(), nullable=False),
        pa.field("first_s", pa.int64(), nullable=False),  # Unix seconds of the first and last act
        pa.field("last_s", pa.int64(), nullable=False),
        pa.field("orders", pa.int64(), nullable=False),
        pa.field("lines_per_order", pa.float64()),
        pa.field("spend_micros", pa.int64(), nullable=False),
        pa.field("interval_days_median", pa.float64()),  # between orders; null below two
        pa.field("recency_quintile", pa.int8(), nullable=False),  # 5 = most recent, most often, most money
        pa.field("frequency_quintile", pa.int8(), nullable=False),
        pa.field("monetary_quintile", pa.int8(), nullable=False),
        pa.field("last_categories", pa.list_(pa.string()), nullable=False),  # latest first
        pa.field("tags", TAG_TYPE, nullable=False),
    ]
)
_LAST_CATEGORIES = 5


@dataclass(frozen=True)
class Profiles:
    """One row of PROFILE_SCHEMA per subject, sorted by subject; what was known strictly before `at_s`."""

    table: pa.Table
    at_s: int
    currency: str

    def __len__(self) -> int:
        return self.table.num_rows

    def row(self, subject: str) -> dict:
        """The profile of this subject as a dict. Refused (NotFoundError): a subject without any."""
        subjects = np.asarray(self.table[c.SUBJECT].to_pylist(), dtype=object)
        at = int(np.searchsorted(subjects, subject))
        if at == len(subjects) or subjects[at] != subject:
            raise NotFoundError(f"no profile of {subject!r}: no known act before the cut, or no consent to one")
        return self.table.slice(at, 1).to_pylist()[0]

    def describe(self, subject: str) -> list[str]:
        """What is known of this subject, in sentences that the subject may read."""
        return describe(self.row(subject), self.at_s, self.currency)

    def write(self, folder: Path) -> Path:
        """profiles.parquet in this folder."""
        path = folder / PROFILES_FILE
        meta = {b"at_s": str(self.at_s).encode(), b"currency": self.currency.encode()}
        pq.write_table(self.table.replace_schema_metadata(meta), path)
        return path

    @classmethod
    def read(cls, folder: Path) -> Profiles:
        """From profiles.parquet in this folder. Refused (SourceError): none there."""
        path = folder / PROFILES_FILE
        if not path.exists():
            raise SourceError(f"expected profiles at {path}, found none; run `zhitou features` first")
        table = pq.read_table(path)
        meta = table.schema.metadata
        return cls(table.replace_schema_metadata(None), int(meta[b"at_s"]), meta[b"currency"].decode())


def build_profiles(acts: Acts, items: ItemTable, threads: int = 2) -> Profiles:
    """The profiles of all subjects with an act."""
    con = ibis.duckdb.connect(threads=threads)
    table = ibis.memtable(acts.table)
    summary = con.to_pyarrow(_summary(table).order_by("subject"))
    interval = np.full(len(acts.subjects), np.nan)
    intervals = con.to_pyarrow(_intervals(table))
    interval[intervals["subject"].to_numpy()] = intervals["days"].to_numpy()
    orders, spend = summary["orders"].to_numpy(), summary["spend_micros"].to_numpy()
    last_s, lines = summary["last_s"].to_numpy(), summary["lines"].to_numpy().astype(np.float64)
    columns = [
        pa.array(acts.subjects, type=pa.string()),
        summary["first_s"],
        summary["last_s"],
        summary["orders"],
        pa.array(np.divide(lines, orders, out=np.full(len(orders), np.nan), where=orders > 0), from_pandas=True),
        summary["spend_micros"],
        pa.array(interval, from_pandas=True),
        quintiles(last_s),
        quintiles(orders),
        quintiles(spend),
        _last_categories(con.to_pyarrow(_last(table)), items, len(acts.subjects)),
        _tag_lists(con, table, items, len(acts.subjects)),
    ]
    con.disconnect()
    return Profiles(pa.table(columns, schema=PROFILE_SCHEMA), acts.at_s, items.currency)


def quintiles(values: np.ndarray) -> np.ndarray:
    """int8 [N]: 1..5 by the share of values that are smaller; equal values get the same quintile.

    >>> quintiles(np.array([10, 20, 30, 40, 50, 50])).tolist()
    [1, 1, 2, 3, 4, 4]
    """
    smaller = np.searchsorted(np.sort(values), values, side="left")
    return (1 + smaller * QUINTILES // max(len(values), 1)).astype(np.int8)


def _summary(acts: ibis.Table) -> ibis.Table:
    return acts.group_by("subject").agg(
        first_s=_.time_s.min(),
        last_s=_.time_s.max(),
        orders=_.basket.nunique(where=_.bought),
        lines=_.bought.sum(),
        spend_micros=_.spend_micros.sum().cast("int64"),
    )


def _intervals(acts: ibis.Table) -> ibis.Table:
    """Median days between the orders of each subject with two or more."""
    orders = acts.filter(_.bought).group_by("subject", "basket").agg(time_s=_.time_s.min())
    before = ibis.window(group_by="subject", order_by=["time_s", "basket"])
    gaps = orders.mutate(gap_s=_.time_s - _.time_s.lag().over(before))
    days = gaps.filter(_.gap_s.notnull()).group_by("subject").agg(days=_.gap_s.median() / SECONDS_PER_DAY)
    return days


def _last(acts: ibis.Table) -> ibis.Table:
    """The latest categories of each subject, with their place: 0 = latest."""
    seen = acts.filter(_.category > 0).group_by("subject", "category").agg(time_s=_.time_s.max())
    order = ibis.window(group_by="subject", order_by=[ibis.desc("time_s"), "category"])
    ranked = seen.mutate(place=ibis.row_number().over(order))
    return ranked.filter(_.place < _LAST_CATEGORIES).order_by("subject", "place")


def _last_categories(rows: pa.Table, items: ItemTable, subjects: int) -> pa.Array:
    words = short_names(items.category_names[CATEGORY_LEVEL])
    values = [words[code] for code in rows["category"].to_pylist()]
    return _lists(rows["subject"].to_numpy(), pa.array(values, type=pa.string()), subjects)


def tag_rows(acts: ibis.Table, column: str, top: int) -> ibis.Table:
    """subject, code, weight, lift, score: the `top` codes of this column that tell each subject apart."""
    known = acts.filter(acts[column] > 0)
    own = known.group_by("subject", code=known[column]).agg(points=_.points.sum().cast("int64"), lines=_.count())
    everybody = known.group_by(code=known[column]).agg(all_points=_.points.sum().cast("int64"))
    totals = known.group_by("subject").agg(own_total=_.points.sum().cast("int64"))
    joined = own.join(everybody, "code").join(totals, "subject").filter(_.own_total > 0)
    grand = known.agg(grand=_.points.sum().cast("int64"))
    shares = joined.cross_join(grand).mutate(weight=_.points / _.own_total)
    lifted = shares.mutate(lift=_.weight / (_.all_points / _.grand)).filter(_.points > 0)
    scored = lifted.filter(_.lines >= EVIDENCE_ACTS).mutate(score=(_.weight * _.lift.ln()).round(9))
    order = ibis.window(group_by="subject", order_by=[ibis.desc("score"), "code"])
    ranked = scored.mutate(place=ibis.row_number().over(order)).filter((_.place < top) & (_.score > 0))
    return ranked.select("subject", "code", "weight", "lift", "score", "place")


def _tag_lists(con: ibis.BaseBackend, acts: ibis.Table, items: ItemTable, subjects: int) -> pa.Array:
    """TAG_TYPE [S]: the tags of each subject, by kind and then by score."""
    words = {
        "category": short_names(items.category_names[CATEGORY_LEVEL]),
        "brand": items.brand_names,
        "price": ("", *PRICE_LEVELS),
        "time": ("", *PARTS_OF_DAY),
    }
    parts, owners = [], []
    for kind, (column, top) in TAG_KINDS.items():
        rows = con.to_pyarrow(tag_rows(acts, column, top).order_by("subject", "place"))
        tags = [words[kind][code] for code in rows["code"].to_pylist()]
        weight, lift = (rows[name].to_numpy().astype(np.float32) for name in ("weight", "lift"))
        parts.append([[kind] * len(tags), tags, weight, lift])
        owners.append(rows["subject"].to_numpy())
    owner = np.concatenate(owners)
    order = pa.array(np.argsort(owner, kind="stable"))
    arrays = [
        pa.concat_arrays([pa.array(part[i], type=TAG_TYPE.value_type[i].type) for part in parts]).take(order)
        for i in range(TAG_TYPE.value_type.num_fields)
    ]
    structs = pa.StructArray.from_arrays(arrays, fields=list(TAG_TYPE.value_type))
    return _lists(np.sort(owner), structs, subjects)


def _lists(owner: np.ndarray, values: pa.Array, subjects: int) -> pa.Array:
    """Values grouped by owner (sorted) as one list per subject; a subject without any has an empty list."""
    offsets = np.searchsorted(owner, np.arange(subjects + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values)


def short_names(paths: tuple[str, ...]) -> tuple[str, ...]:
    """The last level of each category path in small letters: "GROCERY > FRZN PIZZA" is "frzn pizza"."""
    return tuple(path.split(c.CATEGORY_SEPARATOR)[-1].lower() for path in paths)


def long_names(paths: tuple[str, ...]) -> tuple[str, ...]:
    """The last two levels: "GROCERY > PASTA SAUCE > MAINSTREAM" is "pasta sauce: mainstream"."""
    return tuple(": ".join(path.split(c.CATEGORY_SEPARATOR)[-2:]).lower() for path in paths)


def describe(profile: dict, at_s: int, currency: str) -> list[str]:
    """A profile (a row of PROFILE_SCHEMA) in sentences; what is unknown is left out."""
    days = (at_s - profile["last_s"]) / SECONDS_PER_DAY
    out = [f"Last seen {days:.0f} days before the cut."]
    if profile["orders"]:
        spend = profile["spend_micros"] / MICROS / profile["orders"]
        each = f"{profile['lines_per_order']:.1f} lines and {spend:.2f} {currency} each"
        out = [f"{profile['orders']} orders, {each}; last seen {days:.0f} days before the cut."]
    if profile["interval_days_median"] is not None:
        out.append(f"Orders about every {profile['interval_days_median']:.1f} days.")
    marks = [profile[f"{name}_quintile"] for name in ("recency", "frequency", "monetary")]
    out.append("Recency {}, frequency {}, money {} of 5 (5 = most).".format(*marks))
    by_kind: dict[str, list[dict]] = {kind: [] for kind in TAG_KINDS}
    for tag in profile["tags"]:
        by_kind[tag["kind"]].append(tag)
    names = {
        "category": "Strong in",
        "brand": "Prefers the brand",
        "price": "Buys in the price level",
        "time": "Active in the",
    }
    for kind, tags in by_kind.items():
        if tags:
            out.append(f"{names[kind]} {', '.join(_words(tag) for tag in tags[:3])}.")
    if profile["last_categories"]:
        out.append(f"Latest: {', '.join(profile['last_categories'])}.")
    return out


def _words(tag: dict) -> str:
    return f"{tag['tag']} ({tag['weight']:.0%} of acts, {tag['lift']:.1f} times the average)"
