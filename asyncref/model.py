"""Frozen values that every layer shares: sources, key ranges, pages, pins, limits.

Two Arrow schemas carry all data; single objects never cross a task:

* `PAGE_SCHEMA`: what one request of a listing gave, by key. Made by backends.
* `ENTRY_SCHEMA`: what a manifest holds, by path. Made by the engine from pages.

Both are *compact*: what follows from another column is null, and hex is raw bytes. The rules, which make
a row's compact form unique (a manifest's identity is computed from it):

* `etag16` holds the 16 bytes of an ETag of the exact form `"` + 32 lower-case hex digits + `"`; `etag` is
  null then. Every other ETag is in `etag` as it was sent, quotes and `W/` included. Objects without an
  ETag have neither.
* `md5` holds the 16 bytes of a content MD5 that the storage (or the file backend) computed; `checksum` is
  null then. Every other checksum is in `checksum` as `algorithm:hex`.
* `digest` is null where it follows: the ETag without quotes and `W/`, or, where there is no ETag, the
  base64 of `md5`. Otherwise it is the digest itself.
* `version` is the server's id as it was sent (`null` included: S3's weak version). Null: none was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import pyarrow as pa

from asyncref.errors import OptionError

_PINS: Final = (
    pa.field("size", pa.int64()),  # bytes; null where the storage did not say (a reference by mere URL)
    pa.field("etag16", pa.binary(16)),
    pa.field("etag", pa.string()),
    pa.field("digest", pa.string()),
    pa.field("version", pa.string()),
    pa.field("md5", pa.binary(16)),
    pa.field("checksum", pa.string()),
    pa.field("modified", pa.timestamp("us", tz="UTC")),
)
PAGE_SCHEMA: Final = pa.schema([pa.field("key", pa.string(), nullable=False), *_PINS])
ENTRY_SCHEMA: Final = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("ref", pa.string()),  # null: base of `source`, then the path without its name
        *_PINS,
        pa.field("source", pa.int16(), nullable=False),  # index into the manifest's sources
    ]
)


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys `after < key <= last` in UTF-8 byte order, which is the order of Python's `str`.

    None leaves that side open.
    """

    after: str | None = None
    last: str | None = None

    def __contains__(self, key: str) -> bool:
        return (self.after is None or key > self.after) and (self.last is None or key <= self.last)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a listing goes on. Made and read by one backend only; the engine compares and hands it back.

    It is handed back with the prefix it came for. One exception: where the marker of a version listing is the page's last
    key, letter by letter, it is taken for that key, and may be sent with a longer prefix that the key starts with, too.

    Attributes:
        marker: The server's own marker or token.
        version_marker: The server's second marker, where it has one (S3 versions).
        state: What the backend has to know about rows before the marker to judge those after it.
    """

    marker: str
    version_marker: str | None = None
    state: str | None = None


BEHIND_LAST: Final = Cursor("")
"""Goes on behind the page's last key, as a new range does: set by the engine where the server's marker does not serve."""


@dataclass(frozen=True, slots=True)
class ListRequest:
    """One request of a listing.

    Attributes:
        prefix: Only keys that start with it. For hierarchical storages: the folder, ending in `/` or empty.
        keys: The range asked for. A server may answer with more: the engine trims.
        cursor: The former page's; None for the first page of the range. Within a range the server's own
            markers are followed, so `keys.after` matters for the first page only.
        limit: Rows to ask for.
        versions: Ask for version ids (S3: ListObjectVersions).
        folders: Ask for what lies right under the prefix, with sub-folders as `Page.folders` and not what is in them
            (only where `Traits.delimited` says so).
        at: Ask for what a past moment may need, too (only with `versions`, and where `Traits.past` says so): the page's
            rows are then every version of its keys, see `Page.batch`. The engine picks one a key.
    """

    prefix: str = ""
    keys: KeyRange = KeyRange()
    cursor: Cursor | None = None
    limit: int = 1000
    versions: bool = False
    folders: bool = False
    at: datetime | None = None

    def going_on(self, keys: KeyRange, cursor: Cursor | None) -> ListRequest:
        """The same for another range and cursor; a third of what `dataclasses.replace` takes, once a page."""
        return ListRequest(self.prefix, keys, cursor, self.limit, self.versions, self.folders, self.at)


@dataclass(frozen=True, slots=True)
class Page:
    """What one request of a listing gave: a column batch, never single objects.

    Attributes:
        batch: Rows of `PAGE_SCHEMA` in the server's order: current objects, no delete markers. Folder
            markers (`foo/` of zero bytes) are in it: the engine drops them. Asked with `at`: all versions of a key one
            after the other and, of those as old, the newer first; delete markers are rows whose size is null. Left
            out may be what is younger than `at`, and what the storage says was gone by then (GCS: `timeDeleted`).
        first: The first key that the server went through, rowless ones (delete markers, older versions)
            included; None if there was none.
        last: The last such key.
        cursor: Where to go on; None if and only if the server said that nothing follows.
        folders: For hierarchical storages, or asked with `folders`: the prefixes of the sub-folders, not yet listed.
        seen: Raw rows that the server sent, rowless ones included.
        body_bytes: Size of the answer.
        refused: What lies there and cannot be an entry, each as `key (reason)`: names that are not UTF-8, broken
            links, sockets and devices. The engine treats them as bad keys.
        skipped: What was rightly left out, by reason, such as `folder_link`.
        claimed: Rows and folders that the server says it sent; 0 where it does not say.
        first_version: Whatever names the first version of a page that holds versions of one key alone, by which such pages
            are told apart; None where that is not known.
        encoded: Whether the server said that it encodes keys; None where that makes no difference. Pages of one
            listing must agree.
        ascends: The batch's keys are known to ascend strictly; False: nobody has looked yet.
    """

    batch: pa.RecordBatch
    first: str | None
    last: str | None
    cursor: Cursor | None
    folders: tuple[str, ...] = ()
    seen: int = 0
    body_bytes: int = 0
    refused: tuple[str, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict)
    encoded: bool | None = None
    ascends: bool = False
    claimed: int = 0
    first_version: str | None = None


@dataclass(frozen=True, slots=True)
class Pin:
    """What identifies the bytes of one object, as far as its storage tells.

    Attributes:
        size: Bytes; None if unknown.
        etag: As sent, with quotes and `W/`.
        version: S3 VersionId (`null` included), GCS generation, Azure VersionId.
        checksum: `algorithm:hex`, such as `md5:…` or `crc32c:…`.
        digest: W&B's digest of the entry where it follows from none of these.
        modified: Last modification, UTC; informative. Compared only for pieces of files, where another one means that the
            content has to be looked at.
    """

    size: int | None = None
    etag: str | None = None
    version: str | None = None
    checksum: str | None = None
    digest: str | None = None
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a manifest in its logical form (nothing left out)."""

    path: str
    ref: str
    digest: str
    pin: Pin
    source: int = 0

    @property
    def size(self) -> int | None:
        """Bytes; None if the storage did not say."""
        return self.pin.size


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One ranged, conditional read.

    Attributes:
        key: The object's raw key.
        start: First byte.
        stop: End, exclusive; None reads to the end and sends no Range header. Size 0: always None.
        version: Ask for this version (S3 versionId, GCS generation, Azure versionid).
        if_match: Send this ETag as a condition. Never a weak one.
    """

    key: str
    start: int = 0
    stop: int | None = None
    version: str | None = None
    if_match: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says it sends: compared with the pin by the engine, since servers ignore conditions.

    Attributes:
        start: First byte of the body within the object (from Content-Range; 0 for a whole object).
        stop: End of the body, exclusive; None if the server gave no length.
        total: Size of the whole object; None if unknown.
        etag: As sent.
        version: Echoed version id or generation; None if the server sent none.
        checksum: Of the whole object, `algorithm:hex`, where the answer has one.
        request_id: The server's own id of the request.
        modified: When the object was last changed, UTC, where nothing else in the answer tells it from another (files).
    """

    start: int
    stop: int | None
    total: int | None
    etag: str | None = None
    version: str | None = None
    checksum: str | None = None
    request_id: str | None = None
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a manifest's entries lie: enough for a colleague's `fetch` to ask the same place. No secrets.

    Attributes:
        uri: The reference as the user gave it.
        scheme: `s3`, `file`, ...
        container: Bucket; empty where the scheme has none (`file`).
        prefix: What the keys of this source's entries start with.
        name: What the paths of its entries start with (`name=`); empty if none.
        endpoint: Base URL that was asked, None for the provider's default.
        region: As the server or the settings said.
        addressing: `path` or `virtual`, None where it does not apply.
        anon: Asked without credentials.
        requester_pays: The requester pays for requests and transfer.
        account: Storage account (Azure) or project to bill (GCS).
        checksum: False where entries are not pinned by content (`checksum=False`).
        include: Globs by which it was scanned.
        exclude: Globs by which it was scanned.
        at: The moment whose state it is, UTC; None: the state while it was listed.
    """

    uri: str
    scheme: str
    container: str = ""
    prefix: str = ""
    name: str = ""
    endpoint: str | None = None
    region: str | None = None
    addressing: str | None = None
    anon: bool = False
    requester_pays: bool = False
    account: str | None = None
    checksum: bool = True
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    at: datetime | None = None

    @property
    def root(self) -> str:
        """What every raw reference of this container starts with, such as `s3://bucket/` or `file://`."""
        return f"{self.scheme}://{self.container}/" if self.container else f"{self.scheme}://"

    def ref_of(self, path: str) -> str:
        """The reference that follows from a path (where a compact row's `ref` is null)."""
        relative = path.removeprefix(f"{self.name}/") if self.name else path
        return f"{self.root}{self.prefix}{relative}"

    def key_of(self, ref: str) -> str:
        """The raw key of a reference of this source."""
        return ref.removeprefix(self.root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds that hold for one scan, fetch or stream.

    Attributes:
        concurrency: Most requests in flight, for each bucket and kind of request. None: the backend's default.
        requests_per_second: Cap on new requests, for each bucket and kind of request.
        bytes_per_second: Cap on body bytes, for a fetch or a stream.
        memory_bytes: Bound on bodies in flight (fetch, stream) and on pages not yet spilled to disk (scan).
        queue_pages: Most pages that wait for the reader of `pages(...)`; then the listing waits.
        attempts: Most tries of one request. Where the server has answered before, tries go on for 600 times `backoff_s` (a minute)
            after the first failure; 1: never sent again.
        connect_timeout_s: Bound on establishing a connection.
        idle_timeout_s: Bound on silence, before an answer and in the middle of it. There is no bound on a whole transfer. A request
            that met it three times is given up, one to a server that never answered after two.
        backoff_s: First pause between two tries; doubles, with full jitter, up to `backoff_max_s`.
        backoff_max_s: Longest pause that asyncref chooses itself; a server's Retry-After may exceed it.
        retry_after_max_s: Longest pause that a server may ask for; the request that is told to wait longer fails at once.
    """

    concurrency: int | None = None
    requests_per_second: float | None = None
    bytes_per_second: float | None = None
    memory_bytes: int = 128 * 2**20
    queue_pages: int = 64
    attempts: int = 8
    connect_timeout_s: float = 10.0
    idle_timeout_s: float = 60.0
    backoff_s: float = 0.1
    backoff_max_s: float = 20.0
    retry_after_max_s: float = 300.0

    def __post_init__(self) -> None:
        """Refuse what no request could ever keep to: it would wait for ever.

        Raises:
            OptionError: A limit below its least.
        """
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise OptionError(f"{name}={value} is no limit", hint=f"{least} is the least")


_LEAST: Final = {
    "concurrency": 1,
    "requests_per_second": 0.001,
    "bytes_per_second": 1,
    "memory_bytes": 1,
    "queue_pages": 0,
    "attempts": 1,
    "connect_timeout_s": 0.001,
    "idle_timeout_s": 0.001,
    "backoff_s": 0,
    "backoff_max_s": 0,
    "retry_after_max_s": 0,
}


@dataclass(frozen=True, slots=True)
class Ramp:
    """The pace at which a provider asks its users to begin and to grow, for each bucket.

    Attributes:
        per_s: Requests a second to begin with.
        doubling_s: Seconds in which that may double.
    """

    per_s: float
    doubling_s: float
