"""What older events of approvals do not say."""

from collections.abc import Mapping
from typing import Any

_OPERATORS_QUESTION = "Send this email. Not on the list of allowed recipients: "


def unsaid(actor: str, type_: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Whose a question is was once whom its label names: a user, or an agent with a key of its own. That the operator
    named its people shows by the one question of which that was so."""
    del actor, type_
    asked = data["action"].startswith(_OPERATORS_QUESTION)
    asker = data["requested_by"].removeprefix("agent:")
    return {"requester": asker, "named_by_operator": int(asked), "free_text": 0, "private": 0}
