"""Oracles: conservation of bytes over handovers, queueing theory, and the same world run alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channel.antenna import AntennaArray
from channel.rayleigh import Rayleigh
from ran.handover import Handover
from ran.mac import SCHEDULERS
from ran.mac.harq import Harq
from ran.mac.slicing import Slice
from ran.network import DIRECTIONS, Network, NetworkState
from ran.rlc import Rlc
from ran.simulation import Simulation
from ran.state import IDLE
from ran.traffic import Poisson
from ran.traffic.traffic import Traffic
from ran.transfer import Transfer
from ran.world import LEARNING, World
from tests.ran.worlds import default_radio, small_world

RESTLESS = {"offset_db": 0.0, "hysteresis_db": 0.0, "time_to_trigger_s": 0.0, "filter_coefficient": 0}


def mobile_world(
    seed: int, *, cells: int = 3, ues: int = 4, handover: Handover | None = None, traffic: tuple[Traffic, ...] = (),
    slices: dict[str, Slice] | None = None, rlc: Rlc | None = None, seeds: tuple[int, ...] | None = None,
    interval_s: float = 4e-3, scheduler: str = "proportional_fair", **harq,
) -> World:  # fmt: skip
    """Return cells 80 m apart whose flat fading alone, redrawn every few slots, makes another cell the strongest."""
    small = small_world(cells=cells, ues_per_cell=1, scheduler=scheduler)
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(cells) / cells
    geometry = dataclasses.replace(
        small.world.geometry,
        cell_array=AntennaArray(rows=1, columns=1, polarization="single"),
        cell_position_m=np.stack([50 * np.cos(angle), 50 * np.sin(angle), np.full(cells, 10.0)], axis=1),
        ue_position_m=np.column_stack([rng.uniform(-60, 60, (ues, 2)), np.full(ues, 1.5)]),
        ue_velocity_m_s=np.zeros((ues, 3)),
    )
    return dataclasses.replace(
        small.world, geometry=geometry, channel=Rayleigh(coherence_interval_s=interval_s, path_loss_exponent=3.0),
        seeds=seeds or (seed,), handover=handover or Handover(**RESTLESS, interruption_s=0.0), traffic=traffic,
        slices=slices or {LEARNING: Slice(share=1.0)},
        radio=default_radio(rlc=rlc or Rlc(), harq=Harq(**harq), gnb_tx_power_dbm=-5.0, ue_tx_power_dbm=-5.0),
    )  # fmt: skip


def check_bytes(state: NetworkState) -> None:
    """Every enqueued byte of a bearer is unsent, on a HARQ process, in a range to be sent again, arrived or lost."""
    for way in DIRECTIONS:
        link = state.link(way)
        for ue in range(link.ue.shape[1]):
            nack = link.nack[0, ue][: link.ue["nack_count"][0, ue]]
            harq = link.harq[0, ue]
            busy = harq[(harq["status"] != IDLE) & (harq["ack"] == 0)]
            for k in range(link.bearer.shape[2]):
                row = link.bearer[0, ue, k]
                # A block that RLC UM gave up waits for its feedback, but its bytes are counted as lost.
                on_air = busy[busy["bearer"] == k]
                again = nack[nack["bearer"] == k]["payload"].sum()
                unsent = row["enqueued"] - row["sent"]
                assert min(row["delivered"], row["lost"], unsent) >= 0
                assert row["delivered"] + row["lost"] + on_air["payload"].sum() + again + unsent == row["enqueued"]


RANDOM_WORLDS = given(
    seed=st.integers(0, 100_000), cells=st.integers(2, 4), interruption_s=st.sampled_from([0.0, 2e-3, 10e-3]),
    failing=st.booleans(), attempts=st.integers(1, 4), feedback=st.integers(1, 8), mode=st.sampled_from(["am", "um"]),
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@RANDOM_WORLDS
def test_no_byte_is_lost_or_created_across_changes_of_cell(**world):
    """Property on random worlds in which UEs change cells every few slots, with radio link failures in half.

    Under RLC AM what arrives is what was sent; under UM every byte arrived unchanged or lies in a declared gap of
    zeros. Catches HARQ buffers dropped or sent twice at a handover, and ranges booked to the wrong bearer.
    """
    check_what_arrives(**world)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@RANDOM_WORLDS
def test_no_byte_is_lost_or_created_in_many_more_worlds(**world):
    """Property: the same, for interactions that a hundred worlds may not have."""
    check_what_arrives(**world)


def check_what_arrives(seed, cells, interruption_s, failing, attempts, feedback, mode):
    """Send some kilobytes both ways in such a world and compare them with what arrived and what was counted."""
    failures = {"qout_db": 10.0, "qin_db": 10.0, "t310_s": 8e-3, "reestablishment_s": 3e-3} if failing else {}
    world = mobile_world(
        seed, cells=cells, ues=2, handover=Handover(**RESTLESS, interruption_s=interruption_s, **failures),
        rlc=Rlc(mode=mode, status_slots=3, give_up_s=0.6), max_attempts=attempts, feedback_slots=feedback,
    )  # fmt: skip
    simulation = Simulation(world)
    state = simulation.start()
    rng = np.random.default_rng(seed)
    transfers = [
        Transfer(ue, way, rng.integers(1, 256, rng.integers(1, 20_000), np.uint8).tobytes(), 0.0)
        for ue in range(2) for way in DIRECTIONS
    ]  # fmt: skip
    exchange = simulation.deliver(state, transfers)
    for transfer, delivery in zip(transfers, exchange.deliveries, strict=True):
        tally = exchange.downlink if transfer.direction == "downlink" else exchange.uplink
        if delivery.payload is None:
            assert delivery.done_s - delivery.start_s >= 0.6 - 1e-6
            continue
        expected = bytearray(transfer.payload)
        for start, stop in delivery.gaps:
            expected[start:stop] = bytes(stop - start)
        assert delivery.payload == bytes(expected)
        assert (mode == "um" and tally["lost_bytes"][transfer.ue] > 0) == bool(delivery.gaps)
        wire = world.radio.rlc.stream_bytes(len(transfer.payload))
        assert tally["delivered_bytes"][transfer.ue] + tally["lost_bytes"][transfer.ue] == wire


def test_those_worlds_really_change_cells():
    """Property: the worlds above are not vacuous: handovers and failures happen, and blocks are in flight then."""
    world = mobile_world(1, handover=Handover(**RESTLESS, interruption_s=2e-3, qout_db=10, qin_db=10, t310_s=8e-3))
    simulation = Simulation(world)
    state = simulation.start()
    simulation.deliver(state, [Transfer(ue, "uplink", bytes(30_000), 0.0) for ue in range(4)])
    assert state.mobility.ue["handovers"].sum() > 10
    assert state.mobility.ue["failures"].sum() > 0


@pytest.mark.parametrize("mode", ["am", "um"])
def test_traffic_keeps_its_accounts_across_changes_of_cell(mode):
    """Property: packets offered = delivered + lost + waiting, and every bearer's bytes add up, while UEs hop cells."""
    flows = (Poisson(packets_per_s=150, packet_bytes=900, direction="both"),)
    slices = {LEARNING: Slice(share=0.5), "traffic": Slice(share=0.5, rlc_mode=mode)}
    world = mobile_world(
        7, traffic=flows, slices=slices, handover=Handover(**RESTLESS, interruption_s=2e-3), max_attempts=2
    )
    network = Network(world)
    state = network.start()
    for _ in range(1500):
        network.step(state)
    assert state.mobility.ue["handovers"].sum() > 100
    for way in DIRECTIONS:
        ledger, link = state.ledgers[way], state.link(way)
        waiting = ledger.queue["count"]
        counts = ledger.delay
        assert (counts["offered"] == counts["delivered"] + counts["lost"] + counts["dropped"] + waiting).all()
        assert (counts["arrived_bytes"] == link.bearer["delivered"]).all()
        assert (counts["lost_bytes"] == link.bearer["lost"]).all()
        assert counts["delivered"].sum() > 100
        assert (counts["lost"].sum() > 0) == (mode == "um")


def test_replicas_with_handover_and_traffic_equal_worlds_run_alone():
    """Oracle: worlds of one replica, with fading, handovers, queues and HARQ. Catches anything shared."""
    flows = (Poisson(packets_per_s=150, packet_bytes=900, direction="both"),)
    slices = {LEARNING: Slice(share=0.5), "traffic": Slice(share=0.5)}
    seeds = (3, 4, 5)
    common = {"traffic": flows, "slices": slices, "handover": Handover(**RESTLESS, interruption_s=2e-3)}

    def arrays(world):
        network = Network(world)
        state = network.start()
        for _ in range(400):
            network.step(state)
        return state.arrays()

    together = arrays(mobile_world(1, seeds=seeds, **common))
    for b, seed in enumerate(seeds):
        for name, array in arrays(mobile_world(1, seeds=(seed,), **common)).items():
            if array.ndim > 1 and "position" not in name:
                assert together[name][b].tobytes() == array[0].tobytes(), (seed, name)


def fields(array: np.ndarray) -> list[bytes]:
    """Return the bits of every field: what lies between fields is nobody's."""
    return [array[name].tobytes() for name in array.dtype.names] if array.dtype.names else [array.tobytes()]


def test_a_state_that_was_copied_replays_the_same_slots():
    """Oracle: the first pass. A network holds no state: rewound to a copy, it hands over and delivers alike.

    Catches air or beams kept from another state's serving cells.
    """
    flows = (Poisson(packets_per_s=150, packet_bytes=900, direction="both"),)
    slices = {LEARNING: Slice(share=0.5), "traffic": Slice(share=0.5)}
    network = Network(mobile_world(3, traffic=flows, slices=slices, interval_s=5e-3))
    state = network.start()
    for stop in (7, 60, 133):
        while state.slot < stop:
            network.step(state)
        saved = {name: array.copy() for name, array in state.arrays().items()}
        passes = []
        for _ in range(2):
            state.restore({name: array.copy() for name, array in saved.items()})
            for _ in range(50):
                network.step(state)
            passes.append({name: fields(array) for name, array in state.arrays().items()})
        assert passes[0] == passes[1]
    assert state.mobility.ue["handovers"].sum() > 10


def queue_world(load: float, packet_sdus: int, seed: int) -> tuple[World, float]:
    """Return a one-UE world of constant rate with Poisson packets of that load, and the service time of a packet."""
    small = small_world(ues_per_cell=1, pattern="D", loss_db=(70, 70.001), flat=True)
    rlc = Rlc()
    radio = default_radio(
        link_adaptation=small.world.radio.link_adaptation.model_copy(update={"bler_target": 1e-3}), rlc=rlc
    )
    geometry = dataclasses.replace(small.world.geometry, ue_position_m=np.array([[30.0, 0.0, 1.5]]))
    from channel.free_space import FreeSpace

    slices = {LEARNING: Slice(share=0.5), "traffic": Slice(share=0.5)}
    base = dataclasses.replace(
        small.world, radio=radio, geometry=geometry, channel=FreeSpace(), seeds=(seed,), slices=slices,
        scheduler=SCHEDULERS.get("round_robin")(),
    )  # fmt: skip
    from ran.traffic import FullBuffer

    network = Network(dataclasses.replace(base, traffic=(FullBuffer(),)))
    state = network.start()
    for _ in range(2000):
        network.step(state)
    before = int(state.downlink.bearer["delivered"][0, 0, 1])
    for _ in range(2000):
        network.step(state)
    rate = (int(state.downlink.bearer["delivered"][0, 0, 1]) - before) / 2000  # bytes per slot
    size = packet_sdus * rlc.sdu_bytes
    service_s = size / rate * network.plan.slot_s
    flow = Poisson(packets_per_s=load / service_s, packet_bytes=size)
    return dataclasses.replace(base, traffic=(flow,)), service_s


def mean_delay_s(world: World, duration_s: float) -> tuple[float, np.ndarray]:
    network = Network(world)
    state = network.start()
    for _ in range(math.ceil(duration_s / network.plan.slot_s)):
        network.step(state)
    counts = state.ledgers["downlink"].delay[0, 0, 1]
    arrivals = [
        world.traffic[0].packets(world.seeds[0], 0, "downlink", window)[0] for window in range(math.ceil(duration_s))
    ]
    times_s = np.concatenate(arrivals)
    return counts["delay_sum_s"] / counts["delivered"], times_s[: counts["delivered"]]


@pytest.mark.parametrize("load", [pytest.param(0.5, marks=pytest.mark.slow), 0.8])
def test_packets_wait_as_in_an_m_d_1_queue(load):
    """Oracle: Lindley's recursion of the deterministic server on the same Poisson arrivals, within 3 %."""
    world, service_s = queue_world(load, 110, seed=5)
    got_s, arrival_s = mean_delay_s(world, 25.0)
    wait_s, waits = 0.0, []
    for gap_s in np.diff(arrival_s, prepend=arrival_s[0]):
        wait_s = max(0.0, wait_s - gap_s + (service_s if waits else 0.0))
        waits.append(wait_s)
    assert len(waits) > 500
    assert got_s == pytest.approx(service_s + np.mean(waits), rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("load", [0.5, 0.7, 0.8])
def test_mean_delay_is_that_of_m_d_1(load):
    """Oracle: the Pollaczek-Khinchine formula, W = D + rho D / (2 (1 - rho)), within 3 %, over 40,000 packets."""
    world, service_s = queue_world(load, 110, seed=9)
    got_s, arrival_s = mean_delay_s(world, 40_000 * service_s / load)
    assert len(arrival_s) > 35_000
    assert got_s == pytest.approx(service_s + load * service_s / (2 * (1 - load)), rel=0.03)
