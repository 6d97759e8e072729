"""An issuer made in the test: keys of its own, tokens by them, and an HTTP server that does what the test wants."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from mcp_server.integrations.issuers.model import Issuer, Rule
from mcp_server.kernel.authority import Role

URL = "https://login.example.org/realms/corp"
AUDIENCE = "https://desk.example.org/mcp"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
OPERATORS = Rule("groups", Role.OPERATOR, equals="ops")
EVERYBODY = Rule("sub", Role.AGENT, glob="*")
BOTS = Rule("client_id", Role.AGENT, glob="*", holder="agent")


def jwk(private: Any, algorithm: str, kid: str | None = "k1", **members: Any) -> dict[str, Any]:
    """The public part of a key as an issuer tells it."""
    public = json.loads(get_default_algorithms()[algorithm].to_jwk(private.public_key()))
    return {**public, "use": "sig", "alg": algorithm, **({} if kid is None else {"kid": kid}), **members}


KEY_SET = {"keys": [jwk(RSA, "RS256")]}


def issuer(*rules: Rule, **fields: Any) -> Issuer:
    """What the operator set."""
    told: dict[str, Any] = {"name": "corp", "url": URL, "audience": (AUDIENCE,), "rules": rules or (EVERYBODY,)}
    return Issuer(**(told | fields))


def claims(**more: Any) -> dict[str, Any]:
    """Those of a token that counts, but for what is said; None takes one away."""
    now = int(time.time())
    told = {"iss": URL, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600} | more
    return {name: value for name, value in told.items() if value is not None}


def token(private: Any = RSA, algorithm: str = "RS256", headers: dict[str, Any] | None = None, **more: Any) -> str:
    """A token; `headers` beside kid and alg, `more` claims."""
    return jwt.encode(claims(**more), private, algorithm, {"kid": "k1"} | (headers or {}))


class Times:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Told:
    """Gives a key set as an issuer would, and counts how often it was asked."""

    def __init__(self, key_set: Any = KEY_SET) -> None:
        self.key_set = key_set
        self.asked = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self) -> dict[str, Any]:
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.key_set, Exception):
            raise self.key_set
        return self.key_set


Answer = Callable[[str], Awaitable[bytes]]


def answered(body: Any, status: int = 200, **headers: str) -> bytes:
    """An HTTP answer; what is no bytes goes as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {"content-type": "application/json", "content-length": str(len(data)), "connection": "close"} | headers
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + data


@asynccontextmanager
async def web_server(answer: Answer) -> AsyncGenerator[str]:
    """A server on this machine that answers to paths; its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(await answer(head.split(b" ")[1].decode()))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        server.close()
