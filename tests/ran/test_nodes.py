"""Device classes: presets, who has which device, batteries and memory."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ran.nodes import DeviceProfile, DeviceShare, assign, empty_batteries, memory_problem


def test_a_class_sets_what_is_not_given():
    """Oracle: by hand; what is given wins, and a dump reads back as itself."""
    laptop = DeviceProfile(device_class="laptop", kappa=2e-27)
    assert (laptop.clock_hz, laptop.flops_per_cycle, laptop.kappa) == (3e9, 32.0, 2e-27)
    assert DeviceProfile(device_class="vehicle").battery_j is None
    assert DeviceProfile(device_class="vehicle", battery_j=5.0).battery_j == 5.0
    assert DeviceProfile.model_validate(laptop.model_dump()) == laptop
    assert DeviceProfile(device_class="phone") == DeviceProfile()


@pytest.mark.parametrize(("device", "watts"), [("phone", 5), ("laptop", 60), ("vehicle", 100), ("sensor", 1)])
def test_every_class_is_plausible(device, watts):
    """Property: computing takes between a tenth of a watt and what such a device can cool."""
    assert 0.1 < DeviceProfile(device_class=device).compute_power_w < watts


def test_a_phone_that_burns_is_still_refused():
    """Oracle: kappa f^3 = 8 W by hand; an unknown class is refused as such."""
    with pytest.raises(ValidationError, match="a phone cannot burn 8 W"):
        DeviceShare(kappa=1e-27, share=0.5)
    with pytest.raises(ValidationError, match="device_class"):
        DeviceProfile(device_class="toaster")


@given(
    shares=st.lists(st.floats(0.01, 10.0), min_size=1, max_size=5), num_ues=st.integers(1, 60), seed=st.integers(0, 9)
)
def test_counts_follow_the_shares(shares, num_ues, seed):
    """Property: within one UE of the share (largest remainder), every UE has a device, and the seed decides."""
    mix = [DeviceShare(share=share, clock_hz=1e9 + 1e6 * place) for place, share in enumerate(shares)]
    devices = assign(mix, num_ues, seed)
    assert devices == assign(mix, num_ues, seed)
    assert len(devices) == num_ues
    counts = Counter(device.clock_hz for device in devices)
    for kind in mix:
        assert abs(counts[kind.clock_hz] - num_ues * kind.share / sum(shares)) < 1


def test_who_gets_the_ue_left_over():
    """Oracle: by hand. 3 UEs by 0.9 and 0.1 are 2.7 and 0.3: the one left over goes to the larger remainder."""
    mix = [DeviceShare(share=0.9), DeviceShare(device_class="laptop", share=0.1)]
    assert [device.device_class for device in assign(mix, 3, seed=0)] == ["phone"] * 3


def test_devices_are_dealt_at_random():
    """Property: neither the first UEs nor every seed have the first class."""
    mix = [DeviceShare(share=0.5), DeviceShare(device_class="laptop", share=0.5)]
    dealt = {tuple(device.device_class for device in assign(mix, 10, seed)) for seed in range(5)}
    assert len(dealt) == 5
    assert all(names.count("phone") == 5 for names in dealt)


def test_empty_batteries_by_hand():
    """Oracle: by hand: spent as much as it held, or more; on mains never."""
    devices = [DeviceProfile(battery_j=10.0)] * 3 + [DeviceProfile(battery_j=None)]
    assert empty_batteries(devices, [9.9, 10.0, 11.0, math.inf]) == {1, 2}


def test_memory_that_does_not_suffice_is_said():
    """Oracle: the sentence."""
    devices = [DeviceProfile(), DeviceProfile(device_class="sensor"), DeviceProfile(memory_bytes=1e9)]
    assert memory_problem(devices, 128e6) is None
    problem = memory_problem(devices, 2e9)
    assert "takes 2000.0 MB" in problem
    assert "2 of 3 UEs have less, down to the sensor's 128.0 MB; lower learning.algorithm.batch_size" in problem
