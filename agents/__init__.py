"""Agents that allocate radio and learning resources: environments, baselines, training; the layer above scenarios.

`import agents` makes nothing known to Gymnasium by itself; installed, the plug-in of pyproject.toml does, and
``agents.registration.register_all()`` does it from a source tree.
"""

import os
import sys

# GNU OpenMP, Numba's first choice, ends processes that were forked from one that has used it, as Gymnasium's
# AsyncVectorEnv forks; and it wakes threads in torch that then wait for each other. Numba's own layer does neither.
os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
if "numba" in sys.modules:
    sys.modules["numba"].config.THREADING_LAYER = os.environ["NUMBA_THREADING_LAYER"]
