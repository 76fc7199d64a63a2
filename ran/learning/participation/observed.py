"""What a learned allocation sees of a round and what its action means: one layout for environments and scenarios."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from ran.learning.participation.levels import LEVELS
from ran.observed import Field, pack, unpack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

FADE = 0.859
"""What is left, after a round without a UE, of what it taught: fitted, see ``agents.rounds.curve``."""

_ABSENT_DB = -100.0


@dataclass(frozen=True)
class RoundSeen:
    """What is known of the UEs when a round starts; [batch, num_ues] unless said otherwise.

    Attributes:
        there: which of them can take part.
        snr: of the uplink at full power over the whole band, linear.
        usual_snr: the same without the fading of the moment.
        compute_s, compute_j: of local training at the full clock.
        samples: training samples.
        known: how well what each taught is remembered, 0 to 1.
        accuracy: of the global model, [batch].
        left: part of all rounds that is left, [batch].
    """

    there: NDArray[np.bool_]
    snr: Values
    usual_snr: Values
    compute_s: Values
    compute_j: Values
    samples: Values
    known: Values
    accuracy: Values
    left: Values


@dataclass(frozen=True)
class RoundDecision:
    """What an action says; [batch, num_ues] unless said otherwise.

    Attributes:
        chosen: who takes part; one at least, where anybody is there.
        lean_db: of everybody's band over the share with which all would finish together.
        power_db: over the most power, at most 0.
        clock: part of the highest.
        level: of compression, a place in LEVELS, [batch].
    """

    chosen: NDArray[np.bool_]
    lean_db: Values
    power_db: Values
    clock: Values
    level: NDArray[np.int64]


@dataclass(frozen=True)
class RoundLayout:
    """How a round becomes an observation, and numbers become an allocation.

    Attributes:
        ues: most of them; they are numbered from the one that trains fastest, and those that are not there come last.
    """

    ues: int

    def blocks(self) -> tuple[Field, ...]:
        """Return the observation, block by block."""
        return (
            Field("snr", "dB", -20, 60, "of each UE at full power over the whole band", self.ues),
            Field("usual_snr", "dB", -20, 60, "the same without this round's fading", self.ues),
            Field("compute_time", "log10 s", -4, 0, "of each UE's local training at its full clock", self.ues),
            Field("compute_energy", "log10 J", -4, 0, "likewise", self.ues),
            Field("samples", "1", 0, 500, "of each UE", self.ues),
            Field("known", "1", 0, 1, "how well what each UE taught is remembered", self.ues),
            Field("there", "1", 0, 1, "whether there is such a UE", self.ues),
            Field("accuracy", "1", 0, 1, "of the global model"),
            Field("left", "1", 0, 1, "part of the episode's rounds that is left"),
        )

    def acts(self) -> tuple[Field, ...]:
        """Return the action, block by block."""
        return (
            Field("part", "1", -1, 1, "the UE takes part where this is positive, or the highest", self.ues),
            Field("bandwidth", "dB", -6, 6, "over the share with which all finish together", self.ues),
            Field("power", "dB", -20, 0, "of each UE over its most", self.ues),
            Field("clock", "1", 0.2, 1, "of each UE over its highest", self.ues),
            Field("compression", "1", 0, len(LEVELS), "level, rounded down: 32, 8, 1.45, 0.45 bits a parameter"),
        )

    def values(self, seen: RoundSeen) -> dict[str, Values]:
        """Return the observation by block, [batch, count] each; of UEs that are not there the least."""
        import numpy as np

        absent_db = _ABSENT_DB * ~seen.there
        return {
            "snr": 10 * np.log10(seen.snr) + absent_db,
            "usual_snr": 10 * np.log10(seen.usual_snr) + absent_db,
            "compute_time": np.log10(np.maximum(seen.compute_s, 1e-9)),
            "compute_energy": np.log10(np.maximum(seen.compute_j, 1e-9)),
            "samples": seen.samples,
            "known": seen.known,
            "there": seen.there.astype(np.float64),
            "accuracy": seen.accuracy[:, None],
            "left": seen.left[:, None],
        }

    def pack(self, seen: RoundSeen) -> NDArray[np.float32]:
        """Return the observation, in [-1, 1], float32 [batch, size]."""
        return pack(self.blocks(), self.values(seen))

    def decision(self, action: NDArray[np.float32], there: NDArray[np.bool_]) -> RoundDecision:
        """Return what an action [batch, size] in [-1, 1] says of UEs of which some are ``there``."""
        import numpy as np

        done = unpack(self.acts(), action)
        score = np.where(there, done["part"], -np.inf)
        chosen = there & ((score > 0) | (np.arange(self.ues) == score.argmax(axis=1)[:, None]))
        level = np.minimum(done["compression"][:, 0].astype(np.int64), len(LEVELS) - 1)
        return RoundDecision(chosen, done["bandwidth"], done["power"], done["clock"], level)

    def ranked(self, seen: RoundSeen) -> tuple[RoundSeen, NDArray[np.int64]]:
        """Return what is seen of one replica's UEs in the layout's order, and which UE is at each place, [num_ues].

        Places beyond the UEs that are there hold nobody.
        """
        import numpy as np

        order = np.argsort(np.where(seen.there[0], seen.compute_s[0], np.inf), kind="stable")
        order = order[: int(seen.there[0].sum())]
        assert len(order) <= self.ues, "more UEs than the layout has places"
        moved = {}
        for each in fields(RoundSeen):
            value = getattr(seen, each.name)
            if value.ndim == 2:
                moved[each.name] = np.zeros((1, self.ues), value.dtype)
                moved[each.name][0, : len(order)] = value[0, order]
        for name in ("snr", "usual_snr"):
            moved[name][0, len(order) :] = 1.0
        return replace(seen, **moved), order
