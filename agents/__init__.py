"""Agents that allocate radio and learning resources: environments, baselines, training; the layer above scenarios.

`import agents` makes nothing known to Gymnasium by itself; installed, the plug-in of pyproject.toml does, and
``agents.registration.register_all()`` does it from a source tree.
"""
