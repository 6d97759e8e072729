"""What is known of areas before they are loaded, and when they are."""

import os
import subprocess
import sys
import threading
from operator import itemgetter
from typing import Any

import pytest

from mcp_server.domain.areas import AREAS, KNOWN, load
from mcp_server.kernel.area import Aggregate, Area, Chore, Sweep, SystemKind
from mcp_server.kernel.areas import Areas, Known
from mcp_server.kernel.authority import Permission
from mcp_server.kernel.store import Hook
from mcp_server.kernel.telling import Telling

pytestmark = pytest.mark.anyio

ENDED: Hook[[str], str] = Hook("thing ended")
BEGUN: Hook[[str], str] = Hook("thing begun")
DONE: list[Any] = []


def settle(*told: Any) -> None:
    DONE.append(told)


async def wanted(services: Any) -> bool:
    return services == "services"


def variant(services: Any) -> str:
    return f"of.{services}"


def hear(tx: Any, what: str) -> str:
    return f"{tx} {what}"


AREA = Area(
    "things",
    aggregates=(
        Aggregate("thing", {"made": Telling.of("name")}, Permission.EVENTS_READ, table="things", words=("name",)),
    ),
    hears=(ENDED.heard_by(hear),),
    sweeps=(Sweep("due.things", "things_due", settle, itemgetter("id"), {"alive_for": 3}),),
    kinds=(SystemKind("system.things.", lambda services: services, at_once=2, seconds_max=9, variant=variant),),
    chores=(Chore("Tidy up", "system.things", times=10, wanted=wanted),),
)
QUIET = Area("quiet", aggregates=(Aggregate("silence", {"made": Telling.of("name")}, Permission.EVENTS_READ),))


class Shelf:
    """Areas that are kept, and which of them were loaded."""

    def __init__(self, *areas: Area) -> None:
        kept = "".join(f"{Known.of(area).line()}\n" for area in areas)
        self.loaded: list[str] = []
        self._areas = {area.name: area for area in areas}
        self.areas = Areas(known=Known.read(kept), load=self._load)

    def _load(self, name: str) -> Area:
        self.loaded.append(name)
        return self._areas[name]


@pytest.fixture
def shelf() -> Shelf:
    """Two areas."""
    return Shelf(AREA, QUIET)


async def test_what_is_asked_by_name_is_known_before_an_area_is_loaded(shelf: Shelf):
    areas = shelf.areas
    (sweep,), (kind,), (chore,) = areas.sweeps, areas.kinds, areas.chores
    assert (sweep.due, sweep.rows, sweep.parameters) == ("due.things", "things_due", {"alive_for": 3})
    assert (kind.at_once, kind.seconds_max, kind.name("x")) == (2, 9, "system.things.of.x")  # type: ignore[arg-type]
    assert (chore.title, chore.times, await chore.wanted("services")) == ("Tidy up", 10, True)  # type: ignore[arg-type]
    assert areas.listeners[BEGUN] == ()
    assert shelf.loaded == []


@pytest.mark.parametrize(
    "ask",
    [
        lambda areas: areas.sweeps[0].key({"id": "t"}) == "t",
        lambda areas: areas.sweeps[0].settle("tx", "origin", {}) is None and DONE.pop() == ("tx", "origin", {}),
        lambda areas: areas.kinds[0].handler("services") == "services",
        lambda areas: [one("tx", "t") for one in areas.listeners[ENDED]] == ["tx t"],
        lambda areas: areas.telling["thing.made"].always == {"name"},
        lambda areas: areas.rows["thing"].table == "things",
        lambda areas: areas.worded["thing.created"] is AREA.aggregates[0] and areas.worded["thing.made"] is None,
    ],
)
def test_an_area_is_loaded_once_when_something_of_it_is_used_and_no_other_with_it(shelf: Shelf, ask: Any):
    assert ask(shelf.areas) and ask(shelf.areas)
    assert shelf.loaded == ["things"]


def test_what_no_area_knows_is_refused_and_loads_none(shelf: Shelf):
    with pytest.raises(LookupError, match="no area names the event other.made"):
        _ = shelf.areas.telling["other.made"]
    with pytest.raises(KeyError):
        _ = shelf.areas.rows["other"]
    assert shelf.areas.uris("other", "id") == set() and shelf.loaded == []


def test_threads_that_use_an_area_at_once_all_find_it(shelf: Shelf):
    """The writers' and the loop's: whoever comes first loads it, and nobody waits for one that waits for itself."""
    found: list[Any] = []
    gate = threading.Barrier(4)

    def use() -> None:
        gate.wait(60)
        found.append(shelf.areas.area("things"))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [AREA] * 4


def test_functions_that_are_called_by_their_names_are_those_of_the_records():
    for known in Known.read(KNOWN.read_text("utf-8")):
        area = load(known.name)
        named = [(data["variant"], one.variant) for data, one in zip(known.kinds, area.kinds, strict=True)]
        named += [(data["wanted"], one.wanted) for data, one in zip(known.chores, area.chores, strict=True)]
        for name, function in named:
            assert name == (None if function is None else f"{function.__module__}:{function.__name__}")


def test_no_two_hooks_have_one_name():
    hooks = {heard.hook for area in AREAS.all for heard in area.hears}
    assert len({hook.name for hook in hooks}) == len(hooks)


@pytest.mark.slow
def test_what_does_its_part_in_an_areas_transactions_is_loaded_with_it_before_them():
    script = (
        "import sys\n"
        "from mcp_server.domain.areas import AREAS, load_whole\n"
        "load_whole('tasks')\n"
        "heard = [hook for one in AREAS._known.values() if one.name == 'tasks' for hook in one.tells]\n"
        "hear = [one.name for one in AREAS._known.values() if set(heard) & set(one.hears)]\n"
        "assert len(hear) >= 4 and all(f'mcp_server.domain.{name}.area' in sys.modules for name in hear), hear\n"
        "assert 'mcp_server.domain.locks.area' not in sys.modules\n"
        "assert AREAS.unloaded('due.tasks') is None and AREAS.unloaded('due.lock_holds') == 'locks'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
