"""The pages are held to the program: their code runs, their commands and files exist, their figures are the code's.

What a page says of its own package's columns, fields and routes is tested beside that package (tests/events,
tests/features, tests/apps); here is what all pages have in common.
"""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
import tomllib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from zhitou.apps import cli
from zhitou.configs import laptop

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "zhitou"
DOCS = sorted((ROOT / "docs").glob("*.md"))
TOP = sorted(ROOT.glob("*.md"))
PAGES = [*TOP, *DOCS, ROOT / "bench" / "README.md"]
SCRIPTS = sorted((ROOT / "runs").glob("*.sh"))
READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")
COMMANDS = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def words_of(path: Path) -> str:
    """The page's words with every run of white space as one blank, so that a sentence may break anywhere."""
    return re.sub(r"\s+", " ", path.read_text())


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), flags=re.S | re.M)


# Code in the pages


def for_creative() -> dict[str, Any]:
    """What docs/creative.md takes for granted: an ad book and its items."""
    from zhitou.campaign.adbook import AdBook
    from zhitou.campaign.campaign import Campaign, Flight, Material

    items = tea_items()
    material = Material("Acme", "Acme", "#003366", landing_url="https://shop.example/")
    flight = Flight(0, 10**15, budget_micros_total=100, budget_micros_daily=60)
    campaign = Campaign("c", "acme", "Tea", "EUR", flight, "clicks", 40, ("tea0",), material)
    book = AdBook.build((campaign,), items)
    return {"book": book, "items": items, "items_of_today": items, "feed_of_today": {"tea0": items.item(0)}}


def for_interest() -> dict[str, Any]:
    """What docs/interest.md takes for granted: histories, their items, a folder, a moment."""
    import numpy as np

    from zhitou.events.histories import PURCHASE, Histories

    subjects, steps = 8, 6
    n = subjects * steps
    histories = Histories(
        subjects=np.asarray([f"s_{row}" for row in range(subjects)], dtype=object),
        offsets=np.arange(subjects + 1, dtype=np.int64) * steps,
        item=(np.arange(n) % 4).astype(np.int32),
        action=np.full(n, PURCHASE, dtype=np.int8),
        time_s=1_700_000_000 + np.arange(n) % steps * 86_400,
        step=(np.arange(n) % steps).astype(np.int32),
        price_micros=np.full(n, 4_000_000, dtype=np.int64),
        quantity=np.ones(n, dtype=np.int64),
    )
    places = {"Path": Path, "folder": Path("out/models/interest"), "yesterday": 1_700_000_000}
    given = {"histories": histories, "newer": histories, "items": tea_items(), "ads": np.arange(2)}
    given["items_with_more"] = tea_items(5)
    return {**given, **places, "figures": {}}


def tea_items(count: int = 4) -> Any:
    """So many teas."""
    import pyarrow as pa

    from zhitou.catalog.item import ITEM_SCHEMA
    from zhitou.catalog.table import ItemTable

    row = {"title": "Green tea", "category": "food > tea", "price_micros": 4_000_000, "currency": "EUR"}
    rows = [{"item": f"tea{number}", **row} for number in range(count)]
    return ItemTable.from_arrow(pa.Table.from_pylist(rows, schema=ITEM_SCHEMA))


GIVEN: dict[str, Callable[[], dict[str, Any]]] = {"creative": for_creative, "interest": for_interest}


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=name_of)
def test_the_python_in_the_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    known = GIVEN.get(page.stem, dict)()
    for code in blocks(page, "python"):
        exec(compile(code, name_of(page), "exec"), known)


@pytest.mark.parametrize("path", [p for p in sorted(PACKAGE.rglob("*.py")) if ">>> " in p.read_text()], ids=name_of)
def test_the_examples_in_docstrings_come_out_as_printed(path: Path) -> None:
    dotted = "zhitou." + path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
    result = doctest.testmod(importlib.import_module(dotted))
    assert result.attempted
    assert not result.failed


def test_the_mapping_in_the_readme_is_the_example_on_disk() -> None:
    from zhitou.events.sources.mapping import load_mapping, mapping_from

    example = load_mapping(ROOT / "examples" / "online_retail_mapping.toml")
    for readme in READMES:
        (said,) = (mapping_from(tomllib.loads(text)) for text in blocks(readme, "toml"))
        for part in ("columns", "rules", "kind", "currency", "time_format", "zone"):
            theirs, ours = getattr(example, part), getattr(said, part)
            assert sorted(map(str, theirs)) == sorted(map(str, ours)), f"{readme.name}: {part}"


# Commands in the pages


def shell_lines(text: str) -> Iterator[str]:
    """Commands of a script or block: without comments, continued lines joined, shell variables as words."""
    text = re.sub(r"\\\n\s*", " ", text)
    text = re.sub(r"\$\{SOURCE\[@\]\+[^}]*\}\"?\}", "--data DIR --mapping FILE", text)
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*", "", line).strip()
        yield from (part.strip() for part in re.split(r"&&|\|\||;", line) if part.strip())


def calls_of(program: str) -> list[tuple[str, str, bool]]:
    """(where, the words behind `program`, whether the call is complete) in pages and scripts."""
    found = []
    for path in [*PAGES, *SCRIPTS]:
        texts = [path.read_text()] if path.suffix == ".sh" else blocks(path, "bash")
        for line in (line for text in texts for line in shell_lines(text)):
            if line.startswith(f"{program} "):
                found.append((name_of(path), line.removeprefix(f"{program} "), True))
        if path.suffix == ".md":
            spoken = re.findall(rf"`{program} ([^`]+)`", re.sub(r"```.*?```", "", path.read_text(), flags=re.S))
            found += [(name_of(path), words, False) for words in spoken]
    return found


@pytest.mark.parametrize(("where", "words", "complete"), calls_of("zhitou"))
def test_a_command_in_a_page_exists_with_its_options(where: str, words: str, complete: bool) -> None:
    name, *arguments = shlex.split(words.replace('"$', '"'))
    assert name in COMMANDS, f"{where} speaks of `zhitou {words}`"
    if complete or arguments:
        if not complete:  # in passing only the options that matter are named
            needed = {"run": ["--data", "DIR", "--mapping", "FILE"], "explain": ["d_0"]}.get(name, [])
            arguments = needed + [a for a in arguments if a not in ("ID", "d_…")]
        COMMANDS[name].make_context(name, arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_shows_an_example_that_exists(name: str) -> None:
    answer = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "300", "TERM": "dumb"})
    assert answer.exit_code == 0
    shown = re.search(r"`zhitou ([^`]+)`", answer.output)
    assert shown, "the first line of the help ends in an example"
    command, *arguments = shlex.split(shown.group(1))
    assert command == name
    COMMANDS[name].make_context(name, arguments)


def test_every_make_target_in_a_page_stands_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.M))
    for where, words, _ in calls_of("make"):
        for word in shlex.split(re.sub(r"\$\{[^}]*\}", "", words)):
            name = word.partition("=")[0]
            assert name in targets if "=" not in word else f"$({name})" in makefile, f"{where}: make {words}"
    assert set(re.findall(r"\.PHONY: (.+)", makefile)[0].split()) == targets


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_a_script_is_one_page_that_the_shell_can_read(script: Path) -> None:
    assert len(script.read_text().splitlines()) <= 60
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


BENCHES = [path for path in sorted((ROOT / "bench").glob("*.py")) if '__name__ == "__main__"' in path.read_text()]


@pytest.mark.parametrize("bench", BENCHES, ids=name_of)
def test_a_bench_says_how_it_is_called_and_has_a_short_form(bench: Path) -> None:
    said = subprocess.run([sys.executable, str(bench), "--help"], capture_output=True, text=True, check=True).stdout
    assert f"python bench/{bench.name}" in said
    assert "--quick" in said
    assert bench.name == "table.py" or bench.name in (ROOT / "bench" / "README.md").read_text()


def test_a_program_called_in_a_page_stands_where_it_says() -> None:
    for path in [*PAGES, *SCRIPTS]:
        for module in re.findall(r"python3? -m (zhitou[\w.]*)", path.read_text()):
            assert importlib.util.find_spec(module), f"{name_of(path)}: {module}"
        for file in re.findall(r"python3? ([\w/]+\.py)", path.read_text()):
            assert (ROOT / file).exists(), f"{name_of(path)}: {file}"


# Files and links in the pages


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?://|mailto:", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_that_is_named_exists(page: Path) -> None:
    """A name in code letters that ends like a file of the project is one: from the root, the page, or the package."""
    places = (ROOT, page.parent, PACKAGE, PACKAGE / page.stem, PACKAGE / "apps" / page.stem)
    for name in re.findall(r"`([\w./-]+\.(?:py|md|toml|sh|txt))`", page.read_text()):
        assert any((place / name).exists() for place in places), name
    for name in re.findall(r"`((?:src|docs|tests|bench|runs|examples)/[\w./-]+)`", page.read_text()):
        assert (ROOT / name).exists() or name == "bench/results.jsonl", name


def test_every_package_has_a_page_and_every_page_a_package() -> None:
    packages = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert {page.stem.partition("_")[0] for page in DOCS} == (packages - {"apps"}) | {"http"}
    assert {page.stem for page in DOCS} >= (packages - {"apps"}) | {"http"}, "a part's page stands beside it"


def test_dotted_names_in_the_pages_can_be_imported() -> None:
    for page in PAGES:
        for dotted in re.findall(r"`(zhitou\.[a-z_.0-9]+)`", page.read_text()):
            assert importlib.util.find_spec(dotted.rstrip(".")), f"{name_of(page)}: {dotted}"


# The two READMEs


def test_both_readmes_have_the_same_headings_commands_and_links() -> None:
    one, other = (path.read_text() for path in READMES)

    def shape(text: str) -> dict[str, Any]:
        plain = re.sub(r"```.*?```", "", text, flags=re.S)
        return {
            "headings": [len(marks) for marks in re.findall(r"^(#+) ", plain, flags=re.M)],
            "links": sorted(set(re.findall(r"\]\(([^)]+)\)", plain)) - {"README.md", "README.zh-CN.md"}),
            "rows": len(re.findall(r"^\|", plain, flags=re.M)),
            "bullets": len(re.findall(r"^- ", plain, flags=re.M)),
        }

    assert shape(one) == shape(other)
    for language in ("bash", "toml", "text"):
        mine, theirs = ([list(shell_lines(b)) for b in blocks(path, language)] for path in READMES)
        assert mine == theirs
    assert set(re.findall(r"`([a-z][^`\n]*)`", one)) - set(re.findall(r"`([a-z][^`\n]*)`", other)) == set()


# The readme's session, against a real server


@pytest.fixture
def tea_shop() -> Iterator[tuple[str, str]]:
    """(address, key) of the example on a free port."""
    import uvicorn

    from zhitou.apps.http.app import create_app
    from zhitou.apps.http.example import TENANT, TeaShop
    from zhitou.apps.http.server import config
    from zhitou.apps.http.settings import ROLES, HttpSettings, new_key

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text, key = new_key("readme", ROLES)
    url = f"http://127.0.0.1:{port}"
    settings = HttpSettings(tenant=TENANT, link_key=bytes(32), keys=(key,), public_url=url)
    server = uvicorn.Server(config(create_app(TeaShop(), settings), "127.0.0.1", port))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server ended before it started"
        time.sleep(0.01)
    yield url, text
    server.should_exit = True
    thread.join(10)


def test_the_session_in_the_readme_runs_and_the_click_changes_the_answer(
    tea_shop: tuple[str, str], tmp_path: Path
) -> None:
    url, key = tea_shop
    (session,) = [block for block in blocks(READMES[0], "bash") if "curl" in block]
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "URL": url, "KEY": key, "ITEM": "tea"}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", session],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    events, first, picture, look, click, second, why = ran.stdout.splitlines()
    assert json.loads(events)["accepted"] == 1
    assert first == "first: tea Green tea, 100 g | mug Stoneware mug"
    assert (picture, look) == ("200 image/png", "200 image/gif")
    assert click == "302 https://shop.example/items/mug"
    assert second == "second: mug Stoneware mug | pot Iron tea pot"
    assert json.loads(why)["sentences"] == ["You last looked at Stoneware mug."]
    assert (tmp_path / "banner.png").read_bytes().startswith(b"\x89PNG")


# The command line on a shop of a few lines

MAPPING = """
name = "corner_shop"
kind = "purchase"
currency = "EUR"
time_format = "%Y-%m-%d %H:%M:%S"
columns = { subject = "customer", item = "sku", title = "title", category = "category", quantity = "quantity", \
price = "price", occurred_at = "at", order_id = "order" }
"""


@pytest.fixture
def corner_shop(tmp_path: Path) -> list[str]:
    """--data and --mapping of 40 shoppers who buy one of four kinds every few days, for two months."""
    lines = ["customer,order,sku,title,category,quantity,price,at"]
    for shopper in range(40):
        for day in range(shopper % 3, 60, 3 + shopper % 4):
            kind = (shopper + day % 2) % 4
            at = f"2024-{1 + day // 30:02}-{1 + day % 28:02} {9 + shopper % 8:02}:30:00"
            lines.append(f"c{shopper},o{shopper}-{day},k{kind},Tea No. {kind},Food > Tea {kind},1,{2 + kind}.50,{at}")
    (tmp_path / "orders.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "mapping.toml").write_text(MAPPING)
    return ["--data", str(tmp_path / "orders.csv"), "--mapping", str(tmp_path / "mapping.toml")]


@pytest.fixture
def zhitou(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Calls the command line as the console script does: (exit code, standard output, standard error)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["zhitou", *arguments])
        monkeypatch.setenv("COLUMNS", "500")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # as apps/cli.py does for a user
            with pytest.raises(SystemExit) as ended:
                cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def test_check_counts_pass_and_fail_and_says_so_in_its_exit_code(
    zhitou: Callable[..., tuple[int, str, str]], corner_shop: list[str], tmp_path: Path
) -> None:
    code, out, _ = zhitou("check", *corner_shop, "--json")
    checks = json.loads(out)["checks"]
    assert code == 0
    assert all(check["passed"] for check in checks)
    orders = tmp_path / "orders.csv"
    rows = len(orders.read_text().splitlines()) - 1
    bad = "".join(f",x{n},k0,Tea,Food > Tea,1,2.50,2024-01-05 10:00:00\n" for n in range(rows))
    orders.write_text(orders.read_text() + bad)
    code, out, _ = zhitou("check", *corner_shop)
    (named,) = [line for line in out.splitlines() if "shoppers are named" in line]
    assert code == 1
    assert named.startswith("FAIL")
    assert f"{rows:,} of {2 * rows:>10,}" in named


def test_prepare_writes_what_the_readme_lists_and_accounts_for_every_row(
    zhitou: Callable[..., tuple[int, str, str]], corner_shop: list[str], tmp_path: Path
) -> None:
    code, out, _ = zhitou("prepare", "--out", str(tmp_path / "run"), *corner_shop)
    assert code == 0
    read, clean, twice, held = (
        int(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:rows in|clean|duplicates|in quarantine)", out)
    )
    assert read == clean + twice + held
    written = {path.stem for path in (tmp_path / "run" / "prepared").iterdir()}
    assert {"events", "items", "quarantine", "quality"} <= written
    code, out, _ = zhitou("features", "--out", str(tmp_path / "run"))
    assert code == 0
    assert "40 profiles" in out or "39 profiles" in out  # 2 % refuse one
    assert "segments:" in out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["check", "--data", "nowhere"], 2, "expected --data and --mapping together"),
        (["check", "--data", "nowhere", "--mapping", "none.toml"], 1, "expected a mapping at none.toml"),
        (["explain", "d_0", "--out", "nowhere"], 1, "run `zhitou demo --out nowhere` first"),
        (["serve", "--out", "nowhere"], 1, "call `zhitou demo --out nowhere` first"),
        (["features", "--out", "nowhere"], 1, "call `zhitou demo --out nowhere` first, or `zhitou prepare`"),
        (["run"], 2, "Missing option"),
        (["fly"], 2, "No such command"),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_to_do(
    zhitou: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended, out, err = zhitou(*arguments)
    assert (ended, out) == (code, "")
    assert sentence in " ".join(err.split())
    assert "Traceback" not in err


# Figures in prose


def test_the_python_that_the_pages_ask_for_is_pyprojects() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", wanted).groups()  # type: ignore[union-attr]
    assert f"Python 3.{low} to 3.{int(high) - 1}" in words_of(READMES[0])
    assert f"Python 3.{low} 至 3.{int(high) - 1}" in words_of(READMES[1])
    assert f"3.{low} to 3.{int(high) - 1}" in (ROOT / "Makefile").read_text()


def test_what_the_pages_say_of_the_study_is_its_configuration() -> None:
    from zhitou.loop.study import CLAIMS, POLICIES

    config = laptop()
    study, page = config.study, words_of(ROOT / "docs" / "loop.md")
    refusing = f"{config.refuse_share:.0%}".replace("%", " %")
    assert study.warm_days == study.learn_days == study.report_days
    assert f"The last {config.judge_days} days are kept from every model" in page
    assert f"plays {study.seeds} worlds" in page
    assert f"at random for {study.warm_days} days" in page
    for name in POLICIES:
        assert f"| {name} |" in page
    rates = [f"+{claim.at_least:.0%}".replace("%", " %") for _, claim in CLAIMS]
    assert f"click rate {rates[0]}, conversions per impression {rates[1]}" in page
    assert f"plays {study.seeds} worlds of a practice market under six policies" in words_of(ROOT / "CHANGELOG.md")
    for name in ("README.md", "CHANGELOG.md", "ARCHITECTURE.md"):
        assert refusing in words_of(ROOT / name)


def test_what_the_pages_say_of_the_data_is_what_the_source_says() -> None:
    from zhitou.events.sources.complete_journey import ABOUT

    (households,) = re.findall(r"of ([\d,]+) frequent households", ABOUT)
    for readme in READMES:
        assert households in words_of(readme)
        assert "1,469,307" in words_of(readme)  # counted in tests/events/test_events_complete_journey.py
    assert "1469307" in re.sub(r"[_,]", "", (ROOT / "tests/events/test_events_complete_journey.py").read_text())


def test_limits_and_defaults_in_the_pages_are_those_of_the_code() -> None:
    from zhitou.apps.http import bodies, routes, settings
    from zhitou.assembly import OLD_DAYS
    from zhitou.campaign.ledger import HOLD_SECONDS
    from zhitou.creative import review
    from zhitou.delivery.explain import LEAST_LOGITS
    from zhitou.evaluation.offpolicy import ESS_LEAST, WEIGHT_SHARE_MOST
    from zhitou.features import decay, rules, segments
    from zhitou.feedback.promotion import Gates
    from zhitou.interest import memory
    from zhitou.market.config import MarketConfig
    from zhitou.response import calibrate
    from zhitou.response.config import ResponseConfig
    from zhitou.strategy import exploration, pacing, policies

    door = settings.HttpSettings("t", bytes(32))
    gates, market, response = Gates(), MarketConfig(), ResponseConfig()
    low, high = gates.calibration_within
    said = {
        "docs/http.md": [
            f"beyond {door.waiting_max} waiting requests",
            f"({door.body_bytes_max // 2**20} MiB, counted as it is read)",
            f"ends after {door.link_seconds // 86_400} days",
            f"more than {bodies.DEPTH_MAX} levels",
            f"differ by more than {({300: 'five'})[routes.SKEW_SECONDS]} minutes",
        ],
        "docs/delivery.md": [f"more than {OLD_DAYS} days ago", f"below {LEAST_LOGITS} it is not worth"],
        "docs/campaign.md": [f"swept after {HOLD_SECONDS // 60} minutes"],
        "docs/evaluation.md": [
            f"effective sample size of {ESS_LEAST:,}",
            f"more than {WEIGHT_SHARE_MOST * 100:.0f} %",
        ],
        "docs/strategy.md": [
            f"top {exploration.TOP}, floor {policies.FLOOR}",
            f"{policies.GAMMA:.0f} (default)",
            f"One multiplier in [{pacing.MULTIPLIER_LEAST}, 1]",
        ],
        "docs/response.md": [
            f"below {calibrate.BETA_FROM} positives",
            f"from {calibrate.ISOTONIC_FROM:,} isotonic",
            f"needs {response.clicks_least} clicks",
            f"({response.expected_ctr:.0%}, {response.expected_cvr:.0%})".replace("%", " %"),
        ],
        "docs/features.md": [
            f"seeded sample of {laptop().features.rule_sample_baskets:,} baskets at {rules.EDGE}",
            f"halved every {decay.TASTE_HALF_LIFE_DAYS} days",
            f"smallest segment holds {segments.SMALLEST_SHARE * 100:.0f} %",
            f"the {segments.CATEGORIES} largest categories",
        ],
        "docs/feedback.md": [
            f"({gates.positives_least} positives of {gates.subjects_least} subjects)",
            f"reach into {low} to {high}",
        ],
        "docs/market.md": [
            f"taste's weight {market.taste_weight}, popularity's {market.popularity_weight}",
            f"brand {market.brand_weight}, own item {market.own_item_weight}, price fit {market.price_fit_weight}",
            f"ad {market.ad_sd}, item {market.item_sd}, brand {market.brand_sd}",
            f"drift {market.drift_sd}, trend {market.trend_sd}, hour {market.hour_sd}",
            f"Visits: {market.visits_per_week:.0f} a week",
            f"with chance {market.displacement}",
        ],
        "docs/creative.md": [
            f"below {review.CONTRAST_MIN} : 1",
            f"nearer than {review.MARGIN_PIXELS} px to the edge",
        ],
        "docs/interest.md": [
            f"{len(memory.FEATURES)} plain counts",
            "decayed over {:.0f}, {:.0f} and {:.0f} days".format(*memory.HALF_LIVES / 86_400),
            f"to the power {laptop().interest.size_power}",
            f"counts for {laptop().interest.taste_share} of itself",
        ],
        "ARCHITECTURE.md": [
            f"among the best {exploration.TOP}",
            f"no off-policy weight exceeds {1 / policies.FLOOR:,.0f}",
            f"below {response.clicks_least} clicks there is none",
        ],
    }
    for name, sentences in said.items():
        page = words_of(ROOT / name)
        for sentence in sentences:
            assert sentence in page, f"{name} does not say {sentence!r}"


def test_the_folders_of_a_run_in_the_readme_are_those_the_program_writes() -> None:
    from zhitou import assembly

    folders = (assembly.PREPARED, assembly.FEATURES, assembly.CREATIVES)
    wanted = [f"`{name}/`" for name in folders] + [f"`{assembly.INTEREST}`", f"`{assembly.RESPONSE}`"]
    wanted += [f"`{name}`" for name in (assembly.CAMPAIGNS_FILE, assembly.RUN_FILE, assembly.REPORT_FILE)]
    for readme in READMES:
        page = words_of(readme)
        assert [name for name in wanted if name not in page] == []


# The table of the benches


@pytest.fixture
def table() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_table", ROOT / "bench" / "table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_figure_of_the_table_was_typed_by_hand(table: ModuleType) -> None:
    assert table.with_table(table.PAGE.read_text(), table.results()) == table.PAGE.read_text()


def test_a_ratio_is_of_two_figures_of_one_run(table: ModuleType) -> None:
    figures = {"prepare_s": 12.0, "raw_scan_s": 0.5, "quick": True}
    entry = {"bench": "loop", "machine": "m", "commit": "c", "command": "x", "versions": {}, "figures": figures}
    lines = table.table({"loop": entry}).splitlines()
    assert lines[2] == "| preparing over reading every value with DuckDB | 12 | 0.5 | 24 |"
    assert not any("best baseline" in line for line in lines)  # its figures were not measured in this run
    assert "smoke test" in "".join(lines)
