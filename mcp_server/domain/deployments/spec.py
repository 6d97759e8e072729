"""What a caller says of deployments: what shall run, and what to do with it."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mcp_server.domain.deployments.configuration import Config, Label
from mcp_server.kernel.arguments import Listing
from mcp_server.kernel.meaning import TARGET, DeploymentName
from mcp_server.kernel.together import not_together
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


_NAMED_WHOLE = {"environment": "deployment_id takes name/environment, such as shop/dev"}


class PlanDeployment(Frozen):
    """What would happen is asked; nothing is touched."""

    INSTEAD: ClassVar[Mapping[str, str]] = _NAMED_WHOLE

    deployment_id: DeploymentName
    revision: int | None = Field(default=None, ge=1)
    destroy: bool = False


class ApplyDeployment(Frozen):
    """What was planned happens."""

    INSTEAD: ClassVar[Mapping[str, str]] = _NAMED_WHOLE

    deployment_id: DeploymentName
    plan_hash: str = Field(max_length=64, examples=["3f9a..."])


class ControlDeployment(Frozen):
    """Something else is done to a deployment."""

    INSTEAD: ClassVar[Mapping[str, str]] = _NAMED_WHOLE

    deployment_id: DeploymentName
    action: Literal["rollback", "stop", "start", "destroy", "check_drift"]
    revision: int | None = Field(default=None, ge=1, description="rollback: default, the one before")
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
