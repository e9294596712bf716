"""Criteo and Avazu in their documented formats, as a stream."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zhitou.core.errors import ConfigError, NotFoundError, SourceError
from zhitou.events.sources.click_codes import (
    CODE_MISSING,
    CODE_RARE,
    SPLITS,
    ClickCodes,
    bucket_of,
    spread,
    time_cuts,
    write_arrays,
)
from zhitou.events.sources.clicks import (
    BAD_CATEGORY,
    BAD_HOUR,
    BAD_LABEL,
    BAD_NUMBER,
    MISSING,
    WRONG_WIDTH,
    ClickPart,
    SetAside,
    click_format,
    fingerprint,
    read_clicks,
)

CRITEO, AVAZU = click_format("criteo"), click_format("avazu")
HEADER = (
    "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,app_category,device_id,device_ip,"
    "device_model,device_type,device_conn_type,C14,C15,C16,C17,C18,C19,C20,C21"
)


def criteo_row(label: str = "0", numbers: str = "1", category: str = "68fd1e64") -> str:
    """A row whose last twelve numbers and last 25 categories are missing."""
    return "\t".join([label, numbers, *[""] * 12, category, *[""] * 25])


def avazu_row(click: str = "0", hour: str = "14102100", site: str = "1fbe01fe", c20: str = "-1") -> str:
    shown = f"1000009418151094273,{click},{hour},1005,0,{site},f3845767,28905ebd,ecad2386,7801e8d9,07d7df22"
    return f"{shown},a99f214a,ddd2926e,44956a24,1,2,15706,320,50,1722,0,35,{c20},79"


def written(path: Path, rows: list[str], header: str | None = None) -> Path:
    path.write_text("\n".join([*([header] if header else []), *rows]) + "\n", encoding="utf-8")
    return path


def test_a_criteo_row_is_read_as_it_is_documented(tmp_path: Path) -> None:
    path = written(tmp_path / "train.txt", [criteo_row("1", "-2", "68fd1e64"), criteo_row("0", "", "")])
    (part,) = read_clicks(path, CRITEO)
    assert part.clicked.tolist() == [True, False]
    assert part.time.tolist() == [0, 1]
    assert part.numeric.shape == (2, 13)
    assert part.numeric[0, 0] == -2
    assert np.isnan(part.numeric[1, 0])
    assert part.categorical.shape == (2, 26)
    assert part.categorical[0, 0] == 0x68FD1E64
    assert (part.categorical[1] == MISSING).all()


def test_an_avazu_row_is_read_as_it_is_documented(tmp_path: Path) -> None:
    (part,) = read_clicks(written(tmp_path / "train.csv", [avazu_row("1")], HEADER), AVAZU)
    assert part.clicked.tolist() == [True]
    assert np.datetime64(int(part.time[0]), "s") == np.datetime64("2014-10-21T00")
    assert part.numeric.shape == (1, 0)
    row = dict(zip(AVAZU.categorical, part.categorical[0].tolist(), strict=True))
    assert len(row) == 21
    assert (row["C1"], row["site_id"], row["C14"], row["C20"]) == (1005, 0x1FBE01FE, 15706, -1)


def test_a_gzipped_file_reads_the_same(tmp_path: Path) -> None:
    plain = written(tmp_path / "train.txt", [criteo_row("1"), criteo_row("0")])
    packed = tmp_path / "train.txt.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    (a,), (b,) = read_clicks(plain, CRITEO), read_clicks(packed, CRITEO)
    assert a.categorical.tolist() == b.categorical.tolist()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (criteo_row("2"), BAD_LABEL),
        (criteo_row(""), BAD_LABEL),
        (criteo_row("0", "1.5"), BAD_NUMBER),
        (criteo_row("0", "1", "no hex"), BAD_CATEGORY),
        (criteo_row("0", "1", "0123456789abcdef0"), BAD_CATEGORY),
        ("0\t1", WRONG_WIDTH),
        (criteo_row() + "\textra", WRONG_WIDTH),
    ],
)
def test_a_row_out_of_format_is_set_aside_with_its_reason_and_the_others_stay(
    tmp_path: Path, row: str, reason: str
) -> None:
    good = [criteo_row(str(n % 2)) for n in range(150)]
    aside = SetAside()
    parts = list(read_clicks(written(tmp_path / "train.txt", [*good[:75], row, *good[75:]]), CRITEO, aside))
    assert sum(len(part) for part in parts) == 150
    assert aside.counts == {reason: 1}
    assert str(aside) == f"1 of 151 refused: 1 {reason}"
    assert np.concatenate([part.time for part in parts]).tolist() == list(range(150))


@pytest.mark.parametrize("hour", ["14103225", "14102124", "1410210", "14-10-21"])
def test_an_hour_that_no_calendar_has_is_set_aside(tmp_path: Path, hour: str) -> None:
    aside = SetAside()
    rows = [avazu_row() for _ in range(120)]
    list(read_clicks(written(tmp_path / "train.csv", [*rows, avazu_row(hour=hour)], HEADER), AVAZU, aside))
    assert aside.counts == {BAD_HOUR: 1}


def test_bytes_that_are_no_text_cost_one_row(tmp_path: Path) -> None:
    path = written(tmp_path / "train.txt", [criteo_row() for _ in range(120)])
    path.write_bytes(path.read_bytes() + criteo_row().encode().replace(b"68fd1e64", b"\xff\xfe"))
    aside = SetAside()
    assert sum(len(part) for part in read_clicks(path, CRITEO, aside)) == 120
    assert aside.counts == {BAD_CATEGORY: 1}


def test_the_parts_of_a_stream_are_the_file_whatever_their_size(tmp_path: Path) -> None:
    path = written(tmp_path / "train.txt", [criteo_row(str(n % 2), str(n), f"{n:08x}") for n in range(500)])
    whole = ClickPart.concat(list(read_clicks(path, CRITEO)))
    parts = list(read_clicks(path, CRITEO, block_bytes=2_000))
    assert len(parts) > 10
    again = ClickPart.concat(parts)
    for name in ("clicked", "time", "numeric", "categorical"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(again, name))
    assert whole.categorical[:, 0].tolist() == list(range(500))


def test_another_file_is_refused_and_the_message_says_where_to_get_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"found nothing; get it from https://www.kaggle.com/c/criteo"):
        list(read_clicks(tmp_path / "train.txt", CRITEO))
    with pytest.raises(SourceError, match="header of avazu"):
        list(read_clicks(written(tmp_path / "a.csv", [avazu_row()], "id,hour,click"), AVAZU))
    with pytest.raises(SourceError, match=r"2 of 3 refused: 2 label is neither 0 nor 1, such as 'label=5'"):
        list(read_clicks(written(tmp_path / "b.txt", [criteo_row("5"), criteo_row("5"), criteo_row()]), CRITEO))
    with pytest.raises(SourceError, match="empty"):
        list(read_clicks(written(tmp_path / "c.csv", [], HEADER), AVAZU))
    (tmp_path / "d.txt").write_bytes(b"")
    with pytest.raises(SourceError, match="empty"):
        list(read_clicks(tmp_path / "d.txt", CRITEO))
    rows = [avazu_row(hour="14102101"), avazu_row(hour="14102100")]
    with pytest.raises(SourceError, match="backwards"):
        list(read_clicks(written(tmp_path / "e.csv", rows, HEADER), AVAZU))
    with pytest.raises(NotFoundError, match="known are avazu, criteo"):
        click_format("taobao")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.none() | st.integers(-9, 10**6), st.none() | st.integers(0, 2**32 - 1))))
def test_what_was_written_is_what_is_read(tmp_path: Path, rows: list[tuple[bool, int | None, int | None]]) -> None:
    lines = [
        criteo_row(str(int(label)), "" if number is None else str(number), "" if code is None else f"{code:08x}")
        for label, number, code in [*rows, (False, None, None)]
    ]
    whole = ClickPart.concat(list(read_clicks(written(tmp_path / "train.txt", lines), CRITEO, block_bytes=400)))
    assert whole.clicked.tolist() == [*(row[0] for row in rows), False]
    numbers = [None if np.isnan(value) else int(value) for value in whole.numeric[:, 0]]
    assert numbers == [*(row[1] for row in rows), None]
    codes = [None if value == MISSING else value for value in whole.categorical[:, 0].tolist()]
    assert codes == [*(row[2] for row in rows), None]


def part_of(values: list[int]) -> ClickPart:
    n = len(values)
    return ClickPart(
        np.zeros(n, dtype=bool), np.arange(n), np.zeros((n, 0), np.float32), np.array(values, dtype=np.int64)[:, None]
    )


def test_a_value_seen_too_rarely_is_rare_and_a_missing_one_missing() -> None:
    codes = ClickCodes.learn(iter([part_of([7, 7, 8]), part_of([7, 9, MISSING, MISSING, MISSING])]), 1, least=3)
    assert codes(np.array([[7], [8], [10**9], [MISSING]])).ravel().tolist() == [2, CODE_RARE, CODE_RARE, CODE_MISSING]
    assert codes.cardinalities == (3,)


def test_values_that_are_kept_have_codes_of_their_own_and_columns_do_not_share() -> None:
    values = np.arange(300)
    codes = ClickCodes.learn(iter([part_of(values.tolist())]), 1, least=1)
    coded = codes(values[:, None]).ravel()
    assert len(set(coded.tolist())) == len(set(bucket_of(values[:, None], 1 << 18).ravel().tolist()))
    assert sorted(set(coded.tolist())) == list(range(2, codes.cardinalities[0]))
    same = bucket_of(np.array([[5, 5]]), 1 << 18).ravel()
    assert same[0] != same[1]
    with pytest.raises(ConfigError, match="least >= 1"):
        ClickCodes.learn(iter([]), 1, least=0)


def test_rows_of_one_hour_are_never_parted() -> None:
    cuts = time_cuts(np.array([10, 20, 30, 40]), np.array([6, 2, 1, 1]))
    # before 20 lie 6 of 10 rows, before 30 8 and before 40 9: the first with at least 7, the first with at least 8.5
    assert (cuts.valid, cuts.test) == (30, 40)
    with pytest.raises(SourceError, match="read more of the file"):
        time_cuts(np.array([10, 20]), np.array([5, 5]))


def test_a_thinned_file_is_spread_over_all_of_it() -> None:
    parts = [part_of(list(range(4))), part_of(list(range(4, 10)))]
    kept = ClickPart.concat(list(spread(iter(parts), 10, 5)))
    assert kept.categorical.ravel().tolist() == [1, 3, 5, 7, 9]
    assert len(ClickPart.concat(list(spread(iter(parts), 10, 99)))) == 10


def test_the_folder_holds_the_three_parts_of_time_and_codes_know_only_the_first(tmp_path: Path) -> None:
    # 20 hours of 10 rows; site 3 appears in the last hours only
    rows = [
        avazu_row(str(int(n % 3 == 0)), f"141021{h:02d}", f"{h // 17 * 3:08x}") for h in range(20) for n in range(10)
    ]
    about = write_arrays(written(tmp_path / "train.csv", rows, HEADER), AVAZU, tmp_path / "arrays", least=2)
    assert about["rows"] == {"train": 140, "valid": 30, "test": 30}
    assert json.loads((tmp_path / "arrays" / "about.json").read_text()) == about
    site = AVAZU.categorical.index("site_id")
    read = {name: np.load(tmp_path / "arrays" / name / "categorical.npy")[:, site] for name in SPLITS}
    assert {name: set(values.tolist()) for name, values in read.items()} == {
        "train": {2},
        "valid": {2},
        "test": {CODE_RARE},
    }
    times = [np.load(tmp_path / "arrays" / name / "time.npy") for name in SPLITS]
    assert times[0].max() < times[1].min()
    assert times[1].max() < times[2].min()
    assert np.load(tmp_path / "arrays" / "train" / "label.npy").mean() == pytest.approx(0.4)


def test_criteo_is_split_by_its_order_and_a_share_of_it_too(tmp_path: Path) -> None:
    path = written(tmp_path / "train.txt", [criteo_row(str(n % 2), str(n)) for n in range(1_000)])
    about = write_arrays(path, CRITEO, tmp_path / "arrays", rows=200, least=1)
    assert about["rows"] == {"train": 140, "valid": 30, "test": 30}
    assert about["rows_in_file"] == 1_000
    first = np.load(tmp_path / "arrays" / "test" / "numeric.npy")[:, 0]
    assert first.tolist() == list(range(854, 1_000, 5))
    assert fingerprint(path)[1] == path.stat().st_size
