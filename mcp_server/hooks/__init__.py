"""What clients' hooks, git and status lines ask of a desk, answered in tens of milliseconds (docs/wake.md).

These modules load no click, pydantic, anyio or SDK, and not even `typing`: an editor waits for each answer. They read,
with the areas' own statements, and write nothing but what a session was told already (`memory`). Whatever goes wrong
is one line on stderr and no obstacle to the session.
"""
