"""The moments of a session: it begins, is about to edit, gets a prompt, stops, waits, ends."""

from __future__ import annotations

from mcp_server.hooks.answers import Answer, quiet, said
from mcp_server.hooks.asked import Asked
from mcp_server.hooks.memory import Memory
from mcp_server.hooks.reading import open_desk
from mcp_server.hooks.settings import NAMES, read_settings
from mcp_server.kernel.times import SECOND, system_clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_server.hooks.glance import Glance, Speaker
    from mcp_server.hooks.memory import Session
    from mcp_server.hooks.reading import Desk
    from mcp_server.hooks.settings import Settings
    from mcp_server.kernel.times import Micros

    Clock = Callable[[], Micros]


class Hook:
    """One run of a hook, with everything that it looks at."""

    __slots__ = ("asked", "desk", "flags", "known", "memory", "now", "settings")

    def __init__(
        self, flags: Mapping[str, str], asked: Asked, settings: Settings, memory: Memory, desk: Desk, now: Clock
    ) -> None:
        self.flags, self.asked, self.settings, self.memory, self.desk = flags, asked, settings, memory, desk
        self.now = now
        self.known: Session | None = None if asked.session is None else memory.session(asked.session)

    @property
    def speaker(self) -> Speaker:
        """For whom the session speaks."""
        from mcp_server.hooks.glance import speaker_of

        return speaker_of(self.desk, self.settings, self.known)

    def glance(self) -> Glance:
        """What there is for the session."""
        from mcp_server.hooks.glance import Glance

        return Glance(self.desk, self.speaker, self.now(), None if self.known is None else self.known.began)

    def fresh(self, glance: Glance) -> list[str]:
        """What came that the session was not told yet; it counts as told now."""
        news = glance.news()
        if not news or self.asked.session is None:
            return []
        taken = self.memory.take(self.asked.session, list(news))
        return [sentence for item, sentence in news.items() if item in taken]


def answered(
    moment: str, flags: Mapping[str, str], text: bytes, environment: Mapping[str, str], clock: Clock = system_clock
) -> Answer:
    """What the client is answered at a moment.

    Raises:
        Unreadable: the desk is there and cannot be read.
    """
    asked = Asked(text, environment)
    if moment == "edit" and not asked.files:
        return quiet(flags)
    settings = read_settings({name: value for name, value in flags.items() if name in NAMES}, environment)
    desk = open_desk(settings)
    if desk is None:
        return quiet(flags)
    memory = Memory.beside(settings, lambda: clock() / SECOND)
    try:
        return _MOMENTS[moment](Hook(flags, asked, settings, memory, desk, lambda: clock() - desk.off))
    finally:
        memory.close()
        desk.close()


def _start(hook: Hook) -> Answer:
    from mcp_server.hooks.glance import whole

    session = hook.asked.session
    glance = hook.glance()
    if session is not None:
        hook.memory.open(session)
        if glance.speaker.agent is not None:
            hook.memory.named(session, glance.speaker.party)
        hook.memory.take(session, list(glance.news()))
    return said(hook.flags, "start", whole(hook.desk, glance, hook.settings.user))


def _edit(hook: Hook) -> Answer:
    from mcp_server.hooks.guard import names_of, refusal

    asked = hook.asked
    named = [(path, names_of(path, asked.folder, asked.roots)) for path in asked.files]
    why = refusal(hook.desk, hook.speaker.party, [(names[0], names) for _, names in named], hook.now())
    return quiet(hook.flags) if why is None else said(hook.flags, "edit", why)


def _prompt(hook: Hook) -> Answer:
    if hook.asked.session is not None:
        hook.memory.open(hook.asked.session)
    return _told(hook, "prompt")


def _stop(hook: Hook) -> Answer:
    """The session goes on where there is news, each once, and not without end."""
    session = hook.asked.session
    if session is None:
        return quiet(hook.flags)
    glance = hook.glance()
    if not glance.news():
        return quiet(hook.flags)
    if hook.known is None:
        hook.memory.open(session)
    return _told(hook, "stop", glance) if hook.memory.may_go_on(session) else quiet(hook.flags)


def _told(hook: Hook, moment: str, glance: Glance | None = None) -> Answer:
    from mcp_server.hooks.glance import told

    glance = glance or hook.glance()
    fresh = hook.fresh(glance)
    return said(hook.flags, moment, told(glance, fresh)) if fresh else quiet(hook.flags)


def _registered(hook: Hook) -> Answer:
    registration, session = hook.asked.registration, hook.asked.session
    if registration is not None and session is not None:
        hook.memory.registered(session, *registration)
    return quiet(hook.flags)


def _end(hook: Hook) -> Answer:
    from mcp_server.hooks.ending import leave

    if hook.asked.session is not None:
        leave(hook, hook.asked.session)
    return quiet(hook.flags)


def _wait(hook: Hook) -> Answer:
    from mcp_server.hooks.waiting import news_in_time

    line = None if hook.asked.session is None else news_in_time(hook, hook.asked.session)
    return quiet(hook.flags) if line is None else said(hook.flags, "wait", line)


_MOMENTS: dict[str, Callable[[Hook], Answer]] = {
    "start": _start,
    "edit": _edit,
    "prompt": _prompt,
    "stop": _stop,
    "registered": _registered,
    "end": _end,
    "wait": _wait,
}
