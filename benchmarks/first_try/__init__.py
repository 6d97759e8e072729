"""Jobs as a client does them that knows nothing but the list of tools; see README.md."""
