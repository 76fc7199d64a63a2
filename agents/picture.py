"""Pictures of environments: as arrays, on the screen, as films."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.environment import Environment

_SIZE_INCHES, _DPI = (8.0, 4.5), 100


def picture(environment: Environment, state: Any, replica: int) -> NDArray[np.uint8]:
    """Return one replica as a picture, uint8 [450, 800, 3]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    environment.draw(state, replica, figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write_film(path: Path, images: Sequence[NDArray[np.uint8]], fps: float) -> None:
    """Write pictures as an animated GIF."""
    from PIL import Image

    frames = [Image.fromarray(image) for image in images]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=int(1000 / fps), loop=0)


class Screen:
    """A window that shows one picture after another; without a display it stays away."""

    def __init__(self) -> None:
        self._shown: Any = None

    def show(self, image: NDArray[np.uint8], fps: float) -> None:
        """Show a picture and wait for a frame."""
        import matplotlib
        from matplotlib import pyplot

        if matplotlib.get_backend().lower() in {"agg", "pdf", "ps", "svg", "cairo"}:
            return
        if self._shown is None:
            figure = pyplot.figure(figsize=_SIZE_INCHES, dpi=_DPI)
            self._shown = figure.add_axes((0, 0, 1, 1)).imshow(image)
            self._shown.axes.set_axis_off()
        self._shown.set_data(image)
        pyplot.pause(1 / fps)

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._shown is not None:
            from matplotlib import pyplot

            pyplot.close(self._shown.figure)
            self._shown = None
