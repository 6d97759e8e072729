"""The secrets of a deployment are taken out of all that targets tell, whoever used them."""

import pytest

from mcp_server.domain.deployments.configuration import Config
from mcp_server.domain.deployments.hiding import Secrets
from mcp_server.domain.deployments.targets import Outlook, PhaseFailed, Step, Subject, Targets
from mcp_server.kernel.errors import Unavailable

pytestmark = pytest.mark.anyio
VALUES = {"env:NEW": "value-of-the-new", "env:OLD": "value-of-the-old", "env:OWN": "value-of-the-targets"}


def resolve(reference: str) -> str:
    if reference not in VALUES:
        raise PhaseFailed(f"{reference} is not there")
    return VALUES[reference]


def secrets() -> Secrets:
    """Of a deployment whose live revision had another reference for the same secret, and one that is not there."""

    def config(**named: str) -> Config:
        return Config.model_validate({"services": [{"name": "web", "secrets": ["KEY"]}], "secrets": named})

    new, old = config(KEY="env:NEW", GONE="env:GONE"), config(KEY="env:OLD")
    targets = Targets(resolve=resolve, references={"played": {"TOKEN": "env:OWN"}})
    return Secrets(targets, Subject("d", "shop", "dev", "played", 2, new, 1, old, None))


def test_what_no_attempt_has_used_yet_is_taken_out_and_so_is_what_is_live():
    told = {"checks": [{"body": "value-of-the-new"}], "n": 1, "said": "value-of-the-targets, value-of-the-old"}
    assert secrets().out_of(told) == {"checks": [{"body": "[KEY]"}], "n": 1, "said": "[TOKEN], [KEY]"}


def test_plans_are_told_without():
    outlook = Outlook([Step("run", "x value-of-the-new", None)], ["value-of-the-new"])
    assert secrets().out_of(outlook) == Outlook([Step("run", "x [KEY]", None)], ["[KEY]"])


async def test_a_refusal_is_told_without():
    async def refuses() -> str:
        raise Unavailable("it said value-of-the-new", details={"output": "value-of-the-old"})

    with pytest.raises(Unavailable) as raised:
        await secrets().told(refuses())
    assert raised.value.message == str(raised.value) == "it said [KEY]" and raised.value.details == {"output": "[KEY]"}


def test_a_secret_that_is_not_there_is_named_when_it_is_used():
    assert secrets().value("KEY") == "value-of-the-new"
    with pytest.raises(PhaseFailed, match="env:GONE is not there"):
        secrets().value("GONE")
