"""From settings to what calls are made with."""

import re
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import PurePath

from mcp_server.config import Settings, secret
from mcp_server.domain.calls.media import IceServer, Media, MediaProvider, MediaSettings
from mcp_server.domain.calls.policy import CallPolicy
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.quoting import quoted
from mcp_server.upkeep.findings import Finding

MISSING = 'Calls need the extra "calls": install data-mcp-server-agent[calls].'
_STUN = re.compile(r"stuns?:[^\s/?#]+")
_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "fish", "busybox", "cmd", "powershell", "pwsh"))
_TURN = re.compile(r"turns?:[^\s/?#]+(\?transport=(udp|tcp))?")


def ice_servers(settings: Settings) -> tuple[IceServer, ...]:
    """The servers by which connections are made; none unless set.

    Raises:
        ValidationFailed: one that is none, or TURN without a name and a password.
    """
    for servers, pattern, example in (
        (settings.stun_servers, _STUN, "stun:stun.example.org:3478"),
        (settings.turn.servers, _TURN, "turn:turn.example.org:3478?transport=tcp"),
    ):
        wrong = next((one for one in servers if pattern.fullmatch(one) is None), None)
        if wrong is not None:
            raise ValidationFailed(f"{quoted(wrong)} is no address of such a server.", next=f"Write {example}.")
    stun = [IceServer(settings.stun_servers)] if settings.stun_servers else []
    return (*stun, *_turn(settings))


def call_policy(settings: Settings) -> CallPolicy:
    """What is allowed, and for how long things last.

    Raises:
        ValidationFailed: as `ice_servers` does; or what is said would be part of a script.
    """
    calls = settings.calls
    servers = ice_servers(settings)
    _require_no_script(calls.speech)
    return CallPolicy(calls.at_once, calls.minutes_max, calls.keep_days, servers, speaks=bool(calls.speech))


def media_settings(settings: Settings) -> MediaSettings:
    """What the media process is made with.

    Raises:
        ValidationFailed: as `ice_servers` does.
    """
    calls = settings.calls
    return MediaSettings(ice_servers(settings), calls.speech, calls.idle_seconds, bitrate=calls.bitrate)


def _missing() -> str | None:
    """Why there can be no calls here, and what to do about it; nothing is loaded to find out."""
    return None if find_spec("aiortc") is not None else MISSING


def inspect_calls(settings: Settings) -> Finding:
    """Whether there can be calls here, who reaches them, and whether they have a voice."""
    lacks = _missing()
    if lacks is not None:
        return Finding("calls", True, "There can be no calls.", lacks, warns=True)
    try:
        call_policy(settings)
    except ValidationFailed as error:
        return Finding("calls", False, error.message, "Set it right, or leave it out (docs/calls.md).")
    argv = settings.calls.speech
    if argv and shutil.which(argv[0]) is None:
        remedy = "Install it, or correct DATAMCP_CALLS_SPEECH."
        return Finding("calls", False, f"There is no command {quoted(argv[0])}, so nothing is spoken.", remedy)
    voice = "What an agent says is spoken." if argv else "What an agent says is only written (DATAMCP_CALLS_SPEECH)."
    if not settings.turn.servers:
        return Finding("calls", True, f"They reach this network; others need TURN (DATAMCP_TURN_SERVERS). {voice}")
    return Finding("calls", True, f"They reach other networks by {', '.join(settings.turn.servers)}. {voice}")


class LazyMedia:
    """This process's way to the media process, made at the first call."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._media: Media | None = None

    def provider(self) -> MediaProvider:
        """For whoever holds calls."""
        return MediaProvider(self._open, _missing())

    async def close(self) -> None:
        """End the media process, if there is one."""
        if self._media is not None:
            await self._media.close()

    def _open(self) -> Media:
        if self._media is None:
            from mcp_server.integrations.calls.door import CallMedia

            self._media = CallMedia(media_settings(self._settings))
        return self._media


def _require_no_script(speech: Sequence[str]) -> None:
    """Refuse a text within the script of a shell: whatever an agent says would be run there."""
    wrong = [part for before, part in pairwise(speech) if _is_script(part, before)]
    if wrong and _is_shell(speech[0]):
        raise ValidationFailed(
            f"{{text}} stands in a script, {quoted(wrong[0])}, which would run whatever an agent says.",
            next="Leave {text} out: the text comes on stdin then. Or let it be an argument after the script.",
        )


def _is_shell(program: str) -> bool:
    return PurePath(program).name.lower().removesuffix(".exe") in _SHELLS


def _is_script(part: str, before: str) -> bool:
    return "{text}" in part and (part != "{text}" or before.startswith(("-", "/")))


def _turn(settings: Settings) -> list[IceServer]:
    turn = settings.turn
    if not turn.servers:
        return []
    password = secret(turn.password, turn.password_file, "TURN_PASSWORD")
    if turn.username is None or password is None:
        raise ValidationFailed(
            "TURN servers ask for a name and a password.",
            next="Set DATAMCP_TURN_USERNAME and DATAMCP_TURN_PASSWORD, or DATAMCP_TURN_PASSWORD_FILE.",
        )
    return [IceServer(turn.servers, turn.username, password)]
