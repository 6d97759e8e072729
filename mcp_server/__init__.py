"""DataMCPServerAgent: the operations desk for AI agents, served over MCP."""

__version__ = "0.1.0"
