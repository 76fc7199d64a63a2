"""Contract of every registered precoder, also one added tomorrow or by a plug-in."""

from __future__ import annotations

import pickle

import pytest
import torch

import agents.gnn.icgnn  # noqa: F401 - as the entry point of an installed AirTune does
from ran.phy.precoding import MRT, PRECODERS, limit_power, sum_rate
from tests.ran.phy.precoding.channels import random_unitary, rayleigh

NAMES = PRECODERS.names()
SIZES = [(3, 8), (6, 6), (4, 3)]  # streams, antennas: few, as many, too many streams
NOISE_W, POWER_W = 0.3, 4.0

every_precoder = pytest.mark.parametrize("name", NAMES)
every_size = pytest.mark.parametrize(("streams", "antennas"), SIZES)
both_precisions = pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])


def precode(name: str, h: torch.Tensor, noise_w=NOISE_W, power_w=POWER_W, **parameters) -> torch.Tensor:
    return PRECODERS.get(name)(**parameters).precode(h, noise_w, power_w)


def total_power(v: torch.Tensor) -> torch.Tensor:
    return v.abs().square().sum((-2, -1))


@every_precoder
@every_size
@both_precisions
def test_shape_type_and_total_power(name, streams, antennas, dtype):
    """Property: [..., M, K] of the channel's type, sum ||v_k||^2 = P for scalar and per-element powers."""
    h = rayleigh(2, 5, streams, antennas, seed=1, dtype=dtype)
    v = precode(name, h)
    assert v.shape == (2, 5, antennas, streams)
    assert v.dtype == dtype
    torch.testing.assert_close(total_power(v), torch.full((2, 5), POWER_W, dtype=dtype.to_real()), atol=1e-5, rtol=0)
    power = torch.linspace(0.5, 5.0, 10, dtype=dtype.to_real()).reshape(2, 5)
    torch.testing.assert_close(total_power(precode(name, h, power_w=power)), power, atol=1e-5, rtol=0)


@every_precoder
@every_size
@both_precisions
def test_no_antenna_exceeds_its_share(name, streams, antennas, dtype):
    """Property: under ``per_antenna`` every antenna sends at most P / M, the busiest just that; directions stay."""
    h = rayleigh(7, streams, antennas, seed=2, dtype=dtype)
    v, free = precode(name, h, power_constraint="per_antenna"), precode(name, h)
    share = POWER_W / antennas
    antenna = v.abs().square().sum(-1)
    torch.testing.assert_close(antenna.amax(-1), torch.full((7,), share, dtype=dtype.to_real()), atol=1e-5, rtol=0)
    factor = (total_power(v) / total_power(free)).sqrt()[:, None, None]
    torch.testing.assert_close(v, free * factor, atol=1e-5, rtol=1e-4)
    assert (factor <= 1).all()


@every_precoder
@pytest.mark.parametrize(("streams", "antennas", "access_points"), [(3, 8, 4), (6, 6, 2), (4, 3, 3)])
def test_no_access_point_exceeds_its_share(name, streams, antennas, access_points):
    """Property: under ``per_access_point`` each group of antennas sends at most its share, one just that."""
    h = rayleigh(7, streams, antennas, seed=12)
    parameters = {"power_constraint": "per_access_point", "access_points": access_points}
    v = precode(name, h, **parameters)
    power = v.abs().square().sum(-1).reshape(7, access_points, -1).sum(-1)
    torch.testing.assert_close(power.amax(-1), torch.full((7,), POWER_W / access_points, dtype=torch.float64))
    free = precode(name, h)
    factor = (total_power(v) / total_power(free)).sqrt()[:, None, None]
    torch.testing.assert_close(v, free * factor, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match=f"{antennas} antennas cannot be shared evenly by 5 access points"):
        precode(name, h, power_constraint="per_access_point", access_points=5)


@every_precoder
@every_size
@both_precisions
def test_permuting_users_or_antennas_permutes_the_precoder(name, streams, antennas, dtype):
    """Property: equivariance under permutations of the rows and of the columns of h, 1e-4."""
    h = rayleigh(9, streams, antennas, seed=3, dtype=dtype)
    v = precode(name, h)
    users, elements = torch.arange(streams).roll(1), torch.arange(antennas).flip(0)
    torch.testing.assert_close(precode(name, h[:, users]), v[:, :, users], atol=1e-4, rtol=0)
    torch.testing.assert_close(precode(name, h[:, :, elements]), v[:, elements], atol=1e-4, rtol=0)


@every_precoder
@every_size
def test_rotating_the_antenna_space_rotates_the_precoder(name, streams, antennas):
    """Property: right-unitary equivariance, precode(h Q) = Q^H precode(h): only the Gram matrix matters."""
    h, rotation = rayleigh(9, streams, antennas, seed=4), random_unitary(antennas, seed=5)
    torch.testing.assert_close(precode(name, h @ rotation), rotation.mH @ precode(name, h), atol=1e-4, rtol=0)


@every_precoder
@every_size
def test_the_phase_of_a_channel_does_not_matter(name, streams, antennas):
    """Property: h_k -> exp(j phi_k) h_k leaves the sum rate unchanged."""
    h = rayleigh(9, streams, antennas, seed=6)
    turned = h * torch.exp(1j * torch.arange(streams, dtype=torch.float64))[:, None]
    rate = sum_rate(h, precode(name, h), NOISE_W)
    torch.testing.assert_close(sum_rate(turned, precode(name, turned), NOISE_W), rate, atol=1e-6, rtol=1e-6)


@every_precoder
@both_precisions
def test_a_single_stream_gets_maximum_ratio(name, dtype):
    """Oracle: without interference maximum ratio is optimal; up to a phase, which no rate sees."""
    h = rayleigh(6, 1, 8, seed=7, dtype=dtype)
    v, best = precode(name, h), MRT().precode(h, NOISE_W, POWER_W)
    overlap = (v.mH @ best).abs()[:, 0, 0]
    torch.testing.assert_close(overlap, torch.full((6,), POWER_W, dtype=dtype.to_real()), atol=1e-4, rtol=0)


@every_precoder
@both_precisions
def test_absent_streams_leave_their_power_to_the_others(name, dtype):
    """Oracle: the same channels without the rows of zeros; all rows zero give a zero matrix."""
    h = rayleigh(5, 3, 8, seed=8, dtype=dtype)
    padded = torch.zeros(5, 5, 8, dtype=dtype)
    padded[:, [0, 2, 3]] = h
    v = precode(name, padded)
    assert (v[:, :, [1, 4]] == 0).all()
    torch.testing.assert_close(v[:, :, [0, 2, 3]], precode(name, h), atol=1e-4, rtol=0)
    assert (precode(name, torch.zeros(2, 3, 4, dtype=dtype)) == 0).all()


@every_precoder
@both_precisions
def test_one_channel_meets_many_noises_and_powers(name, dtype):
    """Oracle: a loop; noise and power have leading axes that the channels lack, as in a sweep over SNR."""
    h = rayleigh(3, 4, 6, seed=12, dtype=dtype)
    noise = torch.logspace(-2, 1, 5, dtype=dtype.to_real())[:, None]
    power = torch.tensor([0.5, 2.0, 8.0], dtype=dtype.to_real())
    v = precode(name, h, noise, power)
    assert v.shape == (5, 3, 6, 4)
    for i in range(5):
        for j in range(3):
            alone = precode(name, h[j], float(noise[i]), float(power[j]))
            torch.testing.assert_close(v[i, j], alone, atol=1e-4, rtol=1e-3)


@every_precoder
@both_precisions
def test_a_batch_equals_a_loop(name, dtype):
    """Property: an element's precoder does not depend on its company; leading axes, noise and power go along."""
    h = rayleigh(3, 4, 5, 6, seed=9, dtype=dtype)
    noise = torch.logspace(-3, 1, 12, dtype=dtype.to_real()).reshape(3, 4)
    v = precode(name, h, noise_w=noise, power_w=2 * noise + 1)
    for i in range(3):
        for j in range(4):
            alone = precode(name, h[i, j], noise_w=float(noise[i, j]), power_w=2 * float(noise[i, j]) + 1)
            torch.testing.assert_close(v[i, j], alone, atol=1e-4, rtol=0)


def hard_channels(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    good = rayleigh(4, 4, 6, seed=10, dtype=dtype)
    scale = torch.tensor([1e-12, 1e-7, 1.0, 1e3], dtype=dtype.to_real())
    twins = good.clone()
    twins[:, 1] = twins[:, 0]
    twins[:, 3] = 2j * twins[:, 2]
    nearly = good.clone()
    nearly[:, 1] = nearly[:, 0] * (1 + torch.tensor([1e-3, 1e-5, 1e-7, 1e-9], dtype=dtype.to_real())[:, None])
    nearly[:, 1, 0] += 1e-6
    alike = torch.ones(4, 4, 6, dtype=dtype)
    return {
        "twins": twins, "nearly twins": nearly, "rank one": alike, "more streams than antennas": good.mT.contiguous(),
        "weak": good * 1e-12, "strong": good * 1e3, "far apart in a cell": good * scale[:, None],
        "far apart in a batch": good * scale[:, None, None],
    }  # fmt: skip


@every_precoder
@both_precisions
@pytest.mark.parametrize("noise_w", [1e-15, 1e-6, 1.0])
@pytest.mark.parametrize("kind", sorted(hard_channels(torch.complex128)))
def test_hard_channels_give_finite_precoders_of_full_power(name, dtype, noise_w, kind):
    """Property: rank-deficient and badly scaled channels (1e-12 to 1e3) give finite numbers that use the power."""
    h = hard_channels(dtype)[kind]
    v = precode(name, h, noise_w=noise_w)
    assert torch.isfinite(torch.view_as_real(v)).all()
    torch.testing.assert_close(total_power(v), torch.full((4,), POWER_W, dtype=dtype.to_real()), atol=1e-5, rtol=0)
    assert torch.isfinite(sum_rate(h, v, noise_w)).all()


@every_precoder
@both_precisions
def test_without_power_or_in_endless_noise_nothing_breaks(name, dtype):
    """Property: P = 0 gives a zero matrix; a ratio of noise to signal beyond single precision still the full power."""
    h = rayleigh(4, 3, 6, seed=11, dtype=dtype)
    assert (precode(name, h, power_w=0.0) == 0).all()
    power = total_power(precode(name, 1e-12 * h, noise_w=1e20))
    torch.testing.assert_close(power, torch.full((4,), POWER_W, dtype=dtype.to_real()), atol=1e-5, rtol=0)


@every_precoder
def test_components_travel(name):
    """Properties: pickle and YAML round trips give an equal component, of the registered name."""
    precoder = PRECODERS.get(name)(power_constraint="per_antenna")
    assert pickle.loads(pickle.dumps(precoder)) == precoder
    values = precoder.model_dump()
    assert values.pop("name") == name
    assert type(precoder).model_validate(values) == precoder


@every_precoder
def test_a_channel_that_is_none_is_refused(name):
    """Property: a real matrix, or a vector, is an error that tells what is expected."""
    with pytest.raises(ValueError, match=r"complex \[..., num_streams, num_tx_ant\], got torch.float32 \(2, 3\)"):
        precode(name, torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"got torch.complex64 \(3,\)"):
        precode(name, torch.ones(3, dtype=torch.complex64))


def test_access_points_obey_their_limits():
    """Oracle: hand-made matrix whose second access point sends 8 W of an allowed 2 W: everything halves."""
    v = torch.zeros(3, 2, dtype=torch.complex128)
    v[0, 0], v[1, 1], v[2, 0] = 1.0, 2.0, 2.0j
    limited = limit_power(v, torch.tensor([1.0, 2.0]), access_point=torch.tensor([0, 1, 1]))
    torch.testing.assert_close(limited, v / 2)
    torch.testing.assert_close(limit_power(v, torch.tensor([1.0, 4.0, 4.0])), v)
    torch.testing.assert_close(limit_power(v, 1.0), v / 2)
