"""What is learnt; importing a task here registers it."""

from ran.learning.tasks.digits import Digits
from ran.learning.tasks.image_classification import ImageClassification
from ran.learning.tasks.task import TASKS, Dataset, Examples, Task
from ran.learning.tasks.text_classification import TextClassification

__all__ = ["TASKS", "Dataset", "Digits", "Examples", "ImageClassification", "Task", "TextClassification"]
