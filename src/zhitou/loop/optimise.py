"""The schedule of an open shop: feedback in, a candidate out, judged, watched, promoted or refused, and why.

Everything that is decided stands in the registry, and everything else follows from the shop's log, so a round may
be stopped between any two of its steps and taken up by another process.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zhitou.core.chance import Chance
from zhitou.core.errors import ModelError
from zhitou.core.files import append_line
from zhitou.core.units import MICROSECONDS, SECONDS_PER_DAY
from zhitou.evaluation.calibration import calibration_ratio
from zhitou.evaluation.experiment import Estimate
from zhitou.feedback.drift import Alarm, DriftRows, DriftRules, DriftWatch, Reference
from zhitou.feedback.promotion import Gates, LaterRows, Verdict, judge
from zhitou.feedback.registry import Entry, Registry
from zhitou.loop.follow import shadow_file
from zhitou.loop.guard import Guard, Models
from zhitou.loop.narrator import Narrator
from zhitou.loop.served import Log, Served
from zhitou.loop.shadowed import logged_decisions, read_shadow, shadow_of
from zhitou.response.compare import in_slots
from zhitou.response.config import ResponseConfig
from zhitou.response.delay import Lateness, lateness_of
from zhitou.response.places import by_place
from zhitou.response.refresh import refresh_response
from zhitou.response.response import Response
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response

ROUNDS_FILE, ALARMS_FILE = "rounds.jsonl", "alarms.jsonl"
LOOK_SECONDS = 0.25  # between two looks at the champion's health: a rollback takes effect within a second


@dataclass(frozen=True)
class Plan:
    """When something is tried and what it must pass.

    rows_least: shown rows since the last candidate before another is trained. later_share: of the rows that are new
    to the champion, the share before the slice on which a candidate is judged first. shadow_requests: how many of
    the champion's requests it then scores unseen before it is judged again, on the rows that came since (0: the first
    verdict decides). reference_rows: the champion's first rows, which drift is measured against. conversion_seconds:
    how long after its click a conversion counts; delay_days: how far back the log is read for how late they come.
    """

    rows_least: int = 1_000
    later_share: float = 0.7
    shadow_requests: int = 1_000
    reference_rows: int = 5_000
    conversion_seconds: float = 7.0 * SECONDS_PER_DAY
    delay_days: int = 60
    gates: Gates = field(default_factory=Gates)
    drift: DriftRules = field(default_factory=DriftRules)


class Pace(Protocol):
    """Time and patience as an argument."""

    def now_us(self) -> int:
        """Microseconds since the epoch, UTC."""
        ...

    def wait(self, seconds: float) -> bool:
        """Let this much time pass; False as soon as one is asked to stop."""
        ...


@dataclass
class _Drift:
    """The drift watch of one champion, and how far it has read."""

    champion: str
    since_us: int
    until_s: int = 0
    waiting: Served | None = None
    watch: DriftWatch | None = None


@dataclass
class Optimiser:
    """One shop's schedule. folder: the run's; below it optimise/ is written here, shadow/ by the server.

    chance: for training. Called by one thread.
    """

    registry: Registry
    log: Log
    folder: Path
    chance: Chance
    narrator: Narrator
    plan: Plan = Plan()
    config: ResponseConfig = field(default_factory=ResponseConfig)
    _last: dict[str, Any] = field(default_factory=dict)
    _drift: _Drift | None = None

    def __post_init__(self) -> None:
        self._models = Models(self.registry)
        self._told = {(a["champion"], a["kind"], a["name"]) for a in _lines(self._path(ALARMS_FILE))}

    @property
    def last(self) -> dict[str, Any]:
        """The record of the newest round, as far as it came, as plain JSON values."""
        return dict(_plain(self._last))

    def round(self, now_us: int) -> dict[str, Any]:
        """All steps of one round; its record."""
        return list(self.steps(now_us))[-1]

    def steps(self, now_us: int) -> Iterator[dict[str, Any]]:
        """One round, step by step: after each, what is known of it so far. The last one has been written down."""
        record: dict[str, Any] = {"at_us": now_us, "champion": self.registry.champion()}
        self._last = record
        champion = self.registry.champion()
        if champion is None:
            self.narrator.say("no model is in use yet; `zhitou demo` or `zhitou run` makes the first one")
            yield record
            return
        with self.narrator.stage("feedback", "clicks and conversions since the champion was trained, joined by id"):
            served = self._collect(champion, now_us, record)
            late = self._lateness(champion, served, now_us, record)
        yield record
        with self.narrator.stage("drift", "features, calibration and base rate against the champion's first rows"):
            self._watch_drift(champion, served, record)
        yield record
        with self.narrator.stage("optimise", "a new model replaces the old one only on evidence"):
            shadow = self.registry.shadow()
            if shadow is not None:
                self._judge_shadow(champion, shadow, served, now_us, record)
            else:
                self._train(champion, served, late, now_us, record)
        record["in_use"] = self.registry.champion()
        self._write(ROUNDS_FILE, record)
        self.narrator.fact(f"in use: {record['in_use']}; wrote {self._path(ROUNDS_FILE)}")
        yield record

    def _collect(self, champion: str, now_us: int, record: dict[str, Any]) -> Served:
        """The rows that the champion did not learn from."""
        until_s = int(self._models[champion].figures["until_s"])
        served = self.log.settled(now_us, (until_s + 1) * MICROSECONDS - 1)
        record |= {"rows": len(served), "clicks": int(served.rows.clicked.sum())}
        record["conversions_by_now"] = int(served.rows.converted.sum())
        self.narrator.fact(
            f"{len(served):,} shown ads, {record['clicks']:,} clicks, "
            f"{record['conversions_by_now']:,} conversions by now"
        )
        if len(served):
            ratio = calibration_ratio(served.rows.clicked, in_slots(self._models[champion], served.rows)[0])
            record["calibration"] = _numbers(ratio)
            self.narrator.fact(f"the champion {champion}: predicted over observed clicks {ratio}")
        return served

    def _lateness(self, champion: str, served: Served, now_us: int, record: dict[str, Any]) -> Lateness:
        """How late conversions come, by all of the log that is not too old, and pCVR held against what came.

        The figure is of all clicks, each as far as its age lets it speak; where the delay is not known, of the mature
        clicks alone, and its name says so.
        """
        now_s = now_us // MICROSECONDS
        log = self.log.settled(now_us, max(0, now_us - self.plan.delay_days * SECONDS_PER_DAY * MICROSECONDS))
        late = lateness_of(log.rows, now_s, self.plan.conversion_seconds)
        record["conversion_delay"] = late.words
        self.narrator.fact(late.words)
        rows, known = served.rows, late.matured(served.rows)
        name, of = "conversion_calibration", rows.clicked
        if known is None:
            name, of, known = (
                "conversion_calibration_of_mature_clicks",
                rows.clicked & rows.mature,
                np.ones(len(rows)),
            )
        if rows.converted[of].any():
            told = in_slots(self._models[champion], rows)[1] * known
            ratio = calibration_ratio(rows.converted[of], told[of])
            record[name] = _numbers(ratio)
            self.narrator.fact(f"{name.replace('_', ' ')}: predicted over observed conversions {ratio}")
        return late

    def _watch_drift(self, champion: str, served: Served, record: dict[str, Any]) -> None:
        """Hold the champion's newest rows against its first ones."""
        model, since_us = self._models[champion], self.registry.history()[-1].at_us
        if self._drift is None or (self._drift.champion, self._drift.since_us) != (champion, since_us):
            self._drift = _Drift(champion, since_us)
        state = self._drift
        own = served.select((served.model == model.version) & (served.rows.time_s >= since_us // MICROSECONDS))
        own = own.select(own.rows.time_s > state.until_s)
        alarms: tuple[Alarm, ...] = ()
        if len(own):
            state.until_s = int(own.rows.time_s.max())
            alarms = self._compare(state, model, own)
        record["alarms"] = []
        for alarm in alarms:
            noted = {"champion": champion, "at_us": record["at_us"], **asdict(alarm)}
            key = (champion, alarm.kind, alarm.name)
            if key in self._told:
                continue  # told before this process was started
            self._told.add(key)
            self._write(ALARMS_FILE, noted)
            record["alarms"].append(noted)
            self.narrator.fact(f"[bold]{alarm}[/bold]")
        if state.watch is None:
            have = 0 if state.waiting is None else len(state.waiting)
            self.narrator.fact(f"the reference is being made: {have:,} of {self.plan.reference_rows:,} rows")
        elif not record["alarms"]:
            self.narrator.fact(f"nothing new in {state.watch.rows:,} rows")

    def _compare(self, state: _Drift, model: Response, own: Served) -> tuple[Alarm, ...]:
        """Fill the reference first, then watch."""
        rows = self._drift_rows(model, own)
        if state.watch is None:
            held = own if state.waiting is None else _both(state.waiting, own)
            state.waiting = held
            if len(held) < self.plan.reference_rows:
                return ()
            rows = self._drift_rows(model, held)
            first = rows.select(slice(0, self.plan.reference_rows))
            reference = Reference.of(first, model.fields, self.plan.drift.bins)
            state.watch, state.waiting = DriftWatch(reference, own.currency, self._rules(held)), None
            rows = rows.select(slice(self.plan.reference_rows, None))
        return state.watch.add(rows)

    def _rules(self, held: Served) -> DriftRules:
        """The plan's, with as many rows a day as this shop has had in its reference."""
        first = held.rows.time_s[: self.plan.reference_rows]
        days = max(1, int(first[-1] - first[0])) / SECONDS_PER_DAY
        return replace(self.plan.drift, day_rows=round(len(first) / days))

    def _drift_rows(self, model: Response, own: Served) -> DriftRows:
        told = in_slots(model, own.rows)[0]
        return DriftRows(tuple(own.rows.fields.T), own.rows.clicked, told, own.spend_micros, own.subject)

    def _judge_shadow(
        self, champion: str, candidate: str, served: Served, now_us: int, record: dict[str, Any]
    ) -> None:
        """The second verdict: on rows that neither model has seen, with what the candidate did in the shadow."""
        since = self.registry.entry(candidate).registered_us
        lines = read_shadow(shadow_file(self.folder, candidate))
        later = served.after(since)
        decisions = logged_decisions(later, lines, self._models[champion].version)
        gates = replace(self.plan.gates, shadow_requests_least=self.plan.shadow_requests)
        rows = self._later_rows(champion, self._models[candidate], later)
        verdict = judge(rows, decisions=decisions, shadow=shadow_of(lines), gates=gates)
        self._tell(candidate, verdict, record)
        if verdict.waits:
            return
        if not verdict.promote:
            self.registry.refuse(candidate, now_us, verdict.reason)
        elif not self._promote(candidate, verdict, champion, now_us):
            return
        self.registry.measure(candidate, _metrics(verdict), now_us)

    def _promote(self, candidate: str, verdict: Verdict, champion: str, now_us: int) -> bool:
        """Whether the candidate is in use now; not if its rival was rolled back while it was judged."""
        try:
            self.registry.promote(candidate, verdict, now_us, against=champion)
        except ModelError as error:
            if self.registry.champion() == champion:
                raise
            self.narrator.fact(f"not promoted: {error}")
            return False
        return True

    def _train(self, champion: str, served: Served, late: Lateness, now_us: int, record: dict[str, Any]) -> None:
        """A candidate from the rows that are new to the champion, judged on the last of them."""
        last_us = max(self.registry.entry(v).registered_us for v in self.registry.versions())
        new = len(served.after(last_us))
        if new < self.plan.rows_least:
            self.narrator.fact(f"{new:,} of {self.plan.rows_least:,} rows since the last candidate; none is trained")
            return
        cut_s = served.rows.cut_s(self.plan.later_share)
        early, later = (served.select(chosen) for chosen in (served.rows.time_s < cut_s, served.rows.time_s >= cut_s))
        if not early.rows.clicked.any():
            self.narrator.fact("no click to learn from; none is trained")
            return
        model = self._candidate(champion, early.rows, late)
        verdict = judge(self._later_rows(champion, model, later), gates=self.plan.gates)
        self._tell(model.version, verdict, record)
        if verdict.waits or model.version in self.registry.versions():
            return
        model.save(self.registry.folder / model.version)
        self.registry.register(Entry(model.version, champion, now_us, _metrics(verdict)))
        if not verdict.promote:
            self.registry.refuse(model.version, now_us, verdict.reason)
        elif self.plan.shadow_requests:
            self.registry.set_shadow(model.version)
            self.narrator.fact(f"in the shadow until it has scored {self.plan.shadow_requests:,} requests")
        else:
            self._promote(model.version, verdict, champion, now_us)

    def _candidate(self, champion: str, early: Rows, late: Lateness) -> Response:
        """The champion refreshed; once there are more new rows than it was trained on, a model of them alone."""
        before, matured = self._models[champion], late.matured(early)
        if len(early) <= int(before.figures["rows"]):
            self.narrator.fact(f"candidate: {champion} refreshed on {len(early):,} rows")
            made = refresh_response(early, before, self.config, matured=matured)
        else:
            self.narrator.fact(f"candidate: a new model of {len(early):,} rows")
            made = fit_response(early, self.config, self.chance.child("optimise", champion), matured=matured)
        placed, words = by_place(made, early, self.config.later_share)
        self.narrator.fact(words)
        return placed

    def _later_rows(self, champion: str, candidate: Response, later: Served) -> LaterRows:
        told = [in_slots(model, later.rows)[0] for model in (self._models[champion], candidate)]
        return LaterRows(later.rows.clicked, told[0], told[1], later.subject)

    def _tell(self, candidate: str, verdict: Verdict, record: dict[str, Any]) -> None:
        word = "waits" if verdict.waits else "passed" if verdict.promote else "refused"
        self.narrator.fact(f"{candidate} {word}: {verdict.reason}")
        if verdict.shadow is not None and verdict.shadow.requests:
            s = verdict.shadow
            self.narrator.fact(
                f"shadow: {s.requests:,} requests, {s.errors:,} errors, {s.left_out:,} left out, the same ads in "
                f"{s.same.value:.1%}, {s.latency_ms_p50:.1f} ms (99 of 100 within {s.latency_ms_p99:.1f} ms)"
            )
        if verdict.value_candidate is not None:
            value = verdict.value_difference
            refused = verdict.value_candidate.refusal or (verdict.value_champion and verdict.value_champion.refusal)
            self.narrator.fact(f"off-policy: {f'clicks a decision change by {value}' if value else refused}")
        record["verdict"] = {"candidate": candidate, "outcome": word, "reason": verdict.reason, **_metrics(verdict)}

    def _path(self, name: str) -> Path:
        return self.folder / "optimise" / name

    def _write(self, name: str, line: dict[str, Any]) -> None:
        """Append a line; every line of the file is whole."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        append_line(path, json.dumps(_plain(line), sort_keys=True).encode())


def keep_optimising(optimiser: Optimiser, pace: Pace, every_s: float | None = None) -> None:
    """Rounds until told to stop; one round if `every_s` is None. A stop takes effect between two steps."""
    while True:
        begun_us = pace.now_us()
        for _ in optimiser.steps(begun_us):
            if not pace.wait(0.0):
                return
        if every_s is None:
            return
        if not pace.wait(max(0.0, every_s - (pace.now_us() - begun_us) / MICROSECONDS)):
            return


def keep_guarding(guard: Guard, narrator: Narrator, pace: Pace, look_s: float = LOOK_SECONDS) -> None:
    """Look at the champion's health until told to stop: on a thread of its own, for a training may take minutes."""
    while True:
        change = guard.look(pace.now_us())
        if change is not None:
            narrator.say(f"[bold]rolled back[/bold] from {change.before} to {change.after}: {change.reason}")
        if not pace.wait(look_s):
            return


def _both(one: Served, two: Served) -> Served:
    """The rows of both, in this order."""
    return Served(
        rows=Rows.concat(one.rows, two.rows),
        decision=np.concatenate([one.decision, two.decision]),
        subject=np.concatenate([one.subject, two.subject]),
        model=np.concatenate([one.model, two.model]),
        spend_micros=np.concatenate([one.spend_micros, two.spend_micros]),
        currency=one.currency,
    )


def _metrics(verdict: Verdict) -> dict[str, tuple[float, float, float]]:
    """The verdict's figures with their intervals, as far as they are known."""
    found: dict[str, Estimate | None] = {
        "log_loss_difference": verdict.loss_difference,
        "calibration": verdict.calibration,
        "off_policy_difference": verdict.value_difference,
        "shadow_agreement": verdict.shadow.same if verdict.shadow else None,
    }
    return {name: _numbers(e) for name, e in found.items() if e is not None and np.isfinite(_numbers(e)).all()}


def _numbers(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _plain(value: Any) -> Any:
    """The same with null for numbers that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
