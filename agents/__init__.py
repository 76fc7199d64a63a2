"""Agents that allocate radio and learning resources: environments, baselines, training; the layer above scenarios.

``import agents.registration`` makes the environments known to Gymnasium.
"""
