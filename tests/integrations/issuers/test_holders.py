"""From claims to a holder: the operator's rules, names, and what scopes leave."""

from typing import Any

import pytest

from mcp_server.integrations.issuers.holders import holder_of, is_clients_own, values_of
from mcp_server.integrations.issuers.model import Issuer, Rule, TokenRefused
from mcp_server.kernel.authority import Permission, Role
from mcp_server.kernel.errors import PermissionDenied
from tests.integrations.issuers.stand_in import BOTS, EVERYBODY, OPERATORS, issuer


def held(*rules: Rule, of: Issuer | None = None, **claims: Any) -> Any:
    return holder_of(of or issuer(*rules), claims)


def test_the_first_rule_that_fits_gives_the_role():
    assert held(OPERATORS, EVERYBODY, sub="ann", groups=["dev", "ops"]).permissions == Role.OPERATOR.permissions
    assert held(OPERATORS, EVERYBODY, sub="ann", groups=["dev"]).permissions == Role.AGENT.permissions
    assert held(Rule("mail", Role.VIEWER, glob="*@example.org"), sub="a", mail="b@example.org").permissions


@pytest.mark.parametrize("groups", [None, [], "", "OPS", "ops2", ["x"], {"ops": 1}, [["ops"]], 5])
def test_who_fits_no_rule_is_told_that_an_operator_can_help(groups: Any):
    with pytest.raises(PermissionDenied, match="no rule for the issuer corp gives its holder a role"):
        held(OPERATORS, sub="ann", groups=groups)


def test_a_claim_may_lie_in_an_object_or_have_dots_in_its_name():
    claims = {"realm_access": {"roles": ["ops"]}, "https://desk.example.org/role": "ops", "yes": True, "n": 5}
    assert values_of(claims, "realm_access.roles") == values_of(claims, "https://desk.example.org/role") == ["ops"]
    assert values_of(claims, "realm_access.none.deeper") == [] == values_of(claims, "yes.x")
    assert values_of(claims, "yes") == ["true"] and values_of(claims, "n") == ["5"]


def test_holders_of_two_issuers_never_have_one_name():
    plain = issuer(plain_names=True)
    assert held(sub="ann").label == "user:corp/ann"
    assert held(of=plain, sub="ann").label == "user:ann"
    assert held(of=plain, sub="corp/ann").label == "user:corp%2Fann"
    assert held(of=issuer(name="b"), sub="corp/ann").label == "user:b/corp/ann"


def test_a_name_holds_nothing_that_another_one_could_be_mistaken_for():
    assert held(sub="repo:org/x ref").label == "user:corp/repo%3Aorg/x%20ref"
    assert held(sub="repo%3Aorg").label == "user:corp/repo%253Aorg"
    assert held(sub="аnn").label != held(sub="ann").label and held(sub="аnn").label.isascii()
    assert held(sub="auth0|5f").id == "corp/auth0|5f"
    assert held(sub="ann@example.org").id == "corp/ann%40example.org"  # an address names a mailbox


@pytest.mark.parametrize("claims", [{"mail": []}, {"mail": ["a", "b"]}, {"mail": ""}, {}])
def test_a_token_that_names_nobody_or_several_is_refused(claims: dict[str, Any]):
    with pytest.raises(TokenRefused, match="no name"):
        held(of=issuer(EVERYBODY, user_claim="mail"), sub="x", **claims)


@pytest.mark.parametrize(
    "claims",
    [
        {"client_id": "bot", "sub": "bot"},
        {"azp": "bot", "sub": "bot@clients", "gty": "client-credentials"},
        {"azp": "bot", "sub": "0f", "idtyp": "app"},
        {"client_id": "bot"},
    ],
)
def test_a_clients_own_token_is_an_agents_and_never_a_users(claims: dict[str, Any]):
    assert is_clients_own(claims)
    by_azp = Rule("azp", Role.AGENT, glob="*", holder="agent")
    assert held(BOTS, by_azp, EVERYBODY, **claims).label == "agent:corp/bot"
    with pytest.raises(PermissionDenied):
        held(EVERYBODY, Rule("client_id", Role.ADMIN, glob="*"), **claims)


def test_a_token_of_a_person_is_an_agents_only_where_the_operator_says_so():
    person = {"client_id": "desktop", "sub": "ann"}
    assert held(BOTS, EVERYBODY, **person).label == "user:corp/ann"
    also = Rule("client_id", Role.AGENT, glob="*", holder="agent", also_delegated=True)
    assert held(also, EVERYBODY, **person).label == "agent:corp/desktop"
    named = issuer(also, agent_claim="bot", plain_names=True)
    assert held(of=named, bot="scribe", **person).label == "agent:scribe"
    with pytest.raises(TokenRefused):
        held(of=named, **person)


READ, CREATE = Permission.TASKS_READ, Permission.TASKS_CREATE


@pytest.mark.parametrize(
    ("claims", "permissions"),
    [
        ({"scope": "tasks:read openid"}, {READ}),
        ({"scp": ["tasks:read", "tasks:create"]}, {READ, CREATE}),
        ({"scp": "tasks:read"}, {READ}),
        ({"scope": "tasks:bogus"}, set()),
        ({"scope": "tasks:approve"}, set()),
        ({"scope": "tasks:*"}, {READ, CREATE, Permission.TASKS_WORK}),
        ({"scope": "openid profile"}, Role.AGENT.permissions),
        ({"scope": ""}, Role.AGENT.permissions),
        ({"scope": {"tasks:read": 1}}, Role.AGENT.permissions),
        ({}, Role.AGENT.permissions),
    ],
)
def test_scopes_of_ours_narrow_a_role_and_never_widen_it(claims: dict[str, Any], permissions: set[Permission]):
    actor = held(sub="ann", **claims)
    assert actor.permissions == permissions and actor.reach == Role.AGENT.permissions - permissions


def test_scopes_have_the_prefix_that_the_issuer_gives_them():
    prefixed = issuer(EVERYBODY, scope_prefix="desk:")
    assert held(of=prefixed, sub="a", scope="desk:tasks:read state:read").permissions == {READ}
    assert held(of=prefixed, sub="a", scope="state:read").permissions == Role.AGENT.permissions
    assert held(of=issuer(EVERYBODY, require_scopes=True), sub="a", scope="openid").permissions == set()


def test_a_program_on_its_own_account_cannot_ask_for_more():
    assert held(BOTS, client_id="bot", scope="tasks:read").reach == frozenset()
