"""What a caller says of deployments: what shall run, and what to do with it."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, cast

from pydantic import BeforeValidator, Field, model_validator

from mcp_server.domain.deployments.configuration import Config, Label
from mcp_server.kernel.arguments import Listing
from mcp_server.kernel.elsewhere import done_elsewhere
from mcp_server.kernel.meaning import TARGET, DeploymentName, Meant
from mcp_server.kernel.numbered import numbered
from mcp_server.kernel.together import meant, not_together
from mcp_server.kernel.values import Frozen, Word

Operation = Literal["apply", "rollback", "destroy", "stop", "start"]


class DefineDeployment(Config):
    """A deployment is configured, or gets a new revision."""

    name: Label = Field(examples=["shop"])
    target: Annotated[Word, TARGET] = Field(
        description="workerd, cloudflare, compose, kubernetes, or one that the operator declared", examples=["compose"]
    )
    environment: Label = Field(description="Such as dev, staging, production", examples=["dev"])
    tags: tuple[Word, ...] = Field(default=(), max_length=32)


_REMOVES = ("destroy", "delete", "remove")
_NO_ACTION = {"action": None, "operation": None}
_REVISION = numbered("deployments_find(deployment_id=...)", newest=True)
_NAMED_WHOLE = {"environment": "deployment_id takes name/environment, such as shop/dev"}


class PlanDeployment(Frozen):
    """What would happen is asked; nothing is touched."""

    INSTEAD: ClassVar[Mapping[str, str]] = _NAMED_WHOLE

    deployment_id: DeploymentName
    revision: Annotated[int | None, BeforeValidator(_REVISION)] = Field(default=None, ge=1)
    destroy: bool = False

    @model_validator(mode="before")
    @classmethod
    def _to_destroy(cls, given: Any) -> Any:
        """What would be removed is a plan of its own, however it is called."""
        said: dict[str, Any] = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        action = said.get("action", said.get("operation"))
        if isinstance(action, str) and action.casefold() in _REMOVES:
            raise meant("action: there is no such argument; destroy=true plans a removal.", destroy=True, **_NO_ACTION)
        return cast("Any", given)


class ApplyDeployment(Frozen):
    """What was planned happens."""

    INSTEAD: ClassVar[Mapping[str, str]] = _NAMED_WHOLE

    deployment_id: DeploymentName
    plan_hash: Annotated[str, Meant("the hash of a plan, which deployments_plan gives", "3f9a...")] = Field(
        max_length=64, examples=["3f9a..."]
    )


_ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(("status", "show", "get", "describe", "logs"), "deployments_find(deployment_id=...) tells of one"),
    **dict.fromkeys(("restart", "reload", "redeploy"), "there is none: stop it, then start it"),
    **dict.fromkeys(
        ("scale", "resize", "update"),
        "deployments_define says how many replicas a service has; deployments_plan and deployments_apply do it",
    ),
    **dict.fromkeys(("apply", "deploy"), "deployments_plan shows what would happen, and deployments_apply does it"),
}
_EARLIER = numbered("deployments_find(deployment_id=...)")


class ControlDeployment(Frozen):
    """Something else is done to a deployment."""

    INSTEAD: ClassVar[Mapping[str, str]] = _NAMED_WHOLE

    deployment_id: DeploymentName
    action: Annotated[
        Literal["rollback", "stop", "start", "destroy", "check_drift"], BeforeValidator(done_elsewhere(_ELSEWHERE))
    ]
    revision: Annotated[int | None, BeforeValidator(_EARLIER)] = Field(
        default=None, ge=1, description="rollback: default, the one before"
    )
    plan_hash: str | None = Field(default=None, max_length=64, description="destroy needs one: deployments_plan")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.revision is not None and self.action != "rollback":
            raise not_together(
                "`revision` is what to roll back to.", next="Leave it out, or use action=rollback.", revision=None
            )
        return self


DeploymentStatus = Literal["defined", "changing", "live", "rendered", "failed", "stopped", "destroyed"]


class FindDeployments(Listing):
    """Deployments are listed, narrowed by what is given."""

    name: str | None = None
    environment: str | None = None
    target: str | None = None
    status: DeploymentStatus | None = None
