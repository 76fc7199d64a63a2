import numpy as np
import pytest

from channel.outdoor_to_indoor import DEVIATION_DB, penetration_loss_db, wall_loss_db
from channel.sionna_adapter import sionna_state
from channel.tr38901 import Tr38901


@pytest.mark.parametrize("carrier_ghz", [3.5, 28.0])
@pytest.mark.parametrize("version", ["16.1", "19.2"])
def test_wall_losses_equal_the_formulas(carrier_ghz, version):
    """Oracle: TR 38.901 7.4.3 written out in linear units. Catches swapped shares, hertz for gigahertz, a lost 5 dB."""
    f = carrier_ghz
    coated = 25.4 + 0.11 * f if version == "19.2" else 23 + 0.3 * f
    low = 0.3 * 10 ** -((2 + 0.2 * f) / 10) + 0.7 * 10 ** -((5 + 4 * f) / 10)
    high = 0.7 * 10 ** -(coated / 10) + 0.3 * 10 ** -((5 + 4 * f) / 10)
    assert wall_loss_db("low", f * 1e9, version) == pytest.approx(5 - 10 * np.log10(low), abs=1e-9)
    assert wall_loss_db("high", f * 1e9, version) == pytest.approx(5 - 10 * np.log10(high), abs=1e-9)
    assert wall_loss_db("legacy", f * 1e9, version) == 20.0


@pytest.mark.parametrize("model", ["low", "high"])
@pytest.mark.parametrize("version", ["16.1", "19.2"])
def test_losses_equal_sionnas_at_28_ghz(model, version):
    """Oracle: Sionna's O2I loss without its random part, 28 GHz, 10 m inside."""
    with sionna_state(1, precision="double"):
        from sionna.phy.channel import tr38901

        omni = tr38901.PanelArray(1, 1, "single", "V", "omni", 28e9)
        sionna = tr38901.UMi(28e9, model, omni, omni, "downlink", spec_version=version)
        one, zero = np.array([[[90.0, 0, 1.5]]]), np.zeros((1, 1, 3))
        sionna.set_topology(
            one, np.array([[[0, 0, 10.0]]]), zero, zero, zero, np.ones((1, 1), bool), distance_2d_in=np.array([[10.0]])
        )
        sampler = sionna._lsp_sampler
        sampler._sample_o2i_penetration_random = lambda deviation: 0.0
        theirs = float(sampler._o2i_low_loss() if model == "low" else sampler._o2i_high_loss())
    ours = penetration_loss_db(model, 28e9, version, np.array([10.0]), np.array([0.0]))[0]
    assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("model", ["low", "high"])
def test_indoor_ues_lose_what_the_wall_takes(make_geometry, model):
    """Oracle: the wall, 0.5 dB per metre inside and 4.4 or 6.5 dB between buildings, against the same world outdoors.

    Shadowing is taken out; without line of sight both have the same path loss.
    """
    place = np.random.default_rng(1).uniform(-4000, 4000, (800, 2))
    place = place[np.linalg.norm(place, axis=1) > 50]
    ues = np.column_stack([place, np.full(len(place), 1.5)])
    geometry = make_geometry(ues, carrier_hz=28e9)
    loss_db = []
    for fraction in (0.0, 1.0):
        component = Tr38901(los="no", indoor_fraction=fraction, o2i_model=model)
        world = component.start(geometry, 2)
        links = world.large_scale.at(np.arange(len(ues)), ues, geometry.offset_at(0.0))
        loss_db.append(links.shadowing_db[:, 0, 1] - 10 * np.log10(links.gain[:, 0, 1]))
    inside = world.large_scale.indoor_distance_m
    rest_db = loss_db[1] - loss_db[0] - 0.5 * inside - wall_loss_db(model, 28e9, "19.2")
    assert inside.mean() == pytest.approx(25 / 3, abs=0.8)  # the smaller of two uniform to 25 m
    assert abs(rest_db.mean()) < 0.8
    assert rest_db.std() == pytest.approx(DEVIATION_DB[model], rel=0.1)
