"""Issuers of JSON Web Tokens: OpenID Connect providers and OAuth authorization servers. Loaded where one is set."""
