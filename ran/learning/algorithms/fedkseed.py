"""FedKSeed: a round is a few thousand numbers, whatever the size of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ran.learning.algorithms.algorithm import ALGORITHMS, ClientUpdate, Problem, Server, part, prefixed
from ran.learning.algorithms.zeroth_order import ZerothOrder, direction, move, slope

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays, Report


@ALGORITHMS.register("fedkseed")
class FedKSeed(ZerothOrder):
    """Zeroth-order steps along K known directions, sent as seeds and slopes (FedKSeed, Qin et al., arXiv 2312.06353).

    A client steps w <- w - eta g z_j with j drawn among K directions and g the slope along z_j, and sends its
    pairs (j, g). The server adds p_k g to the direction's sum a_j, p_k = n_k / n, and sends the K sums down. Whoever
    has the initial model rebuilds the global one bit for bit: w = w_0 - eta sum_j a_j z_j (see ``rebuilt``).

    Payloads: 4 K bytes down, 8 bytes per local step up (index int32, slope float32), plus the headers of
    ``ran.learning.payload``: the published 17,984 bytes are K = 4096 and 200 steps. The seeds themselves are numbers
    0 .. K-1 of one named stream that all sides know, so they are never sent. A step costs two forward passes; drawing
    and adding directions are element-wise and not counted: 2 K values per parameter in a rebuilding.
    """

    needs: ClassVar[Literal["superpose", "deliver"]] = "deliver"

    num_seeds: int = Field(default=4096, ge=1, le=2**20, description="K, directions that clients choose from")
    seed: int = Field(default=0, ge=0, lt=2**32, description="of the directions; agreed on before the first round")

    def start(self, model: Arrays, num_samples: Sequence[int] = ()) -> Server:  # noqa: ARG002
        """Return the server with sums of zero."""
        import numpy as np

        return Server(model, {"sums": np.zeros(self.num_seeds, np.float32)} | prefixed("initial", model))

    def broadcast(self, server: Server) -> Arrays:
        """Return the sums of slopes, float32 [K]."""
        return {"sums": server.memory["sums"]}

    def client_step(self, received: Arrays, problem: Problem, rng: np.random.Generator, memory: Arrays) -> ClientUpdate:
        """Return the directions and slopes of the client's steps, int32 and float32 [num_steps]."""
        import numpy as np

        initial = problem.initial
        problem.load(self.rebuilt(initial, received["sums"]))
        parameters = problem.parameters()
        shapes = [initial[name].shape for name in sorted(initial)]
        assert [tuple(parameter.shape) for parameter in parameters] == shapes, "parameters come in the order of names"
        indices, slopes, passes, total = list[int](), list[np.float32](), 0, 0.0
        for batch in self.batches(problem.num_samples, rng):
            index = int(rng.integers(self.num_seeds))
            gradient, loss = slope(problem, batch, self.seed, index, self.smoothing)
            # Step along what is sent: the slope in single precision.
            indices.append(index)
            slopes.append(np.float32(gradient))
            move(parameters, self.seed, index, -self.learning_rate * float(slopes[-1]))
            passes, total = passes + len(batch), total + loss * len(batch)
        return ClientUpdate(
            arrays={"indices": np.array(indices, np.int32), "slopes": np.array(slopes)},  # type: ignore[dict-item]
            num_samples=problem.num_samples,
            num_steps=len(indices),
            train_loss=total / passes,
            flops=2 * passes * problem.forward_flops_per_sample,
            memory=memory,
        )

    def aggregate(self, server: Server, updates: Sequence[Arrays], reports: Sequence[Report]) -> Server:
        """Return the server with the clients' slopes added to the sums, in the order of the updates."""
        import numpy as np

        sums = server.memory["sums"].astype(np.float64)
        for share, update in zip(self.shares(reports), updates, strict=True):
            indices: NDArray[np.integer] = update["indices"]  # type: ignore[assignment]
            np.add.at(sums, indices, share * update["slopes"].astype(np.float64))
        return replace(self.server_step(server, {"sums": sums.astype(np.float32)}, reports), round=server.round + 1)

    def server_step(self, server: Server, mean: Arrays, reports: Sequence[Report]) -> Server:  # noqa: ARG002
        """Return the server with these sums and the model that they stand for."""
        model = self.rebuilt(part("initial", server.memory), mean["sums"])
        return replace(server, model=model, memory=server.memory | mean)

    def rebuilt(self, initial: Arrays, sums: NDArray[np.float32]) -> Arrays:
        """Return w_0 - eta sum_j a_j z_j in the dtypes of ``initial``.

        Summed in double precision over ascending j and over parameters in the order of their names, so that equal
        ``sums`` give equal bits everywhere.
        """
        import numpy as np

        names = sorted(initial)
        size = sum(initial[name].size for name in names)
        step = np.zeros(size)
        for index in np.flatnonzero(sums):
            step += float(sums[index]) * direction(self.seed, int(index), size).astype(np.float64)
        rebuilt, offset = dict[str, "NDArray[np.float32]"](), 0
        for name in names:
            array = initial[name]
            change = step[offset : offset + array.size].reshape(array.shape)
            rebuilt[name] = np.asarray(array - self.learning_rate * change, array.dtype)
            offset += array.size
        return rebuilt

    def problems(self) -> list[str]:
        """Return a sentence for momentum and for weight decay, neither of which a seed and a slope can carry."""
        if not self.weight_decay:
            return super().problems()
        return [
            *super().problems(),
            "`weight_decay`: a model rebuilt from slopes alone cannot have decayed; set it to 0, or choose mezo",
        ]
