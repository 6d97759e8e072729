"""What an engine cannot hold. Argument types keep most of it out; whatever else comes this far is the caller's to mend,
by whichever way it came."""

from mcp_server.kernel.errors import ValidationFailed


def beyond_the_engine() -> ValidationFailed:
    """The refusal of a value that the engine cannot hold or compare. The engine's own words tell a caller nothing."""
    return ValidationFailed(
        "A value is beyond what the database takes.",
        next="Nothing was changed. Whole numbers go to 9,223,372,036,854,775,807, texts hold no NUL, and a text to "
        "search for has at most 50,000 bytes.",
    )
