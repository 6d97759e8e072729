"""Keys under any sequence of what people do to them: what lets somebody in is what a plain model of it says."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mcp_server.domain.people.commands import AddUser as Add
from mcp_server.domain.people.commands import ChangeUser as Change
from mcp_server.domain.people.commands import CreateKey, KeyHash
from mcp_server.domain.people.model import Key
from mcp_server.domain.people.users import User
from mcp_server.kernel.authority import Role
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.events import Origin
from mcp_server.kernel.times import SECOND

TEXTS = [f"{number:064x}" for number in range(6)]


class Keys(RuleBasedStateMachine):
    """One user with one key; rules of the model alone, which transactions only load and store."""

    @initialize(lasts=st.sampled_from([None, 5, 50]))
    def begin(self, lasts: float | None) -> None:
        self.now, self.events = 0, list[Any]()
        self.user, event = User.added(Add(name="ann", role=Role.OPERATOR), self.origin)
        self.events.append(event)
        command = CreateKey(kind="user", holder="ann", expires_in_seconds=lasts)
        self.key, event = Key.created(command, KeyHash(TEXTS[0]), self.origin)
        self.events.append(event)
        self.good = {TEXTS[0]: None if lasts is None else lasts * SECOND}
        self.ends = self.good[TEXTS[0]]
        self.over = False

    @property
    def origin(self) -> Origin:
        return Origin(self.now, "user:root", "c", new_id=lambda kind: f"{kind}_1")

    @rule(seconds=st.integers(1, 20))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(text=st.sampled_from(TEXTS), grace=st.sampled_from([0, 3, 30]), seen=st.booleans())
    def rotate(self, text: str, grace: float, seen: bool) -> None:
        if text in (self.key.sha256, self.key.old_sha256):
            return  # nobody draws the same 32 bytes twice
        dead = self.over or (self.ends is not None and self.ends <= self.now)
        try:
            self.key, event = self.key.rotated(text, grace, self.key.version - (not seen), self.now)
        except OpsError:
            assert dead or not seen
            return
        assert seen and not dead
        self.events.append(event)
        self.good = (
            {text: None, self.events[-1].data["old_sha256"]: self.now + grace * SECOND} if grace else {text: None}
        )

    @rule()
    def revoke(self) -> None:
        try:
            self.key, event = self.key.revoked(self.now)
        except OpsError:
            assert self.over
            return
        assert not self.over
        self.over = True
        self.events.append(event)

    @rule(status=st.sampled_from(["enabled", "disabled"]))
    def turn(self, status: Any) -> None:
        try:
            self.user, event = self.user.turned(status, self.now)
        except OpsError:
            assert self.user.status == status
            return
        self.events.append(event)

    @rule(role=st.sampled_from(list(Role)))
    def change(self, role: Role) -> None:
        self.user, event = self.user.changed_by(Change(name="ann", role=role), self.now)
        self.events += [] if event is None else [event]

    @invariant()
    def lets_in_by_the_texts_that_count_and_no_others(self) -> None:
        live = not self.over and (self.ends is None or self.now < self.ends) and self.user.status == "enabled"
        for text in TEXTS:
            until = self.good.get(text, 0)
            wanted = live and text in self.good and (until is None or self.now < until or text == self.key.sha256)
            is_in = self.key.state(self.now, self.user.status) == "live" and self.key.counts_by(text, self.now)
            assert is_in == wanted, text
        actor = self.key.actor(self.user.role, self.key.sha256)
        assert actor.permissions == Role(self.user.role).permissions

    @invariant()
    def is_the_fold_of_its_events(self) -> None:
        for row in (self.user, self.key):
            folded: dict[str, Any] = {}
            for event in self.events:
                if event.aggregate_id == row.id:
                    folded |= {**event.data, "version": event.version}
            assert {"id": row.id} | folded == row.fields()


Keys.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
test_keys_under_any_sequence = Keys.TestCase
