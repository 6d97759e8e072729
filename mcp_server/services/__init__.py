"""Use cases, a module per capability: authorise, one transaction or one read, a result."""
