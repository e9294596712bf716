"""The one door: whoever reads behaviour says what for, and the refused stay outside."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import zhitou
from zhitou.core.clock import FixedClock
from zhitou.core.errors import SourceError
from zhitou.events.schema import EVENT_SCHEMA
from zhitou.privacy.consent import ConsentBook
from zhitou.privacy.door import EVENTS_FILE, READS_FILE, Door, consent_from_events


def write(folder, rows):
    filled = [
        {"event_id": str(i), "tenant": "t", "occurred_at": i, "received_at": i, **row}
        for i, row in enumerate(rows)
    ]
    pq.write_table(pa.Table.from_pylist(filled, schema=EVENT_SCHEMA), folder / EVENTS_FILE)


@pytest.fixture
def folder(tmp_path):
    refusal = json.dumps({"purposes": {"profile": False}})
    write(
        tmp_path,
        [
            {"subject": "s_a", "kind": "purchase", "item": "1"},
            {"subject": "s_b", "kind": "purchase", "item": "2"},
            {"subject": "s_b", "kind": "consent", "context": refusal},
            {"subject": "s_a", "kind": "unsubscribe", "channel": "email"},
        ],
    )
    return tmp_path


def door(folder):
    return Door(folder, consent_from_events(folder, ("profile", "measurement", "email")), FixedClock(7))


def test_who_refused_a_purpose_is_not_read_for_it(folder):
    assert set(door(folder).read("profile")["subject"].to_pylist()) == {"s_a"}
    assert set(door(folder).read("measurement")["subject"].to_pylist()) == {"s_a", "s_b"}


def test_an_unsubscribe_closes_the_door_for_that_channel(folder):
    assert set(door(folder).read("email")["subject"].to_pylist()) == {"s_b"}


def test_only_the_named_columns_come_out(folder):
    assert door(folder).read("profile", columns=["item"]).column_names == ["item"]


def test_every_read_is_noted(folder):
    door(folder).read("profile")
    line = json.loads((folder / READS_FILE).read_text().splitlines()[-1])
    assert line == {"at_us": 7, "purpose": "profile", "subjects_held_back": 1, "subjects_read": 1}


def test_nothing_prepared_is_an_error_that_says_what_to_run(tmp_path):
    with pytest.raises(SourceError, match="zhitou prepare"):
        Door(tmp_path, ConsentBook(), FixedClock(0))


def test_no_other_module_opens_the_events_file():
    root = Path(zhitou.__file__).parent
    opens = [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*.py"))
        if re.search(r"EVENTS_FILE|events\.parquet", path.read_text())
    ]
    # prepare writes the file; everybody else reads through the door
    assert set(opens) <= {"privacy/door.py", "events/prepare.py"}
