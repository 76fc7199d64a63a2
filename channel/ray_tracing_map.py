"""Path gain all over a ray-traced scene, and the buildings in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from channel.antenna import AntennaArray
from channel.ray_tracing_scene import TracedScene, switches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.geometry import Geometry
    from channel.ray_traced import RayTraced

_SAMPLES_PER_TRIANGLE = 100
_FEWEST_SAMPLES = 2_000_000


class SceneMap:
    """A ray-traced scene as a grid of square cells.

    Args:
        model: the channel's parameters.
        geometry: carrier, cells and their arrays.
        spacing_m: side of a square of the grid; none: a 250th of the scene's longer side.

    Attributes:
        x_m, y_m: centres of the squares, [num_x] and [num_y].

    Raises:
        UserError: the scene cannot be loaded, or a cell stands in a building or outside.
    """

    def __init__(self, model: RayTraced, geometry: Geometry, spacing_m: float | None = None) -> None:
        self._model, self._geometry = model, geometry
        self._scene = TracedScene(model.scene, geometry.carrier_hz)
        self._cells_m = self._scene.stand(geometry.cell_position_m, "cell", 0.0)
        low_m, size_m = self._scene.low_m[:2], (self._scene.high_m - self._scene.low_m)[:2]
        self._spacing_m = spacing_m or float(size_m.max()) / 250
        count_x, count_y = np.maximum(1, np.floor(size_m / self._spacing_m + 1e-9).astype(int))
        self.x_m = low_m[0] + (np.arange(count_x) + 0.5) * self._spacing_m
        self.y_m = low_m[1] + (np.arange(count_y) + 0.5) * self._spacing_m

    def roof_m(self, x_m: NDArray[np.float64], y_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far the highest surface is above the ground, [len(y_m), len(x_m)]; zeros in a closed room."""
        ground_m, top_m = self._scene.surfaces(np.stack(np.meshgrid(x_m, y_m), -1))
        return np.zeros_like(top_m) if self._scene.indoor else top_m - ground_m

    def path_gain(self, height_m: float, seed: int) -> Iterator[NDArray[np.float64]]:
        """Yield the mean path gain of each cell, [num_y, num_x], at ``height_m`` above the ground.

        By Sionna RT's radio map solver, Monte Carlo over rays, for one vertical element of the panel and a receiver
        that collects both polarisations; half of it where the panel is cross-polarised, as the mean over its
        slanted ports to a vertical receiver has. Squares that no ray reaches are 0.
        """
        array, scene = self._geometry.cell_array, self._scene
        element = AntennaArray(rows=1, columns=1, polarization="single", pattern=array.pattern)
        share = 0.5 if array.polarization == "dual" else 1.0
        surface = self._surface(height_m)
        scene.scene.remove(list(scene.scene.receivers))
        scene.place_cells(self._geometry, self._cells_m, element)
        transmitters = scene.scene.transmitters
        scene.scene.remove(list(transmitters))
        solver = scene.rt.RadioMapSolver()
        samples = max(_FEWEST_SAMPLES, _SAMPLES_PER_TRIANGLE * 2 * len(self.x_m) * len(self.y_m))
        for name, transmitter in transmitters.items():
            scene.scene.add(transmitter)
            found = solver(
                scene.scene, measurement_surface=surface, samples_per_tx=samples, seed=seed & 0x7FFFFFFF,
                max_depth=self._model.max_depth, **switches(self._model.interactions),
            )  # fmt: skip
            scene.scene.remove(name)
            triangles = np.nan_to_num(found.path_gain.numpy()).reshape(len(self.y_m), len(self.x_m), 2)
            yield share * triangles.astype(np.float64).mean(axis=-1)

    def _surface(self, height_m: float) -> Any:
        """Return a mesh at ``height_m`` above the ground: two triangles for each square, row by row."""
        mi, half_m = self._scene.mi, self._spacing_m / 2
        x_m, y_m = (np.append(centre - half_m, centre[-1] + half_m) for centre in (self.x_m, self.y_m))
        plan_m = np.stack(np.meshgrid(x_m, y_m), -1)
        corner_m = np.concatenate([plan_m, (self._scene.surfaces(plan_m)[0] + height_m)[..., None]], axis=-1)
        index = np.arange(plan_m[..., 0].size).reshape(plan_m.shape[:2])
        a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
        faces = np.stack([a, b, c, a, c, d], axis=-1).reshape(-1, 3)
        mesh = mi.Mesh("map", corner_m.size // 3, len(faces))
        parameters = mi.traverse(mesh)
        parameters["vertex_positions"] = mi.Float(corner_m.ravel())
        parameters["faces"] = mi.UInt32(faces.ravel().astype(np.uint32))
        parameters.update()
        return mesh
