"""Pages of List Blobs are read by column, as a real XML parser reads them, or not at all."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.backends.azure.page import is_whole, read
from asyncref.backends.azure.tags import OddPageError
from asyncref.model import PAGE_SCHEMA

WHEN = "Mon, 23 Nov 2026 23:45:31 GMT"


def blob(name: str = "a", *, before: str = "", properties: str = "", metadata: str = "", size: str = "2") -> str:
    inner = f"<Last-Modified>{WHEN}</Last-Modified><Etag>0x8D</Etag><Content-Length>{size}</Content-Length>{properties}"
    return f"<Blob><Name>{name}</Name>{before}<Properties>{inner}</Properties>{metadata}<OrMetadata /></Blob>"


def page(*entries: str, marker: str = "<NextMarker />") -> bytes:
    head = '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://a/" ContainerName="c">'
    return f"{head}<Prefix>p</Prefix><Blobs>{''.join(entries)}</Blobs>{marker}</EnumerationResults>".encode()


def names(body: bytes, *, stored: bool = False) -> list[str]:
    return read(body, stored=stored).batch["key"].to_pylist()


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\0", exclude_categories=["Cc", "Cs"]), min_size=1)
ENTRIES = st.lists(
    st.tuples(
        TEXT,
        st.integers(0, 2**50),
        st.none() | st.binary(min_size=16, max_size=16),
        st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001
        st.booleans(),
    ),
    max_size=12,
    unique_by=lambda entry: entry[0],
)


@settings(deadline=None)
@given(ENTRIES, st.sampled_from(["", "<Content-MD5 />", "<Content-MD5/>"]), TEXT)
def test_a_page_is_read_as_a_real_xml_parser_reads_it(entries, no_md5: str, marker: str) -> None:
    made = []
    for name, size, md5, when, folder in entries:
        time = (
            f"<Last-Modified>{format_datetime(when.replace(tzinfo=UTC), usegmt=True)}</Last-Modified>" if when else ""
        )
        check = f"<Content-MD5>{base64.b64encode(md5).decode()}</Content-MD5>" if md5 else no_md5
        inner = f"{time}<Etag>0x8D{size:X}</Etag><Content-Length>{size}</Content-Length>{check}<Content-Language />"
        made.append(f"<Blob><Name>{escape(name)}</Name><Properties>{inner}</Properties></Blob>")
        if folder:
            made.append(f"<BlobPrefix><Name>{escape(name)}/</Name></BlobPrefix>")
    body = page(*made, marker=f"<NextMarker>{escape(marker)}</NextMarker>")
    tree = ET.fromstring(body)
    rows = read(body)
    rows.batch.validate(full=True)
    assert rows.batch.schema.equals(PAGE_SCHEMA)
    assert rows.marker == tree.findtext("NextMarker")
    assert list(rows.folders) == [one.findtext("Name") for one in tree.iter("BlobPrefix")]
    expected = []
    for one in tree.iter("Blob"):
        properties = one.find("Properties")
        md5 = properties.findtext("Content-MD5")
        when = properties.findtext("Last-Modified")
        expected.append(
            {
                "key": one.findtext("Name"),
                "size": int(properties.findtext("Content-Length")),
                "etag16": None,
                "etag": f'"{properties.findtext("Etag")}"',
                "digest": None,
                "version": None,
                "md5": base64.b64decode(md5) if md5 else None,
                "checksum": None,
                "modified": parsedate_to_datetime(when) if when else None,
            }
        )
    assert rows.batch.to_pylist() == expected
    assert rows.keys.to_pylist() == [row["key"] for row in expected]


def test_of_several_versions_the_current_one_is_kept() -> None:
    old = "<VersionId>2026-01-01T00:00:00.0000000Z</VersionId>"
    new = "<VersionId>2026-02-01T00:00:00.0000000Z</VersionId><IsCurrentVersion>true</IsCurrentVersion>"
    body = page(blob("a", before=old), blob("a", before=new), blob("deleted", before=old))
    rows = read(body)
    assert rows.batch["key"].to_pylist() == ["a"]
    assert rows.batch["version"].to_pylist() == ["2026-02-01T00:00:00.0000000Z"]
    assert rows.keys.to_pylist() == ["a", "a", "deleted"]
    assert names(body, stored=True) == ["a", "a", "deleted"]


def test_a_blob_written_while_versioning_was_off_is_current_beside_its_old_versions() -> None:
    body = page(blob("a"), blob("a", before="<VersionId>2026-01-01T00:00:00.0000000Z</VersionId>"))
    assert read(body).batch["version"].to_pylist() == [None]


def test_two_current_versions_of_one_blob_are_refused() -> None:
    new = "<VersionId>2026-02-01T00:00:00.0000000Z</VersionId><IsCurrentVersion>true</IsCurrentVersion>"
    with pytest.raises(OddPageError, match="two current versions"):
        read(page(blob("a", before=new), blob("a", before=new)))


def test_encoded_names_are_decoded_and_only_those() -> None:
    encoded = blob("x").replace("<Name>x", '<Name Encoded="true">odd%EF%BF%BE%25name')
    body = page(blob("a%20b"), encoded, '<BlobPrefix><Name Encoded="true">f%01/</Name></BlobPrefix>')
    assert names(body) == ["a%20b", "odd\ufffe%name"]
    assert read(body).folders == ("f\x01/",)


def test_metadata_cannot_pass_for_what_the_server_says() -> None:
    liar = "<Metadata><Name>other</Name><Etag>0x0</Etag><Blob>b</Blob><Metadata>m</Metadata><VersionId>v</VersionId></Metadata>"
    rows = read(page(blob("a", metadata=liar), blob("b")))
    assert rows.batch["key"].to_pylist() == ["a", "b"]
    assert rows.batch["etag"].to_pylist() == ['"0x8D"', '"0x8D"']


def test_stubs_of_folders_are_no_rows() -> None:
    hadoop = "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>"
    capital = "<Metadata><Hdi_isfolder>true</Hdi_isfolder></Metadata>"
    not_one = "<Metadata><hdi_isfolder>false</hdi_isfolder></Metadata>"
    directory = "<ResourceType>directory</ResourceType>"
    file = "<ResourceType>file</ResourceType>"
    rows = read(
        page(
            blob("a", metadata=hadoop, size="0"),
            blob("b", metadata=capital, size="0"),
            blob("c", metadata=not_one),
            blob("d", properties=directory, size="0"),
            blob("e", properties=file),
        )
    )
    assert rows.batch["key"].to_pylist() == ["c", "e"]
    assert rows.stubs == 3


def test_folders_of_a_hierarchical_namespace_have_properties_of_their_own() -> None:
    inner = f"<Last-Modified>{WHEN}</Last-Modified><Etag>0x1</Etag><ResourceType>directory</ResourceType><Content-Length>0</Content-Length>"
    rows = read(page(blob("a"), f"<BlobPrefix><Name>d/</Name><Properties>{inner}</Properties></BlobPrefix>", blob("z")))
    assert rows.batch["key"].to_pylist() == ["a", "z"]
    assert rows.folders == ("d/",)
    assert rows.stubs == 0


def test_an_uploader_s_nonsense_for_an_md5_is_none() -> None:
    texts = ("YWJj", "!" * 22 + "==", "A" * 24, "A" * 22 + "==")
    rows = read(
        page(*(blob(str(at), properties=f"<Content-MD5>{text}</Content-MD5>") for at, text in enumerate(texts)))
    )
    assert rows.batch["md5"].to_pylist() == [None, None, None, bytes(16)]


def test_an_etag_is_as_in_the_header_whatever_the_listing_leaves_out() -> None:
    hexes = "0123456789abcdef" * 2
    etags = ["0x8D", '"0x8E"', hexes]
    rows = read(page(*(blob(str(at)).replace("0x8D", etag) for at, etag in enumerate(etags)))).batch
    assert rows["etag"].to_pylist() == ['"0x8D"', '"0x8E"', None]
    assert rows["etag16"].to_pylist() == [None, None, bytes.fromhex(hexes)]


@pytest.mark.parametrize("empty", ["<Blobs />", "<Blobs/>", "<Blobs></Blobs>"])
def test_an_empty_page_has_no_rows(empty: str) -> None:
    body = f"<EnumerationResults>{empty}<NextMarker/></EnumerationResults>".encode()
    rows = read(body)
    assert (rows.batch.num_rows, len(rows.keys), rows.marker) == (0, 0, "")


ODD = {
    "no page": b"<html></html>",
    "an error": b'<?xml version="1.0"?><Error><Code>X</Code></Error>',
    "no Blobs": b"<EnumerationResults><NextMarker/></EnumerationResults>",
    "no NextMarker": page(blob(), marker=""),
    "no name": page(blob().replace("<Name>a</Name>", "")),
    "two names": page(blob(before="<Name>b</Name>")),
    "no length": page(blob().replace("<Content-Length>2</Content-Length>", "")),
    "a negative length": page(blob(size="-1")),
    "a length in words": page(blob(size="two")),
    "an element in a name": page(blob("<b>a</b>")),
    "an unknown entity": page(blob("&nbsp;")),
    "a surrogate": page(blob("&#xD800;")),
    "a comment": page(blob(), "<!-- <Blob> -->"),
    "CDATA": page(blob("<![CDATA[a]]>")),
    "no UTF-8": page(blob()).replace(b">a<", b">\xff<"),
    "an encoded name of no UTF-8": page(blob().replace("<Name>a", '<Name Encoded="true">%FF')),
    "an entry that does not end": page(blob().replace("</Blob>", "")),
    "no time": page(blob()).replace(b"Nov", b"Nov 1"),
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD.keys())
def test_odd_pages_are_refused_whole(body: bytes) -> None:
    with pytest.raises(OddPageError):
        read(body)


def test_a_cut_page_is_never_whole() -> None:
    body = page(*(blob(str(number)) for number in range(3)))
    assert is_whole(body + b"\n")
    assert not any(is_whole(body[:length]) for length in range(len(body)))
