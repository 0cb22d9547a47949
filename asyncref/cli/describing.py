"""Manifests, entries and versions as JSON values and as lines for people: one description of each."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from asyncref.cli.output import emit_fields, human_time
from asyncref.display import counted, human_bytes, human_count
from asyncref.manifest import Manifest
from asyncref.model import Entry
from asyncref.record import Proof
from asyncref.registry import Version


def describe_manifest(manifest: Manifest) -> dict[str, Any]:
    """What a manifest is, as JSON values; `bytes` is the sum of the sizes."""
    return {
        "objects": len(manifest),
        "bytes": manifest.size,
        "digest": manifest.digest,
        "identity": manifest.identity,
        "sources": [asdict(source) for source in manifest.sources],
        "record": manifest.record.to_json(),
    }


def show_manifest(manifest: Manifest, more: dict[str, object] | None = None) -> None:
    """Print what a manifest is.

    Args:
        manifest: Which.
        more: Further lines, by name.
    """
    record = manifest.record
    took_s = (record.ended - record.started).total_seconds()
    emit_fields(
        {
            "sources": [source.uri for source in manifest.sources],
            "objects": human_count(len(manifest)),
            "size": human_bytes(manifest.size),
            "digest": manifest.digest,
            "identity": manifest.identity,
            "as of": [human_time(source.at) for source in manifest.sources[:1] if source.at],
            "scanned": f"{human_time(record.started)}, {took_s:.1f} s",
            "requests": _counts(record.requests),
            **accounts(manifest),
            "notes": list(record.notes),
            **(more or {}),
        }
    )


def accounts(manifest: Manifest) -> dict[str, object]:
    """Whether a scan is whole, with what it left out and the counts that prove it, as lines by name."""
    record = manifest.record
    return {
        "left out": _counts(record.skipped),
        "rows": _accounted(record.proof),
        "complete": "yes" if record.complete else "no: this scan was cut short",
    }


def describe_entry(entry: Entry) -> dict[str, Any]:
    """One entry as JSON values: size in bytes, the ETag as sent."""
    pin = entry.pin
    return {
        "path": entry.path,
        "ref": entry.ref,
        "size": pin.size,
        "digest": entry.digest,
        "etag": pin.etag,
        "version": pin.version,
        "checksum": pin.checksum,
        "modified": pin.modified.isoformat() if pin.modified else None,
    }


def show_version(version: Version, more: dict[str, object] | None = None) -> None:
    """Print what a version is.

    Args:
        version: Which.
        more: Further lines, by name.
    """
    emit_fields(
        {
            "version": version.qualified,
            "type": version.type,
            "aliases": list(version.aliases),
            "objects": human_count(version.objects),
            "size": human_bytes(version.size),
            "digest": version.digest,
            "identity": version.identity,
            "created": human_time(version.created),
            "run": version.run_id,
            "about": version.description,
            "metadata": version.metadata or None,
            **(more or {}),
        }
    )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()) if count)


def _accounted(proof: Proof | None) -> str | None:
    """What became of every row that was listed."""
    if proof is None:
        return None
    parts = {
        "kept": proof.kept,
        "older versions or no objects": proof.other,
        "left out": proof.left_out,
        "met twice": proof.repeated,
    }
    shown = " + ".join(f"{human_count(count)} {name}" for name, count in parts.items() if count or name == "kept")
    places = f"{counted(proof.pages, 'page')}, {counted(proof.ranges, 'range')}"
    return f"{human_count(proof.seen)} in {places}: {shown}"
