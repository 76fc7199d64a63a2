import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from channel.errors import UserError
from channel.free_space import FreeSpace
from channel.geometry import nearest_image
from channel.layout import LAYOUTS, PLACEMENTS, Disc, ExplicitLayout, ExplicitPlacement, Hexagonal, Sites
from channel.layouts import Grid, IndoorOffice, Poisson
from channel.placement import AreaPlacement


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
        (lambda: Poisson(density_per_km2=1e4, radius_m=10e3), "lower one of them"),
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


@pytest.mark.parametrize("num_sites", [1, 7, 19])
def test_wraparound_makes_all_sites_alike(num_sites):
    """Oracle: on a torus every site has the same distances to all others: 6 at one inter-site distance from 7 sites on.

    Catches translations that overlap or leave gaps, and the mirrored tiling mixed with this one.
    """
    sites = Hexagonal(num_sites=num_sites, inter_site_distance_m=500.0, wraparound="geometric").sites()
    distance = np.sort(sites.distance_m(sites.position_m), axis=1) / 500.0
    np.testing.assert_allclose(distance, np.broadcast_to(distance[0], distance.shape), atol=1e-9)
    assert np.count_nonzero(np.abs(distance[0] - 1.0) < 1e-9) == (6 if num_sites > 1 else 0)


@pytest.mark.parametrize(("num_sites", "num_rings"), [(7, 1), (19, 2)])
def test_wraparound_equals_sionnas(num_sites, num_rings):
    """Oracle: Sionna 2.2's seven images of our sites (its translations belong to our grid's orientation)."""
    import torch
    from sionna.sys.topology import _tr38901_virtual_bs_locations, _tr38901_wrap_vectors

    sites = Hexagonal(num_sites=num_sites, inter_site_distance_m=200.0, wraparound="geometric").sites()
    ue = np.pad(sites.area.draw(300, np.random.default_rng(2)), ((0, 0), (0, 1)))
    images = _tr38901_wrap_vectors(num_rings, 200.0, torch.float64, "cpu")
    seen = _tr38901_virtual_bs_locations(torch.tensor(ue)[None], torch.tensor(sites.position_m), 0.0, images)[0, ::3]
    np.testing.assert_allclose(sites.distance_m(ue[:, :2]), np.linalg.norm(seen.numpy() - ue, axis=-1).T, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=2), st.sampled_from([7, 19]))
def test_nearest_image_is_the_shortest(offset, num_sites):
    """Property: a whole number of translations away, and no longer than any of the 49 images around the result."""
    period = Hexagonal(num_sites=num_sites, wraparound="geometric").sites().wraparound_m
    nearest = nearest_image(np.array([offset]), period)[0]
    steps = np.linalg.solve(period.T, np.array(offset) - nearest)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-6)
    around = np.array([(a, b) for a in range(-3, 4) for b in range(-3, 4)]) @ period
    assert np.linalg.norm(nearest) <= np.linalg.norm(nearest + around, axis=1).min() + 1e-6


def test_geometry_wraps_for_every_channel(make_geometry):
    """Oracle: a UE beyond the rim is at its image: equal Friis gains. Catches path loss to the cell's own place."""
    layout = Hexagonal(num_sites=7, inter_site_distance_m=200.0, wraparound="geometric")
    sites = layout.sites()
    cells = np.column_stack([sites.position_m, np.full(7, 10.0)])
    ue = np.array([[30.0, 40.0, 1.5]])
    beyond = ue + np.append(2 * sites.wraparound_m[0] - sites.wraparound_m[1], 0.0)
    gains = []
    for place in (ue, beyond):
        made = make_geometry(place, cell_position_m=cells, azimuth_deg=np.zeros(7))
        wrapped = type(made)(**{**made.__dict__, "wraparound_m": sites.wraparound_m})
        there = wrapped.cell_virtual_position() + wrapped.offset_at(0.0)
        np.testing.assert_allclose(there, np.repeat(place[:, None], 7, 1))
        gains.append(FreeSpace().realise(wrapped, None, 0.0, 0)[0].path_gain)
    np.testing.assert_allclose(gains[0], gains[1], rtol=1e-4)


def test_grid_and_office():
    """Oracle: TR 38.901 table 7.2-2 and its figure (12 sites 20 m apart in 120 m x 50 m); a centred grid."""
    office = IndoorOffice(sectors=3)
    sites = office.sites()
    assert office.num_cells == len(sites.position_m) == 36
    np.testing.assert_allclose(sites.position_m[[0, 33]], [[10, 15], [110, 35]])
    np.testing.assert_allclose(sites.area.bounds_m, [[0, 0], [120, 50]])
    grid = Grid(rows=2, columns=3, inter_site_distance_m=100.0).sites()
    np.testing.assert_allclose(grid.position_m, [(x, y) for y in (-50, 50) for x in (-100, 0, 100)])


def test_poisson_counts_and_places():
    """Oracle: a Poisson count (mean = variance) and uniform places (KS). Catches a fixed count and uniform radii."""
    layout = Poisson(density_per_km2=30.0, radius_m=500.0)
    drops = [layout.sites(np.random.default_rng(i)).position_m for i in range(600)]
    counts = np.array([len(drop) for drop in drops])
    mean = 30e-6 * np.pi * 500**2
    assert abs(counts.mean() - mean) < 4 * np.sqrt(mean / 600)
    assert 0.8 < counts.var() / mean < 1.2
    squared = np.concatenate([np.sum(drop**2, axis=1) for drop in drops[:100]]) / 500**2
    assert stats.kstest(squared, "uniform").pvalue > 0.01
    assert layout.num_cells == round(mean)


@pytest.mark.parametrize("layout", [Hexagonal(num_sites=7), Grid(), IndoorOffice(), Poisson(radius_m=800.0)])
def test_area_placement_fills_the_area(layout):
    """Property: within the bounds, away from all sites, and within the hexagons where there are hexagons."""
    sites = layout.sites(np.random.default_rng(5))
    ues = AreaPlacement(min_distance_m=8.0).positions(300, sites, np.random.default_rng(6))
    low, high = sites.area.bounds_m
    assert (ues >= low - 1e-9).all()
    assert (ues <= high + 1e-9).all()
    nearest = sites.distance_m(ues).min(axis=1)
    assert nearest.min() >= 8.0
    if isinstance(layout, Hexagonal):
        assert nearest.max() <= 200.0 / np.sqrt(3) + 1e-9
        inside = np.mean(nearest < 100.0)  # the inscribed circle's share of a hexagon, less the hole
        assert abs(inside - np.pi / (2 * np.sqrt(3))) < 4 * np.sqrt(0.09 * 0.91 / 300)


def test_area_placement_needs_room():
    """Oracle: the message names the remedy."""
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match=r"choose ues\.placement disc or explicit"):
        AreaPlacement().positions(1, ExplicitLayout(positions_m=[[0, 0]]).sites(), rng)
    with pytest.raises(UserError, match="lower min_distance_m"):
        AreaPlacement(min_distance_m=500.0).positions(3, Hexagonal().sites(), rng)
    bare = Sites(position_m=np.zeros((1, 2)), azimuth_rad=np.zeros(1))
    with pytest.raises(UserError, match="span an area"):
        AreaPlacement().positions(1, bare, rng)
