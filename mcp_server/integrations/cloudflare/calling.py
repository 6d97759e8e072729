"""One request to Cloudflare, and what came of it. Nothing is repeated here: who asks looks first, then acts again."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple, cast

from mcp_server.kernel.errors import Unavailable
from mcp_server.kernel.hiding import without
from mcp_server.kernel.json_text import others_json, storable

BASE_URL = "https://api.cloudflare.com/client/v4"
TIMEOUT_SECONDS = 60.0
BUSY_SECONDS = 5.0
"""How long to wait where Cloudflare does not say."""

RETRY_SECONDS_MAX = 900.0
PAGES_MAX = 100
PAGE = 100

Outcome = Literal["refused", "later", "unknown"]


class Account(NamedTuple):
    """Whose Workers they are. Printed, it does not tell the token."""

    id: str
    token: "Token"
    base_url: str = BASE_URL


class Token(str):
    """A secret that does not show itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Token(...)"


class CloudFailed(Exception):
    """A request did not come to a good end.

    Attributes:
        outcome: `refused`: nothing happened, and it will not by itself; `later`: nothing happened, and it may later;
            `unknown`: it may have happened: look before it is done again.
        message: what Cloudflare said.
        status: of the answer, if there was one.
        retry_after_seconds: how long to wait for another attempt; None for `refused`.
    """

    def __init__(self, outcome: Outcome, message: str, status: int | None, retry_after_seconds: float | None) -> None:
        super().__init__(message)
        self.outcome: Outcome = outcome
        self.message = message
        self.status = status
        self.retry_after_seconds = retry_after_seconds


class Calling:
    """Sends requests through the SDK, which retries nothing."""

    def __init__(self, account: Account) -> None:
        """Nothing is sent yet.

        Raises:
            Unavailable: the SDK is not installed.
        """
        try:
            import cloudflare
        except ImportError:
            raise Unavailable(
                "Cloudflare's SDK is not installed.",
                next="Install data-mcp-server-agent[cloudflare], or pip install cloudflare.",
            ) from None
        self.account_id = account.id
        self._token = account.token
        self._errors = cloudflare
        self.sdk: Any = cloudflare.AsyncCloudflare(
            api_token=str(account.token), base_url=account.base_url, max_retries=0, timeout=TIMEOUT_SECONDS
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self.sdk.close()

    async def result(self, request: Callable[..., Awaitable[Any]], *args: Any, **given: Any) -> Any:
        """The `result` of one request's answer.

        Raises:
            CloudFailed: saying what is known.
        """
        return (await self.body(request, *args, **given)).get("result")

    async def result_of_zone(self, request: Callable[..., Awaitable[Any]], *args: Any, **given: Any) -> Any:
        """The `result` of a request about zones, which are not asked for by the account.

        Raises:
            CloudFailed: saying what is known.
        """
        return _parsed(await self._answer(request, args, given)).get("result")

    async def body(self, request: Callable[..., Awaitable[Any]], *args: Any, **given: Any) -> dict[str, Any]:
        """One request's answer.

        Raises:
            CloudFailed: saying what is known.
        """
        return _parsed(await self._answer(request, args, {"account_id": self.account_id} | given))

    async def content(self, request: Callable[..., Awaitable[Any]], *args: Any, **given: Any) -> bytes | None:
        """One answer's bytes; None where there is nothing.

        Raises:
            CloudFailed: saying what is known.
        """
        try:
            return await self._answer(request, args, {"account_id": self.account_id} | given)
        except CloudFailed as failed:
            if failed.status == 404:
                return None
            raise

    async def _answer(self, request: Callable[..., Awaitable[Any]], args: Any, given: Any) -> bytes:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                answer = await request(*args, **given)
                return await answer.read()
        except self._errors.APIStatusError as error:
            said = without(_messages(error), [("CLOUDFLARE_API_TOKEN", self._token)])
            raise failure(error.status_code, said, error.response.headers.get("retry-after")) from None
        except (self._errors.APIError, TimeoutError) as error:
            said = f"Cloudflare did not answer ({type(error).__name__})"
            raise CloudFailed("unknown", said, None, BUSY_SECONDS) from None

    async def listed(self, request: Callable[..., Awaitable[Any]], *args: Any, member: str | None = None) -> list[Any]:
        """All items of a list that is cut into numbered pages, which go on until an empty one.

        Raises:
            CloudFailed: saying what is known.
        """
        items = list[Any]()
        for page in range(1, PAGES_MAX + 1):
            found: Any = await self.result(request, *args, page=page, per_page=PAGE)
            more: list[Any] = (found[member] if member else found) or []
            if not more:
                break
            items += more
        return items


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        body: Any = others_json(content)
    except ValueError:
        raise CloudFailed("unknown", "Cloudflare's answer is not JSON", None, BUSY_SECONDS) from None
    return cast("dict[str, Any]", body) if isinstance(body, dict) else {}


def failure(status: int, said: str, retry_after: str | None) -> CloudFailed:
    """What an answer means: 5xx may have been carried out; 409 and 429 were not, and may be later; others never."""
    message = f"Cloudflare answered {status}: {said}"
    if status >= 500:
        return CloudFailed("unknown", message, status, seconds_of(retry_after))
    if status in (408, 409, 425, 429):
        return CloudFailed("later", message, status, seconds_of(retry_after))
    return CloudFailed("refused", message, status, None)


def silent(failed: CloudFailed) -> Unavailable:
    """The refusal of who only wanted to look."""
    return Unavailable(failed.message, next="See the token, the account and the network.")


def seconds_of(retry_after: str | None) -> float:
    """How long Retry-After asks to wait, within bounds."""
    try:
        seconds = float(retry_after or "")
    except ValueError:  # a date, which Cloudflare does not send
        return BUSY_SECONDS
    return min(max(seconds, 0.1), RETRY_SECONDS_MAX) if math.isfinite(seconds) else BUSY_SECONDS


def _messages(error: Any) -> str:
    """Each error's code and message; without what the SDK adds of the request."""
    told = [f"{one.code} {one.message}" for one in getattr(error, "errors", []) or []]
    return storable("; ".join(told) or "no reason", 500)
