"""The column parser gives what an independent XML parser gives, or raises."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus, unquote_plus
from xml.dom import minidom
from xml.sax.saxutils import escape

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncref.backends.s3 import columns, page, shape
from asyncref.backends.s3.shape import OddPageError

# What XML can hold, without the characters that an XML parser itself rewrites.
_CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff\x85\u2028")
_KEY = st.text(_CHARACTERS, min_size=1, max_size=12) | st.sampled_from(["a+b c", "100%25", "a&amp;b<>", "é/😀", "x/"])
_HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
_ETAG = _HEX.map(lambda text: f'"{text}"') | st.sampled_from(
    ['"d41d8cd98f00b204e9800998ecf8427e-12"', '"D41D8CD98F00B204E9800998ECF8427E"', "plain", '"q"', 'W/"weak"']
)
_TIME = st.datetimes(datetime(1990, 1, 1), datetime(2060, 1, 1)).map(  # noqa: DTZ001  the strategy's own bounds
    lambda t: t.strftime("%Y-%m-%dT%H:%M:%S.000Z")
)


@st.composite
def entries(draw, *, versions):
    kind = draw(st.sampled_from(["Version", "Version", "DeleteMarker"])) if versions else "Contents"
    entry = [("Key", draw(_KEY))]
    if versions:
        entry += [("VersionId", draw(st.text("abc.XYZ_019", min_size=1, max_size=32) | st.just("null")))]
        entry += [("IsLatest", draw(st.sampled_from(["true", "false"])))]
    entry.append(("LastModified", draw(_TIME)))
    if kind != "DeleteMarker":
        entry.append(("ETag", draw(_ETAG)))
        if draw(st.booleans()):
            entry += [("ChecksumAlgorithm", "CRC32"), ("ChecksumType", "FULL_OBJECT")]
        entry.append(("Size", str(draw(st.integers(0, 2**62)))))
        if draw(st.booleans()):
            entry.append(("StorageClass", draw(st.sampled_from(["STANDARD", "GLACIER"]))))
    if draw(st.booleans()):
        entry.append(("Owner", draw(st.sampled_from(["<ID>abc</ID>", "<ID>d</ID><DisplayName>x</DisplayName>", ""]))))
    return kind, entry


@st.composite
def pages(draw, *, versions):
    """Bytes of a page, in one of the forms that servers send."""
    root = "ListVersionsResult" if versions else "ListBucketResult"
    url = draw(st.booleans())
    entity = draw(st.sampled_from(["&quot;", '"', "&#34;"]))
    space = draw(st.sampled_from(["", "\n  "]))
    rows = []
    for kind, entry in draw(st.lists(entries(versions=versions), max_size=8)):
        fields = []
        for name, value in entry:
            text = value if name == "Owner" else escape(quote_plus(value) if url and name == "Key" else value)
            fields.append(f"{space}<{name}>{text.replace(chr(34), entity)}</{name}>")
        rows.append(f"{space}<{kind}>{''.join(fields)}{space}</{kind}>")
    envelope = ["<IsTruncated>false</IsTruncated>", "<EncodingType>url</EncodingType>" if url else "", "<Name>b</Name>"]
    draw(st.randoms()).shuffle(envelope)
    cut = draw(st.integers(0, 3))
    body = "".join([*envelope[:cut], *rows, *envelope[cut:]])
    namespace = draw(st.sampled_from(["", ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"']))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{namespace}>{body}{space}</{root}>'.encode()


def independently(body, keep):
    """The rows by a DOM parser, as plain values."""
    document = minidom.parseString(body).documentElement

    def text(node):
        return "".join(child.data for child in node.childNodes if child.nodeType == child.TEXT_NODE)

    url = any(text(node) == "url" for node in document.getElementsByTagName("EncodingType"))
    rows, keys = [], []
    for node in document.childNodes:
        if node.nodeName not in {"Contents", "Version", "DeleteMarker"}:
            continue
        row = {child.nodeName: text(child) for child in node.childNodes if child.nodeType == child.ELEMENT_NODE}
        key = unquote_plus(row["Key"], errors="strict") if url else row["Key"]
        keys.append(key)
        if node.nodeName == "DeleteMarker" or (keep == "latest" and row["IsLatest"] != "true"):
            continue
        moment = datetime.fromisoformat(row["LastModified"]) if row.get("LastModified") else None
        rows.append((key, int(row["Size"]), row.get("ETag") or None, row.get("VersionId"), moment))
    return keys, rows


def by_column(body, keep):
    got = page.read(body, keep)
    rows = []
    for row in got.batch.to_pylist():
        etag = f'"{row["etag16"].hex()}"' if row["etag16"] is not None else row["etag"]
        assert (row["etag16"] is None) == (re.fullmatch(r'"[0-9a-f]{32}"', etag or "") is None)
        rows.append((row["key"], row["size"], etag, row["version"], row["modified"]))
    got.batch.validate(full=True)
    keys = got.keys.to_pylist()
    return keys, rows


@settings(max_examples=300, deadline=None)
@given(pages(versions=False))
def test_an_object_page_reads_as_an_xml_parser_reads_it(body):
    assert by_column(body, "objects") == independently(body, "objects")


@settings(max_examples=300, deadline=None)
@given(pages(versions=True), st.sampled_from(["latest", "stored"]))
def test_a_version_page_reads_as_an_xml_parser_reads_it(body, keep):
    (keys, rows), (their_keys, their_rows) = by_column(body, keep), independently(body, keep)
    assert rows == their_rows
    assert keys == their_keys or keys == sorted(their_keys)


@settings(max_examples=200, deadline=None)
@given(pages(versions=True) | pages(versions=False), st.data())
def test_a_cut_page_is_an_error(body, data):
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    keep = "latest" if b"<ListVersionsResult" in body else "objects"
    with pytest.raises(OddPageError):
        page.read(cut, keep)


@settings(max_examples=200, deadline=None)
@given(pages(versions=True), st.data())
def test_a_page_with_a_piece_cut_out_is_an_error_or_reads_as_xml(body, data):
    start = data.draw(st.integers(0, len(body) - 1))
    garbled = body[:start] + body[start + data.draw(st.integers(1, 40)) :]
    try:
        got = by_column(garbled, "stored")
    except OddPageError:
        return
    forbidden = rb"&#([0-9]|1[0-9]|2[0-9]|3[01]);"  # not in XML, but in S3's keys: only we read these references
    if re.search(forbidden, garbled) is None:
        assert got[1] == independently(garbled, "stored")[1]


def one(entry, *, root="ListBucketResult", envelope="<IsTruncated>false</IsTruncated>"):
    return f"<{root}>{envelope}{entry}</{root}>".encode()


GOOD = (
    "<Contents><Key>k</Key><LastModified>2024-01-02T03:04:05.000Z</LastModified><ETag>&quot;e&quot;</ETag>"
    "<Size>1</Size></Contents>"
)


@pytest.mark.parametrize(
    ("entry", "envelope"),
    [
        (GOOD, ""),
        (GOOD, "<IsTruncated>maybe</IsTruncated>"),
        (GOOD, "<IsTruncated>false</IsTruncated><EncodingType>base64</EncodingType>"),
        (GOOD.replace("<Size>1</Size>", ""), "<IsTruncated>false</IsTruncated>"),
        (GOOD.replace("<Key>k</Key>", ""), "<IsTruncated>false</IsTruncated>"),
        (GOOD.replace("<Key>k</Key>", "<Key>k</Key><Key>l</Key>"), "<IsTruncated>false</IsTruncated>"),
        (GOOD.replace("<Size>1", "<Size>-1"), "<IsTruncated>false</IsTruncated>"),
        (GOOD.replace("<Size>1", "<Size>one"), "<IsTruncated>false</IsTruncated>"),
        (GOOD.replace("2024-01", "2024-13"), "<IsTruncated>false</IsTruncated>"),
        (GOOD.replace("<Key>k", "<Key>k&nbsp;"), "<IsTruncated>false</IsTruncated>"),
        (GOOD.replace("<Key>k", "<Key>k%4"), "<IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>"),
        (GOOD.replace("<Key>k", "<Key>k%ff"), "<IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>"),
        (GOOD + GOOD.replace("</Contents>", ""), "<IsTruncated>false</IsTruncated>"),
        (GOOD + GOOD.replace("<Contents>", ""), "<IsTruncated>false</IsTruncated>"),
        ("<Contents>" + GOOD + "</Contents>", "<IsTruncated>false</IsTruncated>"),
    ],
)
def test_a_page_that_contradicts_itself_is_an_error(entry, envelope):
    page.read(one(GOOD), "objects")
    with pytest.raises(OddPageError):
        page.read(one(entry, envelope=envelope), "objects")


@pytest.mark.parametrize("plain", [" ", "é", "&#32;", "&#233;", "\U0001f300"])
@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("count", [0, 1, 1000])
def test_a_page_that_says_it_encodes_keys_and_does_not_encode_all_is_an_error(plain, is_compiled, count, monkeypatch):
    if not is_compiled:
        monkeypatch.setattr(shape, "_entries", None)
        monkeypatch.setattr(columns, "_entries", None)
    encoded = "".join(GOOD.replace("<Key>k", f"<Key>k+{number:04d}%C3%A9") for number in range(count))
    envelope = "<IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>"
    assert len(page.read(one(encoded, envelope=envelope), "objects").keys) == count
    mixed = encoded + GOOD.replace("<Key>k", f"<Key>k{plain}l")
    assert len(page.read(one(mixed), "objects").keys) == count + 1  # it does not say so: no word against that
    with pytest.raises(OddPageError, match="not encoded"):
        page.read(one(mixed, envelope=envelope), "objects")


def test_a_document_type_is_refused():
    body = b'<!DOCTYPE x [<!ENTITY e "k">]>' + one(GOOD.replace("<Key>k", "<Key>&e;"))
    with pytest.raises(OddPageError, match="document type"):
        page.read(body, "objects")


def test_namespaced_commented_and_cdata_pages_are_read_by_the_xml_parser():
    entry = GOOD.replace("<Key>k</Key>", "<Key><![CDATA[a<b]]></Key><!-- no -->")
    body = one(entry).replace(b"<ListBucketResult>", b'<ListBucketResult xmlns="urn:x">')
    assert by_column(body, "objects")[0] == ["a<b"]


def test_thousands_of_shapes_are_read_by_the_xml_parser():
    rows = [GOOD.replace("<Size>", f"<Extra{n}>x</Extra{n}><Size>").replace("<Key>k", f"<Key>k{n}") for n in range(100)]
    assert by_column(one("".join(rows)), "objects")[0] == [f"k{n}" for n in range(100)]


def test_a_page_in_another_encoding_is_read_in_it_or_refused():
    entry = GOOD.replace("<Key>k", "<Key>é")
    body = b'<?xml version="1.0" encoding="ISO-8859-1"?>' + one(entry).decode().encode("latin-1")
    assert by_column(body, "objects")[0] == ["é"]
    with pytest.raises(OddPageError):
        page.read(body.replace(b"ISO-8859-1", b"nonsense"), "objects")


@contextmanager
def without_extension():
    kept = shape._entries, columns._entries
    shape._entries = columns._entries = None
    try:
        yield
    finally:
        shape._entries, columns._entries = kept


compiled = pytest.mark.skipif(shape._entries is None, reason="asyncref._entries is not compiled: there was no compiler")


def outcome(body, keep):
    try:
        got = page.read(body, keep)
    except OddPageError:
        return None
    got.batch.validate(full=True)
    return got.keys, None if got.latest is None else got.latest.tolist(), got.batch, got.envelope


def same_outcome(body, keep):
    with without_extension():
        by_numpy = outcome(body, keep)
    assert outcome(body, keep) == by_numpy


_PIECES = st.binary(max_size=3) | st.sampled_from(
    [
        *(
            b"<",
            b">",
            b"/",
            b"</",
            b"/>",
            b"&",
            b"<!-- -->",
            b"<![CDATA[x]]>",
            b"<?p?>",
            b" ",
            b"\0",
            b"\n",
            b"%",
            b"\xff",
        ),
        *(b"<Key>", b"</Key>", b"<Key/>", b"<Contents>", b"</Contents>", b"<Version>", b"<DeleteMarker/>", b"</Size >"),
        *(b"<Owner a='>'>", b'<Size b="1" >', b"<Extra>1</Extra>", b"<Key-x>1</Key-x>"),
        *(b"99999999999999999999", b"+1", b"0x1", b"-1"),
    ]
)


def changed(draw, text, pieces, most):
    """The text with a stretch of at most so many bytes replaced by one of the pieces."""
    at = draw(st.integers(0, len(text)))
    stop = min(len(text), at + draw(st.integers(0, most)))
    return text[:at] + draw(pieces | st.just(text[at:stop] * 2)) + text[stop:]


@st.composite
def mutated(draw):
    """A page of either kind with some bytes cut, doubled, changed or put in."""
    keep = draw(st.sampled_from(["objects", "latest", "stored", "all"]))
    body = draw(pages(versions=keep != "objects"))
    for _ in range(draw(st.integers(0, 3))):
        body = changed(draw, body, st.just(b"") | _PIECES, 60)
    return body, keep


@compiled
@settings(max_examples=400, deadline=None)
@given(mutated())
def test_a_page_reads_the_same_with_and_without_the_extension_however_broken(case):
    same_outcome(*case)


@st.composite
def alike(draw):
    """A page as most are, every value of its usual form, with some bytes of one entry changed, cut out or put in."""
    keep = draw(st.sampled_from(["objects", "latest"]))
    rest = draw(st.sampled_from(["", "<StorageClass>STANDARD</StorageClass>", "<Owner><ID>abc</ID></Owner>"]))
    pins = "" if keep == "objects" else "<VersionId>{}</VersionId><IsLatest>true</IsLatest>"
    kind = "Contents" if keep == "objects" else "Version"
    rows = [
        f"<{kind}><Key>{number:03d}{draw(_HEX)}</Key>{pins.format(draw(_HEX))}<LastModified>{draw(_TIME)}</LastModified>"
        f"<ETag>&quot;{draw(_HEX)}&quot;</ETag><Size>{draw(st.integers(0, 2**40))}</Size>{rest}</{kind}>".encode()
        for number in range(draw(st.integers(2, 6)))
    ]
    for _ in range(draw(st.integers(0, 2))):
        row = draw(st.integers(0, len(rows) - 1))
        rows[row] = changed(
            draw, rows[row], _PIECES | st.sampled_from([b"Z<", b"GLACIER", b"false", b"000Z", b"</Size>"]), 25
        )
    root = "ListBucketResult" if keep == "objects" else "ListVersionsResult"
    body = b"<%b><IsTruncated>false</IsTruncated>%b</%b>" % (root.encode(), b"".join(rows), root.encode())
    return body, keep


@compiled
@settings(max_examples=600, deadline=None)
@given(alike())
def test_a_page_of_usual_values_reads_the_same_with_and_without_the_extension_whatever_becomes_of_one(case):
    same_outcome(*case)


@compiled
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("</Contents>", "<Owner/></Contents>\n"),
        ("<Key>k</Key>", "<Key/><Key>k</Key>"),
        ("<Key>k</Key>", "<Key ><a>k</a></Key ><Key>k</Key\n>"),
        ("<Size>", "<Owner a='1' b=\"'\"><ID>x</ID></Owner><Size>"),
        ("<Size>", "<Owner a='/>'><ID>x</ID></Owner><Size>"),
        ("<Size>", "<A>" * 20 + "</A>" * 20 + "<Size>"),
        ("<Size>1", "<Size>007"),
        ("<Size>1", "<Size>9223372036854775807"),
        ("<Size>1", "<Size>9223372036854775808"),
        ("<Size>1", "<Size>"),
        ("2024-01-02", "2024-02-29"),
        ("2024-01-02", "2023-02-29"),
        ("2024-01-02", "1900-02-29"),
        ("2024-01-02", "0000-01-01"),
        ("2024-01-02", "0001-01-01"),
        ("2024-01-02", "9999-12-31"),
        ("03:04:05.000Z", "03:04:05Z"),
        ("03:04:05.000Z", "23:59:59.999Z"),
        ("03:04:05.000Z", "24:00:00.000Z"),
        ("03:04:05.000Z", "23:59:60.000Z"),
        ("03:04:05.000Z", "03:04:05.000+01:00"),
        ("&quot;e&quot;", "&quot;d41d8cd98f00b204e9800998ecf8427e&#34;"),
        ("&quot;e&quot;", "&quot;d41d8cd98f00b204e9800998ecf8427E&quot;"),
        ("&quot;e&quot;", "&#x22;d41d8cd98f00b204e9800998ecf8427e&#x22;"),
        ("<ETag>&quot;e&quot;</ETag>", ""),
    ],
)
def test_unusual_values_read_the_same_with_and_without_the_extension(old, new):
    assert old in GOOD
    same_outcome(one(GOOD + GOOD.replace(old, new) + GOOD), "objects")


def test_an_object_without_an_etag_has_none_with_and_without_the_extension():
    body = one(GOOD + GOOD.replace("<ETag>&quot;e&quot;</ETag>", "") + GOOD.replace("<Key>k", "<Key>l"))
    with without_extension():
        assert page.read(body, "objects").batch["etag"].to_pylist() == ['"e"', None, '"e"']
    same_outcome(body, "objects")


def test_entries_within_another_element_are_none():
    body = one(f"<CommonPrefixes>{GOOD}<Prefix>q/</Prefix></CommonPrefixes>")
    assert len(page.read(body, "objects").keys) == 0
    same_outcome(body, "objects")


@compiled
@pytest.mark.parametrize("offsets", [([0], [9]), ([-2], [0]), ([2], [1]), ([2**62], [2**62]), ([0, 1], [1])])
def test_the_extension_reads_nothing_outside_of_the_body(offsets):
    starts, ends = (np.array(side, np.int64) for side in offsets)
    for convert in ("integers", "flags", "moments", "etags", "texts"):
        with pytest.raises(ValueError, match="offsets"):
            getattr(shape._entries, convert)(b"12345678", starts, ends)
    for first, end in ((-1, 3), (3, 2), (0, 9)):
        with pytest.raises(ValueError, match="outside"):
            shape._entries.entries(b"12345678", first, end, (b"a",), (b"b",), b"t")


def converted(convert, values):
    """What the extension makes of single values; None where it leaves them to others."""
    body = b"".join(values)
    ends = np.cumsum([len(value) for value in values])
    starts = ends - [len(value) for value in values]
    return [
        getattr(shape._entries, convert)(body, np.array([start]), np.array([end]))
        for start, end in zip(starts, ends, strict=True)
    ]


def altered(text):
    """A text with every byte at every place."""
    return [text[:at] + bytes([byte]) + text[at + 1 :] for at in range(len(text)) for byte in range(256)]


@compiled
@pytest.mark.parametrize("quote", [b'"', b"&#34;", b"&quot;"])
def test_a_plain_etag_is_one_of_32_lower_case_hex_digits_and_no_other_byte_at_any_place(quote):
    values = altered(quote + b"0123456789abcdef89f0a7e16b2d35c4" + quote)
    for value, (raw, plain, count) in zip(values, converted("etags", values), strict=True):
        is_plain = re.fullmatch(quote + b"([0-9a-f]{32})" + quote, value, re.DOTALL)
        assert raw == (bytes.fromhex(is_plain[1].decode()) if is_plain else bytes(16)), value
        assert (plain, count) == (bytes([bool(is_plain)]), bool(is_plain))


def micros(value):
    """By Python's own parser, of the two usual forms."""
    if not re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(\.\d{3})?Z", value):
        return None
    try:
        moment = datetime.fromisoformat(value.decode())
    except ValueError:
        return None
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@compiled
@pytest.mark.parametrize("text", [b"2024-02-29T17:38:59.123Z", b"2024-02-29T17:38:59Z", b"0001-01-01T00:00:00Z"])
def test_a_moment_is_what_pythons_own_parser_says_with_every_byte_at_every_place(text):
    values = altered(text)
    for value, got in zip(values, converted("moments", values), strict=True):
        expected = micros(value)
        assert got == (None if expected is None else np.int64(expected).tobytes()), value


@compiled
def test_every_day_of_four_centuries_and_those_that_no_month_has():
    days = [f"{year:04}-{month:02}-{day:02}T01:02:03Z".encode() for year in range(1799, 2202) for month in range(1, 13)
            for day in (0, 1, 27, 28, 29, 30, 31, 32)]  # fmt: skip
    for value, got in zip(days, converted("moments", days), strict=True):
        expected = micros(value)
        assert got == (None if expected is None else np.int64(expected).tobytes()), value


@pytest.mark.parametrize("entry", [GOOD.replace("<Contents>", "<Contents >"), GOOD.replace("Contents>", "x:Contents>")])
def test_entries_that_are_written_unlike_others_are_not_lost(entry):
    body = one(entry.replace("<Key>k", "<Key>l")).replace(b"<ListBucketResult>", b'<ListBucketResult xmlns:x="urn:x">')
    assert by_column(body, "objects")[0] == ["l"]
    last = body.replace(b"<x:Contents>", GOOD.encode() + b"<x:Contents>").replace(
        b"<Contents >", GOOD.encode() + b"<Contents >"
    )
    assert by_column(last, "objects")[0] == ["k", "l"]
