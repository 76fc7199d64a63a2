"""Group knowledge transfer: small edge models, a large server model, and distillation between them."""

from ran.learning.gkt.settings import FedGkt

__all__ = ["FedGkt"]
