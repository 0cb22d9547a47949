"""Settings of S3: storage options, environment and profile, every one honoured or refused by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from botocore import UNSIGNED
from botocore.config import Config
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.exceptions import BotoCoreError
from botocore.session import Session

from asyncref.backends.s3.hosts import default_addressing, default_region
from asyncref.errors import OptionError
from asyncref.model import Limits
from asyncref.net.settings import HttpSettings
from asyncref.net.sign import Keys

OPTIONS: Final = {
    "endpoint_url": "base URL of the service",
    "key": "access key id",
    "secret": "secret access key",
    "token": "session token",
    "anon": "ask without credentials",
    "requester_pays": "pay for the requests",
    "profile": "profile of ~/.aws/config",
    "region": "region of the bucket",
    "region_name": "the same",
    "use_ssl": "False: http where no endpoint says otherwise",
    "verify": "False, or the file of trusted authorities",
    "addressing_style": "path, virtual or auto",
    "client_kwargs": "arguments of botocore's create_client",
    "config_kwargs": "arguments of botocore's Config",
}
_CLIENT_KWARGS: Final = {
    "region_name": "region",
    "endpoint_url": "endpoint_url",
    "aws_access_key_id": "key",
    "aws_secret_access_key": "secret",
    "aws_session_token": "token",
    "use_ssl": "use_ssl",
    "verify": "verify",
}

_RULES: Final = "botocore's endpoint rules"
_CHAIN: Final = "the credential chain"
_NO_BODY: Final = "nothing to do: requests here have no body"
_NOT_S3: Final = "nothing to do: S3 has none"

HONOURED_CONFIG: Final = {
    "account_id_endpoint_mode": _NOT_S3,
    "client_cert": "the HTTP client",
    "connect_timeout": "the HTTP client; wins over Limits",
    "disable_request_compression": _NO_BODY,
    "endpoint_discovery_enabled": _NOT_S3,
    "ignore_configured_endpoint_urls": "the choice of the endpoint",
    "inject_host_prefix": _NOT_S3,
    "max_pool_connections": "the HTTP client",
    "parameter_validation": "nothing to do: parameters are made here",
    "proxies": "the HTTP client",
    "read_timeout": "the HTTP client, as the bound on silence; wins over Limits",
    "region_name": _RULES,
    "request_checksum_calculation": _NO_BODY,
    "request_min_compression_size_bytes": _NO_BODY,
    "response_checksum_validation": "whether whole objects are asked for with their checksum",
    "s3": "each of its settings as in HONOURED_S3",
    "s3_disable_express_session_auth": "directory buckets are read with it only",
    "signature_version": "UNSIGNED or s3v4; others are refused",
    "tcp_keepalive": "the HTTP client",
    "use_dualstack_endpoint": _RULES,
    "use_fips_endpoint": _RULES,
    "user_agent": "the HTTP client",
    "user_agent_appid": "the HTTP client",
    "user_agent_extra": "the HTTP client",
}
REFUSED_CONFIG: Final = {
    "auth_scheme_preference": "requests are signed with SigV4",
    "client_context_params": "name the setting itself",
    "defaults_mode": "timeouts and retries are those of Limits",
    "proxies_config": "TLS to the proxy cannot be set",
    "retries": "retries are those of Limits(attempts=)",
    "sigv4a_signing_region_set": "requests are signed with SigV4",
}
HONOURED_S3: Final = {
    "addressing_style": _RULES,
    "payload_signing_enabled": "the signer",
    "s3_disable_multiregion_access_points": _RULES,
    "us_east_1_regional_endpoint": _RULES,
    "use_accelerate_endpoint": _RULES,
    "use_arn_region": _RULES,
    "use_dualstack_endpoint": _RULES,
}
HONOURED_VARIABLES: Final = {
    "account_id_endpoint_mode": _NOT_S3,
    "ca_bundle": "the HTTP client",
    "config_file": "profiles",
    "credentials_file": "profiles",
    "csm_client_id": "only with csm_enabled, which is refused",
    "csm_host": "only with csm_enabled, which is refused",
    "csm_port": "only with csm_enabled, which is refused",
    "data_path": _RULES,
    "disable_host_prefix_injection": _NOT_S3,
    "disable_request_compression": _NO_BODY,
    "ec2_metadata_service_endpoint": _CHAIN,
    "ec2_metadata_service_endpoint_mode": _CHAIN,
    "ec2_metadata_v1_disabled": _CHAIN,
    "endpoint_discovery_enabled": _NOT_S3,
    "ignore_configured_endpoint_urls": "the choice of the endpoint",
    "imds_use_ipv6": _CHAIN,
    "metadata_service_num_attempts": _CHAIN,
    "metadata_service_timeout": _CHAIN,
    "parameter_validation": "nothing to do: parameters are made here",
    "profile": "profiles",
    "region": _RULES,
    "request_checksum_calculation": _NO_BODY,
    "request_min_compression_size_bytes": _NO_BODY,
    "response_checksum_validation": "whether whole objects are asked for with their checksum",
    "retry_mode": "the credential chain; S3's answers are always followed adaptively",
    "s3_disable_express_session_auth": "directory buckets are read with it only",
    "sts_regional_endpoints": _CHAIN,
    "tcp_keepalive": "the HTTP client",
    "use_dualstack_endpoint": _RULES,
    "use_fips_endpoint": _RULES,
    "user_agent_appid": "the HTTP client",
}
REFUSED_VARIABLES: Final = {
    "api_versions": "there is one version of S3's API",
    "auth_scheme_preference": "requests are signed with SigV4",
    "csm_enabled": "client side monitoring is not offered",
    "defaults_mode": "timeouts and retries are those of Limits",
    "max_attempts": "retries are those of Limits(attempts=)",
    "proxy_ca_bundle": "TLS to the proxy cannot be set",
    "proxy_client_cert": "TLS to the proxy cannot be set",
    "proxy_use_forwarding_for_https": "TLS to the proxy cannot be set",
    "sigv4a_signing_region_set": "requests are signed with SigV4",
}
_HARMLESS: Final = {"defaults_mode": "legacy"}  # a refused setting at botocore's own default changes nothing


@dataclass(frozen=True, slots=True)
class S3Settings:
    """What was chosen, and nothing secret in its `repr`.

    Attributes:
        session: botocore's, with the profile chosen: for credentials and endpoint rules.
        endpoint_url: Where, if it is not AWS.
        region: Where, if it is known.
        addressing: `path`, `virtual` or `auto`.
        anon: Ask without credentials.
        requester_pays: Say so in every request.
        keys: Credentials given outright.
        use_ssl: Only matters without an endpoint.
        config: botocore's, for its endpoint rules.
        sign_payload: Sign the hash of the empty body, not that it is unsigned.
        checksums: Ask for checksums of whole objects.
        express: Sign requests to directory buckets without a session of their own.
        http: For the pool.
    """

    session: Session = field(repr=False)
    endpoint_url: str | None
    region: str | None
    addressing: str
    anon: bool
    requester_pays: bool
    keys: Keys | None
    use_ssl: bool
    config: Config = field(repr=False)
    sign_payload: bool
    checksums: bool
    express: bool
    http: HttpSettings

    def decides(self, name: str) -> bool:
        """Whether a setting that botocore's endpoint rules, or the data that holds them, depend on was made."""
        config: Any = self.config
        given = (config.s3 or {}).get(name) or getattr(config, name, None)
        return bool(given or (name in HONOURED_VARIABLES and self.session.get_config_variable(name)))


def read_settings(options: Mapping[str, Any], limits: Limits, *, concurrency: int) -> S3Settings:
    """Put together options, environment and profile; no request is sent.

    Args:
        options: In fsspec's names.
        limits: For bounds that no option names.
        concurrency: Requests of one kind in flight at most.

    Raises:
        OptionError: Unknown, malformed or refused; names the setting.
    """
    chosen = _flat(options)
    kwargs = dict(chosen.pop("config_kwargs", None) or {})
    config = _config(kwargs)
    chosen["anon"] = bool(chosen.get("anon")) or kwargs.get("signature_version") is UNSIGNED
    session = Session()
    if chosen.get("profile"):
        session.set_config_variable("profile", chosen["profile"])
    try:
        _refuse_variables(session)
        return _settle(chosen, config, session, limits, concurrency)
    except (BotoCoreError, ValueError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(f"AWS settings cannot be used: {error}") from error


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with `client_kwargs` merged in; a value given twice must be the same."""
    for name in options:
        if name not in OPTIONS:
            raise OptionError(f"unknown storage option {name!r} for s3", hint=f"known are {', '.join(OPTIONS)}")
    chosen = {name: value for name, value in options.items() if name not in {"client_kwargs", "region_name"}}
    extra = [("region_name", "region", options.get("region_name"))]
    for name, value in (options.get("client_kwargs") or {}).items():
        if name not in _CLIENT_KWARGS:
            raise OptionError(f"client_kwargs[{name!r}] is refused", hint=f"known are {', '.join(_CLIENT_KWARGS)}")
        extra.append((name, _CLIENT_KWARGS[name], value))
    for name, target, value in extra:
        if value is not None:
            if chosen.get(target) not in {None, value}:
                raise OptionError(f"{name} and {target} are both given and differ")
            chosen[target] = value
    if bool(chosen.get("key")) != bool(chosen.get("secret")):
        raise OptionError("key and secret go together")
    return chosen


def _config(kwargs: dict[str, Any]) -> Any:
    for name in kwargs:
        if name in REFUSED_CONFIG:
            raise OptionError(f"config_kwargs[{name!r}] is refused: {REFUSED_CONFIG[name]}")
        if name not in HONOURED_CONFIG:
            raise OptionError(f"unknown config_kwargs[{name!r}]", hint=f"known are {', '.join(HONOURED_CONFIG)}")
    for name in kwargs.get("s3") or {}:
        if name not in HONOURED_S3:
            raise OptionError(f"config_kwargs['s3'][{name!r}] is refused", hint=f"known are {', '.join(HONOURED_S3)}")
    signature = kwargs.get("signature_version")
    if signature not in {None, UNSIGNED, "s3v4", "v4"}:
        raise OptionError(f"signature_version {signature!r} is refused: requests are signed with SigV4")
    try:
        # The signature is not for the endpoint rules: with one given they would not name the service that signs.
        return Config(**{name: value for name, value in kwargs.items() if name != "signature_version"})
    except (BotoCoreError, TypeError, ValueError) as error:
        raise OptionError(f"config_kwargs: {error}") from error


def _refuse_variables(session: Session) -> None:
    store = session.get_component("config_store")
    proxies = store.get_config_variable("proxies_config") or {}
    for name, reason in REFUSED_VARIABLES.items():
        value = proxies.get(name) if name.startswith("proxy_") else store.get_config_variable(name)
        if value and value != _HARMLESS.get(name):
            raise OptionError(f"the AWS setting {name} is refused: {reason}", hint="unset it for asyncref")
    for name in store.get_config_variable("s3") or {}:
        if name not in HONOURED_S3:
            raise OptionError(f"the AWS setting s3.{name} is refused", hint=f"known are {', '.join(HONOURED_S3)}")


def _settle(chosen: Mapping[str, Any], config: Any, session: Session, limits: Limits, concurrency: int) -> S3Settings:
    def variable(name: str) -> Any:
        mine = getattr(config, name, None)
        return mine if mine is not None else session.get_config_variable(name)

    endpoint = chosen.get("endpoint_url") or _configured_endpoint(
        session, ignore=bool(variable("ignore_configured_endpoint_urls"))
    )
    if endpoint and not (urlsplit(endpoint).scheme in {"http", "https"} and urlsplit(endpoint).hostname):
        raise OptionError(f"endpoint_url {endpoint!r} is no URL", hint="write https://host or http://host:port")
    s3 = {**(session.get_config_variable("s3") or {}), **(config.s3 or {})}
    addressing = chosen.get("addressing_style") or s3.get("addressing_style") or default_addressing(endpoint)
    if addressing not in {"path", "virtual", "auto"}:
        raise OptionError(f"addressing_style {addressing!r} is none of path, virtual, auto")
    anon = bool(chosen["anon"])
    express = variable("s3_disable_express_session_auth")
    return S3Settings(
        session=session,
        endpoint_url=endpoint,
        region=chosen.get("region")
        or config.region_name
        or os.environ.get("AWS_REGION")
        or session.get_config_variable("region")
        or default_region(endpoint),
        addressing=addressing,
        anon=anon,
        requester_pays=bool(chosen.get("requester_pays")),
        keys=Keys(chosen["key"], chosen["secret"], chosen.get("token")) if chosen.get("key") and not anon else None,
        use_ssl=chosen.get("use_ssl") is not False,
        config=config.merge(_config({"s3": {**s3, "addressing_style": addressing}})),
        sign_payload=s3.get("payload_signing_enabled") is not False,
        checksums=variable("response_checksum_validation") != "when_required",
        express=str(express).lower() == "true",
        http=_http(chosen, config, limits, concurrency, variable),
    )


def _http(chosen: Mapping[str, Any], config: Any, limits: Limits, concurrency: int, variable: Any) -> HttpSettings:
    explicit = config._user_provided_options  # noqa: SLF001  Config cannot tell its defaults from what was asked for
    verify = chosen.get("verify")
    app = variable("user_agent_appid")
    parts = [config.user_agent or "asyncref", config.user_agent_extra, f"app/{app}" if app else None]
    return HttpSettings(
        connections=explicit.get("max_pool_connections") or 2 * (limits.concurrency or concurrency),
        connect_timeout_s=explicit.get("connect_timeout") or limits.connect_timeout_s,
        idle_timeout_s=explicit.get("read_timeout") or limits.idle_timeout_s,
        proxies=config.proxies,
        verify=verify if verify is not None else variable("ca_bundle") or True,
        client_cert=config.client_cert,
        tcp_keepalive=bool(variable("tcp_keepalive")),
        user_agent=" ".join(part for part in parts if part),
    )


def _configured_endpoint(session: Session, *, ignore: bool) -> str | None:
    """AWS_S3_ENDPOINT_URL as W&B reads it, then botocore's own: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile."""
    if ignore:
        return None
    own = ConfiguredEndpointProvider(
        full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name="s3"
    )
    return os.environ.get("AWS_S3_ENDPOINT_URL") or own.provide()
