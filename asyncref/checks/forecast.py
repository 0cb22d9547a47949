"""What a scan and a fetch of a source would cost, by a sample of its listing: requests, bytes, money, time.

A flat, ordered storage is asked at places that the scan's own splitter chooses; what lies between is reckoned from
how densely keys stand there. A tree is sampled by folders taken at random; that counts no folders below those.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic
from typing import Any, Final

import anyio
import pyarrow as pa

from asyncref import uri as uris
from asyncref.backends import open_backend
from asyncref.backends.base import Backend, typed_source
from asyncref.checks.prices import Cost, Prices
from asyncref.engine.fetch.plan import parts_of
from asyncref.engine.flow import Lane, Lanes, Meter, ProgressHook, one_error
from asyncref.engine.scan.keyspace import LEARN_PAGES, KeySpace
from asyncref.engine.scan.rows import trim
from asyncref.engine.scan.span import Span
from asyncref.engine.scan.target import Finder, Listing, Single, Target
from asyncref.model import BEHIND_LAST, KeyRange, Limits, ListRequest, Page, Source

SAMPLE_REQUESTS: Final = 200
"""List requests that a forecast sends to a source at most, give or take a round of eight."""
SCHEMA: Final = "asyncref.forecast/1"
_AT_ONCE: Final = 8
_SPLITTING: Final = 1.1  # requests of a split listing beside those of a serial one: the bound that a scan keeps
_SAMPLES_A_PAGE: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceForecast:
    """What one source would cost.

    Attributes:
        uri: It.
        objects: How many there are, about.
        bytes: Their sizes, about.
        exact: The sample was the whole listing.
        at_least: What could not be reckoned would come on top.
        scan_requests: Requests of a scan, by kind.
        fetch_requests: Requests of a fetch of everything.
        scan_s: Seconds for the listing at the sample's rate, eight requests at once.
        sampled: List requests that were sent for this.
        scan_cost: None where no price is known.
        fetch_cost: Likewise.
    """

    uri: str
    objects: int
    bytes: int
    exact: bool
    at_least: bool
    scan_requests: Mapping[str, int]
    fetch_requests: int
    scan_s: float
    sampled: int
    scan_cost: Cost | None
    fetch_cost: Cost | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "uri": self.uri,
            "objects": self.objects,
            "bytes": self.bytes,
            "exact": self.exact,
            "at_least": self.at_least,
            "scan": {
                "requests": dict(self.scan_requests),
                "seconds": round(self.scan_s, 3),
                "cost": self.scan_cost.to_json() if self.scan_cost else None,
            },
            "fetch": {
                "requests": {"get": self.fetch_requests},
                "cost": self.fetch_cost.to_json() if self.fetch_cost else None,
            },
            "sampled": self.sampled,
        }


@dataclass(slots=True)
class _Sample:
    """What was seen of a listing."""

    objects: int = 0
    listed: int = 0
    seen: int = 0
    bytes: int = 0
    parts: int = 0
    requests: int = 0
    left: float = 0.0
    whole: bool = False
    at_least: bool = False
    began_s: float = field(default_factory=monotonic)

    def take(self, batch: pa.RecordBatch, page: Page | None = None) -> None:
        """Count the rows of a page that are meant, and how many raw ones the server sends for one."""
        sizes = batch.column(1).to_pylist()
        self.objects += batch.num_rows
        self.listed += page.batch.num_rows if page else 1
        self.seen += page.seen if page else 1
        self.bytes += sum(size or 0 for size in sizes)
        self.parts += sum(len(parts_of(size)) for size in sizes)


async def forecast(
    targets: Sequence[Target],
    *,
    prices: Prices,
    storage_options: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    progress: ProgressHook | None = None,
) -> tuple[SourceForecast, ...]:
    """Forecast a scan and a fetch of each target; at most about 200 list requests each.

    Args:
        targets: What would be scanned. Filters are not looked at.
        prices: By which costs are reckoned.
        storage_options: fsspec's names, flat or by scheme.
        limits: Bounds.
        progress: Called once with the meter.

    Raises:
        UsageError: A reference or an option that cannot be.
        StorageError, RetryableError: What a storage answered for good, or to the last try.
    """
    meter = Meter("forecast")
    if progress is not None:
        progress(meter)
    lanes = Lanes(limits or Limits(), meter)
    return tuple([await _forecast(target, lanes, prices, storage_options) for target in targets])


async def _forecast(
    target: Target, lanes: Lanes, prices: Prices, storage_options: Mapping[str, Any] | None
) -> SourceForecast:
    reference = uris.parse(target.uri)
    async with AsyncExitStack() as stack:
        backend = open_backend(reference, storage_options, lanes.limits)
        stack.push_async_callback(backend.aclose)
        source = replace(await typed_source(backend, reference), uri=target.uri)
        sample, before = _Sample(), lanes.meter.requests.copy()
        found = await Finder(backend, lanes).find(replace(reference, key=source.prefix), checksum=target.checksum)
        if isinstance(found, Single):
            sample.take(found.page)
            sample.whole = True
            return _reckoned(source, sample, prices, dict(lanes.meter.requests - before), page_rows=1)
        await _Sampler(backend, lanes.of("list", backend), found, sample, lanes.meter).run()
        sent = dict(lanes.meter.requests - before)
        if not backend.traits.listing_pins or found.stat_for_versions:
            sent["stat"] = 0  # one for each object
        return _reckoned(source, sample, prices, sent, page_rows=backend.traits.page_rows)


def _reckoned(
    source: Source, sample: _Sample, prices: Prices, sent: Mapping[str, int], *, page_rows: int
) -> SourceForecast:
    """From what was seen, and the requests for it by kind, to all of it."""
    objects = sample.objects if sample.whole else round(sample.objects + sample.left)
    share = objects / sample.objects if sample.objects else 1.0
    size, gets = round(sample.bytes * share), round(sample.parts * share)
    requests = dict(sent)
    if not sample.whole:
        by_rows = math.ceil(objects * sample.seen / max(1, sample.listed) / page_rows * _SPLITTING)
        requests["list"] = max(sample.requests, by_rows, math.ceil(sample.requests * share) if sample.at_least else 0)
    if requests.get("stat") == 0:
        requests["stat"] = objects
    elapsed_s = max(monotonic() - sample.began_s, 1e-6)
    return SourceForecast(
        uri=source.uri,
        objects=objects,
        bytes=size,
        exact=sample.whole,
        at_least=sample.at_least,
        scan_requests=requests,
        fetch_requests=gets,
        scan_s=elapsed_s * share,
        sampled=sample.requests,
        scan_cost=prices.cost([source], requests),
        fetch_cost=prices.cost([source], {"get": gets}, sent_bytes=size),
    )


@dataclass(slots=True)
class _Sampler:
    """Looks at parts of one listing."""

    backend: Backend
    lane: Lane
    found: Listing
    sample: _Sample
    meter: Meter

    async def run(self) -> None:
        traits = self.backend.traits
        flat = traits.ordered and traits.ranged and not traits.hierarchical
        await (self._flat() if flat else self._tree())

    async def _page(self, request: ListRequest) -> Page:
        self.sample.requests += 1
        first, self.found = self.found.first_page, replace(self.found, first_page=None)
        page = first if first is not None else await self.lane.call(partial(self.backend.list_page, request))
        self.meter.objects += page.batch.num_rows
        return page

    async def _flat(self) -> None:
        """Let the splitter choose where to look, as a scan would, until enough was seen."""
        rows = self.backend.traits.page_rows
        space = KeySpace(self.found.prefix, page_rows=rows, repeats=self.found.versions, samples=True)
        start = ListRequest(prefix=self.found.prefix, versions=self.found.versions, limit=rows)
        asked: dict[int, ListRequest] = {}
        waiting = [space.start()]

        async def look(span: Span) -> None:
            request = asked.get(span.run) or replace(start, keys=KeyRange(span.after, span.last))
            page = await self._page(request)
            after = span.after if self.found.versions or span.position is None else span.position
            kept = trim(page.batch, KeyRange(after, span.last))
            self.sample.take(kept, page)
            if page.first is not None and page.last is not None and page.last < page.first:
                self.sample.at_least = True  # out of order: a scan would list it serially
            going_on = space.saw(span, page, kept=kept.num_rows, keys=_some(kept) if span.pages < LEARN_PAGES else ())
            waiting.extend(space.steal(SAMPLE_REQUESTS - space.active))
            if going_on:
                asked[span.run] = _next(request, page, span)
                waiting.append(span)

        while waiting and self.sample.requests < SAMPLE_REQUESTS:
            top = space.spans[-1]
            waiting.sort(key=lambda span: (span.pages > 0, span is not top, span.pages))
            now, waiting[:] = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
            await _all(look, now)
        self.sample.whole = not waiting
        if waiting:
            space.steal(SAMPLE_REQUESTS)  # has every span measured
            self.sample.left = sum(span.left for span in space.spans)

    async def _tree(self) -> None:
        """Take folders at random, so that deep and flat parts both count."""
        draw = random.Random(0)  # noqa: S311  the same sample each time
        rows, traits = self.backend.traits.page_rows, self.backend.traits
        waiting = [ListRequest(prefix=self.found.prefix, limit=rows, folders=traits.delimited)]

        async def look(request: ListRequest) -> None:
            page = await self._page(request)
            self.sample.take(page.batch, page)
            waiting.extend(replace(request, prefix=folder, cursor=None) for folder in page.folders)
            if page.cursor is not None:
                waiting.append(replace(request, cursor=page.cursor))

        while waiting and self.sample.requests < SAMPLE_REQUESTS:
            draw.shuffle(waiting)
            now, waiting[:] = waiting[-_AT_ONCE:], waiting[:-_AT_ONCE]
            await _all(look, now)
        self.sample.whole = not waiting
        self.sample.at_least = bool(waiting)
        self.sample.left = len(waiting) * self.sample.objects / self.sample.requests


def _next(request: ListRequest, page: Page, span: Span) -> ListRequest:
    if page.cursor is BEHIND_LAST:
        return replace(request, keys=KeyRange(page.last, span.last))
    return replace(request, keys=KeyRange(span.after, span.last), cursor=page.cursor)


def _some(page: pa.RecordBatch) -> list[str]:
    step = max(1, page.num_rows // (_SAMPLES_A_PAGE + 1))
    return [page.column(0)[index].as_py() for index in range(step, page.num_rows, step)]


async def _all(look: Callable[[Any], Coroutine[Any, Any, None]], items: Sequence[Any]) -> None:
    with one_error():
        async with anyio.create_task_group() as group:
            for item in items:
                group.start_soon(look, item)
