"""Contract of every registered over-the-air scheme, also one added tomorrow."""

import pickle
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from ran.phy.aircomp import AIRCOMP_SCHEMES, Uplink
from ran.phy.aircomp.transmission import by_symbol
from tests.channel.sent import complex_normal

NAMES = AIRCOMP_SCHEMES.names()
every_scheme = pytest.mark.parametrize("name", NAMES)


def known(num_ues, num_ant, num_sc, seed, *, weights=None) -> Uplink:
    """Return channels whose mean gains span 60 dB, with powers of their own."""
    rng = np.random.default_rng(seed)
    scale = 10 ** rng.uniform(-7, -4, (num_ues, 1, 1))
    weights = rng.uniform(0.1, 1, num_ues) if weights is None else np.asarray(weights, float)
    channel = (complex_normal(num_ues, num_ant, num_sc, seed=seed) * scale).astype(np.complex64)
    return Uplink(channel, 1e-16, rng.uniform(1e-5, 1e-3, num_ues), weights / weights.sum())


@every_scheme
@settings(max_examples=40)
@given(st.integers(1, 6), st.sampled_from([1, 2, 4]), st.integers(1, 30), st.integers(0, 10_000))
def test_average_power_never_exceeds_the_class(name, num_ues, num_ant, num_sc, seed):
    """Property: average power at most the limit, finite plans of the documented shapes, whatever the world."""
    uplink = known(num_ues, num_ant, num_sc, seed)
    plan = AIRCOMP_SCHEMES.get(name)().plan(uplink)
    assert plan.transmit.shape == (num_ues, num_sc)
    assert plan.combine.shape[1:] == (num_ant, num_sc)
    assert plan.transmit.dtype == plan.combine.dtype == np.complex64
    assert np.isfinite(plan.transmit).all()
    assert np.isfinite(plan.combine).all()
    assert (plan.power_w() <= uplink.power_w * (1 + 1e-4)).all()
    loud = np.full(num_ues, 100.0)
    assert (plan.limited(uplink.power_w, loud).power_w() * loud <= uplink.power_w * (1 + 1e-4)).all()
    quiet = plan.limited(uplink.power_w, np.full(num_ues, 1e-3))
    np.testing.assert_allclose(quiet.transmit, plan.transmit, rtol=1e-5)


@every_scheme
def test_silent_and_unreachable_ues_disturb_nobody(name):
    """Property: a UE of weight 0 and one without any gain leave finite plans; the others count as before."""
    uplink = known(5, 2, 24, 3, weights=[1, 0, 1, 1, 2])
    channel = uplink.channel.copy()
    channel[4] = 0
    plan = AIRCOMP_SCHEMES.get(name)().plan(Uplink(channel, uplink.noise_w, uplink.power_w, uplink.weights))
    assert np.isfinite(plan.transmit).all()
    assert np.isfinite(plan.combine).all()
    assert plan.transmit[[0, 2, 3]].any(axis=1).all()
    nobody = AIRCOMP_SCHEMES.get(name)().plan(Uplink(0 * channel, uplink.noise_w, uplink.power_w, uplink.weights))
    assert np.isfinite(nobody.combine).all()


@every_scheme
def test_values_come_back(name):
    """Oracle: one UE alone through almost noiseless air: its own values, or their signs."""
    scheme = AIRCOMP_SCHEMES.get(name)()
    channel = (1 + 0.1 * complex_normal(1, 64, 48, seed=1)).astype(np.complex64)
    plan = scheme.plan(Uplink(channel, 1e-9, np.ones(1), np.ones(1)))
    values = np.random.default_rng(2).standard_normal(501).astype(np.float32)
    symbols = [scheme.encode(values, 48, seed=7)]
    assert symbols[0].dtype == np.complex64
    assert symbols[0].shape == (int(np.ceil(501 / scheme.values_per_re / 48)), 48)
    got = scheme.decode(by_symbol(plan, channel, symbols, 1e-9, 1), 501)
    assert got.shape == (501,)
    wanted = np.sign(values) if scheme.one_bit else values
    # What matched combining of known channels leaves over is the channels' spread.
    np.testing.assert_allclose(got, wanted, atol=0.2 if name == "blind" else 1e-3)


@every_scheme
def test_components_travel(name):
    """Properties: pickle and YAML round trips give an equal component, of the registered name."""
    scheme = AIRCOMP_SCHEMES.get(name)()
    assert pickle.loads(pickle.dumps(scheme)) == scheme
    values = scheme.model_dump()
    assert values.pop("name") == name
    assert type(scheme).model_validate(values) == scheme
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[Any, AIRCOMP_SCHEMES.field()])
    assert adapter.validate_python(name) == scheme
