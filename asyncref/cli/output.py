"""What a command prints on stdout: aligned tables for people, one JSON document with a `schema` for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from asyncref.cli.printable import printable


def emit_json(schema: str, document: Mapping[str, Any]) -> None:
    """Print one JSON document, indented, its first field the schema.

    Args:
        schema: Such as `asyncref.diff/1`; the number grows when a field changes its meaning.
        document: The other fields.
    """
    _write(_dump({"schema": schema, **document}, orjson.OPT_INDENT_2) + "\n")


def emit_json_rows(schema: str, head: Mapping[str, Any], field: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Print one JSON document whose last field is a long list: one row a line, in bounded memory."""
    _write(_dump({"schema": schema, **head})[:-1] + f',"{field}":[')
    separator = "\n"
    for row in rows:
        _write(separator + _dump(row))
        separator = ",\n"
    _write("\n]}\n")


def emit_lines(lines: Iterable[str]) -> None:
    """Print lines as they come."""
    for line in lines:
        _write(printable(line) + "\n")


def emit_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a heading, every column as wide as its longest value.

    Args:
        columns: Headings; one that starts with `>` is aligned to the right.
        rows: Values; all are held in memory, so only for short tables.
    """
    emit_lines(table(columns, rows))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The lines of `emit_table`."""
    right = [column.startswith(">") for column in columns]
    cells = [[column.removeprefix(">").upper() for column in columns]]
    cells.extend([_text(value) for value in row] for row in rows)
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        padded = (
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        )
        yield "  ".join(padded).rstrip()


def emit_fields(fields: Mapping[str, object]) -> None:
    """Print `name  value` lines; empty values are left out."""
    shown = {name: _text(value) for name, value in fields.items() if value not in (None, "", (), [])}
    width = max(map(len, shown), default=0)
    emit_lines(f"{name.ljust(width)}  {value}" for name, value in shown.items())


def human_time(moment: datetime | None) -> str:
    """A time to the second, UTC: `2025-03-01 12:00:00Z`; `-` if unknown."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _text(value: object) -> str:
    match value:
        case None:
            return "-"
        case datetime():
            return human_time(value)
        case list() | tuple():
            return ", ".join(map(str, value))
    return str(value)


def _dump(value: object, option: int = 0) -> str:
    return orjson.dumps(
        value, option=option | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY, default=str
    ).decode()


def _write(text: str) -> None:
    sys.stdout.write(text)
