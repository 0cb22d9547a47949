"""Every kind of credential goes the whole way and through every error, and stands in nothing that is left, said or logged."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import orjson
import pyarrow.parquet as pq
import pytest
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import asyncref
from asyncref.cli.output import emit_json
from asyncref.errors import AsyncrefError, InvalidURIError
from asyncref.model import Limits
from asyncref.registry import Registry
from tests.same_tree import noise
from tests.servers.azurite import ACCOUNT, KEY
from tests.servers.google import Stored, replayed
from tests.servers.identity import IDENTITY_HEADER, identities
from tests.servers.proxy import Cut, Fault, Proxy, Reset, Status

QUICK = Limits(attempts=2, backoff_s=0.001, backoff_max_s=0.002, connect_timeout_s=1)
OBJECTS = {"a": b"one", "large": noise(17 * 2**20, "large")}
UPSTREAM = "user:pr0xy/Pass+word"

# What S3 and Azure add to a refusal, so that a user may find the fault.
DENIED = (
    b"<?xml version='1.0'?><Error><Code>SignatureDoesNotMatch</Code><Message>it does not match</Message>"
    b"<StringToSign>AWS4-HMAC-SHA256</StringToSign><SignatureProvided>0011</SignatureProvided></Error>"
)
ALL_FAULTS = (Status(403, DENIED), Status(400), Reset(), Cut(3))


@dataclass
class Way:
    """A source, how it is asked for, and what must not be seen of that.

    Attributes:
        uri: What is scanned.
        proxy: What stands before its server, or between.
        options: With which it is scanned.
        secrets: What must not be seen.
        given: What a fetch is given: what no manifest knows.
        elsewhere: The same options for an endpoint where nobody listens.
        faults: What the server does at the end; all of them once a storage.
    """

    uri: str
    proxy: Proxy
    options: dict[str, Any]
    secrets: Sequence[str]
    given: dict[str, Any]
    elsewhere: dict[str, Any] | None = None
    faults: tuple[Fault, ...] = (Status(403, DENIED),)


@dataclass
class Seen:
    """Everything that a user, a colleague or a log collector may come to see."""

    texts: list[str] = field(default_factory=list)

    def take(self, error: BaseException) -> None:
        self.texts += ["".join(traceback.format_exception(error)), repr(error), str(error), repr(vars(error))]


class Kept(logging.Handler):
    """Log lines, with whatever their records carry."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(logging.NOTSET)
        self.seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.texts += [self.format(record), repr(record.args), repr(record.__dict__)]


@pytest.fixture
def seen() -> Any:
    """Collects every log line, ours and the HTTP client's with all details."""
    made = Seen()
    handler = Kept(made)
    loggers = [logging.getLogger(name) for name in ("", "asyncref", "asyncio", "aiohttp")]
    before = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG if logger.name != "root" else logging.INFO)
    yield made
    for logger, level in before:
        logger.removeHandler(handler)
        logger.setLevel(level)


@pytest.fixture
def s3(moto: Any, bucket: str, proxy_to: Callable[[str], Proxy]) -> Any:
    """A bucket with the objects; its name and a proxy before it."""
    client = moto.client()
    client.create_bucket(Bucket=bucket)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key, body in OBJECTS.items():
        client.put_object(Bucket=bucket, Key=f"set/{key}", Body=body)
    return f"s3://{bucket}/set/", proxy_to(moto.endpoint)


KEYS = {"key": "AKIAHIDDENKEYID00000", "secret": "hidden/S3+secret/access=key", "token": "hidden+session/token=="}


@pytest.fixture
def of_s3_options(s3: Any) -> Way:
    uri, proxy = s3
    options = {"endpoint_url": proxy.endpoint, "region": "us-east-1", **KEYS}
    elsewhere = {**options, "endpoint_url": "http://127.0.0.1:1"}
    return Way(uri, proxy, options, (KEYS["secret"], KEYS["token"]), options, elsewhere)


@pytest.fixture
def of_s3_environment(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Way:
    uri, proxy = s3
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["secret"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", KEYS["token"])
    options = {"endpoint_url": proxy.endpoint}
    return Way(uri, proxy, options, (KEYS["secret"], KEYS["token"]), options, {"endpoint_url": "http://127.0.0.1:1"})


@pytest.fixture
def of_s3_through_a_proxy(s3: Any, monkeypatch: pytest.MonkeyPatch, moto: Any) -> Way:
    uri, proxy = s3
    user, _, password = UPSTREAM.partition(":")
    said = f"http://{user}:{quote(password, safe='')}@{urlsplit(proxy.endpoint).netloc}"
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, said)
    options = {"endpoint_url": moto.endpoint, "region": "us-east-1", **KEYS}
    return Way(uri, proxy, options, (KEYS["secret"], KEYS["token"], password, UPSTREAM), options, faults=ALL_FAULTS)


@pytest.fixture
def blobs(azurite: Any, bucket: str, proxy_to: Callable[[str], Proxy]) -> Any:
    """A container with the objects; its name and a proxy before it."""
    client = azurite.container(bucket)
    for key, body in OBJECTS.items():
        client.upload_blob(f"set/{key}", body)
    return bucket, proxy_to(azurite.endpoint.removesuffix(f"/{ACCOUNT}"))


def azure_way(blobs: Any, *secrets: str, **options: str) -> Way:
    bucket, proxy = blobs
    place = {"endpoint_url": f"{proxy.endpoint}/{ACCOUNT}", "account_name": ACCOUNT}
    given = {**place, **options}
    elsewhere = {**given, "endpoint_url": f"http://127.0.0.1:1/{ACCOUNT}"}
    return Way(f"az://{bucket}/set/", proxy, given, secrets, given, elsewhere)


@pytest.fixture
def of_azure_sas(blobs: Any) -> Way:
    sas = generate_container_sas(
        ACCOUNT,
        blobs[0],
        account_key=KEY,
        permission=ContainerSasPermissions(read=True, list=True),
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    signature = dict(pair.split("=", 1) for pair in sas.split("&"))["sig"]
    return replace(azure_way(blobs, sas, signature, sas_token=sas), faults=ALL_FAULTS)


@pytest.fixture
def of_azure_key(blobs: Any) -> Way:
    return azure_way(blobs, KEY, account_key=KEY)


@pytest.fixture
def of_azure_connection_string(blobs: Any) -> Way:
    bucket, proxy = blobs
    text = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={{}}/{ACCOUNT};"
    options = {"connection_string": text.format(proxy.endpoint)}
    elsewhere = {"connection_string": text.format("http://127.0.0.1:1")}
    return Way(f"az://{bucket}/set/", proxy, options, (KEY,), options, elsewhere)


@pytest.fixture
async def of_azure_bearer(blobs: Any, azurite: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Way]:
    """A managed identity's token. Azurite takes none over HTTP, so the container is public; the token goes there all the same."""
    azurite.container(blobs[0]).set_container_access_policy({}, public_access="container")
    async with identities() as given:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{given.url}/msi")
        monkeypatch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        way = azure_way(blobs)
        given.given.append(IDENTITY_HEADER)
        yield replace(way, secrets=given.given, faults=ALL_FAULTS)  # every token that is yet to be given, too
        assert len(given.given) > 1


GOOGLE_SECRETS = {
    "token": ("ya29.hidden/google+token",),
    "refresh_token": ("good-refresh", "hidden-client/secret+x", "ya29.secret-"),
    "service_account": ("ya29.secret-",),
}


@pytest.fixture(scope="module")
def private_key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    text = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


async def google_way(kind: str, proxy_to: Callable[[str], Proxy], private_key: str) -> AsyncIterator[Way]:
    (first, *_), secrets = GOOGLE_SECRETS[kind], GOOGLE_SECRETS[kind]
    async with replayed() as google:
        google.public, google.valid = False, {first}
        google.objects = {f"set/{key}": Stored(body, 7) for key, body in OBJECTS.items()}
        token: Any = {
            "token": first,
            "refresh_token": {
                "type": "authorized_user",
                "client_id": "id",
                "client_secret": "hidden-client/secret+x",
                "refresh_token": "good-refresh",
                "token_uri": f"{google.url}/token",
            },
            "service_account": {
                "type": "service_account",
                "project_id": "mine",
                "client_email": "robot@mine.iam.gserviceaccount.com",
                "private_key": private_key,
                "token_uri": f"{google.url}/token",
            },
        }[kind]
        if kind == "service_account":
            secrets = (*secrets, private_key.splitlines()[5])
        proxy = proxy_to(google.url)
        options = {"endpoint_url": proxy.endpoint, "token": token}
        elsewhere = {**options, "endpoint_url": "http://127.0.0.1:1"}
        yield Way("gs://bucket/set/", proxy, options, secrets, options, elsewhere, ALL_FAULTS)


@pytest.fixture
async def of_google_token(proxy_to: Callable[[str], Proxy], private_key: str) -> AsyncIterator[Way]:
    async for way in google_way("token", proxy_to, private_key):
        yield way


@pytest.fixture
async def of_google_refresh_token(proxy_to: Callable[[str], Proxy], private_key: str) -> AsyncIterator[Way]:
    async for way in google_way("refresh_token", proxy_to, private_key):
        yield way


@pytest.fixture
async def of_google_service_account(proxy_to: Callable[[str], Proxy], private_key: str) -> AsyncIterator[Way]:
    async for way in google_way("service_account", proxy_to, private_key):
        yield way


def web_way(served: Path, bucket: str, proxy: Proxy, *secrets: str, **options: Any) -> Way:
    (served / bucket).mkdir()
    for key, body in OBJECTS.items():
        (served / bucket / key).write_bytes(body)
    return Way(f"{proxy.endpoint}/{bucket}/", proxy, options, secrets, options)


@pytest.fixture
def of_http_password(nginx: Any, served: Path, bucket: str, proxy_to: Callable[[str], Proxy]) -> Way:
    proxy = proxy_to(nginx.url)
    way = web_way(served, bucket, proxy, "hidden pass:word", username="someone", password="hidden pass:word")
    return replace(way, faults=ALL_FAULTS)


@pytest.fixture
def of_http_bearer(nginx: Any, served: Path, bucket: str, proxy_to: Callable[[str], Proxy]) -> Way:
    secret, other = "hidden.bearer.token", "hidden-api-key"
    return web_way(served, bucket, proxy_to(nginx.url), secret, other, token=secret, headers={"x-key": other})


WAYS = (
    *("s3_options", "s3_environment", "s3_through_a_proxy"),
    *("azure_sas", "azure_key", "azure_connection_string", "azure_bearer"),
    *("google_token", "google_refresh_token", "google_service_account", "http_password", "http_bearer"),
)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Each kind of credential in turn."""
    found: Way = request.getfixturevalue(f"of_{request.param}")
    return found


async def failed(seen: Seen, running: Any) -> AsyncrefError:
    """The error of what has to fail, kept with its traceback."""
    with pytest.raises(AsyncrefError) as caught:
        await running
    seen.take(caught.value)
    for failure in getattr(caught.value, "failures", ()):
        seen.take(failure.error)
    return caught.value


def written(folder: Path) -> list[str]:
    """What every file below a folder says, Parquet unpacked as well; content that was fetched left out."""
    texts: list[str] = []
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        texts += [str(path), path.read_bytes().decode("latin-1")]
        if path.suffix == ".parquet":
            file = pq.ParquetFile(path)
            texts += [repr(file.read().to_pylist()), repr(file.schema_arrow.metadata), repr(file.metadata.metadata)]
    return texts


def forms(secret: str) -> set[str]:
    """How a secret may look."""
    plain = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), secret.replace("/", "\\/")}
    coded = {base64.b64encode(text.encode()).decode().rstrip("=") for text in (secret, f"someone:{secret}")}
    return plain | coded


async def the_whole_way(way: Way, seen: Seen, home: Path) -> None:
    """Scan, log, compare, fetch, stream; then break each of them."""
    manifest = await asyncref.scan(way.uri, storage_options=way.options, resume=home / "scans")
    assert any("authorization" in name or "sig=" in one.target for one in way.proxy.seen for name in one.headers)
    assert sorted(entry.path for entry in manifest) == sorted(OBJECTS)
    manifest.save(home / "m.parquet")
    registry = Registry.open(None)
    run = registry.start_run(project="here", entity="me", job_type="test", config={"about": "secrets"})
    registry.log(manifest, name="set", type="dataset", project="here", entity="me", run_id=run.id)
    registry.finish_run(run.id)
    seen.texts += [repr(manifest), repr(manifest.sources), repr(manifest.record.to_json()), repr(list(manifest))]
    report = await asyncref.fetch("set:v0", home / "out", storage_options=way.given)
    assert {path.name for path in (home / "out").iterdir() if not path.name.startswith(".")} == set(OBJECTS)
    status = await asyncref.status("set:v0", storage_options=way.given)
    audit = await asyncref.audit("set:v0", storage_options=way.given)
    seen.texts += [repr(report), orjson.dumps(status.to_json()).decode(), orjson.dumps(audit.to_json()).decode()]
    for fault in way.faults:
        way.proxy.forget()
        way.proxy.inject(fault, at=None)
        bounds = {"storage_options": way.given, "limits": QUICK}
        await failed(seen, asyncref.scan(way.uri, resume=home / "scans", **bounds))
        await failed(seen, asyncref.fetch("set:v0", home / "broken", **bounds))
    way.proxy.forget()
    parts = []

    def later(request: Any) -> list[Any]:
        ranged = any(name.endswith("range") for name in request.headers)
        if ranged:
            parts.append(request)
        return [Reset()] if ranged and len(parts) > 1 else []

    way.proxy.script = later  # so that a journal is left
    await failed(seen, asyncref.fetch("set:v0", home / "half", storage_options=way.given, limits=QUICK))
    way.proxy.forget()
    await failed(seen, asyncref.scan(way.uri, storage_options=way.given, max_objects=1, resume=home / "scans"))
    if way.elsewhere is not None:
        await failed(seen, asyncref.scan(way.uri, storage_options=way.elsewhere, limits=QUICK))


async def test_no_secret_is_left_said_or_logged(
    way: Way, seen: Seen, home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCREF_HOME", str(home / "home"))
    await the_whole_way(way, seen, home)
    emit_json("asyncref.test/1", {"done": True})
    seen.texts += capfd.readouterr()
    everything = "\n".join([*seen.texts, *written(home)])
    for word in ("set/" if "://127" not in way.uri else "/a", "403", "large"):  # so that it could be found
        assert word in everything
    for secret in way.secrets:
        for form in forms(secret):
            assert form not in everything, everything[max(0, everything.index(form) - 300) :][:600]


async def test_no_client_s_key_is_left_said_or_logged(
    nginx: Any, served: Path, bucket: str, seen: Seen, home: Path
) -> None:
    """No proxy can stand in a connection of two certificates, so what breaks is who is trusted and which key it is."""
    (served / bucket).mkdir()
    (served / bucket / "a").write_bytes(b"one")
    authority, uri = nginx.authority, f"{nginx.mutual}/{bucket}/"
    server_key = authority.ca.with_name("server.key")
    right = {"verify": str(authority.ca), "client_cert": (str(authority.client_pem), str(authority.client_key))}
    manifest = await asyncref.scan(uri, storage_options=right)
    manifest.save(home / "m.parquet")
    await asyncref.fetch(manifest, home / "out", storage_options=right)
    wrong_pair = {**right, "client_cert": (str(authority.client_pem), str(server_key))}
    for options in (wrong_pair, {"verify": right["verify"]}, {"client_cert": right["client_cert"]}):
        await failed(seen, asyncref.scan(uri, storage_options=options, limits=QUICK))
    seen.texts += [repr(manifest.sources), repr(manifest.record.to_json())]
    everything = "\n".join([*seen.texts, *written(home)])
    assert uri in everything
    for file in (authority.client_key, server_key):
        for line in file.read_text().splitlines()[1:-1]:
            assert line not in everything


@pytest.mark.parametrize(
    "text",
    [
        *(f"{scheme}://someone:hidden/pass@bucket/x".replace("n/p", "n%2Fp") for scheme in ("s3", "gs", "az", "http")),
        "https://someone:hidden@account.blob.core.windows.net/box/x",
        "https://someone:hidden@host/x?X-Amz-Signature=hidden",
        "https://account.blob.core.windows.net/box/x?sv=2024-11-04&sig=hidden%3D",
        "s3://bucket/x?X-Amz-Signature=hidden",
    ],
)
async def test_a_reference_that_holds_a_secret_is_refused_without_it(text: str, seen: Seen) -> None:
    assert isinstance(await failed(seen, asyncref.scan(text, storage_options={"anon": True})), InvalidURIError)
    said = "\n".join(seen.texts)
    assert "the secret" in said or "its secret" in said
    assert "hidden" not in said.replace("test_no_secrets", "")
