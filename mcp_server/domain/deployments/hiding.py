"""The secrets of a deployment: read when they are used, and taken out of all that targets tell."""

from collections.abc import Awaitable
from typing import Any, TypeVar, cast

from mcp_server.domain.deployments.configuration import Config
from mcp_server.domain.deployments.targets import Outlook, PhaseFailed, Step, Subject, Targets
from mcp_server.kernel.errors import OpsError
from mcp_server.kernel.hiding import without

T = TypeVar("T")


class Secrets:
    """The secrets that a deployment names, those of what is live included, and those that its target has of its own."""

    def __init__(self, targets: Targets, subject: Subject) -> None:
        self._resolve = targets.resolve
        self._meant = subject.config.secrets
        configs: list[Config | None] = [subject.live_config, subject.config]
        named = [targets.references.get(subject.target, {}), *(config.secrets for config in configs if config)]
        self._named = {reference: name for one in named for name, reference in one.items()}
        self._values: dict[str, str] = {}

    def value(self, name: str) -> str:
        """The value of a secret; never to be kept, told or logged.

        Raises:
            PhaseFailed: it is not there.
        """
        return self._value_of(self._meant[name])

    def out_of(self, told: T) -> T:
        """The same without the value of any secret, wherever a program or a server may have repeated it."""
        known = self._known()
        return cast("T", _without(told, known)) if known else told

    async def told(self, telling: Awaitable[T]) -> T:
        """What something tells, or refuses, without the value of any secret."""
        try:
            return self.out_of(await telling)
        except OpsError as error:
            error.message, error.details = self.out_of(error.message), self.out_of(error.details)
            error.args = (error.message,)
            raise

    def _known(self) -> list[tuple[str, str]]:
        """Those that are there: nothing can be taken out that nobody here knows."""
        for reference in self._named:
            try:
                self._value_of(reference)
            except PhaseFailed:
                continue
        return [(self._named[reference], value) for reference, value in self._values.items()]

    def _value_of(self, reference: str) -> str:
        if reference not in self._values:
            self._values[reference] = self._resolve(reference)
        return self._values[reference]


def _without(told: Any, known: list[tuple[str, str]]) -> Any:
    match told:
        case str():
            return without(told, known)
        case dict():
            return {key: _without(one, known) for key, one in cast("dict[str, Any]", told).items()}
        case list():
            return [_without(one, known) for one in cast("list[Any]", told)]
        case Outlook() | Step():
            return type(told)(*(_without(one, known) for one in told))
        case _:
            return told
