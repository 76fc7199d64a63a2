"""Graph neural networks that precode: ICGNN, its rivals, and their training.

Nothing is imported here, since reading a scenario that names a precoder must not import torch.
"""
