"""Several manifests into one: what an artifact with several references holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import pyarrow as pa

from asyncref.manifest import Manifest, Run, build
from asyncref.model import ENTRY_SCHEMA, Source
from asyncref.record import Proof, Record


def merge(manifests: Sequence[Manifest]) -> Manifest:
    """Every entry of every manifest, in path order. Blocks; cost and memory as `manifest.build`.

    The same path with the same pin collapses.

    Raises:
        DuplicatePathError: One path with two pins; names both references.
    """
    if len(manifests) == 1:
        return manifests[0]
    sources: list[Source] = []
    runs: list[Run] = []
    for manifest in manifests:
        places = [_place(source, sources) for source in manifest.sources]
        if len(manifest):
            first, last = manifest.parts[0].first, manifest.parts[-1].last
            runs.append(Run(first, last, len(manifest), _reader(manifest, places)))
    return build(runs, sources=sources, record=_record([manifest.record for manifest in manifests]))


def _place(source: Source, sources: list[Source]) -> int:
    if source not in sources:
        sources.append(source)
    return sources.index(source)


def _reader(manifest: Manifest, places: Sequence[int]) -> Callable[[], Iterator[pa.RecordBatch]]:
    index = ENTRY_SCHEMA.get_field_index("source")
    moved = pa.array(places, pa.int16())

    def read() -> Iterator[pa.RecordBatch]:
        for batch in manifest.batches():
            yield batch.set_column(index, ENTRY_SCHEMA.field(index), moved.take(batch.column(index)))

    return read


def _record(records: Sequence[Record]) -> Record:
    requests: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for record in records:
        requests.update(record.requests)
        skipped.update(record.skipped)
    return Record(
        started=min(record.started for record in records),
        ended=max(record.ended for record in records),
        complete=all(record.complete for record in records),
        requests=dict(requests),
        skipped=dict(skipped),
        resumes=sum(record.resumes for record in records),
        proof=_proof([record.proof for record in records if record.proof is not None]),
        notes=tuple(dict.fromkeys(note for record in records for note in record.notes)),
    )


def _proof(proofs: Sequence[Proof]) -> Proof | None:
    totals: Counter[str] = Counter()
    for proof in proofs:
        totals.update(asdict(proof))
    return Proof(**totals) if proofs else None
