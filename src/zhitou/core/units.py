"""Money as whole micros of a named currency, and the few unit constants everybody needs.

1 unit of currency = 1,000,000 micros, so 0.000001 EUR is the smallest amount and no float ever holds money.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from zhitou.core.errors import MoneyError

MICROS = 1_000_000
SECONDS_PER_DAY = 86_400
MICROSECONDS = 1_000_000
NO_CURRENCY = "XXX"  # ISO 4217 for "no currency": where no price is known

_CURRENCY = re.compile(r"[A-Z]{3}")


@dataclass(frozen=True, order=False)
class Money:
    """An amount in micros of one ISO 4217 currency.

    Refused: a float or bool as amount, a currency that is not three capitals, sums over two currencies.

    >>> Money.parse("12.34", "EUR") + Money(1, "EUR")
    Money(micros=12340001, currency='EUR')
    >>> str(Money(12_340_000, "EUR"))
    '12.34 EUR'
    """

    micros: int
    currency: str

    def __post_init__(self) -> None:
        if isinstance(self.micros, bool) or not isinstance(self.micros, int):
            raise MoneyError(
                f"expected a whole number of micros, got {self.micros!r}; use Money.parse for decimal text"
            )
        if not isinstance(self.currency, str) or not _CURRENCY.fullmatch(self.currency):
            raise MoneyError(f"expected an ISO 4217 code such as EUR, got {self.currency!r}")

    @classmethod
    def parse(cls, text: str | Decimal, currency: str) -> Money:
        """Money from decimal text, rounded half to even at the sixth decimal.

        Refused: text that is no finite decimal number, and floats (their digits are not what was typed).
        """
        if isinstance(text, float):
            raise MoneyError(f"expected decimal text, got the float {text!r}; pass str(...) of the source")
        try:
            value = Decimal(str(text).strip())
        except InvalidOperation:
            raise MoneyError(f"expected a decimal amount, got {text!r}") from None
        if not value.is_finite():
            raise MoneyError(f"expected a finite amount, got {text!r}")
        return cls(int((value * MICROS).to_integral_value(rounding=ROUND_HALF_EVEN)), currency)

    def _other(self, other: Money) -> int:
        if not isinstance(other, Money):
            raise MoneyError(f"expected Money, got {other!r}; a bare number has no currency")
        if other.currency != self.currency:
            raise MoneyError(f"expected {self.currency}, got {other.currency}; convert before you add")
        return other.micros

    def __add__(self, other: Money) -> Money:
        return Money(self.micros + self._other(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.micros - self._other(other), self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.micros < self._other(other)

    def __le__(self, other: Money) -> bool:
        return self.micros <= self._other(other)

    def __str__(self) -> str:
        sign, whole, rest = "-" if self.micros < 0 else "", *divmod(abs(self.micros), MICROS)
        digits = f"{rest:06d}".rstrip("0").ljust(2, "0")
        return f"{sign}{whole}.{digits} {self.currency}"

    def split(self, parts: int) -> tuple[Money, ...]:
        """`parts` amounts that differ by at most one micro and sum to exactly this one.

        >>> [m.micros for m in Money(10, "EUR").split(3)]
        [4, 3, 3]
        """
        assert parts > 0, "an amount is split into at least one part"
        base, extra = divmod(self.micros, parts)
        return tuple(Money(base + (i < extra), self.currency) for i in range(parts))
