"""What it costs to say who calls: `tools/call` over HTTP without authentication, with a key of `key create`, with a
token of the token file, and with a JSON Web Token of an issuer that is verified once and remembered, in turn.

    python -m benchmarks.auth [--seconds 1] [--rounds 10]

`p50_ratio` and `processor_ratio` are those of one round, the median over the rounds: 1.05 is the most the first may
be. Each way has a server of its own; `jwt_beside` shares one with another caller's token of that issuer, so that its
calls also take turns. On a busy machine only many short rounds tell, and the processor time of the server before its
p50.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm

from benchmarks.http import Caller, measured, serving
from benchmarks.idle import processor_seconds

KEY = "bench-key"
KEY_PATTERN = re.compile(r"\bdmcp_\w+")
AUDIENCE = "http://bench/mcp"
SETTINGS = """
public_url = "http://bench"
[issuers.bench]
url = "{issuer}"
jwks_url = "{issuer}/keys"
[[issuers.bench.map]]
claim = "sub"
glob = "*"
role = "admin"
"""


class Authorized(Caller):
    """One client that says who it is."""

    def __init__(self, port: int, token: str = "") -> None:
        super().__init__(port)
        if token:
            self.wire.headers["authorization"] = f"Bearer {token}"


@contextlib.contextmanager
def issuing() -> Generator[tuple[str, str, str]]:
    """An issuer's address, and tokens of two of its users."""
    private = generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(RSAAlgorithm.to_jwk(private.public_key())) | {"kid": "k", "alg": "RS256"}
    body = json.dumps({"keys": [public]}).encode()

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        claims = {"iss": url, "aud": AUDIENCE, "exp": int(time.time()) + 36_000}
        ann, bob = (jwt.encode(claims | {"sub": name}, private, "RS256", {"kid": "k"}) for name in ("ann", "bob"))
        yield url, ann, bob
        server.shutdown()


def created_key(folder: Path) -> str:
    """The text of a key of the database there."""
    told = ""
    for words in (("user", "add", "bench", "--role", "admin"), ("key", "create", "--user", "bench")):
        command = [sys.executable, "-m", "mcp_server", *words, "--database", f"sqlite:///{folder}/bench.db"]
        told = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
    found = KEY_PATTERN.search(told)
    assert found is not None, told
    return found.group()


class Way(NamedTuple):
    """One way to call, and what it took, round by round."""

    port: int
    pid: int
    token: str
    p50: list[float]
    processor: list[float]

    def run(self, seconds: float) -> None:
        """Call for so long."""
        before = processor_seconds(self.pid)
        caller = partial(Authorized, token=self.token)
        took = asyncio.run(measured(caller, self.port, 1, "state_get", seconds))  # type: ignore[arg-type]
        self.p50.append(statistics.median(took) * 1000)
        self.processor.append((processor_seconds(self.pid) - before) * 1000 / len(took))


@contextlib.contextmanager
def servers(folder: Path) -> Generator[dict[str, Way]]:
    """The ways to call."""
    with contextlib.ExitStack() as stack:
        url, ann, bob = stack.enter_context(issuing())
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        entry = f'[[tokens]]\nsha256 = "{digest}"\nkind = "user"\nid = "bench"\nrole = "admin"\n'
        (folder / "tokens.toml").write_text(entry)
        (folder / "desk.toml").write_text(SETTINGS.format(folder=folder, issuer=url))
        issuer, file = {"DATAMCP_CONFIG": f"{folder}/desk.toml"}, {"DATAMCP_TOKENS_FILE": f"{folder}/tokens.toml"}

        def way(name: str, token: str | None, **variables: str) -> Way:
            (folder / name).mkdir()
            token = created_key(folder / name) if token is None else token
            return Way(*stack.enter_context(serving("ours", "http", str(folder / name), **variables)), token, [], [])

        ways = {
            "none": way("none", ""),
            "key": way("key", None),
            "token_file": way("token_file", KEY, **file),
            "jwt": way("jwt", ann, **issuer),
            "jwt_beside": way("jwt_beside", ann, **issuer),
        }
        asyncio.run(measured(partial(Authorized, token=bob), ways["jwt_beside"].port, 1, "state_set", 0.1))  # type: ignore[arg-type]
        yield ways


def compare(seconds: float, rounds: int) -> dict[str, Any]:
    """Each way in turn."""
    with tempfile.TemporaryDirectory() as folder, servers(Path(folder)) as ways:
        for way in ways.values():
            caller = partial(Authorized, token=way.token)
            asyncio.run(measured(caller, way.port, 1, "state_set", 0.5))  # type: ignore[arg-type]
        for _ in range(rounds):
            for way in ways.values():
                way.run(seconds)
    none = ways.pop("none")
    return {
        "p50_ms": {name: _median(way.p50) for name, way in {"none": none, **ways}.items()},
        "p50_ratio": {name: _ratio(way.p50, none.p50) for name, way in ways.items()},
        "processor_ratio": {name: _ratio(way.processor, none.processor) for name, way in ways.items()},
    }


def _median(found: Sequence[float]) -> float:
    return round(statistics.median(found), 3)


def _ratio(found: Sequence[float], bare: Sequence[float]) -> float:
    return _median([one / other for one, other in zip(found, bare, strict=True)])


def main() -> None:
    """Compare, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    print(json.dumps(compare(options.seconds, options.rounds)))


if __name__ == "__main__":
    main()
