"""Cloudflare Workers: read from a project or a document, run here by workerd, or deployed to Cloudflare."""
