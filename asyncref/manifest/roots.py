"""Roots: what a manifest says of itself in JSON, beside its parts or inside an exported file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson

from asyncref.errors import ManifestFormatError, ManifestVersionError
from asyncref.manifest.digest import FORMAT
from asyncref.manifest.parts import Part
from asyncref.model import Source
from asyncref.record import Proof, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A manifest without its rows.

    Attributes:
        identity: Name of the pinned rows.
        digest: W&B's digest.
        rows: How many.
        size: Bytes of all objects.
        sources: Where the rows lie.
        record: Of its making.
        parts: What is said of each part; empty in an exported file.
    """

    identity: str
    digest: str
    rows: int
    size: int
    sources: tuple[Source, ...]
    record: Record
    parts: tuple[dict[str, Any], ...] = ()

    def dump(self) -> bytes:
        """As canonical JSON that carries its own checksum."""
        values = {
            "format": FORMAT,
            "identity": self.identity,
            "digest": self.digest,
            "rows": self.rows,
            "bytes": self.size,
            "sources": [asdict(source) for source in self.sources],
            "record": self.record.to_json(),
            "parts": list(self.parts),
        }
        return orjson.dumps({**values, "check": _check(values)}, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def load(cls, text: bytes, *, uri: str) -> Root:
        """Read one.

        Raises:
            ManifestVersionError: Written in a newer format.
            ManifestFormatError: Not a root, cut or edited.
        """
        try:
            values = orjson.loads(text)
            number = values["format"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise ManifestFormatError("not a manifest: its root cannot be read", uri=uri) from error
        if not isinstance(number, int) or number > FORMAT:
            raise ManifestVersionError(
                f"written in format {number}, and this asyncref reads up to {FORMAT}", uri=uri, hint="update asyncref"
            )
        if values.pop("check", None) != _check(values):
            raise ManifestFormatError("damaged or edited: its root does not match its checksum", uri=uri)
        try:
            return cls(
                identity=values["identity"],
                digest=values["digest"],
                rows=values["rows"],
                size=values["bytes"],
                sources=tuple(map(_source, values["sources"])),
                record=_record(values["record"]),
                parts=tuple(values["parts"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ManifestFormatError("not a manifest: its root lacks a field or has one too many", uri=uri) from error


def parts_json(parts: Sequence[Part]) -> tuple[dict[str, Any], ...]:
    """Parts as a root lists them."""
    return tuple(part.to_json() for part in parts)


def _source(values: dict[str, Any]) -> Source:
    globs = {name: tuple(values.get(name, ())) for name in ("include", "exclude")}
    at = values.get("at")
    return Source(**{**values, **globs, "at": datetime.fromisoformat(at) if at else None})


def _record(values: dict[str, Any]) -> Record:
    started, ended = (datetime.fromisoformat(values.pop(name)) for name in ("started", "ended"))
    counts = values.pop("proof", None)
    proof = None if counts is None else Proof(**counts)
    return Record(started=started, ended=ended, notes=tuple(values.pop("notes")), proof=proof, **values)


def _check(values: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()
