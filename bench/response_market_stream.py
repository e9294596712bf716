"""A log of the practice market under a random policy, with the truth beside every row: for bench/response_market.py.

Everything a model may read stands as it stood before the visit: online features, the last purchases of advertised
types, vectors made of purchases before the first day. R = shown ads, N = visits, H = shoppers, K = ads, L = history.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds
from scipy.special import expit, logit

from zhitou.assembly import PREPARED, Shop, open_shop, pseudonyms
from zhitou.campaign.adbook import AdBook
from zhitou.configs import laptop
from zhitou.core.chance import Chance
from zhitou.core.clock import SystemClock
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.delivery.candidates import CONTEXT_FIELDS, context
from zhitou.events.histories import PURCHASE
from zhitou.events.prepare import prepare
from zhitou.events.schema import KIND_CODE
from zhitou.events.sources.complete_journey import read_complete_journey
from zhitou.features.online import OnlineFeatures
from zhitou.loop.run import fit_market
from zhitou.market.appeal import _hidden
from zhitou.market.campaigns import demo_campaigns
from zhitou.market.fit import Market
from zhitou.market.world import Outcomes, Tick, World
from zhitou.response.deep_inputs import AdSide, RequestSide, Side
from zhitou.response.rows import Rows

LENGTH = 16  # acts of a history
VECTOR = 16  # width of an interest vector
INTEREST = ("interest_score", "interest_lift")
WINDOW_S = 2 * SECONDS_PER_DAY
HOUR_S = 3_600
TASTE_DRAWS = 24
AT_ONCE = 256  # visits whose fields are worked out together


@dataclass(frozen=True)
class Stream:
    """R rows in order of time. truth: float64 [R], the chance of a click in the row's slot.

    observable: float64 [R], the same as one would expect it who knew how the market works, every ad's own pull and
    every type's hours, but of each shopper only what it bought. decile: int8 [R], of lines bought before.
    bid_micros: int64 [K], what each ad would pay for a click.
    """

    rows: Rows
    side: Side
    truth: np.ndarray
    observable: np.ndarray
    decile: np.ndarray
    bid_micros: np.ndarray


def open_journey(folder: Path | None) -> Iterator[Shop]:
    """The Complete Journey, prepared in `folder` (a run of the demo) or anew in a temporary one."""
    config, clock = laptop(1), SystemClock()
    if folder is not None and (folder / PREPARED).exists():
        yield open_shop(config, folder, clock)
        return
    with tempfile.TemporaryDirectory() as made:
        path = Path(made)
        prepare(read_complete_journey(), path / PREPARED, pseudonyms(config, path), config.prepare, clock.now_us())
        yield open_shop(config, path, clock)


def make_stream(shop: Shop, days: int, visits_per_week: float, seed: int) -> Stream:
    """`days` days of every shopper, two ads drawn at random at each visit."""
    market_config = replace(shop.config.market, visits_per_week=visits_per_week)
    shop = replace(shop, config=replace(shop.config, market=market_config))
    market, chance = fit_market(shop), Chance(seed)
    campaigns = demo_campaigns(
        shop.everybody.before(shop.cut_s),
        shop.items,
        start_s=shop.cut_s,
        days=days,
        promotions=shop.promotions,
        chance=shop.chance.child("advertisers"),
    )
    book = AdBook.build(campaigns, shop.items)
    world = market.world(book, chance.child("world"), shop.cut_s, days)
    past = shop.past
    features = OnlineFeatures(shop.items, book, chance.child("canary"))
    features.load(past)
    memory = _Memory(market, book, shop)
    ads = ad_side(market, book)
    vectors, scores = _interest(shop, market, book)
    row_of = np.asarray([past.row(s) for s in market.subjects], dtype=np.int64)
    log = _Log(market, world, book, features, memory, row_of, scores, chance)
    for tick in world.ticks():
        log.visit(tick)
    return log.stream(ads, vectors, shop.cut_s + days * SECONDS_PER_DAY)


def ad_side(market: Market, book: AdBook) -> AdSide:
    """What the catalogue and the book say of each ad; target: its type's place among the advertised types, from 1."""
    items, item = market.items, book.item
    _, target = np.unique(market.type_of_item[item], return_inverse=True)
    columns = (np.arange(len(book)), item, target, items.category[item, 1], items.brand[item], book.campaign)
    codes = np.stack(columns, 1).astype(np.int64)
    return AdSide(("ad", "item", "type", "category", "brand", "campaign"), codes, (1 + target).astype(np.int32))


def _interest(shop: Shop, market: Market, book: AdBook) -> tuple[np.ndarray, np.ndarray]:
    """(vectors float32 [S, VECTOR], fields float32 [S, K, 2]) of purchases before the cut, made in a second.

    The place of an interest model: leading singular directions of log purchase counts by type; an ad's score is what
    they expect of its type, its lift what that exceeds all shoppers' mean by.
    """
    past, kind = shop.past, market.type_of_item
    bought = past.action == PURCHASE
    ones = np.ones(int(bought.sum()), dtype=np.float64)
    cells = past.subject_of_event[bought], kind[past.item[bought]]
    counts = sparse.csr_matrix((ones, cells), (len(past), int(kind.max()) + 1))
    counts.data = np.log1p(counts.data)
    left, size, right = svds(counts, k=VECTOR, v0=np.ones(min(counts.shape)))
    vectors = left * size
    score = vectors @ right[:, kind[book.item]]
    fields = np.stack([score, score - score.mean(0)], 2).astype(np.float32)
    return ((vectors - vectors.mean(0)) / vectors.std(0)).astype(np.float32), fields


class _Memory:
    """The last LENGTH purchases of advertised types of each shopper of the market. codes, time_s: [H, LENGTH]."""

    def __init__(self, market: Market, book: AdBook, shop: Shop) -> None:
        kinds = np.unique(market.type_of_item[book.item])
        code = np.zeros(int(market.type_of_item.max()) + 1, dtype=np.int32)
        code[kinds] = 1 + np.arange(len(kinds))
        self.code_of_item = code[market.type_of_item]
        H = len(market.subjects)
        self.codes, self.time_s = np.zeros((H, LENGTH), np.int32), np.zeros((H, LENGTH), np.int64)
        bought = market.purchases
        self.lines = np.diff(bought.offsets)
        allowed = np.asarray([shop.past.row(s) >= 0 for s in market.subjects])
        owner = bought.subject_of_event
        told = allowed[owner] & (self.code_of_item[bought.item] > 0)
        self.allowed = allowed
        self.add(owner[told], bought.item[told], bought.time_s[told])

    def add(self, subject: np.ndarray, item: np.ndarray, time_s: np.ndarray) -> None:
        """Purchases in order of time, newest first in memory."""
        code = self.code_of_item[item]
        for s, c, t in zip(subject.tolist(), code.tolist(), time_s.tolist(), strict=True):
            if c and self.allowed[s]:
                self.codes[s, 1:], self.time_s[s, 1:] = self.codes[s, :-1].copy(), self.time_s[s, :-1].copy()
                self.codes[s, 0], self.time_s[s, 0] = c, t


class _Log:
    """Plays the ticks and writes down what a deployment would, and the truth."""

    def __init__(
        self,
        market: Market,
        world: World,
        book: AdBook,
        features: OnlineFeatures,
        memory: _Memory,
        row_of: np.ndarray,
        scores: np.ndarray,
        chance: Chance,
    ) -> None:
        self.market, self.world, self.book, self.features, self.memory = market, world, book, features, memory
        self.row_of, self.scores, self.draw = row_of, scores, chance.stream("random policy")
        self.unseen = _unseen(market, world, book, chance.child("world"), chance.stream("tastes"))
        self.slots = len(world.examination)
        self.parts: list[dict[str, np.ndarray]] = []
        self.coming = np.zeros((0, 3), dtype=np.int64)
        edges = np.quantile(memory.lines, np.arange(1, 10) / 10)
        self.decile = np.searchsorted(edges, memory.lines).astype(np.int8)

    def visit(self, tick: Tick) -> None:
        """One hour: fields, random ads, what came of them; then everybody learns of it."""
        B, K, S = len(tick.subjects), len(self.book), self.slots
        end_s = tick.start_s + HOUR_S - 1
        if B:
            first = self.draw.integers(K, size=B)
            shown = np.stack([first, (first + self.draw.integers(1, K, size=B)) % K], 1)[:, :S]
            fields = self._fields(tick, shown)
            outcomes = self.world.respond(tick, shown)
            self._write(tick, shown, fields, outcomes)
            self._tell(tick, shown, outcomes, end_s)
        own = self.world.organic(tick)
        row, late = self.row_of[own.subjects], np.minimum(own.time_s, end_s)
        known = row >= 0
        none = np.full(int(known.sum()), -1, dtype=np.int32)
        self.features.write(row[known], own.kind[known], own.item[known], none, late[known], own.price_micros[known])
        self.memory.add(own.subjects, own.item, late)

    def _fields(self, tick: Tick, shown: np.ndarray) -> np.ndarray:
        """float32 [B, S, F + 5] of the ads shown; a stranger's interest is unknown."""
        row, out = self.row_of[tick.subjects], []
        for start in range(0, len(row), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            every = self.features.value(row[part], tick.time_s[part])
            out.append(every[np.arange(len(every))[:, None], shown[part]])
        moment = np.broadcast_to(context(tick.time_s)[:, None], (*shown.shape, len(CONTEXT_FIELDS)))
        wish = self.scores[np.maximum(row, 0)[:, None], shown]
        wish = np.where((row >= 0)[:, None, None], wish, np.float32(np.nan))
        return np.concatenate([np.concatenate(out), wish, moment], 2)

    def _write(self, tick: Tick, shown: np.ndarray, fields: np.ndarray, outcomes: Outcomes) -> None:
        memory, day = self.memory, tick.number // 24
        age = (tick.time_s[:, None] - memory.time_s[tick.subjects]) / SECONDS_PER_DAY
        appeal, column = self.world.plan.appeal, self.world.plan.appeal.column[shown]
        here = tick.subjects[:, None]
        hidden = self.unseen[here, shown] + appeal.drift[day, here, appeal.group_of_column[column]]
        hidden = hidden + appeal.trend[day, column]
        truth, look = outcomes.click_chance, self.world.examination[: shown.shape[1]]
        hour = tick.time_s // HOUR_S % 24
        self.parts.append(
            {
                "fields": fields,
                "ad": shown,
                "truth": truth,
                "observable": expit(logit(truth / look) - hidden) * look,
                "clicked": outcomes.clicked,
                "converted": outcomes.converted & (outcomes.conversion_time_s - outcomes.click_time_s <= WINDOW_S),
                "time_s": tick.time_s,
                "subject": tick.subjects,
                "history": memory.codes[tick.subjects],
                "age_days": age.astype(np.float32),
                "codes": np.stack([hour, tick.time_s // SECONDS_PER_DAY % 7, self.decile[tick.subjects]], 1),
            }
        )

    def _tell(self, tick: Tick, shown: np.ndarray, outcomes: Outcomes, end_s: int) -> None:
        """Impressions and clicks of this hour, and the conversions that have come by its end."""
        row, S = self.row_of[tick.subjects], shown.shape[1]
        flat, ad, time_s = np.repeat(row, S), shown.ravel(), np.repeat(tick.time_s, S)
        clicked = outcomes.clicked.ravel()
        sold = np.flatnonzero(outcomes.converted.ravel())
        new = np.stack([flat[sold], ad[sold], outcomes.conversion_time_s.ravel()[sold]], 1)
        coming = np.concatenate([self.coming, new])
        due = coming[:, 2] <= end_s
        self.coming, come = coming[~due], coming[due]
        at = np.minimum(outcomes.click_time_s.ravel()[clicked], end_s)
        facts = [("impression", flat, ad, time_s), ("click", flat[clicked], ad[clicked], at)]
        facts.append(("conversion", come[:, 0], come[:, 1], come[:, 2]))
        facts.append(("purchase", come[:, 0], come[:, 1], come[:, 2]))
        for kind, who, what, when in facts:
            code = np.full(len(who), KIND_CODE[kind], dtype=np.int8)
            of_ad = np.full(len(who), -1) if kind == "purchase" else what
            self.features.write(who, code, self.book.item[what], of_ad, when, self.book.price_micros[what])

    def stream(self, ads: AdSide, vectors: np.ndarray, end_s: int) -> Stream:
        """Everything as one log."""

        def all_of(name: str) -> np.ndarray:
            return np.concatenate([part[name] for part in self.parts])

        S, time_s = self.slots, np.repeat(all_of("time_s"), self.slots)
        N, fields = len(self.parts) and len(all_of("time_s")), all_of("fields")
        mature = time_s + WINDOW_S <= end_s
        rows = Rows(
            fields=fields.reshape(N * S, -1),
            names=(*self.features.names, *INTEREST, *CONTEXT_FIELDS),
            slot=np.tile(np.arange(S), N),
            ad=all_of("ad").ravel(),
            clicked=all_of("clicked").ravel(),
            converted=all_of("converted").ravel() & mature,
            mature=mature,
            time_s=time_s,
            propensity=np.full(N * S, 1 / len(self.book)),
        )
        subject = all_of("subject")
        requests = RequestSide(
            names=("hour", "weekday", "decile"),
            codes=all_of("codes").astype(np.int64),
            history=all_of("history"),
            age_days=all_of("age_days"),
            shopper=self.row_of[subject].astype(np.int32),
            interest=vectors,
        )
        side = Side(ads, requests, np.repeat(np.arange(N, dtype=np.int32), S))
        decile = np.repeat(self.decile[subject], S)
        return Stream(rows, side, all_of("truth").ravel(), all_of("observable").ravel(), decile, self.book.bid_micros)


def _unseen(market: Market, world: World, book: AdBook, chance: Chance, draw: np.random.Generator) -> np.ndarray:
    """float32 [H, K]: what is hidden in the click's logit, less the log of its mean factor over what it could be.

    The shopper's whims for items and brands, and the true taste against what its purchases leave open. Drift and
    trend are taken off where the day is known; the logs of their mean factors are in here.
    """
    config, appeal = market.config, world.plan.appeal
    pull = config.ad_sd * chance.stream("market-ad").standard_normal(len(book))
    whims = _hidden(market, book, chance) - pull
    types = np.unique(market.type_of_item[book.item])
    parameters, total = market.tastes.pseudo_lines(types)
    share, pseudo = market.tastes.share[types], market.tastes.concentration
    lines = float(total.mean()) - pseudo
    mean = np.zeros(parameters.shape)
    for _ in range(TASTE_DRAWS):
        own = lines * draw.standard_gamma(parameters) / total[:, None]
        ratio = (own + pseudo * share) / ((lines + pseudo) * share)
        clipped = np.clip(np.log(ratio), -config.taste_clip, config.taste_clip)
        mean += np.exp(config.taste_weight * clipped) / TASTE_DRAWS
    expected = np.log(mean)[:, appeal.column]
    sds = config.item_sd, config.brand_sd, config.drift_sd, config.trend_sd
    found = whims + appeal.taste - expected - sum(sd**2 for sd in sds) / 2
    return np.asarray(found, dtype=np.float32)
