"""The same local training under other simulators of federated learning, where they are installed.

Each runs its own clients, transport within the process and aggregation, one client after another in this thread; the
module, the samples, the batch size and the steps are those of the lean loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    Client = tuple[torch.Tensor, torch.Tensor]
    """Images and labels."""

PEERS = {"pfl": "pfl-research", "flwr": "Flower"}
"""Packages and what they are called."""


def peer_round(
    package: str,
    module: torch.nn.Module,
    clients: Sequence[Client],
    *,
    participants: int,
    batch_size: int,
    learning_rate: float,
) -> Callable[[], object]:
    """Return what runs one round of a peer's FedAvg after another: ``participants`` of ``clients``, drawn by it."""
    make = {"pfl": _pfl_round, "flwr": _flower_round}[package]
    return make(module, clients, participants, batch_size, learning_rate)


def _pfl_round(
    module: torch.nn.Module, clients: Sequence[Client], participants: int, batch_size: int, learning_rate: float
) -> Callable[[], object]:
    """Steps of pfl's ``FederatedAlgorithm.run``, one round a call, without evaluation; batches are not shuffled."""
    from pfl.aggregate.simulate import SimulatedBackend  # type: ignore[import-not-found]
    from pfl.algorithm.base import NNAlgorithmParams  # type: ignore[import-not-found]
    from pfl.algorithm.federated_averaging import FederatedAveraging  # type: ignore[import-not-found]
    from pfl.data.federated_dataset import FederatedDataset  # type: ignore[import-not-found]
    from pfl.data.pytorch import PyTorchTensorDataset  # type: ignore[import-not-found]
    from pfl.data.sampling import get_user_sampler  # type: ignore[import-not-found]
    from pfl.hyperparam import NNTrainHyperParams  # type: ignore[import-not-found]
    from pfl.model.pytorch import PyTorchModel  # type: ignore[import-not-found]

    class WithLoss(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = module

        def loss(self, images: torch.Tensor, labels: torch.Tensor, eval: bool = False) -> torch.Tensor:
            self.train(not eval)
            return torch.nn.functional.cross_entropy(self.layers(images), labels)

        def metrics(self, images: torch.Tensor, labels: torch.Tensor, eval: bool = True) -> dict[str, Any]:  # noqa: ARG002
            return {}

    whole = WithLoss()
    model = PyTorchModel(whole, torch.optim.SGD, torch.optim.SGD(whole.parameters(), lr=1.0))
    sampler = get_user_sampler("minimize_reuse", range(len(clients)))
    users = FederatedDataset(lambda user: PyTorchTensorDataset(clients[user], user_id=str(user)), sampler)
    backend, algorithm = SimulatedBackend(users, users), FederatedAveraging()
    sizes = NNAlgorithmParams(10**9, evaluation_frequency=10**9, train_cohort_size=participants, val_cohort_size=None)
    local = NNTrainHyperParams(local_batch_size=batch_size, local_num_epochs=1, local_learning_rate=learning_rate)
    done = 0

    def run() -> object:
        nonlocal done
        done += 1  # Round 0 would be evaluated.
        (context,), _, _ = algorithm.get_next_central_contexts(model, done, sizes, local, None)
        statistics, metrics = backend.gather_results(model, algorithm, central_context=context)
        return algorithm.process_aggregated_statistics(context, metrics, model, statistics)

    return run


def _flower_round(
    module: torch.nn.Module, clients: Sequence[Client], participants: int, batch_size: int, learning_rate: float
) -> Callable[[], object]:
    """Flower's server and strategy over clients in this process: its simulation proper needs Ray."""
    from flwr.client import NumPyClient  # type: ignore[import-not-found]
    from flwr.common import ndarrays_to_parameters  # type: ignore[import-not-found]
    from flwr.server import Server, SimpleClientManager  # type: ignore[import-not-found]
    from flwr.server.client_proxy import ClientProxy  # type: ignore[import-not-found]
    from flwr.server.strategy import FedAvg  # type: ignore[import-not-found]

    logging.getLogger("flwr").setLevel(logging.ERROR)  # Three lines a round otherwise.
    parameters = list(module.parameters())

    class Trainee(NumPyClient):  # type: ignore[misc]
        def __init__(self, client: Client) -> None:
            self.images, self.labels = client

        def fit(self, arrays: list[Any], config: object) -> tuple[list[Any], int, dict[str, Any]]:  # noqa: ARG002
            with torch.no_grad():
                for parameter, array in zip(parameters, arrays, strict=True):
                    parameter.copy_(torch.from_numpy(array))
            optimizer = torch.optim.SGD(parameters, learning_rate)
            for batch in torch.split(torch.randperm(len(self.labels)), batch_size):  # type: ignore[no-untyped-call]
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(module(self.images[batch]), self.labels[batch])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            return [parameter.detach().numpy() for parameter in parameters], len(self.labels), {}

    class Here(ClientProxy):  # type: ignore[misc]
        def __init__(self, name: str, client: Client) -> None:
            super().__init__(name)
            self.client = Trainee(client).to_client()

        def fit(self, ins: Any, timeout: object, group_id: object) -> Any:  # noqa: ARG002
            return self.client.fit(ins)

        def get_properties(self, ins: object, timeout: object, group_id: object) -> Any:
            raise NotImplementedError

        get_parameters = evaluate = reconnect = get_properties

    manager = SimpleClientManager()
    for index, client in enumerate(clients):
        manager.register(Here(str(index), client))
    start = ndarrays_to_parameters([each.detach().numpy() for each in parameters])
    strategy = FedAvg(
        fraction_fit=participants / len(clients), fraction_evaluate=0.0, min_fit_clients=participants,
        min_available_clients=participants, initial_parameters=start,
    )  # fmt: skip
    server = Server(client_manager=manager, strategy=strategy)
    server.set_max_workers(1)
    server.parameters, done = start, 0

    def run() -> object:
        nonlocal done
        done += 1
        server.parameters, _, _ = server.fit_round(done, timeout=None)
        return server.parameters

    return run
