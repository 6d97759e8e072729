"""Who is who among approvers: one mailbox, or one user, is one person, however it is spelled."""

from collections.abc import Iterable, Sequence

from mcp_server.kernel.addresses import ascii_domain, parse_address
from mcp_server.kernel.call import Call
from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.quoting import named, quoted

ANYONE = frozenset(("anyone", "anybody", "human", "person", "somebody", "someone", "the user", "user"))
"""Words by which nobody in particular is asked. None of them is a user's name."""

_WORDS_FOR_ONESELF = ("me", "myself")


def mailbox(address: str) -> str:
    """The mailbox behind an address: without a display name, local part and domain in one case.

    Raises:
        ValidationFailed: it is no address.
    """
    parsed = parse_address(address.strip())
    key = f"{parsed.username.casefold()}@{ascii_domain(parsed.domain.casefold())}"
    parse_address(key)  # what is one letter may be two in the other case: mails go to this spelling
    return key


def person_key(name: str) -> str:
    """What two spellings of one person have in common."""
    if not is_mailbox(name):
        return name.strip().casefold()
    try:
        return mailbox(name)
    except ValidationFailed:  # of an old question
        return name.strip().casefold()


def as_person(name: str) -> str:
    """The person that is meant by a name, an address or `user:NAME`.

    Raises:
        ValidationFailed: it is no address, or an agent, which decides nothing.
    """
    if is_mailbox(name):
        mailbox(name)
        return name
    plain = name.strip()
    if plain.startswith(("agent:", "agent_", "capability:")):
        raise ValidationFailed(
            f"{quoted(plain)} is not a person, and people decide.", next="Name users, or [] for anyone."
        )
    return plain.removeprefix("user:").strip() or name


def stands_for_the_user(name: str) -> bool:
    """Whether a word may mean the user of whoever writes it, rather than a user who is called so."""
    return name.casefold() in _WORDS_FOR_ONESELF


def is_mailbox(name: str) -> bool:
    """Whether a person is known by an address, rather than as a user."""
    return "@" in name


def distinct(people: Iterable[str]) -> list[str]:
    """Each person once, in the order given: by the bare mailbox, or by the user's name as it was spelled first."""
    found: dict[str, str] = {}
    for name in people:
        key = person_key(name)
        found.setdefault(key, key if is_mailbox(name) else name.strip())
    return list(found.values())


def nobody_yet(name: str) -> str:
    """What is said of one who is asked and is no known user."""
    return (
        f"there is no user {named(name)} here yet: nobody answers before somebody comes as that one. approvers=[] asks "
        "anyone."
    )


def no_decider(agent: str) -> str:
    """What is said of an agent that is asked."""
    return (
        f"{named(agent)} is an agent here, and agents do not decide: unless a user is called so, nobody answers. "
        "messages_send asks an agent."
    )


def require_known(call: Call, nobody: Sequence[str]) -> None:
    """Refuse to ask users by words that stand for who writes them, where nobody is called so.

    Raises:
        ValidationFailed: naming those words.
    """
    if nobody:
        user = named(call.actor.id) if call.actor.kind == "user" else "NAME"
        raise ValidationFailed(
            f"No user is called {', '.join(map(named, nobody))}, so nobody would be asked.",
            next=f"Leave approvers out to ask the user here, or name users: approvers=['user:{user}'].",
            details={"approvers": list(nobody)},
        )
