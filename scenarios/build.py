"""From a scenario to a world: positions drawn, units converted to SI, policies wired."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from channel.geometry import Geometry
from channel.seeding import stream
from channel.units import thermal_noise_w
from ran.nodes import assign
from ran.numerology import Numerology
from ran.world import LEARNING, Radio, World

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.mac.slicing import Slice
    from ran.nodes import DeviceProfile
    from scenarios.schema import Scenario


def build_world(scenario: Scenario) -> World:
    """Return the world of a scenario; equal scenarios give equal worlds."""
    numerology = Numerology.of(
        scenario.radio.carrier_hz,
        scenario.radio.bandwidth_hz,
        scenario.radio.subcarrier_spacing_hz,
        scenario.radio.tdd_pattern,
        duplex=scenario.radio.duplex,
        overhead=scenario.radio.overhead,
        rbg_configuration=scenario.radio.rbg_configuration,
    )
    mac = scenario.mac
    return World(
        numerology=numerology,
        geometry=_geometry(scenario, numerology),
        channel=scenario.channel,
        seeds=(scenario.seed,),
        scheduler=mac.scheduler,
        radio=Radio(
            gnb_tx_power_dbm=scenario.sites.gnb.tx_power_dbm,
            ue_tx_power_dbm=scenario.ues.tx_power_dbm,
            link_adaptation=mac.link_adaptation,
            harq=mac.harq,
            power_control=mac.power_control,
            rlc=scenario.traffic.rlc,
            mimo=mac.mimo,
            precoder=mac.precoder,
            interfering_cells=scenario.radio.interfering_cells,
        ),
        devices=_devices(scenario),
        gnb_power=scenario.sites.gnb.power,
        slices=_slices(scenario),
        traffic=scenario.traffic.flows,
        handover=mac.handover,
        fidelity=mac.fidelity,
        sharing=mac.slice_shares,
        round_s=scenario.learning.round_deadline_s or math.inf,
        torch_device=scenario.device,
        threads=scenario.radio.threads,
    )


def _slices(scenario: Scenario) -> dict[str, Slice]:
    """Return the learning slice, then those that some flow uses: a slice without bearers would only cost time."""
    used = {flow.slice for flow in scenario.traffic.flows}
    slices = scenario.mac.slices
    return {LEARNING: slices[LEARNING]} | {name: part for name, part in slices.items() if name in used}


def _devices(scenario: Scenario) -> list[DeviceProfile]:
    """Return every UE's device: of the mix, or all alike."""
    ues = scenario.ues
    return assign(ues.devices, ues.count, scenario.seed) if ues.devices else [ues.device] * ues.count


def _geometry(scenario: Scenario, numerology: Numerology) -> Geometry:
    gnb, ues, seed = scenario.sites.gnb, scenario.ues, scenario.seed
    sites = scenario.sites.layout.sites(stream(seed, "layout"))
    ground_m = ues.placement.positions(ues.count, sites, stream(seed, "placement"))
    trajectory = ues.mobility.trajectory(_at_height(ground_m, ues.height_m), sites.area, seed)
    return Geometry(
        carrier_hz=numerology.carrier_hz,
        subband_frequency_hz=np.array(numerology.rbg_frequency_hz()),
        cell_position_m=_at_height(sites.position_m, gnb.height_m),
        cell_azimuth_rad=sites.azimuth_rad,
        cell_downtilt_rad=math.radians(gnb.downtilt_deg),
        cell_array=gnb.antenna,
        ue_array=ues.antenna,
        ue_position_m=trajectory.position_at(0.0),
        ue_velocity_m_s=trajectory.velocity_at(0.0),
        ue_noise_psd_w_hz=thermal_noise_w(1.0, ues.noise_figure_db),
        gnb_noise_psd_w_hz=thermal_noise_w(1.0, gnb.noise_figure_db),
        trajectory=trajectory,
        wraparound_m=sites.wraparound_m,
    )


def _at_height(ground_m: NDArray[np.float64], height_m: float) -> NDArray[np.float64]:
    return np.column_stack([ground_m, np.full(len(ground_m), height_m)])
