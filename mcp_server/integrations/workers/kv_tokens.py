"""Who may reach which KV namespace: tokens that say it themselves, sealed with a key of this machine, so that every
server on it knows them and none has to remember them."""

import base64
import binascii
import hashlib
import hmac
import json
from typing import NamedTuple

_SEAL = hashlib.sha256


class Grant(NamedTuple):
    """What a token is for: a namespace of state, in the name of a deployment."""

    namespace: str
    deployment: str


class KvTokens:
    """Makes tokens and reads them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, grant: Grant) -> str:
        """The token of a grant, the same each time."""
        said = base64.urlsafe_b64encode(json.dumps(grant).encode()).decode()
        return f"{said}.{self._seal(said)}"

    def grant(self, token: str) -> Grant | None:
        """What a token is for; None where we did not make it."""
        said, _, seal = token.partition(".")
        if not hmac.compare_digest(seal.encode(), self._seal(said).encode()):
            return None
        try:
            return Grant(*json.loads(base64.urlsafe_b64decode(said)))
        except (binascii.Error, ValueError, TypeError):  # sealed by a version that says it otherwise
            return None

    def _seal(self, said: str) -> str:
        return hmac.new(self._key, f"kv {said}".encode(), _SEAL).hexdigest()
