"""The MCP clients of a machine: where each keeps its servers, and how ours is written there, proven and taken away."""
