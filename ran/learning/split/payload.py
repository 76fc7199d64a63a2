"""One message across a cut as bytes: a tensor, and what must go with it, each part of it counted on its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ran.learning.compression.layout import CorruptPayload, Layout, Reader, num_kept, unwarned
from ran.learning.compression.none import NoCompression
from ran.learning.compression.top_k import TopK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.compression.compressor import Compressor

_BYTES = {"none": 4, "fp16": 2, "bf16": 2, "int8": 1, "fp8": 1}
_PER_SAMPLE = ("int8", "fp8")
_SLOT = "error"


@dataclass(frozen=True)
class Payload:
    """What crosses a cut at a time; the radio carries ``size_bytes``.

    Shapes need no byte: the batch size and the number of tokens are the scheduler's, as transport block sizes are.

    Attributes:
        tensor: the compressor's bytes of activations or gradients.
        value_bytes: those of them that are values, exactly B L d times a value's bytes (top_k: 4 k).
        masks: a bit a token, where the receiver is to run layers that look at masks.
        labels: the fewest whole bytes a label, where the receiver is to know the loss.
        losses: 2 bytes a sample (half precision), where the UE is to filter its samples and does not know them.
    """

    tensor: bytes
    value_bytes: int
    masks: bytes = b""
    labels: bytes = b""
    losses: bytes = b""

    @property
    def scale_bytes(self) -> int:
        """Bytes of scales or positions."""
        return len(self.tensor) - self.value_bytes

    @property
    def size_bytes(self) -> int:
        """All bytes."""
        return len(self.tensor) + len(self.masks) + len(self.labels) + len(self.losses)

    @property
    def content(self) -> bytes:
        """The bytes themselves."""
        return self.tensor + self.masks + self.labels + self.losses


def encode_tensor(
    values: torch.Tensor,
    compressor: Compressor,
    rng: np.random.Generator,
    memory: Arrays,
    rows: Sequence[int],
) -> tuple[Payload, Arrays]:
    """Return a batch's tensor as bytes, and what the sender remembers of each sample once they have arrived.

    Args:
        values: float32 [num_samples, ...].
        compressor: one of TENSOR_COMPRESSORS.
        rng: for rounding at random.
        memory: errors by row of the training set, as this function returned them; a row that it lacks has none.
        rows: of the samples, all different.
    """
    if isinstance(compressor, NoCompression):
        # The safetensors header would name what both sides know.
        return Payload(values.detach().cpu().numpy().tobytes(), 4 * values.numel()), memory
    arrays = _named(values.detach().cpu().numpy(), compressor)
    layout = Layout.of(arrays)
    known: Arrays = {}
    if compressor.remembers:
        known = {f"{_SLOT}/{at:06d}": memory[str(row)] for at, row in enumerate(rows) if str(row) in memory}
    with unwarned():
        body, left = compressor.encode(layout, layout.join(arrays), known, rng, 0)
    if compressor.remembers:
        memory = memory | {str(row): left[f"{_SLOT}/{at:06d}"].copy() for at, row in enumerate(rows)}
    return Payload(body, value_bytes(compressor, values.numel())), memory


def decode_tensor(payload: Payload, compressor: Compressor, shape: Sequence[int]) -> torch.Tensor:
    """Return what arrives, float32 of ``shape``; raises CorruptPayload where the bytes are no such tensor."""
    if isinstance(compressor, NoCompression):
        if len(payload.tensor) != 4 * math.prod(shape):
            raise CorruptPayload(f"{tuple(shape)} floats are not {len(payload.tensor)} bytes")
        return torch.frombuffer(bytearray(payload.tensor), dtype=torch.float32).reshape(tuple(shape))
    form: NDArray[np.float32] = np.broadcast_to(np.float32(0), tuple(shape))
    layout, reader = Layout.of(_named(form, compressor)), Reader(payload.tensor)
    with unwarned():
        values, _ = compressor.decode(layout, reader, {}, 0)
    reader.finish()
    # What was taken from the payload as it is may not be written to.
    return torch.from_numpy(np.require(values, requirements="W").reshape(tuple(shape)))


def value_bytes(compressor: Compressor, num_values: int) -> int:
    """Return the bytes of ``num_values`` numbers, scales and positions not counted."""
    if isinstance(compressor, TopK):
        return 4 * num_kept(compressor.density, num_values)
    return _BYTES[compressor.name] * num_values


def _named(values: NDArray[np.float32], compressor: Compressor) -> Arrays:
    """Return the samples as arrays of their own where each has a scale or an error, in their order."""
    if compressor.name in _PER_SAMPLE or compressor.remembers:
        return {f"{at:06d}": sample for at, sample in enumerate(values)}
    return {"": values}


def pack_labels(labels: torch.Tensor, num_classes: int) -> bytes:
    """Return labels, 0 .. num_classes-1 or negative for none, in 1, 2 or 4 bytes each, whichever is enough."""
    values = np.maximum(labels.cpu().numpy(), -1) + 1
    return values.astype(_label_dtype(num_classes)).tobytes()


def unpack_labels(packed: bytes, like: torch.Tensor, num_classes: int, ignored: int) -> torch.Tensor:
    """Return the labels that ``pack_labels`` packed, ``ignored`` for none, in the shape of ``like``."""
    dtype = _label_dtype(num_classes)
    if len(packed) != like.numel() * np.dtype(dtype).itemsize:
        raise CorruptPayload(f"{like.numel()} labels of {np.dtype(dtype).itemsize} bytes are not {len(packed)} bytes")
    values = np.frombuffer(packed, dtype).astype(np.int64).reshape(tuple(like.shape)) - 1
    return torch.from_numpy(np.where(values < 0, ignored, values)).to(like.device)


def _label_dtype(num_classes: int) -> str:
    return "<u1" if num_classes < 2**8 else "<u2" if num_classes < 2**16 else "<u4"
