"""Oracle: every possible grant of a tiny cell, tried one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ran.mac.max_rate import MaxRate
from tests.ran.mac.observations import bits_of, one_cell


@given(seed=st.integers(0, 10_000), ues=st.integers(1, 4), groups=st.integers(1, 5))
def test_no_grant_carries_more(seed, ues, groups):
    """Catches: a weight that favours anyone."""
    rate = np.random.default_rng(seed).uniform(1.0, 3000.0, (ues, groups)).astype(np.float32)
    scheduler = MaxRate()
    served = np.random.default_rng(seed + 1).integers(0, 10_000, ues)
    owner, _ = scheduler.decide(one_cell(rate, served_bits=served), scheduler.start(1, 1, ues))
    best = max(bits_of(np.array(grant), rate).sum() for grant in product(range(ues), repeat=groups))
    np.testing.assert_allclose(bits_of(owner[0, 0], rate).sum(), best, rtol=1e-6)
