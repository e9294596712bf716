"""A made-up shop, small enough to run the whole loop in a test: 48 shoppers with tastes, 70 days, 36 items."""

import csv
import datetime

import numpy as np
import pytest

from zhitou.configs import tiny
from zhitou.core.clock import FixedClock
from zhitou.loop.narrator import Narrator
from zhitou.loop.report import write_report
from zhitou.loop.run import run_loop

NOW_US = 1_720_000_000_000_000

MAPPING = """
name = "corner_shop"
about = "A made-up corner shop for tests: simulated, no licence needed."
files = "*.csv"
kind = "purchase"
currency = "EUR"
channel = "web"
time_format = "%Y-%m-%d %H:%M:%S"
zone = "UTC"
columns = { subject = "customer", item = "sku", title = "title", category = "category", brand = "brand", \
quantity = "quantity", price = "price", occurred_at = "at", order_id = "order" }
"""
KINDS = ("Green tea", "Black tea", "Coffee beans", "Oat biscuits", "Dark chocolate", "Orange jam")


def write_shop(folder, seed=7, shoppers=48, days=70):
    """Orders of shoppers who each like two of six kinds; returns (data file, mapping file)."""
    rng = np.random.default_rng(seed)
    items = [
        (f"K{kind}{n}", f"{KINDS[kind]} No. {n}", f"Food > {KINDS[kind]}", f"House {kind % 3}", 2 + kind + 0.25 * n)
        for kind in range(len(KINDS))
        for n in range(6)
    ]
    start, rows, order = datetime.datetime(2024, 1, 1), [], 0
    for shopper in range(shoppers):
        liked = rng.choice(len(KINDS), 2, replace=False)
        for day in range(days):
            if rng.random() > 0.35:
                continue
            order += 1
            at = start + datetime.timedelta(days=day, seconds=int(rng.integers(8 * 3600, 20 * 3600)))
            for _ in range(1 + rng.poisson(1.5)):
                kind = int(rng.choice(liked)) if rng.random() < 0.8 else int(rng.integers(len(KINDS)))
                sku, title, category, brand, price = items[kind * 6 + int(rng.integers(6))]
                rows.append((f"c{shopper}", f"o{order}", sku, title, category, brand, 1, f"{price:.2f}", at))
    data, mapping = folder / "orders.csv", folder / "mapping.toml"
    with data.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("customer", "order", "sku", "title", "category", "brand", "quantity", "price", "at"))
        writer.writerows(rows)
    mapping.write_text(MAPPING)
    return data, mapping


@pytest.fixture(scope="session")
def shop_files(tmp_path_factory):
    return write_shop(tmp_path_factory.mktemp("shop"))


def close_the_loop(folder, shop_files):
    data, mapping = shop_files
    outcome = run_loop(tiny(), folder, Narrator(quiet=True), FixedClock(NOW_US), data, mapping)
    write_report(outcome)
    return outcome


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory, shop_files):
    return [close_the_loop(tmp_path_factory.mktemp(f"run{n}"), shop_files) for n in range(2)]
