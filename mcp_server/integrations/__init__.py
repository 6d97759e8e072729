"""The outside systems: one module each. They know the domain, and are imported only when used."""
