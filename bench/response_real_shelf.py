"""E-shop Clothing 2008: 165,474 clicks on 217 products, each with its page, its place there and its photograph.

There are no impressions, and no product was ever moved. So what is measured here is how positions and clicks go
together, not what a position does, and each printed line says which of the two it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zhitou.core.chance import Chance
from zhitou.evaluation.experiment import Estimate, RatioMoments, paired_difference
from zhitou.events.sources.logged import ShelfClicks, read_shelf_clicks
from zhitou.response.position import fit_positions

PLACES = ("top left", "top middle", "top right", "bottom left", "bottom middle", "bottom right")
FOLDS = 10


def shelf(chance: Chance, draws: int) -> dict[str, Any]:
    """Print what the clicks decide and what not; the same as figures. draws: bootstrap samples."""
    print("\n== E-shop Clothing 2008: 165,474 clicks, no impressions ==")
    clicks = read_shelf_clicks()
    products, first = np.unique(clicks.product, return_index=True)
    position = clicks.page * len(PLACES) + clicks.place
    table = np.zeros((len(products), int(position.max()) + 1))
    np.add.at(table, (clicks.product, position), 1)
    found = fit_positions(table)
    print(f"position apart from appeal: {found.refusal or found.effects}")
    moved = {name: _varies(getattr(clicks, name), clicks.product) for name in ("price", "profile", "colour")}
    print(f"  nor did {', '.join(f'{name} ({n} products)' for name, n in moved.items())} ever change: the same holds")
    figures: dict[str, Any] = {
        "shelf_identified": found.refusal is None,
        "shelf_products_moved": int(((table > 0).sum(1) > 1).sum()),
    }
    count = table.sum(1)
    about = {name: getattr(clicks, name)[first] for name in ("category", "page", "place", "profile", "price")}
    figures |= _together(count, about, chance, draws)
    figures |= _held_out(count, about, chance)
    return figures | _order(clicks)


def _varies(value: np.ndarray, product: np.ndarray) -> int:
    """Products with several values of a column."""
    pairs = np.unique(np.stack([product, value], 1), axis=0)
    return int((np.bincount(pairs[:, 0]) > 1).sum())


def _design(about: dict[str, np.ndarray], groups: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """Columns of a straight line of log clicks: category always, and these groups."""
    columns, names = [np.ones(len(about["page"]))], ["all"]
    for group, values in (("category", range(1, 4)), ("page", range(1, 5)), ("place", range(1, 6))):
        if group == "category" or group in groups:
            columns += [(about[group] == value).astype(float) for value in values]
            names += [f"{group} {value}" for value in values]
    if "photograph and price" in groups:
        columns += [about["profile"].astype(float), np.log(about["price"] / about["price"].mean())]
        names += ["profile", "price"]
    return np.stack(columns, 1), names


def _together(count: np.ndarray, about: dict[str, np.ndarray], chance: Chance, draws: int) -> dict[str, Any]:
    """How clicks of a product go with where it stood, other things equal; intervals draw products."""
    x, names = _design(about, ("page", "place", "photograph and price"))
    y = np.log(count)
    fitted = np.linalg.lstsq(x, y, rcond=None)[0]
    rng, drawn = chance.stream("shelf bootstrap"), []
    for _ in range(draws):
        rows = rng.integers(0, len(y), len(y))
        drawn.append(np.linalg.lstsq(x[rows], y[rows], rcond=None)[0])
    low, high = np.quantile(np.stack(drawn), [0.025, 0.975], axis=0)
    print("how clicks go with position, category, photograph and price held fixed (the shop chose who stands where):")
    figures: dict[str, Any] = {}
    for at, name in enumerate(names):
        kind, _, value = name.partition(" ")
        if kind in ("all", "category"):
            continue
        found = Estimate(float(fitted[at]), float(low[at]), float(high[at]))
        told = Estimate(*np.exp([found.value, found.low, found.high]))
        label = {"page": f"page {int(value or 0) + 1} over page 1", "profile": "in profile over en face"}.get(
            kind, ""
        )
        label = label or (
            f"{PLACES[int(value)]} over top left" if kind == "place" else "clicks, as a price 1 % higher"
        )
        if kind == "price":
            told = Estimate(found.value / 100, found.low / 100, found.high / 100)
        word = "cannot be decided" if found.low <= 0 <= found.high else "differs"
        print(f"  {label:32} {told!s:>26}  {word}")
        key = name.replace(" ", "_")
        figures |= {f"shelf_{key}": told.value, f"shelf_{key}_low": told.low, f"shelf_{key}_high": told.high}
    return figures


def _held_out(count: np.ndarray, about: dict[str, np.ndarray], chance: Chance) -> dict[str, Any]:
    """Does a product's position foretell its clicks, for products that nothing was learnt from?"""
    y = np.log(count)
    fold = chance.stream("shelf folds").permutation(len(y)) % FOLDS
    sets = {
        "category alone": (),
        "and page": ("page",),
        "and page, place": ("page", "place"),
        "and photograph, price": ("page", "place", "photograph and price"),
    }
    squares = {}
    for name, groups in sets.items():
        x, off = _design(about, groups)[0], np.empty(len(y))
        for part in range(FOLDS):
            learnt = np.linalg.lstsq(x[fold != part], y[fold != part], rcond=None)[0]
            off[fold == part] = y[fold == part] - x[fold == part] @ learnt
        squares[name] = off**2
    print(f"log clicks of products held out ({FOLDS} folds), mean squared error, and what each step takes off it:")
    figures, before = {}, None
    for name, square in squares.items():
        key = name.replace(" ", "_").replace(",", "")
        figures[f"shelf_mse_{key}"] = float(square.mean())
        line = f"  {name:24} {square.mean():.3f}"
        if before is not None:
            gain = paired_difference(before, square)
            word = "better" if gain.low > 0 else "worse" if gain.high < 0 else "cannot be decided"
            line += f"  less by {gain}: {word}"
            figures |= {f"shelf_gain_{key}": gain.value, f"shelf_gain_low_{key}": gain.low}
        print(line)
        before = square
    return figures


def _order(clicks: ShelfClicks) -> dict[str, Any]:
    """The one thing about position that needs no moved product: the order in which a page is read.

    Of two products on a page that are both clicked, appeal has no say in which comes first. If places had no order,
    half the steps would lead forward.
    """
    new = clicks.session[1:] != clicks.session[:-1]
    page = np.stack([clicks.category, clicks.page], 1)
    same = ~new & (page[1:] == page[:-1]).all(1)
    there, here = clicks.place[1:], clicks.place[:-1]
    figures = {}
    print("order of clicks on one page, which no appeal can explain (one half if places had no order):")
    for name, to, by, kept in (
        ("from the upper to the lower row", there // 3, here // 3, same),
        ("to the right, in one row", there % 3, here % 3, same & (there // 3 == here // 3)),
    ):
        step = kept & (to != by)
        session = np.unique(clicks.session[1:][step], return_inverse=True)[1]
        forward = np.bincount(session, (to > by)[step])
        found = RatioMoments.of(forward, np.bincount(session)).interval()
        print(f"  {name:32} {found} of {int(step.sum()):,} steps")
        key = "down" if "lower" in name else "right"
        figures |= {f"shelf_forward_{key}": found.value, f"shelf_forward_{key}_low": found.low}
    return figures
