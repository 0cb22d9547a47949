"""The synthetic store as Cloud Storage's JSON API: objects.list over rendered entries; no objects, no credentials.

`python -m benchmarks.store.gcs '{...}'` starts it as `benchmarks.store.server` does the other. Entries are rendered with
the fields that asyncref asks for. A client that asks for none in particular gets whole objects, as it would from the
service; these are made when they are first asked for and kept, so a run before the measured one is due.
"""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import pyarrow as pa

from benchmarks.store import wire
from benchmarks.store.bucket import NAME, Bucket, Reply
from benchmarks.store.layouts import CHUNK_KEYS, digits_column, join, key_chunks, matrix_column
from benchmarks.store.process import Service
from benchmarks.store.render import Column, Spec
from benchmarks.store.server import main

FOLDERS: Final = "folders"
"""A layout of its own: numbered keys in 1,000 numbered folders."""
_FOLDERS: Final = 1000
_PATH: Final = f"/storage/v1/b/{NAME}/o".encode()
_JSON: Final = b"application/json; charset=UTF-8"
_DIGITS: Final = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
_NEWEST_S: Final = 1_735_689_600
_SPAN_S: Final = 3 * 365 * 86_400
_MOST: Final = 1000


def render(spec: Spec, folder: Path) -> None:
    """Write keys and entries as `benchmarks.store.render` does: 2 s a 1,000,000 keys."""
    rows = 0
    with ExitStack() as stack:
        names, entries = Column(folder, "keys", stack), Column(folder, "list", stack)
        row_of_key = stack.enter_context((folder / "list.row").open("wb"))
        row_of_key.write(np.int64(0).tobytes())
        for start, keys in enumerate(_chunks(spec)):
            names.append(keys)
            entries.append(_entries(keys, np.random.default_rng([spec.seed, start])))
            row_of_key.write(np.arange(rows + 1, rows + len(keys) + 1, dtype=np.int64).tobytes())
            rows += len(keys)
    if spec.url_form:  # this protocol has one form; `Table` looks for two
        for ending in ("bin", "off"):
            (folder / f"list.url.{ending}").symlink_to(f"list.{ending}")


GCS: Final = Service(scheme="gs", module="benchmarks.store.gcs", render=render)


def _chunks(spec: Spec) -> Iterator[pa.Array[Any]]:
    if spec.layout != FOLDERS:
        yield from key_chunks(spec.layout, spec.keys, spec.seed)
        return
    each = max(1, -(-spec.keys // _FOLDERS))
    for start in range(0, spec.keys, CHUNK_KEYS):
        numbers = np.arange(start, min(start + CHUNK_KEYS, spec.keys), dtype=np.uint64)
        yield join(
            b"data/class_", digits_column(numbers // each, 4), b"/img_", digits_column(numbers % each, 8), b".jpg"
        )


def _base64(random: np.random.Generator, rows: int, digits: int) -> pa.Array[Any]:
    """Random values of 6 x `digits` bits, of which the last four are zero: what `==` follows."""
    numbers = random.integers(0, 64, (rows, digits), dtype=np.uint8)
    numbers[:, -1] &= 0x30
    return matrix_column(_DIGITS[numbers])


def _entries(keys: pa.Array[Any], random: np.random.Generator) -> pa.Array[Any]:
    """Each with a comma behind it, in the order of fields that the service writes them in."""
    rows = len(keys)
    moments = random.integers(_NEWEST_S - _SPAN_S, _NEWEST_S, rows)
    micros = moments * 1_000_000 + random.integers(0, 1_000_000, rows)
    sizes = np.minimum(random.lognormal(11.0, 2.5, rows), 5e11).astype(np.int64)
    iso = np.datetime_as_string((micros // 1000).astype("datetime64[ms]"), unit="ms").astype("S23")
    return join(
        b'{"name":"', _escaped(keys), b'","generation":"', digits_column(micros, 16),
        b'","size":"', pa.array(sizes).cast(pa.string()).cast(pa.binary()),
        b'","md5Hash":"', _base64(random, rows, 22), b'==","crc32c":"', _base64(random, rows, 6),
        b'==","etag":"C', _base64(random, rows, 11), b'EAE=","timeCreated":"', pa.array(iso, pa.binary()), b'Z"},',
    )  # fmt: skip


def _escaped(keys: pa.Array[Any]) -> pa.Array[Any]:
    joined = b"".join(keys.to_pylist())
    if b'"' not in joined and b"\\" not in joined:
        return keys
    texts = [json.dumps(key.decode(), ensure_ascii=False)[1:-1].encode() for key in keys.to_pylist()]
    return pa.array(texts, pa.binary())


class GcsBucket(Bucket):
    """The same rendered rows behind Cloud Storage's protocol."""

    def answer(self, method: str, path: bytes, query: Mapping[str, str], headers: Mapping[bytes, bytes]) -> Reply:
        """The answer to one request; only objects.list of one bucket is known."""
        del headers
        if method != "GET" or path != _PATH:
            return Reply(_error(404, "The specified bucket does not exist.", "notFound"), "other")
        first, stop = self.table.rows_under("list", query.get("prefix", "").encode())
        if start := query.get("startOffset"):
            first = max(first, self.table.row_after("list", start.encode(), inclusive=True))
        if end := query.get("endOffset"):
            stop = min(stop, self.table.row_after("list", end.encode(), inclusive=True))
        if token := query.get("pageToken"):
            try:
                first = max(first, int(base64.b64decode(token, validate=True)))
            except ValueError:
                return Reply(_error(400, "Invalid argument.", "invalid"), "list")
        most = min(int(query.get("maxResults") or _MOST), self.page_rows)
        if query.get("delimiter") == "/":
            return Reply(self._level(query.get("prefix", "").encode(), first, stop, most), "folders")
        last = max(first, min(first + most, stop))
        pieces = self._page(first, last, more=last < stop, whole="fields" not in query)
        return Reply(pieces, "list", first, last - first)

    def _level(self, prefix: bytes, row: int, stop: int, most: int) -> wire.Pieces:
        """What lies right under a prefix: objects as they are, folders by their names."""
        entries = self.table.entries("list")
        items: list[bytes] = []
        folders: list[bytes] = []
        while row < stop and len(items) + len(folders) < most:
            key = self.table.keys[row]
            slash = key.find(b"/", len(prefix))
            if slash < 0:
                items.append(bytes(entries.span(row, row + 1)))
                row += 1
            else:
                folders.append(json.dumps(key[: slash + 1].decode(), ensure_ascii=False).encode())
                row = self.table.rows_under("list", key[: slash + 1])[1]
        fields = [b'"kind":"storage#objects"']
        fields += [b'"nextPageToken":"%b"' % base64.b64encode(b"%d" % row)] if row < stop else []
        fields += [b'"prefixes":[%b]' % b",".join(folders)] if folders else []
        fields += [b'"items":[%b]' % b"".join(items)[:-1]] if items else []
        return wire.response(200, [b"{%b}" % b",".join(fields)], content_type=_JSON)

    def _page(self, first: int, last: int, *, more: bool, whole: bool) -> wire.Pieces:
        token = b'"nextPageToken":"%b",' % base64.b64encode(b"%d" % last) if more else b""
        if first == last:
            return wire.response(200, [b'{"kind":"storage#objects"}'], content_type=_JSON)
        entries = _whole(self, first, last) if whole else self.table.entries("list").span(first, last)[:-1]
        return wire.response(
            200, [b'{"kind":"storage#objects",%b"items":[' % token, entries, b"]}"], content_type=_JSON
        )


@lru_cache(maxsize=256)
def _whole(bucket: GcsBucket, first: int, last: int) -> bytes:
    """Entries with every field of an object resource (projection noAcl), for clients that name no fields."""
    base = "https://www.googleapis.com"
    made = []
    for item in json.loads(b"[%b]" % bytes(bucket.table.entries("list").span(first, last)[:-1])):
        name, generation, moment = item["name"], item["generation"], item["timeCreated"]
        path = f"storage/v1/b/{NAME}/o/{quote(name, safe='')}"
        more = {
            "kind": "storage#object",
            "id": f"{NAME}/{name}/{generation}",
            "selfLink": f"{base}/{path}",
            "mediaLink": f"https://storage.googleapis.com/download/{path}?generation={generation}&alt=media",
            "bucket": NAME,
            "metageneration": "1",
            "contentType": "image/jpeg",
            "storageClass": "STANDARD",
            "updated": moment,
            "timeStorageClassUpdated": moment,
            "timeFinalized": moment,
        }
        made.append(json.dumps({**more, **item}, ensure_ascii=False, separators=(",", ":")).encode())
    return b",".join(made)


def _error(status: int, message: str, reason: str) -> wire.Pieces:
    error = {"code": status, "message": message, "errors": [{"message": message, "reason": reason, "domain": "global"}]}
    return wire.response(status, [json.dumps({"error": error}).encode()], content_type=_JSON)


if __name__ == "__main__":
    main(sys.argv[1], GcsBucket)
