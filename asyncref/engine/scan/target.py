"""Finds out what a reference means before it is listed: one object, a prefix, a file or a folder.

A prefix means what a person means. `s3://b/mnist` is the object `mnist` if there is one, else what lies
under `mnist/`; `s3://b/mnist/` is what lies under it; never `mnist2`.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from asyncref.backends.base import Backend, NamesPaths
from asyncref.engine.flow import Lanes
from asyncref.engine.scan.moment import Moment
from asyncref.engine.scan.pins import page_of_pins
from asyncref.engine.scan.pushdown import Piece, Plan, plan
from asyncref.errors import (
    AccessDeniedError,
    BadKeyError,
    InvalidNameError,
    NotFoundError,
    OptionError,
    UnsupportedError,
)
from asyncref.globs import Filter
from asyncref.model import BEHIND_LAST, KeyRange, ListRequest, Page, Pin, Source
from asyncref.texts import ascends
from asyncref.uri import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One reference to scan.

    Attributes:
        uri: As a person typed it.
        name: What the paths of its entries start with; for a single object its path.
        checksum: False: not pinned by content. On a bucket that is one entry and no request, as in W&B.
    """

    uri: str
    name: str | None = None
    checksum: bool = True

    def __post_init__(self) -> None:
        """Tidy the name: it is typed by a person, unlike a key, so `train/` and `./train` mean `train` (as in W&B).

        Raises:
            InvalidNameError: A name that would put paths outside the artifact.
        """
        name = self.name or ""
        if name.startswith("/") or "\0" in name or ".." in name.split("/"):
            raise InvalidNameError(f"the name {name!r} is no path inside an artifact", uri=self.uri)
        object.__setattr__(self, "name", _tidy(name) or None)


@dataclass(frozen=True, slots=True)
class Single:
    """One object, already pinned: a page of one row."""

    page: pa.RecordBatch


@dataclass(frozen=True, slots=True)
class Listing:
    """A prefix or folder to list.

    Attributes:
        prefix: What its keys start with.
        versions: Ask for version ids.
        stat_for_versions: The storage may have versions that the listing may not tell: ask for every object.
        first_page: Its first page, if it had to be asked for anyway.
        first_piece: The part of the prefix whose first page that is; None: all of it.
    """

    prefix: str
    versions: bool
    stat_for_versions: bool
    first_page: Page | None
    first_piece: Piece | None = None


def source_of(
    target: Target,
    reference: Reference,
    backend: Backend,
    prefix: str,
    *,
    wanted: Filter | None = None,
    at: datetime | None = None,
) -> Source:
    """The record to store with the manifest."""
    return replace(
        backend.source(reference),
        uri=target.uri,
        prefix=prefix,
        name=target.name or "",
        checksum=target.checksum,
        include=wanted.include if wanted else (),
        exclude=wanted.exclude if wanted else (),
        at=at,
    )


def single_path(target: Target, key: str) -> str:
    """The path of a single object: its name, or the last part of its key.

    Raises:
        BadKeyError: No path can be made of the key, and no name was given.
    """
    path = target.name or posixpath.basename(key.rstrip("/")) or key
    return _possible(path, target, key)


def unpinned(target: Target, reference: Reference) -> tuple[str, Single]:
    """W&B's one entry for `checksum=False` on a bucket, whose digest is the reference: path and row. No request is sent.

    Raises:
        BadKeyError: No path can be made of the key, and no name was given.
    """
    path = target.name or _tidy(reference.key) or reference.container
    return _possible(path, target, reference.key), Single(page_of_pins([reference.key], [Pin()]))


def _tidy(path: str) -> str:
    """A path without empty and `.` segments."""
    return "/".join(segment for segment in path.split("/") if segment not in ("", "."))


def _last_key(batch: pa.RecordBatch) -> str | None:
    return batch.column(0)[-1].as_py() if batch.num_rows else None


def _possible(path: str, target: Target, key: str) -> str:
    if {".", ".."} & set(path.split("/")):
        raise BadKeyError(f"no path can be made of the key {key!r}", keys=(key,), count=1, uri=target.uri)
    return path


@dataclass(slots=True)
class Finder:
    """Asks as little as will tell what a reference means.

    Args:
        backend: Where to ask.
        lanes: Gives the way there.
        at: The moment whose state is meant; None: now.
        wanted: The filter: a listing starts where it may first take something.
    """

    backend: Backend
    lanes: Lanes
    at: datetime | None = None
    wanted: Filter = field(default_factory=Filter)

    async def find(self, reference: Reference, *, checksum: bool = True) -> Single | Listing:
        """One object or a listing. A prefix that ends in `/` costs one page, which is handed on.

        Raises:
            NotFoundError: A version that is not there; for hierarchical storages neither file nor folder.
            UnsupportedError: The storage cannot tell what lay there at a past moment.
        """
        if self.at is not None:
            return await self._find_past(reference, self.at)
        if reference.version is not None:
            return await self._stat(reference.key, reference.version)
        if self.backend.traits.hierarchical:
            return await self._find_file(reference.key, checksum=checksum)
        piece = self._first_piece(reference.key)
        versions, page, asked = await self._first_page(reference.key if piece is None else piece.prefix)
        stat = self.backend.traits.versioned and asked and not versions
        if not reference.key or reference.key.endswith("/"):
            return Listing(reference.key, versions, stat, page, piece)
        if (row := pc.index(page.batch.column(0), reference.key).as_py()) >= 0:
            return Single(page.batch.slice(row, 1)) if not stat else await self._stat(reference.key, None)
        folder = f"{reference.key}/"
        return Listing(folder, versions, stat, self._inside(page, folder, versions=versions))

    def plan(self, prefix: str) -> Plan:
        """Which parts of a prefix have to be listed."""
        traits = self.backend.traits
        if isinstance(self.backend, NamesPaths) or not (traits.hierarchical or (traits.ordered and traits.ranged)):
            return Plan.whole(prefix)
        return plan(self.wanted, prefix)

    def plan_for(self, found: Listing) -> Plan:
        """Which parts of a listing are left to do: all of it, if that has come with the first page."""
        page, piece = found.first_page, found.first_piece
        is_done = page is not None and page.cursor is None and (piece is None or piece.prefix == found.prefix)
        return Plan.whole(found.prefix) if is_done else self.plan(found.prefix)

    def _first_piece(self, prefix: str) -> Piece | None:
        """Where to start a listing whose prefix is certain; None: at its start."""
        if prefix and not prefix.endswith("/"):
            return None
        piece = next(iter(self.plan(prefix).pieces), None)
        return None if piece is None or piece.is_probed else piece

    async def _find_past(self, reference: Reference, at: datetime) -> Single | Listing:
        """The same at a past moment; a key with very many versions may cost several pages."""
        key, uri = reference.key, self.backend.reference(reference.key)
        if reference.version is not None:
            raise OptionError("a version and at= were given", uri=uri, hint="leave one of them out")
        may_version = await self._versioning() if self.backend.traits.past else False
        if may_version is False:
            raise UnsupportedError(
                "what lay here at a past moment cannot be told",
                uri=uri,
                hint="at= needs a bucket that kept versions from then on (S3, Google Cloud Storage)",
            )
        if may_version is None:
            self.lanes.meter.note(
                f"{uri}: whether versions were kept since {self.at} could not be learnt; what was overwritten while "
                "they were not is missing"
            )
        lane = self.lanes.of("list", self.backend)
        piece = self._first_piece(key)
        prefix = key if piece is None else piece.prefix
        request = ListRequest(prefix=prefix, limit=self.backend.traits.page_rows, versions=True, at=at)
        page = await lane.call(partial(self.backend.list_page, request))
        if not key or key.endswith("/"):
            return Listing(key, versions=True, stat_for_versions=False, first_page=page, first_piece=piece)
        moment = Moment(at, uri)
        rows = moment(page).batch
        while not rows.num_rows and page.cursor is not None and page.last == key:
            request = replace(request, cursor=page.cursor)
            page = await lane.call(partial(self.backend.list_page, request))
            rows = moment(page).batch
        if rows.num_rows and rows.column(0)[0].as_py() == key:
            return Single(rows.slice(0, 1))
        return Listing(f"{key}/", versions=True, stat_for_versions=False, first_page=None)

    def _inside(self, page: Page, folder: str, *, versions: bool) -> Page | None:
        """A page of `mnist` as the first page of `mnist/`; None where that cannot be known.

        Siblings such as `mnist-old` may come first. Where they come last and more pages follow, only a sorted listing
        would be past the folder, and one page proves no order: some servers mix folders from page to page. A marker that
        is the last key itself holds for the narrower prefix; of any other that is not known, so the listing goes
        on behind the last key, unless versions of that key may follow.
        """
        traits, cursor = self.backend.traits, page.cursor
        if not traits.ordered or not ascends(page.batch.column(0)):
            return None
        if page.first is None or page.last is None:
            return page if cursor is None else None
        if page.first < folder:
            return None
        if not page.last.startswith(folder):
            if cursor is not None:
                return None
            inside = page.batch.slice(0, pc.starts_with(page.batch.column(0), folder).true_count)
            seen = page.seen - page.batch.num_rows + inside.num_rows
            return replace(page, batch=inside, last=_last_key(inside) or page.first, seen=seen)
        if cursor is None or (versions and cursor.marker == page.last):
            return page
        return replace(page, cursor=BEHIND_LAST) if traits.ranged and not versions else None

    async def _find_file(self, key: str, *, checksum: bool) -> Single | Listing:
        if key and not key.endswith("/"):
            try:
                found = await self._stat(key, None)
            except NotFoundError:
                pass
            else:
                if checksum:
                    return found
                size = found.page.column(1)[0].as_py()
                return Single(page_of_pins([key], [Pin(size=size, digest=self.backend.digest_by_name(key))]))
        folder = key if not key or key.endswith("/") else f"{key}/"
        return Listing(folder, versions=False, stat_for_versions=False, first_page=None)

    async def _stat(self, key: str, version: str | None) -> Single:
        lane = self.lanes.of("stat", self.backend)
        pin = await lane.call(lambda: self.backend.stat(key, version))
        return Single(page_of_pins([key], [pin]))

    async def _first_page(self, prefix: str) -> tuple[bool, Page, bool]:
        """The first page of a prefix, whether it has version ids, and whether the bucket may keep versions.

        An object of this very name is the first key of the listing. The page is a full one: mostly it is the first
        page of the folder, too.
        """
        traits = self.backend.traits
        may_version = await self._versioning() if traits.versioned else False
        lane = self.lanes.of("list", self.backend)
        request = ListRequest(prefix=prefix, keys=KeyRange(), limit=traits.page_rows, versions=may_version is not False)
        try:
            return request.versions, await lane.call(lambda: self.backend.list_page(request)), request.versions
        except (AccessDeniedError, UnsupportedError) as error:
            if not request.versions:
                raise
            plain = replace(request, versions=False)
            page = await lane.call(lambda: self.backend.list_page(plain))
            denied = isinstance(error, AccessDeniedError)
            if denied:
                self.lanes.meter.note(
                    f"version ids may not be listed ({error.message}); every object is asked for its own"
                )
            return False, page, denied

    async def _versioning(self) -> bool | None:
        lane = self.lanes.of("versioning", self.backend)
        return await lane.call(self.backend.versioning)
