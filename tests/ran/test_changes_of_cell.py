"""Oracles: hand timelines of what a change of cell does to links, and of how old reports are."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from channel.antenna import AntennaArray
from channel.free_space import FreeSpace
from ran import network as network_module
from ran.air import beams_of
from ran.handover import Handover
from ran.mac.link_adaptation import LinkAdaptation
from ran.mac.slicing import Slice
from ran.network import DIRECTIONS, Network
from ran.traffic import FullBuffer, Poisson
from ran.world import LEARNING, World
from tests.ran.test_network import RESTLESS, mobile_world
from tests.ran.worlds import default_radio, small_world


def reporting(world: World, **adaptation) -> World:
    radio = dataclasses.replace(world.radio, link_adaptation=LinkAdaptation(cqi="unquantised", **adaptation))
    return dataclasses.replace(world, radio=radio)


@pytest.mark.parametrize(
    ("csi", "delay_s", "lag"),
    [("perfect", 9e-3, 0), ("delayed", 0.0, 1), ("delayed", 4e-3, 1), ("delayed", 5e-3, 2), ("delayed", 12e-3, 3)],
)
def test_reports_are_as_old_as_configured(csi, delay_s, lag):
    """Oracle: the beams of the interval ``ceil(delay / 4 ms)`` before, of the first one where there is none."""
    network = Network(reporting(mobile_world(3, handover=Handover(mode="off")), csi=csi, csi_delay_s=delay_s))
    state = network.start()
    snapshots = []
    for index in range(6):
        state.slot = 8 * index  # 4 ms
        air, _ = network.air_at(state)
        snapshots.append(network.snapshot(state, index))
        for snapshot, table in (
            (snapshots[-1], air.downlink.beams),
            (snapshots[max(index - lag, 0)], air.uplink.known),
        ):
            expected = beams_of(network.plan, snapshot, state.serving_cell)
            np.testing.assert_array_equal(table.cross, expected.cross)
    assert (snapshots[0].gain != snapshots[1].gain).any()


def test_nothing_is_sent_during_an_interruption_and_at_once_after_it():
    """Oracle: the timeline. A full buffer is silent from the change of cell until the interruption ends, and only then.

    The outer loop starts again from zero in the new cell, and the beams are those of the new serving cell.
    """
    world = mobile_world(5, cells=3, ues=1, handover=Handover(**RESTLESS, interruption_s=6e-3), interval_s=20e-3,
                         traffic=(FullBuffer(direction="both"),),
                         slices={LEARNING: Slice(share=0.5), "traffic": Slice(share=0.5)})  # fmt: skip
    network = Network(world)
    state = network.start()
    changes, silent_until = 0, 0
    for slot in range(1500):
        handovers, before = int(state.mobility.ue["handovers"][0, 0]), state.downlink.ue["olla_db"][0, 0]
        report = network.step(state)
        if state.mobility.ue["handovers"][0, 0] > handovers:
            changes += before != 0.0
            silent_until = slot + math.ceil(6e-3 / network.plan.slot_s)
            assert [state.link(way).ue["olla_db"][0, 0] for way in DIRECTIONS] == [0.0, 0.0]
            air, _ = network.air_at(state)
            now = network.snapshot(state, world.channel.interval(slot * network.plan.slot_s)[0])
            for table in (air.downlink.beams, air.downlink.known):
                assert (table.neighbours.serving_cell == state.serving_cell).all()
            expected = beams_of(network.plan, now, state.serving_cell)
            np.testing.assert_array_equal(air.downlink.beams.cross, expected.cross)
        for part in (report.downlink, report.uplink):
            if part is not None:
                assert (part.block["prbs"][0, 0] > 0) == (slot >= silent_until)
    assert changes > 10


def test_radio_links_are_judged_by_their_sinr(monkeypatch: pytest.MonkeyPatch):
    """Oracle: by hand; power, gain and the array's gain over noise and what all other cells send at full load."""
    calls = []
    original = network_module.measure

    def spy(*arguments):
        calls.append([np.copy(each) for each in arguments[2:5]])
        return original(*arguments)

    monkeypatch.setattr(network_module, "measure", spy)
    world = mobile_world(4, cells=3, ues=5, handover=Handover(**RESTLESS, interruption_s=0.0))
    array = AntennaArray(rows=1, columns=4, polarization="single")
    world = dataclasses.replace(world, geometry=dataclasses.replace(world.geometry, cell_array=array))
    network = Network(world)
    state = network.start()
    for index in range(3):
        state.slot = 8 * index
        network.air_at(state)
        serving, rsrp_w, sinr = calls[-1]
        gain = network.snapshot(state, index).path_gain[0]
        power_w, noise_w = network.plan.downlink.params["prb_power_w"][0], network.plan.downlink.noise_w
        np.testing.assert_allclose(rsrp_w[0], power_w * gain, rtol=1e-6)
        for ue in range(5):
            own = serving[0, ue]
            others = sum(gain[ue, c] for c in range(3) if c != own)
            assert sinr[0, ue] == pytest.approx(4 * power_w * gain[ue, own] / (noise_w + power_w * others), rel=1e-6)


def test_a_packet_is_there_at_the_end_of_the_slot_that_carried_it():
    """Oracle: by hand. A packet waits for the next slot and is there when it ends, on a link without errors."""
    radio = default_radio(link_adaptation=LinkAdaptation(bler_target=1e-3, cqi="unquantised"))
    small = small_world(ues_per_cell=1, pattern="D", radio=radio)
    flow = Poisson(packets_per_s=20, packet_bytes=200)
    geometry = dataclasses.replace(small.world.geometry, ue_position_m=np.array([[30.0, 0.0, 1.5]]))
    world = dataclasses.replace(
        small.world, geometry=geometry, channel=FreeSpace(), traffic=(flow,),
        slices={LEARNING: Slice(share=0.5), "traffic": Slice(share=0.5)},
    )  # fmt: skip
    network = Network(world)
    state = network.start()
    for _ in range(4000):
        network.step(state)
    counts = state.ledgers["downlink"].delay[0, 0, 1]
    times_s, _ = (
        np.concatenate(parts)
        for parts in zip(*(flow.packets(world.seeds[0], 0, "downlink", window) for window in range(2)), strict=True)
    )
    assert counts["delivered"] == len(times_s) > 20
    slot_s = network.plan.slot_s
    expected_s = (np.ceil(times_s / slot_s) + 1) * slot_s - times_s
    assert counts["delay_sum_s"] == pytest.approx(expected_s.sum(), rel=1e-6)
