import numpy as np
import pytest
from scipy.special import j0

from channel.antenna import AntennaArray, UeArray
from channel.cdl import Cdl
from channel.seeding import stream_key
from channel.sionna_adapter import sionna_state
from channel.tdl import Tdl
from channel.units import SPEED_OF_LIGHT_M_S

WAVELENGTH_M = SPEED_OF_LIGHT_M_S / 3.5e9


def many(make_geometry, num, **settings):
    """Return ``num`` UEs 100 m from their cell that walk east at 1 m/s."""
    angle = np.linspace(0, 2 * np.pi, num, endpoint=False)
    ues = np.column_stack([100 * np.cos(angle), 100 * np.sin(angle), np.full(num, 10.0)])
    return make_geometry(ues, ue_velocity_m_s=(1.0, 0, 0), **settings)


def test_tdl_taps_follow_clarke(make_geometry):
    """Oracle: J0(2 pi f_D t) to its first zero within 0.05 for rich scattering, and equal power of all UEs' mean."""
    geometry = many(make_geometry, 800)
    model = Tdl(profile="A", path_loss_exponent=2.0, coherence_interval_s=1e-4)
    times = np.linspace(0, 0.4, 5) * WAVELENGTH_M
    h = [model.realise(geometry, "cpu", t, 1)[0].paths.gain[0, :, 0, 0, 0] for t in times]
    power = np.sum(np.abs(h[0]) ** 2)
    assert power / 800 == pytest.approx((WAVELENGTH_M / (4 * np.pi * 100)) ** 2, rel=0.05)
    for k, moved in enumerate(np.linspace(0, 0.4, 5)):
        assert abs(np.sum(h[k] * np.conj(h[0])) / power - j0(2 * np.pi * moved)) < 0.05


@pytest.mark.parametrize(("profile", "delay_spread_s"), [("A", 100e-9), ("C", 300e-9), ("D", 30e-9)])
def test_tdl_profiles_have_their_delay_spread(make_geometry, profile, delay_spread_s):
    """Oracle: the profile's rms delay spread from the mean powers of its taps (clause 7.7.3), within 8 %."""
    geometry = many(make_geometry, 400)
    paths = Tdl(profile=profile, delay_spread_s=delay_spread_s).realise(geometry, "cpu", 0.0, 2)[0].paths
    power = np.mean(np.abs(paths.gain[0, :, 0, 0, 0]) ** 2, axis=0)
    delay, share = paths.delay_s[0, 0, 0], power / power.sum()
    spread = np.sqrt(share @ delay**2 - (share @ delay) ** 2)
    # TDL-D's spread is that of table 7.7.2-4: scaled delays of 1 include the specular path.
    assert spread == pytest.approx(delay_spread_s, rel=0.08)


def test_tdl_antennas_of_a_ue_are_independent_and_equal(make_geometry):
    """Oracle: 800 links of unit power: correlations of a tap below 4 / sqrt(n), powers within 4 / sqrt(n)."""
    geometry = many(make_geometry, 800, ue_array=UeArray(antennas=4))
    paths = Tdl(profile="B", path_loss_exponent=2.0).realise(geometry, "cpu", 0.0, 4)[0].paths
    tap = paths.gain[0, :, :, 0, 0, 0].T  # [antenna, num_ues]
    covariance = tap @ tap.conj().T / 800
    assert np.abs(covariance / np.trace(covariance) * 4 - np.eye(4)).max() < 4 / np.sqrt(800)


@pytest.mark.parametrize(
    ("ue_array", "sionnas"),
    [
        (UeArray(), (1, "single", "V", 0.5)),
        (UeArray(antennas=2, spacing_wavelengths=0.8), (2, "single", "V", 0.8)),
        (UeArray(antennas=4, polarization="dual"), (2, "dual", "VH", 0.5)),
    ],
)
def test_cdl_equals_sionnas_own_call(make_geometry, ue_array, sionnas):
    """Oracle: Sionna's CDL sampled at rate 1/t with the UE's real velocity, UE towards +x as in our worlds.

    Catches a displacement of wrong sign, antennas in another order or mixed up with cells, and a UE's row along
    another axis.
    """
    geometry = many(
        make_geometry, 3, array=AntennaArray(rows=2, columns=2), ue_array=ue_array,
        cell_position_m=[(0, 0, 10), (900, 0, 10)], azimuth_deg=[0, 0],
    )  # fmt: skip
    model = Cdl(profile="C", path_loss_exponent=2.0, coherence_interval_s=0.05)
    ours = model.realise(geometry, "cpu", 0.05, 3)[0].paths.gain[0]  # [3, num_rx_ant, 2, num_tx_ant, num_paths]
    with sionna_state(stream_key(3, "cdl"), precision="double"):
        from sionna.phy.channel.tr38901 import CDL, PanelArray

        columns, polarization, kind, spacing = sionnas
        cell = PanelArray(2, 2, "dual", "cross", "38.901", 3.5e9)
        ue = PanelArray(1, columns, polarization, kind, "omni", 3.5e9, element_horizontal_spacing=spacing)
        towards_x = {"ut_velocity": np.array([1.0, 0, 0]), "ut_orientation": np.zeros(3)}
        theirs = CDL("C", 100e-9, 3.5e9, ut_array=ue, bs_array=cell, **towards_x)(6, 2, 20.0)[0]
        theirs = theirs[:, 0, :, 0, ..., 1].numpy()
    scale = WAVELENGTH_M / (4 * np.pi) / np.linalg.norm(geometry.offset_at(0.05), axis=-1)  # [num_ues, num_cells]
    theirs = scale[:, :, None, None, None] * theirs.reshape(3, 2, *theirs.shape[1:])
    for cell in range(2):
        np.testing.assert_allclose(ours[:, :, cell], theirs[:, cell], atol=1e-5 * np.abs(ours[:, :, cell]).max())
