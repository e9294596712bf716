"""Files that are whole or not there, and files that grow by whole lines."""

from __future__ import annotations

import pytest

from zhitou.core.files import append_line, replace_whole


def test_a_line_is_added_and_what_was_there_stays(tmp_path):
    path = tmp_path / "rounds.jsonl"
    append_line(path, b"one")
    written = path.stat().st_ino
    append_line(path, b"two")
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_ino == written  # the same file, not a copy of it


@pytest.mark.parametrize(("torn", "after"), [(b"one\ntw", b"one\nnew\n"), (b"tw", b"new\n"), (b"", b"new\n")])
def test_what_a_crash_left_of_a_line_goes_and_no_line_is_joined_to_another(tmp_path, torn, after):
    path = tmp_path / "rounds.jsonl"
    path.write_bytes(torn)
    append_line(path, b"new")
    assert path.read_bytes() == after


def test_two_lines_are_not_one(tmp_path):
    with pytest.raises(AssertionError, match="one line"):
        append_line(tmp_path / "a", b"one\ntwo")


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_and_no_draft_is_left(tmp_path, durable):
    path = tmp_path / "state.json"
    for content in (b"a long first content", b"short"):
        replace_whole(path, content, durable=durable)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_its_owners_alone(tmp_path):
    replace_whole(tmp_path / "key", b"secret", private=True)
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0
