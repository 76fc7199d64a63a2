"""Key performance indicators against closed forms worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ran.metrics.figure_style import styled
from ran.metrics.kpis import (
    Kpis,
    NetworkKpis,
    background_rows,
    delay_percentiles_s,
    jain_index,
    kpi_rows,
    measure_kpis,
    network_rows,
    spectral_efficiency,
)
from ran.metrics.network_figures import cell_se_bars, delay_cdf, rate_map, user_se_cdf
from ran.state import CELL_DTYPE, TALLY_DTYPE
from ran.traffic.delay_bins import NUM_BINS
from ran.traffic.ledger import DELAY_DTYPE
from ran.traffic.ledger_kernels import delay_bin

SLICES = ("learning", "traffic")


def histogram_of(delays_s) -> np.ndarray:
    bins = np.zeros(NUM_BINS, np.int64)
    for delay_s in delays_s:
        bins[delay_bin(float(delay_s))] += 1
    return bins


def measured(**changes) -> Kpis:
    """Two cells and four UEs over 2 s of 10 MHz, of which the direction has three quarters; figures easy by hand."""
    tally, delay = np.zeros((4, 2), TALLY_DTYPE), np.zeros((4, 2), DELAY_DTYPE)
    tally["delivered_bytes"][:, 0] = [0, 0, 750_000, 0]
    tally["delivered_bytes"][:, 1] = [750_000, 1_500_000, 1_500_000, 3_000_000]
    tally["blocks"], tally["first_errors"], tally["failures"] = 100, [[12, 8]] * 4, [[0, 1]] * 4
    tally["rank_sum"], tally["prb_slots"] = [[100, 150]] * 4, [[100, 300]] * 4
    cell = np.zeros(2, CELL_DTYPE)
    cell["delivered_bytes"], cell["prb_slots"] = [3_000_000, 4_500_000], [30_000, 75_000]
    delays_s = [[0.010, 0.020], [0.040], [], [0.030, 0.100]]
    histogram = np.zeros((4, 2, NUM_BINS), np.int64)
    for ue, mine in enumerate(delays_s):
        delay["delivered"][ue, 1], delay["delay_sum_s"][ue, 1] = len(mine), sum(mine)
        delay["delay_max_s"][ue, 1] = max(mine, default=0.0)
        histogram[ue, 1] = histogram_of(mine)
    delay["offered_bytes"][:, 1] = 1_000_000
    delay["lost"][0, 1], delay["dropped"][1, 1], delay["late"][3, 1] = 2, 3, 1
    delay["queue_packet_s"][:, 1] = [0.5, 0.25, 0.0, 0.25]
    given_values = {
        "direction": "downlink", "tally": tally, "cell": cell, "delay": delay, "histogram": histogram,
        "slices": SLICES, "bandwidth_hz": 10e6, "duration_s": 2.0, "share": 0.75, "num_prbs": 50, "slots": 3000,
        "ue_energy_j": 3.0, "gnb_energy_j": 120.0,
    }  # fmt: skip
    return measure_kpis(**(given_values | changes))


def test_indicators_by_hand():
    """Oracle: every formula worked by hand: T W = 2 s x 10 MHz x 0.75 = 15e6; 60e6 bits delivered in all."""
    k = measured()
    np.testing.assert_allclose(k.cell_se_bit_s_hz, [24e6 / 15e6, 36e6 / 15e6])
    assert k.mean_cell_se_bit_s_hz == pytest.approx(2.0)
    np.testing.assert_allclose(k.user_se_bit_s_hz, [0.4, 0.8, 1.2, 1.6])
    # Linear interpolation between order statistics: 5 % of three gaps above the lowest.
    assert k.cell_edge_se_bit_s_hz == pytest.approx(0.4 + 0.15 * 0.4)
    assert k.first_bler == pytest.approx(0.1)
    assert k.residual_bler == pytest.approx(4 / 800)
    assert k.mean_rank == pytest.approx(1.25)
    np.testing.assert_allclose(k.prb_utilisation, [0.2, 0.5])
    assert k.jain_index == pytest.approx((1 + 2 + 3 + 4) ** 2 / (4 * (1 + 4 + 9 + 16)))
    assert k.carried_bit_s == pytest.approx(30e6)
    assert k.offered_bit_s == pytest.approx(16e6)
    assert k.ue_energy_j_bit == pytest.approx(3.0 / 60e6)
    assert k.gnb_energy_j_bit == pytest.approx(2e-6)


def test_slices_by_hand():
    """Oracle: by hand: 5 delivered packets of 40 ms on average, 2 lost and 3 dropped; learning has no packets."""
    learning, traffic = measured().slices
    assert (learning.name, traffic.name) == SLICES
    assert learning.carried_bit_s == pytest.approx(3e6)
    assert traffic.carried_bit_s == pytest.approx(27e6)
    assert (learning.offered_bit_s, traffic.offered_bit_s) == (0.0, 16e6)
    assert (learning.first_bler, traffic.first_bler) == (0.12, 0.08)
    assert (learning.residual_bler, traffic.residual_bler) == (0.0, 0.01)
    assert (learning.prb_share, traffic.prb_share) == (0.25, 0.75)
    assert (learning.mean_rank, traffic.mean_rank) == (1.0, 1.5)
    assert traffic.delivered == 5
    assert traffic.delay_mean_s == pytest.approx(0.04)
    assert (traffic.lost_share, traffic.dropped_share, traffic.late_share) == (0.2, 0.3, 0.2)
    assert traffic.delay_max_s == 0.1
    assert traffic.delay_p50_s == pytest.approx(0.03, rel=0.03)
    assert traffic.queue_packets == pytest.approx(0.5)
    for value in (learning.delay_mean_s, learning.delay_p95_s, learning.lost_share, learning.delay_max_s):
        assert math.isnan(value)


def test_nothing_measured_is_not_a_number():
    """Property: empty counters give NaN, never a division error or a zero that looks measured."""
    k = measured(
        tally=np.zeros((4, 2), TALLY_DTYPE), cell=np.zeros(2, CELL_DTYPE), delay=np.zeros((4, 2), DELAY_DTYPE),
        histogram=np.zeros((4, 2, NUM_BINS), np.int64), slots=0, ue_energy_j=math.nan, gnb_energy_j=math.nan,
    )  # fmt: skip
    for value in (k.first_bler, k.residual_bler, k.jain_index, k.ue_energy_j_bit, k.gnb_energy_j_bit):
        assert math.isnan(value)
    assert np.isnan(k.prb_utilisation).all()
    assert (k.cell_se_bit_s_hz == 0).all()
    assert all(text for _, text in kpi_rows(k))


def test_spectral_efficiency_is_bits_over_time_and_bandwidth():
    """Oracle: M.2412's definition: 1 MB in 0.5 s of 20 MHz is 0.8 bit/s/Hz; with half the time, twice that."""
    assert spectral_efficiency(1e6, bandwidth_hz=20e6, duration_s=0.5) == pytest.approx(0.8)
    assert spectral_efficiency(1e6, bandwidth_hz=20e6, duration_s=0.5, share=0.5) == pytest.approx(1.6)


@given(st.lists(st.floats(0.0, 1e9), min_size=1, max_size=30), st.floats(1e-3, 1e3))
def test_jain_index_is_fair(throughput, scale):
    """Properties: between 1/n and 1, blind to scale; 1 for equal shares, k/n where k of n share alike."""
    n = len(throughput)
    if sum(throughput) > 1e-3:
        index = jain_index(throughput)
        assert 1 / n - 1e-9 <= index <= 1 + 1e-9
        assert jain_index(scale * np.array(throughput)) == pytest.approx(index)
    for k in range(1, n + 1):
        assert jain_index([1.0] * k + [0.0] * (n - k)) == pytest.approx(k / n)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.lognormal(math.log(0.02), 1.2, 30_000),
        lambda rng: 2e-3 + rng.exponential(0.05, 30_000),
        lambda rng: np.repeat([1.234e-3, 0.567, 7.89], [10_000, 15_000, 5_000]),
        lambda rng: rng.uniform(1e-4, 3e-4, 30_000),
    ],
    ids=["lognormal", "exponential", "three values", "sub-millisecond"],
)
def test_percentiles_are_within_three_percent(draw):
    """Oracle: numpy.percentile (inverted CDF) of the raw samples."""
    delays_s = draw(np.random.default_rng(3))
    percents = (1.0, 5.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)
    measured_s = delay_percentiles_s(histogram_of(delays_s), percents, float(delays_s.max()))
    expected_s = np.percentile(delays_s, percents, method="inverted_cdf")
    np.testing.assert_allclose(measured_s, expected_s, rtol=0.03)
    assert (np.diff(measured_s) >= 0).all()


def test_percentiles_outside_the_bins():
    """Oracle: by hand: 10 delays below 0.1 ms spread linearly from 0; those beyond 100 s end at the longest."""
    np.testing.assert_allclose(delay_percentiles_s(histogram_of([5e-5] * 10), (50.0, 100.0), 1e-4), [5e-5, 1e-4])
    assert delay_percentiles_s(histogram_of([150.0, 400.0]), (100.0,), 400.0)[0] == pytest.approx(400.0)
    assert np.isnan(delay_percentiles_s(np.zeros(NUM_BINS, np.int64), (50.0,), 0.0)).all()


def test_the_table_says_what_was_measured():
    """Golden rows: labels, units and rounding of the hand-made case."""
    table = kpi_rows(measured())
    rows = dict(table)
    assert rows["cell spectral efficiency"] == "2.000 bit/s/Hz (1.600 to 2.400 over 2 cells)"
    assert rows["  per bandwidth and time"] == "10.0 MHz x 75.0 % of the time"
    assert rows["5th percentile user SE"] == "0.4600 bit/s/Hz of 4 UEs"
    assert rows["throughput"] == "30.0 Mbit/s, 7.50 Mbit/s per UE"
    assert table[4] == ("block error rate", "first 10.0 %, residual 0.5 %")
    assert rows["PRB utilisation"] == "35.0 %"
    assert rows["mean rank"] == "1.25"
    assert rows["energy per bit"] == "UE 0.0500 µJ, gNB 2.00 µJ"
    assert rows["slice learning"] == "carried 3.00 Mbit/s; 25.0 % of the PRBs used"
    assert rows["slice traffic"] == "carried 27.0 Mbit/s of 16.0 Mbit/s offered; 75.0 % of the PRBs used"
    assert rows["  packets"] == "5 packets delivered, late 20.0 %, lost 20.0 %, dropped 30.0 %"
    assert rows["  packet delay"].startswith("mean 40.0 ms, 95 % ")


def network() -> NetworkKpis:
    return NetworkKpis(
        start_s=0.5, duration_s=2.0, num_ues=4, cells_m=np.array([[0.0, 0.0], [200.0, 0.0]]), handovers=3, ping_pongs=1,
        radio_link_failures=0, directions=(measured(), measured(direction="uplink", ue_energy_j=math.nan)),
    )  # fmt: skip


def test_a_network_has_a_column_for_each_direction():
    """Golden rows: heading, values side by side, lines without any value left out, the summary's lines."""
    heading, *rows = network_rows(network())
    assert heading == ("", "downlink", "uplink")
    assert {len(row) for row in rows} == {3}
    values = {label: (down, up) for label, down, up in rows}
    assert values["energy per bit"] == ("UE 0.0500 µJ, gNB 2.00 µJ", "UE -, gNB 2.00 µJ")
    assert sum(label == "  packets" for label, *_ in rows) == 1  # the learning slice has no packets in either
    background = dict(background_rows(network()))
    assert background["traffic, uplink"].startswith(
        "carried 27.0 Mbit/s of 16.0 Mbit/s offered; delay mean 40.0 ms, 95 %"
    )
    assert background["mobility"] == "3 handovers, 1 of them ping-pongs; 0 radio link failures"


def test_json_gives_a_network_back():
    """Property: through JSON text and back nothing changes, NaN and histograms included."""
    import json

    from ran.metrics.files import plain

    before = plain(network().to_json())
    again = NetworkKpis.from_json(json.loads(json.dumps(before)))
    assert plain(again.to_json()) == before
    assert math.isnan(again.directions[1].ue_energy_j_bit)
    np.testing.assert_array_equal(again.directions[0].slices[1].histogram, measured().slices[1].histogram)
    assert again.directions[0].slices[1].histogram.sum() == 5


def test_pictures_show_the_numbers():
    """Properties: axes carry units, curves end at 100 %, the marked percentile and the bars are the record's."""
    from matplotlib.figure import Figure

    k = measured()
    with styled():
        axes = Figure().subplots(1, 3)
        user_se_cdf(axes[0], k)
        delay_cdf(axes[1], k)
        cell_se_bars(axes[2], k, measured(direction="uplink"))
        axes[0].figure.canvas.draw()
    assert axes[0].get_xlabel() == "spectral efficiency (bit/s/Hz)"
    assert axes[0].lines[0].get_ydata()[-1] == 100.0
    assert axes[0].lines[1].get_xdata()[0] == k.cell_edge_se_bit_s_hz
    assert axes[1].get_xlabel().endswith("(ms)")
    assert axes[1].get_xscale() == "log"
    (curve,) = axes[1].lines
    assert curve.get_label() == "traffic"
    assert curve.get_ydata()[[0, -1]].tolist() == [0.0, 100.0]
    assert curve.get_xdata()[-1] == pytest.approx(100.0)
    assert [bar.get_height() for bar in axes[2].patches] == 2 * k.cell_se_bit_s_hz.tolist()
    assert all(panel.get_ylabel() for panel in axes)


def test_the_map_colours_ues_by_their_rate_over_all_slices():
    """Oracle: by hand: UE 0 has 1 and 3 Mbit/s in two slices, UE 1 2 Mbit/s; lines end where the cell is seen."""
    import pandas as pd
    from matplotlib.figure import Figure

    place = {"x_m": [5.0, 5.0, 9.0], "y_m": 1.0, "cell_x_m": 200.0, "cell_y_m": 0.0}
    rows = pd.DataFrame({"ue": [0, 0, 1], "direction": "downlink", "rate_bit_s": [1e6, 3e6, 2e6], **place})
    with styled():
        axes = Figure().subplots()
        rate_map(axes, network(), rows, "downlink")
        axes.figure.canvas.draw()
    lines, dots, cells = axes.collections
    assert dots.get_array().tolist() == [4.0, 2.0]
    assert dots.get_offsets().tolist() == [[5.0, 1.0], [9.0, 1.0]]
    assert cells.get_offsets().tolist() == [[0.0, 0.0], [200.0, 0.0]]
    assert lines.get_segments()[1].tolist() == [[9.0, 1.0], [200.0, 0.0]]


def test_a_picture_without_packets_says_so():
    """Property: no packets, no empty plot."""
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    delay_cdf(axes, measured(delay=np.zeros((4, 2), DELAY_DTYPE)))
    assert [text.get_text() for text in axes.texts] == ["no packet delivered"]
