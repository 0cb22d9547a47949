"""The synthetic Cloud Storage, asked by Google's own client: what it sends has to be what the service would send."""

from __future__ import annotations

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from benchmarks.store.gcs import FOLDERS, GCS, _chunks
from benchmarks.store.process import running
from benchmarks.store.render import Spec


def client(store):
    return storage.Client(
        project="bench", credentials=AnonymousCredentials(), client_options={"api_endpoint": store.endpoint}
    )


@pytest.mark.parametrize("layout", [FOLDERS, "escapes"])
def test_every_key_is_listed_once_in_order_with_whole_objects_and_with_few_fields(layout):
    spec = Spec(layout=layout, keys=2100, kinds=("list",))
    names = [key.decode() for chunk in _chunks(spec) for key in chunk.to_pylist()]
    with running(spec, service=GCS) as store:
        for fields in (None, "items(name,generation,etag,md5Hash),nextPageToken"):
            blobs = list(client(store).list_blobs("bench", prefix="data/", fields=fields))
            assert [blob.name for blob in blobs] == names
            assert all(blob.generation and blob.etag and len(blob.md5_hash) == 24 for blob in blobs)
            assert (blobs[0].media_link is not None) is (fields is None)
        assert store.stats()["rows_distinct"] == {"list": 2100}
        part = client(store).list_blobs("bench", prefix="data/", start_offset=names[7], end_offset=names[1050])
        assert [blob.name for blob in part] == names[7:1050]
        assert list(client(store).list_blobs("bench", prefix="nothing/")) == []
