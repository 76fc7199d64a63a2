"""Oracles: hand-made channels, and the same greedy rule in NumPy with zero-forcing gains from a pseudo-inverse."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ran.mac.pairing_kernels import pair_users


@dataclass
class Cell:
    """One call of the kernel; by default one cell and group, UE 0 scheduled, everyone waiting, equal weights."""

    h: np.ndarray  # [batch, groups, num_ues, num_tx_ant]
    owner: np.ndarray  # [batch, cells, groups, streams]
    members: np.ndarray
    need_bits: np.ndarray
    pending: np.ndarray
    weight: np.ndarray
    noise_w: np.ndarray
    power_w: float = 1.0
    correlation_limit: float = 0.5

    @staticmethod
    def of(channels: list[list[complex]], *, streams: int = 2, noise_w: float = 0.01) -> Cell:
        return Cell.batch(np.array(channels, np.complex64)[None, None], streams=streams, noise_w=noise_w)

    @staticmethod
    def batch(h: np.ndarray, *, streams: int, noise_w: float = 0.01) -> Cell:
        batch, groups, ues, _ = h.shape
        owner = np.full((batch, 1, groups, streams), -1, np.int32)
        owner[..., 0] = 0
        members = np.tile(np.array([ues, *range(ues)], np.int32), (batch, 1, 1))
        return Cell(
            h, owner, members, np.full((batch, ues), 1e9), np.full((batch, ues), -1, np.int64), np.ones((batch, ues)),
            np.full((batch, ues, groups), noise_w, np.float32),
        )  # fmt: skip

    def pair(self, peak: float = 7.4) -> list[int]:
        """Run the kernel; return the streams of the first group."""
        prbs = np.full(self.owner.shape[2], 4)
        pair_users(
            self.owner, self.h, self.members, self.need_bits, self.pending, self.weight, self.noise_w, self.power_w,
            self.correlation_limit, prbs, 120.0, peak,
        )  # fmt: skip
        return self.owner[0, 0, 0].tolist()


def test_orthogonal_users_share_a_group_and_parallel_ones_do_not():
    """Oracle: by hand; UE 1 is parallel to UE 0, UE 2 orthogonal and a little weaker than UE 1."""
    assert Cell.of([[1, 0], [2j, 0], [0, 0.9]]).pair() == [0, 2]
    assert Cell.of([[1, 0], [2j, 0]]).pair() == [0, -1]


def test_the_correlation_limit_is_respected():
    """Oracle: correlation 0.6 by hand, whatever the norms; refused at a limit of 0.59, taken at 0.61."""
    cell = Cell.of([[1, 0], [1.8j, 2.4]])
    assert replace(cell, correlation_limit=0.59).pair() == [0, -1]
    assert replace(cell, correlation_limit=0.61).pair() == [0, 1]


def test_power_that_must_be_shared_can_forbid_pairing():
    """Oracle: at SNR 0.2 log2(1.2) = 0.263 beats log2(1.1) = 0.138 plus a weak partner's; at SNR 100 pairing wins."""
    channels = [[1, 0], [0, 0.5]]
    assert Cell.of(channels, noise_w=5.0).pair() == [0, -1]
    assert Cell.of(channels, noise_w=0.01).pair() == [0, 1]


def test_the_scheduled_ue_counts_though_it_waits_for_nothing_new():
    """Oracle: unlisted UE 0 at SNR 0.2: 2 log2(1.1) = 0.275 beats log2(1.2) = 0.263; its SNR is 100 in replica 0."""
    cell = Cell.batch(np.tile(np.eye(2, dtype=np.complex64), (2, 1, 1, 1)), streams=2)
    cell.noise_w[1] = 5.0
    cell.members[1, 0, :2] = [1, 1]
    cell.pair()
    assert cell.owner[1, 0, 0].tolist() == [0, 1]


def test_the_peak_efficiency_bounds_what_a_stream_is_worth():
    """Oracle: two partners orthogonal to UE 0, of which only the price differs once both reach the highest MCS."""
    cell = Cell.of([[1, 0], [0, 10], [0, 5]])
    cell.weight[0] = [1.0, 1.0, 1.1]
    assert cell.pair(peak=30.0) == [0, 1]
    assert cell.pair(peak=5.0) == [0, 2]


def test_weights_decide():
    """Oracle: of two equal partners the dearer one; at equal prices the one listed first."""
    cell = Cell.of([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert cell.pair() == [0, 1]
    cell.weight[0, 2] = 1.01
    assert cell.pair() == [0, 2]


def test_need_is_reduced_by_what_the_group_carries_and_ends_pairing():
    """Oracle: orthogonal unit channels, two streams: log2(1 + 0.5 / 0.01) * 120 * 4 bits a group, by hand."""
    cell = Cell.batch(np.tile(np.eye(2, dtype=np.complex64), (1, 5, 1, 1)), streams=2)
    bits = np.log2(51.0) * 480
    cell.need_bits[0, 1] = 2.5 * bits
    cell.pair()
    assert cell.owner[0, 0, :, 1].tolist() == [1, 1, 1, -1, -1]
    assert cell.need_bits[0].tolist() == pytest.approx([1e9, -0.5 * bits], rel=1e-5)


@pytest.mark.parametrize("process", [0, 3, -2])
def test_a_ue_with_a_block_to_retransmit_is_not_added(process):
    """Property: pending >= 0 and -2 exclude; -1 does not; the scheduled UE may itself be retransmitting."""
    cell = Cell.of([[1, 0], [0, 1]])
    cell.pending[0] = [process, -1]
    assert cell.pair() == [0, 1]
    cell.pending[0, 1] = process
    assert cell.pair() == [0, -1]


def test_groups_without_an_owner_or_with_a_dead_one_stay_as_they_are():
    """Property: streams 1.. are cleared, nobody joins nobody, and a channel of zeros is no candidate."""
    cell = Cell.of([[1, 0], [0, 1], [0, 0]], streams=3)
    cell.owner[..., :] = [-1, 7, 7]
    assert cell.pair() == [-1, -1, -1]
    cell.owner[..., :] = [2, 7, 7]
    assert cell.pair() == [2, -1, -1]
    cell.owner[..., 0] = 0
    assert cell.pair() == [0, 1, -1]


def gains(h: np.ndarray) -> np.ndarray:
    """Zero-forcing gains 1 / ||column of the pseudo-inverse||^2, [streams]."""
    return 1 / np.linalg.norm(np.linalg.pinv(h), axis=0) ** 2


def value(cell: Cell, b: int, r: int, group: list[int], peak: float) -> tuple[float, np.ndarray]:
    snr = cell.power_w / len(group) * gains(cell.h[b, r, group].astype(complex)) / cell.noise_w[b, group, r]
    rate = np.minimum(np.log2(1 + snr), peak)
    return float(cell.weight[b, group] @ rate), rate


def reference(cell: Cell, peak: float) -> np.ndarray:
    """The rule, written for reading: all candidates tried, the best kept while the value grows."""
    owner = cell.owner.copy()
    need = cell.need_bits.copy()
    batch, cells, groups, streams = owner.shape
    for b, c, r in np.ndindex(batch, cells, groups):
        group = [int(owner[b, c, r, 0])]
        while group[0] >= 0 and len(group) < streams:
            best, best_value = None, value(cell, b, r, group, peak)[0]
            for u in cell.members[b, c, 1 : cell.members[b, c, 0] + 1].tolist():
                unit = [cell.h[b, r, v] / np.linalg.norm(cell.h[b, r, v]) for v in (u, *group)]
                near = max(abs(unit[0] @ v.conj()) for v in unit[1:])
                lawful = u not in group and need[b, u] > 0 and cell.pending[b, u] == -1
                if lawful and near < cell.correlation_limit:
                    total = value(cell, b, r, [*group, u], peak)[0]
                    if total > best_value:
                        best, best_value = u, total
            if best is None:
                break
            group.append(best)
        if group[0] >= 0:
            rate = value(cell, b, r, group, peak)[1]
            need[b, group[1:]] -= rate[1:] * 480
            owner[b, c, r] = group + [-1] * (streams - len(group))
    return owner


def random_network(seed: int, *, batch: int, cells: int, per_cell: int, streams: int) -> Cell:
    """Cells of UEs 40 dB apart, some of them not waiting or retransmitting, some groups idle."""
    rng = np.random.default_rng(seed)
    ues, groups, antennas = cells * per_cell, 4, 6
    shape = (batch, groups, ues, antennas)
    amplitude = 10 ** rng.uniform(-6, -4, (batch, 1, ues, 1))
    h = ((rng.normal(size=shape) + 1j * rng.normal(size=shape)) * amplitude).astype(np.complex64)
    members = np.zeros((batch, cells, ues + 1), np.int32)
    owner = np.full((batch, cells, groups, streams), -1, np.int32)
    for c in range(cells):
        members[:, c, 0] = per_cell
        members[:, c, 1 : per_cell + 1] = np.arange(c * per_cell, (c + 1) * per_cell)
        owner[:, c, :, 0] = c * per_cell + rng.integers(0, per_cell, (batch, groups))
    owner[rng.random(owner.shape) < 0.1] = -1
    return Cell(
        h, owner, members, rng.uniform(-500, 5000, (batch, ues)), rng.choice([-1, -1, -1, 2, -2], (batch, ues)),
        rng.uniform(0.3, 3.0, (batch, ues)), rng.uniform(1e-12, 1e-10, (batch, ues, groups)).astype(np.float32),
        correlation_limit=float(rng.uniform(0.3, 1.0)),
    )  # fmt: skip


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000), batch=st.integers(1, 2), cells=st.integers(1, 2), per_cell=st.integers(1, 7),
    streams=st.integers(1, 4),
)  # fmt: skip
def test_random_networks_are_paired_by_the_rule(seed, batch, cells, per_cell, streams):
    """Oracle: ``reference``; with two streams it is a search over all partners. And nobody is twice in a group."""
    cell = random_network(seed, batch=batch, cells=cells, per_cell=per_cell, streams=streams)
    expected = reference(cell, 7.4)
    cell.pair()
    assert (cell.owner == expected).all()
    for group in cell.owner.reshape(-1, streams):
        used = group[group >= 0]
        assert len(set(used)) == len(used)


def test_a_replica_is_paired_as_if_alone():
    """Property: replica b of a batch equals the same replica by itself, needs included."""
    cell = random_network(3, batch=4, cells=2, per_cell=6, streams=4)
    fields = ("h", "owner", "members", "need_bits", "pending", "weight", "noise_w")
    alone = [replace(cell, **{name: getattr(cell, name)[b : b + 1].copy() for name in fields}) for b in range(4)]
    cell.pair()
    for b, single in enumerate(alone):
        single.pair()
        assert (single.owner[0] == cell.owner[b]).all()
        assert (single.need_bits[0] == cell.need_bits[b]).all()
