"""W&B's `wandb_manifest.json`, read and written in the forms that W&B 0.31 itself writes.

* `core`: what wandb-core (Go, core/pkg/artifacts/manifest.go) uploads: `size` and `skip_cache` in every entry,
  `storageLayout` always V2.
* `sdk`: what the Python client's `to_manifest_json` gives: fields with default values left out.

The gzip JSON lines in which the client hands more than 100,000 entries to wandb-core are read, too.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

from asyncref.errors import ManifestFormatError, ManifestVersionError
from asyncref.manifest.table import Manifest
from asyncref.model import Entry, Pin, Source
from asyncref.record import Record

Form = Literal["core", "sdk"]
_VERSION: Final = 1
_POLICY: Final = "wandb-storage-policy-v1"
_GZIP: Final = b"\x1f\x8b"
_ENTRIES_A_CHUNK: Final = 4096
_NO_SIZE: Final = 2**63  # what no column of 64 bits with a sign holds
_DAMAGE: Final = (ValueError, RecursionError, OSError, EOFError, zlib.error)  # both JSON libraries raise ValueErrors
_BARE_ETAG: Final = frozenset({"s3", "az"})  # W&B strips the quotes of these, and keeps those of HTTP


def to_wandb(manifest: Manifest, *, form: Form = "core") -> Iterator[bytes]:
    """A manifest as `wandb_manifest.json`, in chunks; paths in order, so equal manifests give equal bytes.

    What W&B has no field for (endpoint, times, content MD5 beside an ETag) is left out.
    """
    config = {"storageLayout": "V2"}
    head = {"version": _VERSION, "storagePolicy": _POLICY, "storagePolicyConfig": config}
    yield orjson.dumps(head)[:-1] + b',"contents":{'
    waiting: list[bytes] = []
    separator = b""
    for entry in manifest:
        scheme = manifest.sources[entry.source].scheme
        waiting.append(orjson.dumps(entry.path) + b":" + orjson.dumps(_fields(entry, scheme, form)))
        if len(waiting) == _ENTRIES_A_CHUNK:
            yield separator + b",".join(waiting)
            separator, waiting = b",", []
    yield (separator if waiting else b"") + b",".join(waiting) + b"}}"


def from_wandb(data: bytes, *, uri: str | None = None, endpoint: str | None = None) -> Manifest:
    """A manifest of a `wandb_manifest.json` in any of W&B's forms; holds all of it in memory.

    Args:
        data: The file's bytes.
        uri: What errors call it.
        endpoint: Where the S3 references lie, if not on AWS: W&B's manifests do not say.

    Raises:
        ManifestFormatError: Not W&B's, damaged, or with entries that lie in W&B's own storage.
        ManifestVersionError: Another version than 1.
    """
    contents = _contents(data, uri)
    uploaded = [path for path, fields in contents.items() if not fields.get("ref")]
    if uploaded:
        raise ManifestFormatError(
            f"{len(uploaded)} of {len(contents)} entries were uploaded to W&B and refer to nothing, such as {uploaded[0]}",
            uri=uri,
            hint="asyncref tracks references only",
        )
    sources = _Sources(contents, endpoint, uri)
    entries = (_entry(path, fields, sources, uri) for path, fields in contents.items())
    now = datetime.now(UTC)
    record = Record(started=now, ended=now, notes=("imported from W&B: it records no times and no endpoint",))
    return Manifest.from_entries(entries, sources=sources.list, record=record)


def _fields(entry: Entry, scheme: str, form: Form) -> dict[str, Any]:
    fields: dict[str, Any] = {"digest": entry.digest, "ref": entry.ref}
    if form == "core":
        fields |= {"size": entry.size or 0, "skip_cache": False}
    elif entry.size is not None:
        fields["size"] = entry.size
    extra: dict[str, str] = {}
    if entry.pin.etag is not None and scheme not in ("gs", "file"):
        extra["etag"] = entry.pin.etag.strip('"') if scheme in _BARE_ETAG else entry.pin.etag
    if entry.pin.version not in (None, "null"):
        extra["versionID"] = entry.pin.version
    return fields | {"extra": extra} if extra else fields


def _contents(data: bytes, uri: str | None) -> dict[str, dict[str, Any]]:
    try:
        if data.startswith(_GZIP):
            contents = _of_lines(gzip.decompress(data).splitlines(), uri)
        else:
            values = orjson.loads(data)
            _refuse_twins(data, uri)
            contents, version, policy = values["contents"], values["version"], values["storagePolicy"]
            if version != _VERSION:
                raise ManifestVersionError(f"W&B manifest of version {version}; only 1 is read", uri=uri)
            if policy != _POLICY:
                raise ManifestFormatError(f"W&B storage policy {policy!r} is not known", uri=uri)
        if not all(isinstance(fields["digest"], str) for fields in contents.values()):
            raise ManifestFormatError("an entry's digest is no text", uri=uri)
        if not all(isinstance(fields.get("ref"), str | None) for fields in contents.values()):
            raise ManifestFormatError("an entry's reference is no text", uri=uri)
        if not all(isinstance(fields.get("extra"), dict | None) for fields in contents.values()):
            raise ManifestFormatError("an entry's extra is no object", uri=uri)
    except (*_DAMAGE, KeyError, TypeError, AttributeError) as error:
        raise ManifestFormatError("not a W&B manifest, or a damaged one", uri=uri) from error
    else:
        return contents


def _of_lines(lines: Iterable[bytes], uri: str | None) -> dict[str, dict[str, Any]]:
    contents: dict[str, dict[str, Any]] = {}
    for line in lines:
        fields = orjson.loads(line)
        _refuse_twins(line, uri)
        if (path := fields.pop("path")) in contents:
            raise ManifestFormatError(f"the path {path} is there twice", uri=uri)
        contents[path] = fields
    return contents


def _refuse_twins(data: bytes, uri: str | None) -> None:
    """Refuse an object with one name twice, of which any parser takes the last (1.5 s a million entries).

    A second pass, by the library that can tell; it keeps nothing but the names of one object at a time.
    """

    def look(pairs: list[tuple[str, None]]) -> None:
        names = set()
        for name, _ in pairs:
            if name in names:
                raise ManifestFormatError(f"{name!r} is there twice, in one object", uri=uri)
            names.add(name)

    json.loads(data, object_pairs_hook=look)


class _Sources:
    """The containers that references name, with the prefix that all paths of one have in common."""

    def __init__(self, contents: Mapping[str, Mapping[str, Any]], endpoint: str | None, uri: str | None) -> None:
        heads: dict[tuple[str, str], set[str]] = {}
        for path, fields in contents.items():
            found = self._place(fields["ref"], uri)
            root = f"{found[0]}://{found[1]}/" if found[1] else f"{found[0]}://"
            key = fields["ref"].removeprefix(root)
            heads.setdefault(found, set()).add(key.removesuffix(path) if key.endswith(path) else "")
        self.list = [self._source(place, heads[place], endpoint) for place in sorted(heads)]
        self._numbers = {(source.scheme, source.container): number for number, source in enumerate(self.list)}

    def number(self, ref: str) -> int:
        """The index of a reference's source."""
        return self._numbers[self._place(ref, None)]

    @staticmethod
    def _place(ref: str, uri: str | None) -> tuple[str, str]:
        found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*)", ref)
        if found is None:
            raise ManifestFormatError(f"an entry's reference has no scheme: {ref}", uri=uri)
        scheme = found[1]
        return scheme, "" if scheme == "file" else found[2]

    @staticmethod
    def _source(place: tuple[str, str], heads: set[str], endpoint: str | None) -> Source:
        scheme, container = place
        prefix = heads.pop() if len(heads) == 1 else ""
        root = f"{scheme}://{container}/" if container else f"{scheme}://"
        asked = endpoint if scheme == "s3" else None
        return Source(uri=f"{root}{prefix}", scheme=scheme, container=container, prefix=prefix, endpoint=asked)


def _entry(path: str, fields: Mapping[str, Any], sources: _Sources, uri: str | None) -> Entry:
    ref, digest, extra = fields["ref"], fields["digest"], fields.get("extra") or {}
    number = sources.number(ref)
    scheme = sources.list[number].scheme
    size = fields.get("size")
    if not size and digest == ref:
        size = None  # wandb-core writes 0 where the client did not know
    etag = extra.get("etag", digest if scheme == "gs" else None)
    if isinstance(etag, str) and scheme != "gs" and not etag.startswith(('"', "W/")):
        etag = f'"{etag}"'
    version = extra.get("versionID")
    checksum = _md5(digest) if scheme == "file" else None
    if not (size is None or (type(size) is int and 0 <= size < _NO_SIZE)):  # a bool is an int, too
        raise ManifestFormatError(f"the entry {path} has the size {size!r}, which is none", uri=uri)
    if not isinstance(etag, str | None):
        raise ManifestFormatError(f"the entry {path} has an ETag of another type", uri=uri)
    pin = Pin(size=size, etag=etag, version=None if version is None else str(version), checksum=checksum, digest=digest)
    return Entry(path=path, ref=ref, digest=digest, pin=pin, source=number)


def _md5(digest: str) -> str | None:
    try:
        raw = b64decode(digest, validate=True)
    except (Base64Error, ValueError):
        return None
    return f"md5:{raw.hex()}" if len(raw) == 16 else None  # noqa: PLR2004  an MD5 has 16 bytes
