"""What a model or an IDE can read: the catalogue of resources, as data. One scheme, `ops://`."""

from resources import agents, communication, state, system, tasks
from resources.spec import Resource

RESOURCES: tuple[Resource, ...] = (
    *agents.RESOURCES,
    *tasks.RESOURCES,
    *state.RESOURCES,
    *communication.RESOURCES,
    *system.RESOURCES,
)
