"""Every setting of botocore is honoured or refused by name; endpoints are those that botocore would ask."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import boto3
import botocore
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.configprovider import (
    BOTOCORE_DEFAUT_SESSION_VARIABLES,
    DEFAULT_PROXIES_CONFIG_VARS,
    DEFAULT_S3_CONFIG_VARS,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncref.backends import open_backend
from asyncref.backends.s3.endpoints import by_rules, plain, resolve
from asyncref.backends.s3.settings import (
    HONOURED_CONFIG,
    HONOURED_S3,
    HONOURED_VARIABLES,
    OPTIONS,
    REFUSED_CONFIG,
    REFUSED_VARIABLES,
    read_settings,
)
from asyncref.errors import InvalidURIError, OptionError
from asyncref.model import Limits
from asyncref.uri import parse


def settings_of(**options):
    return read_settings(options, Limits(), concurrency=64)


def test_every_config_option_of_botocore_is_honoured_or_refused():
    assert set(Config.OPTION_DEFAULTS) == set(HONOURED_CONFIG) | set(REFUSED_CONFIG)
    assert not set(HONOURED_CONFIG) & set(REFUSED_CONFIG)


def test_every_session_variable_of_botocore_is_honoured_or_refused():
    known = set(HONOURED_VARIABLES) | set(REFUSED_VARIABLES)
    assert set(BOTOCORE_DEFAUT_SESSION_VARIABLES) | set(DEFAULT_PROXIES_CONFIG_VARS) == known
    assert not set(HONOURED_VARIABLES) & set(REFUSED_VARIABLES)
    assert set(DEFAULT_S3_CONFIG_VARS) == set(HONOURED_S3)


@pytest.mark.parametrize("name", sorted(REFUSED_CONFIG))
def test_a_refused_config_option_is_named(name):
    with pytest.raises(OptionError, match=name):
        settings_of(config_kwargs={name: "x"})


@pytest.mark.parametrize(
    "variable",
    ["AWS_MAX_ATTEMPTS", "AWS_CSM_ENABLED", "AWS_DEFAULTS_MODE", "AWS_SIGV4A_SIGNING_REGION_SET"],
)
def test_a_refused_variable_of_the_environment_is_named(monkeypatch, variable):
    monkeypatch.setenv(variable, {"AWS_MAX_ATTEMPTS": "3", "AWS_CSM_ENABLED": "true"}.get(variable, "standard"))
    with pytest.raises(OptionError, match=variable.removeprefix("AWS_").lower()):
        settings_of()


def test_botocores_own_default_of_a_refused_variable_is_no_error(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULTS_MODE", "legacy")
    settings_of()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"endpont_url": "http://x"}, "endpont_url"),
        ({"client_kwargs": {"api_version": "x"}}, "api_version"),
        ({"config_kwargs": {"nonsense": 1}}, "nonsense"),
        ({"config_kwargs": {"s3": {"nonsense": 1}}}, "nonsense"),
        ({"config_kwargs": {"signature_version": "s3"}}, "signature_version"),
        ({"key": "only"}, "secret"),
        ({"region": "a", "region_name": "b"}, "region"),
        ({"endpoint_url": "localhost:9000"}, "endpoint_url"),
        ({"addressing_style": "upside-down"}, "addressing_style"),
        ({"profile": "nobody"}, "nobody"),
    ],
)
def test_a_bad_option_is_named(options, named):
    with pytest.raises(OptionError, match=named):
        settings_of(**options)


def test_an_unknown_option_names_those_that_are_known():
    with pytest.raises(OptionError) as caught:
        settings_of(nonsense=1)
    assert all(name in str(caught.value) for name in OPTIONS)


def test_profiles_give_endpoint_region_addressing_and_authority(monkeypatch, tmp_path):
    config = tmp_path / "config"
    config.write_text(
        "[profile lab]\nregion = eu-west-3\nendpoint_url = http://lab:9000\nca_bundle = /lab.pem\n"
        "tcp_keepalive = true\ns3 =\n  addressing_style = virtual\n  payload_signing_enabled = false\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    got = settings_of(profile="lab")
    assert (got.endpoint_url, got.region, got.addressing) == ("http://lab:9000", "eu-west-3", "virtual")
    assert (got.http.verify, got.http.tcp_keepalive, got.sign_payload) == ("/lab.pem", True, False)
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert settings_of().region == "eu-west-3"


def test_endpoints_of_the_environment_are_used_in_order(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://general")
    assert settings_of().endpoint_url == "http://general"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://special")
    assert settings_of().endpoint_url == "http://special"
    monkeypatch.setenv("AWS_S3_ENDPOINT_URL", "http://wandb")
    assert settings_of().endpoint_url == "http://wandb"
    assert settings_of(endpoint_url="http://option").endpoint_url == "http://option"
    assert settings_of(client_kwargs={"endpoint_url": "http://option"}).endpoint_url == "http://option"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert settings_of().endpoint_url is None


def test_regions_of_the_environment_are_used_in_order(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert settings_of().region == "eu-west-1"
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert settings_of().region == "eu-west-2"
    assert settings_of(region="eu-west-3").region == "eu-west-3"


def test_bounds_come_from_botocore_settings_before_limits():
    plain = read_settings({}, Limits(concurrency=5, connect_timeout_s=1.5, idle_timeout_s=2.5), concurrency=64).http
    assert (plain.connections, plain.connect_timeout_s, plain.idle_timeout_s) == (10, 1.5, 2.5)
    kwargs = {"max_pool_connections": 7, "connect_timeout": 3, "read_timeout": 4}
    chosen = settings_of(config_kwargs=kwargs).http
    assert (chosen.connections, chosen.connect_timeout_s, chosen.idle_timeout_s) == (7, 3, 4)


def test_unsigned_is_anonymous_and_secrets_are_not_shown():
    assert settings_of(config_kwargs={"signature_version": UNSIGNED}).anon
    assert settings_of(anon=True, key="k", secret="s").keys is None
    got = settings_of(key="k", secret="hush", token="hush", config_kwargs={"proxies": {"https": "http://u:hush@p"}})
    assert "hush" not in repr(got)


def asked_by_botocore(bucket, *, region, endpoint, **config):
    """The URL and the region of the signature that boto3 itself would use."""
    client = boto3.session.Session().client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(**config),
    )
    seen = []
    client.meta.events.register("before-send.s3", lambda request, **_: seen.append(request) or _answer(request))
    client.get_object(Bucket=bucket, Key="some/key")
    scope = seen[0].headers["Authorization"].decode().split("Credential=")[1].split("/")
    url = seen[0].url.removesuffix("/some/key").replace(":443", "")
    return url, scope[2], scope[3]


def _answer(request):
    return botocore.awsrequest.AWSResponse(request.url, 200, {}, _Empty())


class _Empty:
    def stream(self):
        return iter(())


@pytest.mark.parametrize(
    ("bucket", "region", "endpoint", "config"),
    [
        ("bucket", "us-east-1", None, {}),
        ("bucket", "eu-central-1", None, {}),
        ("bucket", "cn-north-1", None, {}),
        ("bucket", "us-gov-west-1", None, {"use_fips_endpoint": True}),
        ("bucket.with.dots", "eu-west-1", None, {}),
        ("bucket", "eu-west-1", None, {"s3": {"addressing_style": "path"}}),
        ("bucket", "us-west-2", None, {"use_dualstack_endpoint": True}),
        ("bucket", "us-west-2", None, {"use_dualstack_endpoint": True, "use_fips_endpoint": True}),
        ("bucket", "us-west-2", None, {"s3": {"use_accelerate_endpoint": True}}),
        ("arn:aws:s3:us-west-2:123456789012:accesspoint:mine", "us-west-2", None, {}),
        ("arn:aws:s3:us-west-2:123456789012:accesspoint:mine", "eu-west-1", None, {"s3": {"use_arn_region": True}}),
        ("bucket", "us-east-1", "http://127.0.0.1:9000", {}),
        ("bucket", "us-east-1", "http://[::1]:9000", {}),
        ("bucket", "us-east-1", "https://store.example:443/base", {}),
        ("bucket", "us-east-1", "https://store.example", {"s3": {"addressing_style": "virtual"}}),
    ],
)
def test_a_bucket_is_asked_where_botocore_would_ask_it(bucket, region, endpoint, config):
    got = resolve(settings_of(region=region, endpoint_url=endpoint, config_kwargs=config), bucket, region)
    base = got.origin + got.path
    assert (base, got.region, got.service) == asked_by_botocore(bucket, region=region, endpoint=endpoint, **config)


_NAMES = st.from_regex(r"[a-z0-9-]{3,12}", fullmatch=True) | st.sampled_from(
    ["bucket", "bucket.with.dots", "Bucket", "under_score", "b--x-s3", "mine--ol-s3", "a" * 63, "a--op-s3", "x-s3alias"]
)
_HOSTS = st.sampled_from(
    ["127.0.0.1", "[::1]", "localhost", "store.example", "cwobject.com", "UPPER.example", "s3.eu-west-1.amazonaws.com",
     "bucket.s3-accelerate.amazonaws.com", "vpce-1.s3.us-east-1.vpce.amazonaws.com", "s3.dualstack.us-east-1.api.aws"]
)  # fmt: skip
_REGIONS = st.sampled_from(
    [None, "us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1", "aws-global", "fips-us-east-1", "auto", "fr-par",
     "mars-1", "us-west-004", "s3-external-1"]
)  # fmt: skip
_MORE = st.sampled_from([
    {}, {"use_fips_endpoint": True}, {"use_dualstack_endpoint": True}, {"s3": {"use_accelerate_endpoint": True}},
    {"s3": {"us_east_1_regional_endpoint": "legacy"}}, {"s3": {"use_arn_region": False}},
])  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    bucket=_NAMES,
    scheme=st.sampled_from(["http", "https"]),
    host=_HOSTS,
    tail=st.sampled_from(["", "/", ":80", ":443", ":9000", ":9000/", "/base", "/base/", ":9000?x=1"]),
    region=_REGIONS,
    addressing=st.sampled_from([None, "path", "virtual", "auto"]),
    more=_MORE,
)
@example(bucket="bucket", scheme="http", host="127.0.0.1", tail=":9000", region=None, addressing=None, more={})
@example(
    bucket="bucket", scheme="https", host="store.example", tail=":443", region="mars-1", addressing="virtual", more={}
)
def test_what_is_answered_without_botocores_rules_is_what_they_would_answer(
    *, bucket, scheme, host, tail, region, addressing, more
):
    made = settings_of(endpoint_url=f"{scheme}://{host}{tail}", addressing_style=addressing, config_kwargs=more)
    quick = plain(made, bucket, region)
    assert quick is None or quick == by_rules(made, bucket, region)


@pytest.mark.parametrize(
    "host", ["a..b", "-a.example", "a-.example", ".example", "example.", "h:65536", "a" * 64, "h:65535", "a-b.example"]
)
@pytest.mark.parametrize("addressing", ["path", "virtual"])
def test_an_endpoint_that_botocore_refuses_is_refused(host, addressing):
    made = settings_of(endpoint_url=f"http://{host}", addressing_style=addressing)
    try:
        ruled = by_rules(made, "bucket", None)
    except OptionError:
        ruled = None
    assert plain(made, "bucket", None) in {None, ruled}


@pytest.mark.parametrize("variable", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_DATA_PATH"])
def test_the_rules_are_asked_where_a_variable_touches_them(variable, monkeypatch):
    made = settings_of(endpoint_url="http://127.0.0.1:9000")
    assert plain(made, "bucket", None) is not None
    monkeypatch.setenv(variable, "true")
    assert plain(settings_of(endpoint_url="http://127.0.0.1:9000"), "bucket", None) is None


@pytest.mark.parametrize(
    "host", ["cwobject.com", "cwlota.com", "object.ord1.coreweave.com", "accel-object.las1.coreweave.com"]
)
def test_coreweave_is_asked_by_virtual_hosts(host, monkeypatch):
    got = resolve(settings_of(endpoint_url=f"https://{host}"), "bucket", None)
    assert urlsplit(got.origin).hostname == f"bucket.{host}"
    assert resolve(settings_of(endpoint_url=f"https://evil{host}"), "bucket", None).path == "/bucket"
    monkeypatch.setenv("AWS_S3_ENDPOINT_URL", f"https://{host}")  # as W&B's documentation has it
    assert urlsplit(resolve(settings_of(), "bucket", None).origin).hostname == f"bucket.{host}"


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("account.r2.cloudflarestorage.com", "auto"),
        ("account.eu.r2.cloudflarestorage.com", "auto"),
        ("s3.us-west-004.backblazeb2.com", "us-west-004"),
        ("s3.eu-central-1.wasabisys.com", "eu-central-1"),
        ("s3.wasabisys.com", "us-east-1"),
        ("s3.fr-par.scw.cloud", "fr-par"),
        ("s3.eu-west-1.amazonaws.com", "eu-west-1"),
        ("s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1"),
        ("minio.example.com", None),
        ("s3.us-west-004.backblazeb2.com.example.com", None),
    ],
)
def test_a_region_that_the_endpoint_names_is_signed_for_unless_another_is_set(host, region, monkeypatch):
    url = f"https://{host}"
    made = settings_of(endpoint_url=url)
    assert made.region == region
    assert resolve(made, "bucket", made.region).region == (region or "us-east-1")
    assert settings_of(endpoint_url=url, region="mars-1").region == "mars-1"
    monkeypatch.setenv("AWS_REGION", "moon-1")
    assert settings_of(endpoint_url=url).region == "moon-1"


def test_buckets_that_need_other_signatures_are_refused_by_name(monkeypatch):
    with pytest.raises(OptionError, match="SigV4A"):
        resolve(settings_of(), "arn:aws:s3::123456789012:accesspoint:mfzwi23gnjvgw.mrap", "us-east-1")
    with pytest.raises(OptionError, match="S3_DISABLE_EXPRESS_SESSION_AUTH"):
        resolve(settings_of(), "bucket--usw2-az1--x-s3", "us-west-2")
    monkeypatch.setenv("AWS_S3_DISABLE_EXPRESS_SESSION_AUTH", "true")
    assert resolve(settings_of(), "bucket--usw2-az1--x-s3", "us-west-2").service == "s3express"


def test_an_access_point_cut_at_its_slash_is_explained():
    with pytest.raises(InvalidURIError, match="with colons"):
        open_backend(parse("s3://arn:aws:s3:us-west-2:123456789012:accesspoint/mine/key"), {"anon": True})


def test_no_setting_of_this_machine_takes_part():
    assert not any(name.startswith("AWS_") for name in os.environ if "FILE" not in name and "METADATA" not in name)
