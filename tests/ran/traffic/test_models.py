"""Traffic models: rates, windows and distributions."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from ran.traffic import TRAFFIC, Cbr, Ftp3, FullBuffer, Poisson, Xr, flow_problems
from ran.traffic.traffic import WINDOW_S, Traffic

NAMES = TRAFFIC.names()


def run(flow: Traffic, seed: int, ue: int, windows: int, first: int = 0):
    """Return times and sizes over a row of windows, joined."""
    parts = [flow.packets(seed, ue, "downlink", window) for window in range(first, first + windows)]
    return np.concatenate([times for times, _ in parts]), np.concatenate([sizes for _, sizes in parts])


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), ue=st.integers(0, 500), window=st.integers(0, 10**7))
def test_a_window_depends_on_its_arguments_alone(name, seed, ue, window):
    """Properties: pure; ascending float64 times inside the window; positive int64 sizes; UEs and directions differ."""
    flow = TRAFFIC.get(name)()
    times_s, sizes = flow.packets(seed, ue, "downlink", window)
    flow.packets(seed, ue, "downlink", window + 1)
    again_s, same = flow.packets(seed, ue, "downlink", window)
    assert (times_s == again_s).all()
    assert (sizes == same).all()
    assert times_s.dtype == np.float64
    assert sizes.dtype == np.int64
    assert (np.diff(times_s) >= 0).all()
    assert ((times_s >= window * WINDOW_S) & (times_s < (window + 1) * WINDOW_S)).all()
    assert (sizes > 0).all()
    if len(times_s) > 3:
        for other in (flow.packets(seed, ue + 1, "downlink", window), flow.packets(seed, ue, "uplink", window)):
            assert not np.array_equal(times_s, other[0])


@pytest.mark.parametrize("name", NAMES)
def test_models_travel(name):
    """Properties: YAML and pickle round trips give an equal component; a registry field accepts the bare name."""
    flow = TRAFFIC.get(name)()
    assert pickle.loads(pickle.dumps(flow)) == flow
    values = flow.model_dump(mode="json")
    assert values.pop("name") == name
    assert type(flow).model_validate(values) == flow


@pytest.mark.parametrize(
    ("flow", "rate", "size"),
    [(Poisson(packets_per_s=40.0), 40.0, 1500), (Ftp3(files_per_s=0.7), 0.7, 500_000)],
    ids=["poisson", "ftp3"],
)
def test_poisson_counts_have_mean_and_variance_of_the_rate(flow, rate, size):
    """Oracle: a Poisson count has mean = variance = rate x time; 4-sigma intervals over 5,000 windows of 10 UEs.

    Gaps between arrivals, across window borders too, are exponential (Kolmogorov-Smirnov).
    """
    assert flow.offered_bit_s() == 8 * rate * size
    counts = np.array([[len(flow.packets(7, ue, "downlink", w)[0]) for w in range(500)] for ue in range(10)])
    n = counts.size
    assert abs(counts.mean() - rate) < 4 * math.sqrt(rate / n)
    # Variance of the sample variance of a Poisson count: (rate + 2 rate^2) / n.
    assert abs(counts.var() - rate) < 4 * math.sqrt((rate + 2 * rate**2) / n)
    times_s, sizes = run(flow, 7, 3, 500)
    assert (sizes == size).all()
    gaps_s = np.diff(times_s)
    assert stats.kstest(gaps_s, stats.expon(scale=1 / rate).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("rate_bit_s", "packet_bytes"), [(1e6, 1250), (1.3e6, 777), (2000.0, 600)])
def test_cbr_is_strictly_periodic_across_windows(rate_bit_s, packet_bytes):
    """Oracle: gaps are 8 bytes / rate throughout 50 windows, also where a period is longer than a window."""
    flow = Cbr(rate_bit_s=rate_bit_s, packet_bytes=packet_bytes)
    period_s = 8 * packet_bytes / rate_bit_s
    times_s, sizes = run(flow, 3, 1, 50)
    assert 0 <= times_s[0] < period_s
    np.testing.assert_allclose(np.diff(times_s), period_s, rtol=1e-9)
    assert abs(len(times_s) - 50 / period_s) <= 1
    assert (sizes == packet_bytes).all()
    late_s, _ = run(flow, 3, 1, 20, first=10**6)
    np.testing.assert_allclose(np.diff(late_s), period_s, rtol=1e-6)
    phases = np.array([run(flow, 3, ue, 3)[0][0] / period_s for ue in range(200)])
    assert stats.kstest(phases, "uniform").pvalue > 1e-3


def test_xr_frames_are_neither_lost_nor_doubled_at_window_borders():
    """Oracle: frames arrive in order (jitter +-4 ms, spacing 16.7 ms), so frame n is the n-th arrival of a long run.

    Its distance from n / 60 is phase + jitter + 4 ms, and within 8 ms for all n: a lost or doubled frame shifts
    all that follow by 16.7 ms.
    """
    flow = Xr()
    for ue in range(30):
        times_s, _ = run(flow, 11, ue, 40)
        offset_s = times_s - np.arange(len(times_s)) / 60.0
        assert np.ptp(offset_s) <= 8e-3 + 1e-9
        assert abs(len(times_s) - 40 * 60) <= 1


@pytest.mark.parametrize(
    "flow",
    [Xr(), Xr(rate_bit_s=100e6, size_std=0.6, size_min=0.25, size_max=3.0, frame_rate_hz=90, jitter_std_s=5e-3)],
    ids=["tr38838", "skewed"],
)
def test_xr_sizes_and_jitter_are_truncated_gaussians(flow):
    """Oracle: SciPy's truncnorm: limits, mean and std of sizes, std of jitter (4 sigma), and the offered load."""
    count, sizes, jitter_s = 0, [], []
    for ue in range(20):
        times_s, frame_bytes = run(flow, 5, ue, 40)
        sizes.append(frame_bytes)
        offset_s = times_s - np.arange(len(times_s)) / flow.frame_rate_hz
        jitter_s.append(offset_s - offset_s.mean())
        count += len(times_s)
    mean_bytes = flow.rate_bit_s / (8 * flow.frame_rate_hz)
    size = np.concatenate(sizes) / mean_bytes
    low, high = (flow.size_min - 1) / flow.size_std, (flow.size_max - 1) / flow.size_std
    oracle = stats.truncnorm(low, high, loc=1.0, scale=flow.size_std)
    assert size.min() >= flow.size_min - 1e-4
    assert size.max() <= flow.size_max + 1e-4
    assert abs(size.mean() - oracle.mean()) < 4 * oracle.std() / math.sqrt(count)
    assert size.std() == pytest.approx(oracle.std(), rel=4 * math.sqrt((oracle.stats("k") + 2) / (4 * count)))
    assert flow.offered_bit_s() == pytest.approx(flow.rate_bit_s * oracle.mean(), rel=1e-9)
    limit = flow.jitter_limit_s / flow.jitter_std_s
    jitter = stats.truncnorm(-limit, limit, scale=flow.jitter_std_s)
    measured = np.concatenate(jitter_s)
    assert measured.std() == pytest.approx(jitter.std(), rel=4 * math.sqrt((jitter.stats("k") + 2) / (4 * count)))
    assert np.abs(measured).max() < flow.jitter_limit_s * 1.1


def test_xr_rate_is_the_mean_rate():
    """Oracle: bytes of 60 UEs over 30 s against 30 Mbit/s; TR 38.838's symmetric truncation leaves the mean alone."""
    flow = Xr()
    total = sum(run(flow, 2, ue, 30)[1].sum() for ue in range(60))
    assert flow.offered_bit_s() == 30e6
    assert 8 * total / (60 * 30) == pytest.approx(30e6, rel=0.002)


def test_xr_without_jitter_is_periodic():
    """Oracle: gaps of 1 / 60 s."""
    times_s, _ = run(Xr(jitter_limit_s=0.0), 4, 0, 5)
    np.testing.assert_allclose(np.diff(times_s), 1 / 60, atol=1e-12)


def test_full_buffer_offers_without_end():
    """Oracle: the definition: infinite load, no packets."""
    assert FullBuffer().offered_bit_s() == math.inf
    assert FullBuffer.saturates
    assert len(FullBuffer().packets(1, 0, "downlink", 0)[0]) == 0


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("poisson", {"five_qi": 75}, "not a standardised 5QI"),
        ("poisson", {"ues": []}, "at least one"),
        ("poisson", {"ues": [1, 1]}, "different UE indices"),
        ("poisson", {"ues": [-1]}, "greater than or equal to 0"),
        ("poisson", {"rate": 1}, "Extra inputs"),
        ("cbr", {"rate_bit_s": 1e9, "packet_bytes": 10}, "raise packet_bytes"),
        ("xr", {"rate_bit_s": 1e3, "frame_rate_hz": 1000}, "raise rate_bit_s"),
    ],
)
def test_bad_parameters_are_refused_in_words(name, values, said):
    """Property: each mistake is one validation error that names the remedy."""
    with pytest.raises(ValidationError, match=said):
        TypeAdapter(TRAFFIC.get(name)).validate_python(values)


def test_flows_that_do_not_fit_the_network_are_named():
    """Oracle: hand-made list with one mistake each; the flow's index comes first."""
    flows = [
        FullBuffer(ues=(0, 1), direction="both"),
        Poisson(slice="learning"),
        Poisson(slice="video", ues=(0, 9)),
        Poisson(ues=(2,)),
        Poisson(ues=(1, 2), direction="uplink"),
        FullBuffer(slice="more"),
    ]
    said = list(flow_problems(flows, ("learning", "traffic", "more"), 4))
    assert [index for index, _ in said] == [1, 2, 2, 4]
    for (_, sentence), word in zip(said, ("slice of its own", "no slice 'video'", "no UE 9", "flow 0"), strict=True):
        assert word in sentence
