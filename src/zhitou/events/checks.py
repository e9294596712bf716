"""What is wrong with a source, in named counts: of its rows as they came, and what became of each.

One cross-table of faults and fates is counted in the engine; every sentence is arithmetic on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from zhitou.core import columns as c
from zhitou.core.units import MICROSECONDS
from zhitou.events import clean
from zhitou.events.clean import SKEWED, TWICE, PrepareConfig
from zhitou.events.engine import epoch_us
from zhitou.events.sources.raw import REFUSED, RawBehaviour

CLEAN, DUPLICATE = "clean", "duplicate"

TWICE_CHECK = "said twice"
UNREADABLE = "readable"
RETURNED = "returned"
LATE = "late"


@dataclass(frozen=True)
class Check:
    """One question to the data. `count` of `total` rows are concerned; `sentence` says what becomes of them."""

    name: str
    passed: bool
    count: int
    total: int
    sentence: str


@dataclass(frozen=True)
class Census:
    """How often each combination of faults met each fate: rows of (faults, fate, count).

    A fate is CLEAN, DUPLICATE, or the reason of the quarantine.
    """

    rows: tuple[tuple[frozenset[str], str, int], ...]

    @property
    def total(self) -> int:
        """All rows of the source."""
        return sum(count for _, _, count in self.rows)

    def with_fate(self, fate: str) -> int:
        """Rows that ended so."""
        return sum(count for _, f, count in self.rows if f == fate)

    @property
    def quarantined(self) -> dict[str, int]:
        """Reason -> rows, most frequent first."""
        fates = {fate for _, fate, _ in self.rows} - {CLEAN, DUPLICATE}
        return dict(sorted(((f, self.with_fate(f)) for f in fates), key=lambda pair: (-pair[1], pair[0])))

    def fates_of(self, fault: str) -> dict[str, int]:
        """Fate -> rows among those with this fault, most frequent first."""
        found: dict[str, int] = {}
        for faults, fate, count in self.rows:
            if fault in faults:
                found[fate] = found.get(fate, 0) + count
        return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def take_census(raw: RawBehaviour, judged: ir.Table, config: PrepareConfig, clock_us: int | None) -> Census:
    """Count the judged rows of `clean.judge` by fault and fate, in one pass."""
    flags: dict[str, ir.BooleanValue] = dict(clean.faults(raw, judged, clock_us))
    flags[clean.SERVICE_LINE] = judged[REFUSED] == clean.SERVICE_LINE
    flags[UNREADABLE] = judged[REFUSED].notnull() & (judged[REFUSED] != clean.SERVICE_LINE)
    flags[RETURNED] = (judged[c.KIND] == "refund") | (judged[c.QUANTITY] <= 0)
    flags[clean.NO_PRICE] = flags[clean.NO_PRICE] | (judged[c.PRICE_MICROS] <= 0)
    flags[SKEWED] = judged[SKEWED]
    late_us = epoch_us(judged[c.RECEIVED_AT]) - epoch_us(judged[c.OCCURRED_AT])
    flags[LATE] = late_us > config.late_seconds * MICROSECONDS
    flags[TWICE_CHECK] = judged[TWICE]
    names = list(flags)
    bits = {f"bit_{i}": flags[name].fill_null(False) for i, name in enumerate(names)}
    fate = judged[TWICE].ifelse(DUPLICATE, judged.reason.fill_null(CLEAN))
    counted = judged.select(fate=fate, **bits).group_by(["fate", *bits]).agg(n=ibis._.count())
    rows = [
        (frozenset(name for i, name in enumerate(names) if row[f"bit_{i}"]), row["fate"], row["n"])
        for row in counted.to_pyarrow().to_pylist()
    ]
    return Census(tuple(sorted(rows, key=lambda row: (sorted(row[0]), row[1]))))


# name of the check, the fault it counts, the share of rows above which it fails, what is said of it
_QUESTIONS: tuple[tuple[str, str, float, str], ...] = (
    ("rows are said once", TWICE_CHECK, 0.01, "rows repeat an earlier one word for word or by its id"),
    ("rows are readable", UNREADABLE, 0.001, "rows could not be read"),
    ("kinds are known", clean.UNKNOWN_KIND, 0.001, "rows are of a kind that is not in the contract"),
    ("times are readable", clean.NO_TIME, 0.001, "rows say no time"),
    ("times are possible", clean.TIME_IMPOSSIBLE, 0.001, "rows lie before the shop existed or after their arrival"),
    ("clocks agree", SKEWED, 0.01, "rows occurred up to a day after they arrived; their time is set to the arrival"),
    ("rows arrive in time", LATE, 0.1, "rows arrived late; they are kept, both times stand in them"),
    ("shoppers are named", clean.NO_SUBJECT, 0.05, "rows name no shopper; they cannot be used for one"),
    ("items are named", clean.NO_ITEM, 0.001, "rows name no item where their kind needs one"),
    ("items are goods", clean.SERVICE_LINE, 0.01, "rows are services such as postage, bank charges, corrections"),
    ("quantities are positive", RETURNED, 0.01, "rows are returns or have no quantity above zero"),
    ("prices are positive", clean.NO_PRICE, 0.01, "rows have no price above zero"),
    ("one currency", clean.FOREIGN_CURRENCY, 0.001, "rows are in another currency"),
    ("context is small JSON", clean.BAD_CONTEXT, 0.0, "rows have a context that is no small JSON object"),
    ("consent is readable", clean.BAD_CONSENT, 0.0, "statements of consent say neither yes nor no"),
)
_ROBOTS = (clean.ROBOT_MINUTE, clean.ROBOT_DAY, clean.ROBOT_ITEMS)


def checks_of(census: Census, config: PrepareConfig) -> list[Check]:
    """Every question, answered; a check passes while the share of rows concerned is at most its limit."""
    total = census.total
    checks = [_accounted(census)]
    for name, fault, limit, sentence in _QUESTIONS:
        fates = census.fates_of(fault)
        checks.append(share_check(name, sum(fates.values()), total, sentence, limit, fates))
    robots = {fate: census.with_fate(fate) for fate in _ROBOTS if census.with_fate(fate)}
    limits = (
        f"rows are by robots: more than {config.actions_minute_max} actions in a minute, {config.actions_day_max} "
        f"in a day, or {config.items_day_max} different items looked at in a day"
    )
    return [*checks, share_check("shoppers are human", sum(robots.values()), total, limits, 0.01, robots)]


def share_check(
    name: str, count: int, total: int, sentence: str, limit: float, fates: Mapping[str, int] | None = None
) -> Check:
    """A check that passes while `count` is at most the share `limit` of `total`; `fates` says what became of them."""
    if count == 0:
        said = f"0 of {total:,} {sentence}"
    else:
        said = f"{count:,} of {total:,} ({100 * count / total:.1f} %, limit {100 * limit:g} %) {sentence}"
    if fates:
        said += ": " + ", ".join(f"{n:,} {_fate_in_words(fate)}" for fate, n in fates.items())
    return Check(name, count <= limit * total, count, total, said)


def _accounted(census: Census) -> Check:
    kept, twice, held = census.with_fate(CLEAN), census.with_fate(DUPLICATE), sum(census.quarantined.values())
    sentence = f"{census.total:,} rows = {kept:,} clean + {twice:,} duplicates + {held:,} quarantined"
    return Check(
        "every row is accounted for", kept + twice + held == census.total, census.total, census.total, sentence
    )


def _fate_in_words(fate: str) -> str:
    return {CLEAN: "kept", DUPLICATE: "dropped as duplicates"}.get(fate, f"quarantined ({fate})")


def check(raw: RawBehaviour, config: PrepareConfig | None = None, clock_us: int | None = None) -> list[Check]:
    """The answers that `prepare` would give, without writing anything.

    clock_us: now, in UTC microseconds; without it, times are held only against their own arrival.
    """
    config = config or PrepareConfig()
    judged = clean.judge(raw, "check", _numbered, config, clock_us)
    return checks_of(take_census(raw, judged, config, clock_us), config)


def _numbered(raw_ids: list[str]) -> list[str]:
    """Names for one look at the data: nothing is written, so nothing needs a key."""
    return [f"subject {number}" for number in range(len(raw_ids))]
