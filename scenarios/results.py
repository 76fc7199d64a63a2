"""Results of a run for notebooks and scripts.

``load("runs/quickstart").rounds.plot("end_s", "test_accuracy")`` draws the accuracy over virtual time.
"""

from ran.metrics.results import Results, load

__all__ = ["Results", "load"]
