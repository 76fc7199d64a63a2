"""Which threads Numba uses beside environments; imported before any kernel runs in parallel."""

import os
import sys

# GNU OpenMP, Numba's first choice, ends processes that were forked from one that has used it, as Gymnasium's
# AsyncVectorEnv forks; and it wakes threads in torch that then wait for each other. Numba's own layer does neither.
os.environ.setdefault("NUMBA_THREADING_LAYER", "workqueue")
if "numba" in sys.modules:
    sys.modules["numba"].config.THREADING_LAYER = os.environ["NUMBA_THREADING_LAYER"]
