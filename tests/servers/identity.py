"""Whoever gives credentials to machines, replayed over real HTTP(S): AWS's containers and instances, Azure's identities and Entra ID.

Sources: "Container credential provider" and "IMDS credential provider" (AWS SDKs and Tools), "Use the REST endpoint reference" (App Service,
managed identities), "OAuth 2.0 client credentials flow" (Microsoft identity platform). AWS's STS is moto's.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import jwt
from aiohttp import web

SCOPE = "https://storage.azure.com"
AUTHORIZATION, IDENTITY_HEADER, CLIENT_SECRET = (
    "hidden-container-token",
    "hidden-identity-header",
    "hidden~client+secret",
)


@dataclass(slots=True)
class Identities:
    """One server for all of them.

    Attributes:
        url: Its base.
        asked: Method and path of every request.
        given: Every secret that was given away.
        lasts_s: How long what is given is said to last.
    """

    url: str = ""
    asked: list[str] = field(default_factory=list)
    given: list[str] = field(default_factory=list)
    lasts_s: int = 3600

    async def answer(self, request: web.Request) -> web.Response:
        form = {name: values[0] for name, values in parse_qs(await request.text()).items()}
        self.asked.append(f"{request.method} {request.path}")
        headers, last = request.headers, request.path.rpartition("/")[2]
        if request.path == "/container" and headers.get("Authorization") == AUTHORIZATION:
            return web.json_response(self._aws("container"))
        if self.asked[-1] == "PUT /latest/api/token":
            return web.Response(text="hidden-imds-token")
        if "/security-credentials/" in request.path and headers.get("x-aws-ec2-metadata-token") == "hidden-imds-token":
            return (
                web.json_response({"Code": "Success", **self._aws("instance")}) if last else web.Response(text="reader")
            )
        if request.path == "/msi" and headers.get("X-IDENTITY-HEADER") == IDENTITY_HEADER:
            expires = str(int(time.time()) + self.lasts_s)
            said = {"access_token": self._azure(), "expires_on": expires, "resource": SCOPE, "token_type": "Bearer"}
            return web.json_response(said)
        if request.path.endswith("/oauth2/v2.0/token") and form.get("client_secret") == CLIENT_SECRET:
            return web.json_response(
                {"access_token": self._azure(), "expires_in": self.lasts_s, "token_type": "Bearer"}
            )
        refused = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}
        return web.json_response(refused, status=401)

    def _aws(self, kind: str) -> dict[str, str]:
        secret, token = f"hidden/{kind}+secret", f"hidden-{kind}-session"
        self.given += [secret, token]
        end = datetime.now(UTC) + timedelta(seconds=self.lasts_s)
        key = f"id-of-{kind}-{len(self.asked)}"
        return {"AccessKeyId": key, "SecretAccessKey": secret, "Token": token, "Expiration": end.isoformat()}

    def _azure(self) -> str:
        """As Azurite checks it: all but the signature."""
        now_s = int(time.time())
        claims: dict[str, Any] = {
            "aud": SCOPE,
            "iss": "https://sts.windows.net/tenant/",
            "iat": now_s - 60,
            "nbf": now_s - 60,
        }
        token = jwt.encode({**claims, "exp": now_s + 3600, "jti": str(len(self.asked))}, "k" * 32, "HS256")
        self.given.append(token)
        return token


@asynccontextmanager
async def identities(context: ssl.SSLContext | None = None) -> AsyncIterator[Identities]:
    """Serve them on a free port of 127.0.0.1."""
    made = Identities()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    made.url = f"http{'s' if context else ''}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()
