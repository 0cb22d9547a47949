"""doctor: what this identity may do at a reference, which permission is missing, and the policy that adds it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeVar

import orjson

from asyncref import uri as uris
from asyncref.backends import open_backend, schemes
from asyncref.backends.base import Backend, typed_source
from asyncref.checks.identity import credentials_of
from asyncref.checks.permissions import askable, commands, needed, policy
from asyncref.engine.flow import Lane, Meter
from asyncref.errors import (
    AccessDeniedError,
    AsyncrefError,
    ConnectionFailedError,
    ContainerNotFoundError,
    CredentialsError,
    UnsupportedError,
)
from asyncref.model import Limits, ListRequest, Page, Pin, ReadRequest
from asyncref.uri import Reference

SCHEMA: Final = "asyncref.doctor/1"
Verdict = Literal["ok", "denied", "failed", "skipped"]
T = TypeVar("T")
_ATTEMPTS: Final = 2
_SAMPLE_ROWS: Final = 100
_FOLDERS_TRIED: Final = 20
_STAT_MOST_BYTES: Final = 64 << 20
# A further request would tell nothing that the first failure does not.
_HOPELESS: Final = (ConnectionFailedError, CredentialsError, ContainerNotFoundError)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing tried.

    Attributes:
        check: `credentials`, `endpoint`, `versioning`, `list`, `list versions`, `stat`, `read`, `read a version`.
        verdict: `skipped` where there was nothing to try it on, or no need.
        message: What was found.
        required: A scan and a fetch cannot do without it.
        permission: What is missing, where it was denied.
        request_id: The server's own id of a request that failed.
    """

    check: str
    verdict: Verdict
    message: str
    required: bool = True
    permission: str | None = None
    request_id: str | None = None

    def __str__(self) -> str:
        missing = f"; missing: {self.permission}" if self.permission else ""
        return f"{self.verdict:<8}{self.check}: {self.message}{missing}"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "check": self.check,
            "verdict": self.verdict,
            "message": self.message,
            "required": self.required,
            "permission": self.permission,
            "request_id": self.request_id,
        }


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """All findings, in the order they were made.

    Attributes:
        uri: As given.
        findings: One for each thing tried.
        policy: The IAM policy that grants what is missing; None if nothing is, or the storage has no such policies.
        commands: What grants it where a storage has roles (Google Cloud Storage, Azure).
    """

    uri: str
    findings: tuple[Finding, ...]
    policy: dict[str, Any] | None = None
    commands: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing that is required was denied or failed."""
        return all(one.verdict in ("ok", "skipped") for one in self.findings if one.required)

    def __str__(self) -> str:
        """One line a finding; then the policy or the commands, if something is missing."""
        lines = [str(one) for one in self.findings]
        if self.policy is not None:
            lines += ["add this policy:", orjson.dumps(self.policy, option=orjson.OPT_INDENT_2).decode()]
        if self.commands:
            lines += ["grant the role:", *self.commands]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with their schema."""
        findings = [one.to_json() for one in self.findings]
        return {
            "schema": SCHEMA,
            "uri": self.uri,
            "ok": self.ok,
            "findings": findings,
            "policy": self.policy,
            "commands": list(self.commands),
        }


async def doctor(
    uri: str, *, storage_options: Mapping[str, Any] | None = None, limits: Limits | None = None
) -> DoctorReport:
    """Try every call that a scan and a fetch of this reference make, each once, and read a byte at most of an object.

    Cost: about ten requests. Nothing is written and nothing raised for what the storage refuses: the report
    says it.

    Args:
        uri: Where; an object, a prefix, a file or a folder.
        storage_options: fsspec's names, flat or by scheme.
        limits: Bounds; every request is tried twice at most.

    Raises:
        UsageError: The reference or an option cannot be.
    """
    reference, bounds = uris.parse(uri), limits or Limits()
    backend = open_backend(reference, storage_options, bounds)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(backend.aclose)
        source = await typed_source(backend, reference)
        reference = replace(reference, key=source.prefix)
        visit = _Visit(uri, reference, backend, replace(bounds, attempts=min(_ATTEMPTS, bounds.attempts)))
        await visit.examine(_flat(storage_options, reference))
    found = [needed(reference, one.check) for one in visit.findings if one.permission]
    missing = [one for one in found if one]
    return DoctorReport(
        uri, tuple(visit.findings), policy(reference, missing), commands(reference, source.account, missing)
    )


def _flat(options: Mapping[str, Any] | None, reference: Reference) -> Mapping[str, Any]:
    """As `open_backend` chooses them."""
    chosen, kind = options or {}, uris.service(reference.scheme, reference.container)
    by_scheme = chosen and all(isinstance(value, Mapping) and key in schemes() for key, value in chosen.items())
    return chosen.get(reference.scheme, chosen.get(kind, {})) if by_scheme else chosen


def _say_listed(page: Page) -> str:
    if not (page.batch.num_rows or page.folders or page.cursor):
        return "nothing lies under this prefix, and no object has this name"
    return f"{page.batch.num_rows} {'object' if page.batch.num_rows == 1 else 'objects'} on the first page"


@dataclass(frozen=True, slots=True)
class _Sample:
    """An object to try things on."""

    key: str
    size: int | None
    version: str | None


@dataclass(slots=True)
class _Visit:
    """One examination: what was found so far."""

    uri: str
    reference: Reference
    backend: Backend
    limits: Limits
    findings: list[Finding] = field(default_factory=list)
    lane: Lane = field(init=False)
    given_up: bool = False

    def __post_init__(self) -> None:
        self.lane = Lane("doctor", limits=self.limits, meter=Meter("doctor"), most=1, outlasts=False)

    async def examine(self, options: Mapping[str, Any]) -> None:
        """Everything, in the order of what the next needs."""
        await self._credentials(options)
        traits, key = self.backend.traits, self.reference.key
        page = await self._try(
            "list",
            self._list,
            _say_listed,
            required=not traits.hierarchical or key.endswith("/"),  # a file cannot be listed, and need not be
        )
        kept = versions = None
        if traits.versioned:
            kept = await self._try("versioning", self.backend.versioning, _say_versioning, required=False)
        if traits.versioned and kept is not False:
            asked = ListRequest(prefix=key, limit=_SAMPLE_ROWS, versions=True)
            versions = await self._try(
                "list versions",
                lambda: self.backend.list_page(asked),
                lambda page: f"{page.batch.num_rows} version ids on the first page",
                required=bool(kept),
            )
        sample = _sample_of(versions) or _sample_of(page) or self._object_itself(page)
        await self._objects(sample, versioned=traits.versioned and kept is not False)

    async def _credentials(self, options: Mapping[str, Any]) -> None:
        source = self.backend.source(self.reference)
        if not self.reference.container:
            return
        where = ", ".join(
            part
            for part in (
                source.endpoint or "the provider's own endpoint",
                source.region and f"region {source.region}",
                source.addressing and f"{source.addressing} addressing",
            )
            if part
        )
        self.findings.append(Finding("endpoint", "ok", f"requests go to {where}"))
        await self._try(
            "credentials",
            lambda: credentials_of(self.reference, options, self.uri),
            lambda words: f"from {words}" if words else "none are used",
        )

    async def _list(self) -> Page:
        """A first page that has objects on it, if a few folders do."""
        key = self.reference.key
        folders = [key if key.endswith("/") or not self.backend.traits.hierarchical else f"{key}/"]
        for _ in range(_FOLDERS_TRIED):
            page = await self.backend.list_page(ListRequest(prefix=folders.pop(), limit=_SAMPLE_ROWS))
            folders += page.folders
            if page.batch.num_rows or not folders:
                break
        return page

    def _object_itself(self, page: Page | None) -> _Sample | None:
        """The reference may be one object, where a listing that may not be had, or one of folders, could not show it."""
        key = self.reference.key
        would_show = page is not None and not self.backend.traits.hierarchical
        is_object = bool(key) and not key.endswith("/")
        return _Sample(key, None, None) if is_object and not would_show and not self.given_up else None

    async def _objects(self, sample: _Sample | None, *, versioned: bool) -> None:
        if sample is None:
            checks = ("stat", "read", *(("read a version",) if versioned else ()))
            why = "not tried after the failure above" if self.given_up else "nothing is there to try it on"
            self.findings += [Finding(check, "skipped", why) for check in checks]
            return
        key = sample.key
        pin = None
        if self.backend.traits.listing_pins or (sample.size or 0) <= _STAT_MOST_BYTES:
            pin = await self._try("stat", lambda: self.backend.stat(key), _say_pin)
        size = pin.size if pin else sample.size
        await self._try("read", lambda: self._read(key, size, None), lambda count: f"{count} bytes of {key!r}")
        if not versioned:
            return
        version = sample.version or (pin.version if pin else None)
        if version is None:
            self.findings.append(Finding("read a version", "skipped", "the object has no version id", required=False))
            return
        await self._try(
            "read a version",
            lambda: self._read(key, size, version),
            lambda count: f"{count} bytes of {key!r}, version {version}",
        )

    async def _read(self, key: str, size: int | None, version: str | None) -> int:
        """One byte, where there is one."""
        request = ReadRequest(key, stop=1 if size else None, version=version)
        async with self.backend.read(request) as body:
            async for chunk in body.chunks:
                return len(chunk)
        return 0

    async def _try(
        self, check: str, call: Callable[[], Awaitable[T]], say: Callable[[T], str], *, required: bool = True
    ) -> T | None:
        """Make one call and note what came of it; None if it did not work out."""
        if self.given_up:
            self.findings.append(Finding(check, "skipped", "not tried after the failure above", required))
            return None
        try:
            result = await self.lane.call(call)
        except AsyncrefError as error:
            self.given_up = isinstance(error, _HOPELESS) and bool(self.reference.container)
            self.findings.append(self._bad(check, error, required=required or self.given_up))
            return None
        verdict: Verdict = "ok"
        if check == "versioning" and result is None:
            verdict = "denied" if askable(self.reference, check) else "skipped"
        permission = needed(self.reference, check) if verdict == "denied" else None
        self.findings.append(Finding(check, verdict, say(result), required, permission.action if permission else None))
        return result

    def _bad(self, check: str, error: AsyncrefError, *, required: bool) -> Finding:
        text = f"{error.message}{f' ({error.code})' if error.code else ''}{f'; {error.hint}' if error.hint else ''}"
        if isinstance(error, AccessDeniedError):
            permission = needed(self.reference, check)
            action = permission.action if permission else None
            return Finding(check, "denied", text, required, action, error.request_id)
        if isinstance(error, UnsupportedError):
            return Finding(check, "skipped", text, required=False, request_id=error.request_id)
        return Finding(check, "failed", text, required, request_id=error.request_id)


def _sample_of(page: Page | None) -> _Sample | None:
    """The first object that has bytes, or else the first that is no folder marker."""
    if page is None:
        return None
    rows = page.batch.select(["key", "size", "version"]).to_pylist()
    samples = [_Sample(row["key"], row["size"], row["version"]) for row in rows if not row["key"].endswith("/")]
    return next((sample for sample in samples if sample.size), samples[0] if samples else None)


def _say_versioning(kept: bool | None) -> str:
    if kept is None:
        return "cannot be learnt; the listing itself will tell"
    return "the bucket keeps or kept versions" if kept else "the bucket never kept versions: overwritten bytes are lost"


def _say_pin(pin: Pin) -> str:
    return f"{pin.size} bytes, ETag {pin.etag}" if pin.etag else f"{pin.size} bytes, {pin.checksum}"
