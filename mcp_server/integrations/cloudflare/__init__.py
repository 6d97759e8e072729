"""Cloudflare's API through the official SDK, which is imported only when a client is made."""
