"""Reads lists of URLs that somebody wrote: text, CSV, a column of a Parquet file. Blocking."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from asyncref.errors import AccessDeniedError, ContainerNotFoundError, OptionError, StorageError
from asyncref.uri import has_scheme

_USUAL: Final = ("url", "urls", "uri", "link", "href")
_DIVIDERS: Final = {".csv": ",", ".tsv": "\t"}


def read_list(path: str, column: str | None, *, uri: str) -> list[tuple[str, str]]:
    """Every URL of a list with the place where it stands, such as `line 3`.

    Args:
        path: `.txt` (a URL a line; empty lines and lines that begin with `#` are none), `.csv` or `.tsv` (with a
            header, or with URLs in the first row already), `.parquet`.
        column: Which column; None: the only one, or the one that is called url.
        uri: For errors.

    Raises:
        ContainerNotFoundError: No such file.
        OptionError: No such column, or several to choose from.
        StorageError: Not such a file at all.
    """
    file = Path(path)
    try:
        if file.suffix == ".parquet":
            return _from_parquet(file, column, uri)
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if file.suffix in _DIVIDERS:
                rows = csv.reader(lines, delimiter=_DIVIDERS[file.suffix])
                return list(_from_rows(rows, column, uri))
            numbered = enumerate((line.strip() for line in lines), start=1)
            return [(line, f"line {number}") for number, line in numbered if line and not line.startswith("#")]
    except FileNotFoundError as error:
        raise ContainerNotFoundError("no such list of URLs", uri=uri) from error
    except PermissionError as error:
        raise AccessDeniedError("the list of URLs may not be read", uri=uri) from error
    except (OSError, UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise StorageError(f"not a list of URLs: {error}", uri=uri) from error


def _from_parquet(file: Path, column: str | None, uri: str) -> list[tuple[str, str]]:
    with pq.ParquetFile(file) as table:
        chosen = _choose(table.schema_arrow.names, column, uri)
        values = table.read(columns=[chosen]).column(0).to_pylist()
    return [(str(value), f"row {number}") for number, value in enumerate(values, start=1) if value]


def _from_rows(rows: Iterator[list[str]], column: str | None, uri: str) -> Iterator[tuple[str, str]]:
    head = next(rows, [])
    if column is None and any(has_scheme(cell) for cell in head):
        index = next(number for number, cell in enumerate(head) if has_scheme(cell))
        yield head[index], "row 1"
    else:
        index = head.index(_choose(head, column, uri))
    for number, row in enumerate(rows, start=2):
        if len(row) > index and row[index].strip():
            yield row[index].strip(), f"row {number}"


def _choose(names: Sequence[str], column: str | None, uri: str) -> str:
    if column is not None:
        if column not in names:
            raise OptionError(f"no column {column!r}", uri=uri, hint=f"there are {', '.join(names)}")
        return column
    if len(names) == 1:
        return names[0]
    usual = [name for name in names if name.strip().lower() in _USUAL]
    if len(usual) != 1:
        raise OptionError("which column holds the URLs?", uri=uri, hint=f"column= one of {', '.join(names)}")
    return usual[0]
