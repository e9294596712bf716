"""A made-up click log in the format of Criteo or Avazu, so that the bench can be tried without the real file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zhitou.core.chance import Chance
from zhitou.events.sources.clicks import ClickFormat

_START = np.datetime64("2014-10-21T00", "h")


def write_practice(path: Path, form: ClickFormat, rows: int, chance: Chance) -> None:
    """`rows` rows over ten days. Clicks follow from the first four categories, two of them together, and the first
    number, if there is one; values come as in life, a few often and most of them rarely, and one in ten is missing.
    """
    random = chance.stream("practice clicks")
    columns = len(form.categorical)
    sizes = np.array([20, 50, 300, 2_000])[np.arange(columns) % 4]
    values = [np.minimum((size * random.random(rows) ** 3).astype(int), size - 1) for size in sizes]
    numbers = np.floor(random.exponential(5.0, (rows, len(form.numeric))))
    logit = np.full(rows, -2.5)
    for value, size in zip(values[:4], sizes[:4], strict=True):
        logit += random.normal(0, 0.5, size)[value]
    logit += random.normal(0, 0.5, (sizes[0], sizes[1]))[values[0], values[1]]
    if form.numeric:
        logit += 0.3 * (np.log1p(numbers[:, 0]) - 1.5)
    clicked = random.random(rows) < 1 / (1 + np.exp(-logit))
    given = random.random((rows, columns + len(form.numeric))) > 0.1
    hours = [str(hour)[2:13].replace("-", "").replace("T", "") for hour in _START + np.arange(240)]
    with path.open("w", encoding="utf-8") as file:
        if form.header:
            file.write(form.delimiter.join(form.columns) + "\n")
        for row in range(rows):
            told = {form.label: str(int(clicked[row])), form.hour: hours[row * 240 // rows], "id": str(row)}
            for at, name in enumerate(form.numeric):
                told[name] = str(int(numbers[row, at])) if given[row, columns + at] else ""
            for at, name in enumerate(form.categorical):
                word = (
                    f"{int(values[at][row]) * 40503 + at:08x}" if name in form.hexadecimal else str(values[at][row])
                )
                told[name] = word if given[row, at] else ""
            file.write(form.delimiter.join(told[name] for name in form.columns) + "\n")
