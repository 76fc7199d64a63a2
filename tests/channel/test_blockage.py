import numpy as np
import pytest

from channel.blockage import Blockers, screen_loss_db
from channel.sionna_adapter import sionna_state
from channel.tr38901 import Tr38901


@pytest.mark.parametrize("held", ["portrait", "landscape"])
def test_losses_equal_sionnas_for_the_same_screens(held):
    """Oracle: Sionna's BlockageModelA with our screens. Catches a wrong sign of an edge, a lost screen, a turned UE."""
    blockers = Blockers.draw(1, indoor_office=False, self_blocking=held, wavelength_m=299_792_458 / 28e9)
    place = np.array([[80.0, 20.0, 1.5]])
    aoa, zoa = np.meshgrid(np.linspace(-180, 180, 121), np.linspace(60, 120, 25))
    aoa, zoa = aoa.ravel()[None], zoa.ravel()[None]
    ours = -10 * np.log10(blockers.passed(place, aoa, zoa))
    with sionna_state(0, precision="double"):
        import torch
        from sionna.phy.channel.tr38901.blockage import BlockageModelA

        from channel.tr38901_tables import _set_topology, _sionna_scenario

        scenario = _sionna_scenario(Tr38901(), 28e9)
        _set_topology(scenario, 10.0, 1.5, np.array([80.0]), [False], [True])
        sionna = BlockageModelA(scenario, held)
        sionna.topology_updated_callback()
        sionna._blocker_phi = torch.tensor(blockers.azimuth_deg(place))[None]
        sionna._blocker_x, sionna._blocker_y = (
            torch.tensor(size)[None, None] for size in (blockers.width_deg, blockers.height_deg)
        )
        theirs = sionna(torch.tensor(aoa)[None, None], torch.tensor(zoa)[None, None])[0].numpy()[0, 0]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert (ours > 1.0).any()


def test_a_screen_blocks_its_middle_and_nothing_far_away():
    """Oracle: knife edges: no loss beyond the screen's angles, the most behind its middle."""
    loss = screen_loss_db(np.array([0.0, 4.0, 20.0]), np.zeros(3), 10.0, 5.0, 10.0, 0.01)
    assert loss[0] > loss[1] > loss[2] == 0.0


def test_blockage_only_takes_power(make_geometry):
    """Property: blocked worlds lose power on average, by less than the user's 30 dB, and change nothing else."""
    place = np.random.default_rng(2).uniform(-800, 800, (200, 2))
    place = place[np.linalg.norm(place, axis=1) > 30]
    geometry = make_geometry(np.column_stack([place, np.full(len(place), 1.5)]))
    gain = {}
    for held in ("none", "portrait"):
        model = Tr38901(blockage=held, los="yes")
        gain[held] = model.realise(geometry, model.start(geometry, 4), 0.0, 4)[0].path_gain[0, :, 0]
    ratio_db = 10 * np.log10(gain["portrait"] / gain["none"])
    assert -12 < ratio_db.mean() < -1
    assert ratio_db.min() > -40
