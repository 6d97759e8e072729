"""MCP itself: the server, its one seam for errors and authorization, transports, prompts and completions."""
