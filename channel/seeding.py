"""Named random streams: a new stream never shifts an old one, and no global state is touched."""

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

Key = str | int


def _words(key: tuple[Key, ...]) -> tuple[int, ...]:
    words: list[int] = []
    for part in key:
        if isinstance(part, str):
            digest = hashlib.sha256(part.encode()).digest()
            words += [int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")]
        else:
            words += [part & 0xFFFFFFFF, (part >> 32) & 0xFFFFFFFF]
    return tuple(words)


def stream(seed: int, *key: Key) -> "np.random.Generator":
    """Return the generator of one named stream, e.g. ``stream(seed, "fading", slot)``.

    Built by ``SeedSequence(seed, spawn_key=key)``, so equal keys give equal numbers and
    different keys independent ones, in whatever order they are asked for.

    >>> stream(1, "fading", 3).random() == stream(1, "fading", 3).random()
    True
    >>> stream(1, "fading", 3).random() == stream(1, "shadowing", 3).random()
    False
    """
    import numpy as np

    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=_words(key)))


def stream_key(seed: int, *key: Key) -> int:
    """Return a 63-bit integer for one named stream, to seed torch, Sionna or a counter-based generator."""
    text = repr((seed, *key)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1
