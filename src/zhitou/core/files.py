"""Files that are whole or not there, and files that grow by whole lines."""

from __future__ import annotations

import os
from pathlib import Path


def replace_whole(path: Path, data: bytes, *, durable: bool = True, private: bool = False) -> None:
    """The whole of `data` at `path` or nothing of it. The last of several writers wins.

    durable: on disk when this returns, also if the power goes; without it (much faster for many files that can be
    made again) only a reader never sees half a file. private: readable by its owner alone.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    mode = 0o600 if private else 0o666  # less what the process's umask takes away
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(draft, path)
    if durable:
        _sync(path.parent)


def append_line(path: Path, line: bytes) -> None:
    """One more line at the end, on disk when this returns; what was there is not written again. For one writer.

    The file is made if it is not there. What a crash left of a line without its end is taken away first, so that
    every line is whole.
    """
    assert b"\n" not in line, "one line at a time"
    new = not path.exists()
    with path.open("ab") as file:
        file.truncate(_end_of_lines(path))
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if new:
        _sync(path.parent)


def _end_of_lines(path: Path) -> int:
    """How many bytes of this file are whole lines: all of them, but after a crash."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read() != b"\n":
                file.seek(0)
                end = file.read().rfind(b"\n") + 1
        return end


def _sync(folder: Path) -> None:
    """The folder's list of files, on disk."""
    at = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(at)
    finally:
        os.close(at)
