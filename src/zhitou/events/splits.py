"""Learning, tuning and judging apart in time: one calendar for everybody, so that no model can read the future.

There is no random split by shopper here on purpose: it lets a model learn next month's fashion from others.
"""

from __future__ import annotations

from dataclasses import dataclass

from zhitou.core.errors import ConfigError
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.events.histories import Histories


@dataclass(frozen=True)
class TimeSplit:
    """Two cuts (Unix seconds): learn before `tune_from_s`, tune until `judge_from_s`, judge until `end_s`.

    Refused (ConfigError): cuts that are not in this order.

    >>> split = TimeSplit(tune_from_s=100, judge_from_s=200, end_s=300)
    >>> split.part_of(99), split.part_of(100), split.part_of(299)
    ('learn', 'tune', 'judge')
    """

    tune_from_s: int
    judge_from_s: int
    end_s: int

    def __post_init__(self) -> None:
        if not self.tune_from_s < self.judge_from_s < self.end_s:
            raise ConfigError(
                f"expected tune_from_s < judge_from_s < end_s, got {self.tune_from_s}, {self.judge_from_s} "
                f"and {self.end_s}"
            )

    def part_of(self, time_s: int) -> str:
        """learn, tune, judge, or after: where an event of this time belongs."""
        if time_s >= self.end_s:
            return "after"
        return "judge" if time_s >= self.judge_from_s else "tune" if time_s >= self.tune_from_s else "learn"

    def learn(self, histories: Histories) -> Histories:
        """What a model may be fitted to; every subject stays, perhaps with no event."""
        return histories.before(self.tune_from_s)

    def tune(self, histories: Histories) -> Histories:
        """What choices between models are made on."""
        return histories.before(self.judge_from_s).since(self.tune_from_s)

    def judge(self, histories: Histories) -> Histories:
        """What is reported; read once."""
        return histories.before(self.end_s).since(self.judge_from_s)


def last_days(histories: Histories, tune_days: int, judge_days: int) -> TimeSplit:
    """The last `judge_days` whole UTC days are judged on, the `tune_days` before them tuned on.

    Refused (ConfigError): no day, or fewer days of behaviour than the two parts and one more.
    """
    if tune_days < 1 or judge_days < 1:
        raise ConfigError(f"expected at least one day to tune and one to judge, got {tune_days} and {judge_days}")
    if len(histories.time_s) == 0:
        raise ConfigError("expected behaviour to split, got none")
    first_s, last_s = int(histories.time_s.min()), int(histories.time_s.max())
    end_s = (last_s // SECONDS_PER_DAY + 1) * SECONDS_PER_DAY
    split = TimeSplit(
        tune_from_s=end_s - (tune_days + judge_days) * SECONDS_PER_DAY,
        judge_from_s=end_s - judge_days * SECONDS_PER_DAY,
        end_s=end_s,
    )
    if first_s >= split.tune_from_s:
        days = (end_s - first_s) // SECONDS_PER_DAY
        raise ConfigError(
            f"expected more than {tune_days + judge_days} days of behaviour, got {days}; ask for fewer days"
        )
    return split
