"""Agents that allocate radio and learning resources; the layer above scenarios. Nothing lives here yet."""
