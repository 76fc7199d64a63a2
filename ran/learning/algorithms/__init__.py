"""Learning algorithms, client and server step together; importing one here registers it."""

from ran.learning.algorithms.algorithm import ALGORITHMS, Algorithm, ClientUpdate, Report, Server
from ran.learning.algorithms.fedavg import FedAvg

__all__ = ["ALGORITHMS", "Algorithm", "ClientUpdate", "FedAvg", "Report", "Server"]
