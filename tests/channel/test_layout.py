import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from channel.errors import UserError
from channel.layout import LAYOUTS, PLACEMENTS, Disc, ExplicitLayout, ExplicitPlacement, Hexagonal


@pytest.mark.parametrize(("num_sites", "rings"), [(1, []), (7, [1.0] * 6), (19, [1.0] * 6 + [3**0.5, 2.0] * 6)])
def test_hexagonal_rings(num_sites, rings):
    """Oracle: distances of a hexagonal lattice: 6 at 1, 6 at sqrt 3, 6 at 2 inter-site distances."""
    place = Hexagonal(num_sites=num_sites, inter_site_distance_m=500.0).sites().position_m / 500.0
    np.testing.assert_allclose(sorted(np.linalg.norm(place, axis=1)), [0.0, *sorted(rings)], atol=1e-9)
    if num_sites > 1:
        between = np.linalg.norm(place[:, None] - place[None], axis=-1)
        np.testing.assert_allclose(np.where(between < 1e-6, np.inf, between).min(axis=1), 1.0)


def test_three_sectors_share_a_site_and_look_at_neighbours():
    """Oracle: TR 38.901 clause 7.2 boresights; on the 3GPP grid a neighbour stands on every boresight."""
    layout = Hexagonal(num_sites=7, sectors=3, inter_site_distance_m=200.0)
    sites = layout.sites()
    assert layout.num_cells == len(sites.position_m) == 21
    np.testing.assert_allclose(np.degrees(sites.azimuth_rad[:3]), [30, 150, 270])
    np.testing.assert_array_equal(sites.position_m[0::3], sites.position_m[2::3])
    look = 200 * np.stack([np.cos(sites.azimuth_rad[:3]), np.sin(sites.azimuth_rad[:3])], axis=-1)
    nearest = np.linalg.norm(look[:, None] - sites.position_m, axis=-1).min(axis=1)
    np.testing.assert_allclose(nearest, 0.0, atol=1e-9)


def test_defaults_need_no_arguments():
    """Oracle: the scenario schema's defaults. UEs of the default world stand inside the one sector's beam."""
    sites = LAYOUTS.get("hexagonal")().sites()
    ues = PLACEMENTS.get("disc")().positions(200, sites, np.random.default_rng(0))
    assert len(sites.position_m) == 1
    assert np.abs(np.arctan2(ues[:, 1], ues[:, 0])).max() <= np.radians(60) + 1e-12


def test_explicit_layout_keeps_what_it_is_given():
    """Oracle: the input. Catches degrees kept as radians."""
    sites = ExplicitLayout(positions_m=[[0, 0], [100, -50]], azimuths_deg=[90, 180]).sites()
    np.testing.assert_allclose(sites.position_m, [[0, 0], [100, -50]])
    np.testing.assert_allclose(sites.azimuth_rad, [np.pi / 2, np.pi])
    np.testing.assert_allclose(ExplicitLayout(positions_m=[[0, 0]]).sites().azimuth_rad, [0.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExplicitLayout(positions_m=[[0, 0]], azimuths_deg=[1, 2]), "1 positions_m but 2 azimuths_deg; give"),
        (lambda: ExplicitLayout(positions_m=[]), "at least 1 item"),
        (lambda: ExplicitLayout(positions_m=[[0, float("nan")]]), "finite number"),
        (lambda: Hexagonal(num_sites=3), "1, 7 or 19"),
        (lambda: Disc(min_distance_m=100, max_distance_m=50), "less than max_distance_m"),
        (lambda: Disc(sector_deg=0), "the width of a sector"),
    ],
)
def test_bad_parameters_are_refused(make, message):
    """Oracle: the message names what is wrong."""
    with pytest.raises(ValidationError, match=message):
        make()


def test_explicit_placement_needs_one_position_per_ue():
    """Oracle: the message names both counts and the remedy."""
    placement = ExplicitPlacement(positions_m=[[1, 2], [3, 4]])
    sites = Hexagonal().sites()
    np.testing.assert_allclose(placement.positions(2, sites, np.random.default_rng(0)), [[1, 2], [3, 4]])
    with pytest.raises(UserError, match=r"has 2 positions but ues.count is 3; give one position for each UE"):
        placement.positions(3, sites, np.random.default_rng(0))


@settings(max_examples=30, deadline=None)
@given(
    num_sites=st.sampled_from([1, 7, 19]),
    sectors=st.sampled_from([1, 3]),
    sector_deg=st.floats(5.0, 360.0),
    num_ues=st.integers(1, 60),
    near_m=st.floats(0.0, 60.0),
    seed=st.integers(0, 2**32),
)
def test_disc_holds_its_promises(num_sites, sectors, sector_deg, num_ues, near_m, seed):
    """Property: on its ring, within its sector, spread evenly, and never too near to any site."""
    sites = Hexagonal(num_sites=num_sites, sectors=sectors).sites()
    disc = Disc(min_distance_m=near_m, max_distance_m=150.0, sector_deg=sector_deg)
    ues = disc.positions(num_ues, sites, np.random.default_rng(seed))
    all_around = sector_deg == 360.0
    home = np.arange(num_ues) % (num_sites if all_around else num_sites * sectors) * (sectors if all_around else 1)
    offset = ues - sites.position_m[home]
    assert (np.linalg.norm(offset, axis=1) <= 150.0 + 1e-6).all()
    assert (np.linalg.norm(ues[:, None] - sites.position_m, axis=-1) >= near_m - 1e-6).all()
    away = np.angle(np.exp(1j * (np.arctan2(offset[:, 1], offset[:, 0]) - sites.azimuth_rad[home])))
    assert (np.abs(away) <= np.radians(sector_deg / 2) + 1e-9).all()


def test_disc_is_uniform_in_area():
    """Oracle: squared distance and angle are uniform (KS). Catches a radius drawn uniformly."""
    disc = Disc(min_distance_m=20.0, max_distance_m=200.0, sector_deg=360.0)
    ues = disc.positions(3000, Hexagonal().sites(), np.random.default_rng(1))
    squared = (np.linalg.norm(ues, axis=1) ** 2 - 20**2) / (200**2 - 20**2)
    assert stats.kstest(squared, "uniform").pvalue > 0.01
    assert stats.kstest(np.arctan2(ues[:, 1], ues[:, 0]) / (2 * np.pi) + 0.5, "uniform").pvalue > 0.01


def test_disc_without_room_says_so():
    """Oracle: sites 10 m apart leave no place 50 m away from all within 51 m of one. Catches an endless loop."""
    sites = Hexagonal(num_sites=19, inter_site_distance_m=10.0).sites()
    with pytest.raises(UserError, match="lower min_distance_m"):
        Disc(min_distance_m=50.0, max_distance_m=51.0, sector_deg=360.0).positions(8, sites, np.random.default_rng(0))
