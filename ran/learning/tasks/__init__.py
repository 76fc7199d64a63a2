"""What is learnt; importing a task here registers it."""

from ran.learning.tasks.causal_lm import CausalLm
from ran.learning.tasks.digits import Digits
from ran.learning.tasks.image_classification import ImageClassification
from ran.learning.tasks.task import TASKS, Dataset, Examples, Samples, Task
from ran.learning.tasks.text_classification import TextClassification

__all__ = [
    "TASKS", "CausalLm", "Dataset", "Digits", "Examples", "ImageClassification", "Samples", "Task",
    "TextClassification",
]  # fmt: skip
