"""A run's numbers as people read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))
"""Decimal prefixes, largest first."""


def with_prefix(value: float, unit: str) -> str:
    """Return a value with three significant digits and a decimal prefix.

    >>> with_prefix(31_240, "B"), with_prefix(512, "B"), with_prefix(0.0123, "J"), with_prefix(999.7e3, "B")
    ('31.2 kB', '512 B', '12.3 mJ', '1.00 MB')
    """
    if not math.isfinite(value):
        return "-"
    if abs(value) < 1000 and value == int(value):
        return f"{int(value)} {unit}"
    # A value that rounds up to the next prefix takes it.
    factor, prefix = next((pair for pair in PREFIXES if abs(value) >= 0.9995 * pair[0]), PREFIXES[-1])
    scaled = value / factor
    decimals = max(0, 2 - math.floor(math.log10(1.0005 * abs(scaled))))
    return f"{scaled:.{decimals}f} {prefix}{unit}"


def percent(ratio: float) -> str:
    """Return a ratio in percent.

    >>> percent(0.9642), percent(float("nan"))
    ('96.4 %', '-')
    """
    return f"{100 * ratio:.1f} %" if math.isfinite(ratio) else "-"


def duration(time_s: float) -> str:
    """Return a time in seconds, a longer one in minutes or hours.

    >>> duration(12.34), duration(300.0), duration(7200.0)
    ('12.3 s', '5.0 min', '2.0 h')
    """
    if time_s >= 7200.0:
        return f"{time_s / 3600:.1f} h"
    return f"{time_s / 60:.1f} min" if time_s >= 300.0 else with_prefix(time_s, "s")


def count(number: int, noun: str) -> str:
    """Return a number of things.

    >>> count(1, "round"), count(1500, "block")
    ('1 round', '1,500 blocks')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the fields of a ``RunSummary`` as labelled lines: accuracy, time, radio, energy."""
    s = summary
    own, backhaul = s["own_accuracy"], s["backhaul_downlink_bytes"] + s["backhaul_uplink_bytes"]
    ue_energy_j = s["ue_transmit_energy_j"] + s["ue_receive_energy_j"] + s["ue_compute_energy_j"]
    return [
        ("accuracy, federated", f"{percent(s['final_accuracy'])} after {count(s['rounds'], 'round')}"),
        ("accuracy, central", percent(s["central_accuracy"])),
        ("federated / central", percent(s["accuracy_ratio_to_central"])),
        ("accuracy, zero-shot", percent(s["zero_shot_accuracy"])),
        *([("accuracy, personal", f"{percent(own)} on each UE's own mix")] if math.isfinite(own) else []),
        ("test loss", f"federated {_loss(s['final_test_loss'])}, central {_loss(s['central_test_loss'])}"),
        *([("mean staleness", f"{s['mean_staleness']:.2f} {_age(s)}")] if s["mean_staleness"] > 0 else []),
        ("virtual time", duration(s["virtual_time_s"])),
        ("  spent on", _parts(s, "{}_s", ("downlink", "compute", "uplink"), duration)),
        ("  to 90 % of accuracy", duration(s["time_to_90_percent_s"])),
        ("payload", _parts(s, "{}_payload_bytes", ("downlink", "uplink"), _bytes)),
        *_losses(s),
        *([("backhaul", _parts(s, "backhaul_{}_bytes", ("downlink", "uplink"), _bytes))] if backhaul else []),
        ("sent on the air", _parts(s, "{}_air_bits", ("downlink", "uplink"), lambda bits: _bytes(bits / 8))),
        ("air time", _parts(s, "{}_airtime_s", ("downlink", "uplink"), duration)),
        ("spectral efficiency", _parts(s, "{}_se_bit_s_hz", ("downlink", "uplink"), _bit_s_hz)),
        ("block error rate", _parts(s, "{}_bler", ("downlink", "uplink"), percent)),
        ("sent again", f"HARQ {count(s['harq_retransmissions'], 'block')}, RLC {_bytes(s['rlc_retransmitted_bytes'])}"),
        *([("set aside", count(s["quarantined"], "update"))] if s["quarantined"] else []),
        *([("privacy", f"epsilon {s['epsilon']:.3g} for each client")] if math.isfinite(s["epsilon"]) else []),
        ("energy of all UEs", _joule(ue_energy_j)),
        ("  spent on", _parts(s, "ue_{}_energy_j", ("transmit", "receive", "compute"), _joule)),
        ("  per UE", f"{_joule(s['energy_per_ue_j'])}, at most {_joule(s['energy_worst_ue_j'])}"),
        ("energy of the gNB", _joule(s["gnb_energy_j"])),
        *_cut(s),
    ]


def _age(summary: Mapping[str, Any]) -> str:
    """Return what staleness is counted in."""
    return "cycles" if math.isfinite(summary["gnb_utilisation"]) else "server steps"


def _cut(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a cut model took of UEs and servers, and what smashed data told; nothing of one that is whole."""
    s, rows = summary, list[tuple[str, str]]()
    servers = [name for name in ("gnb", "cloud") if math.isfinite(s[f"{name}_utilisation"])]
    if servers:
        busy = [f"{'gNB' if name == 'gnb' else name} {percent(s[f'{name}_utilisation'])}" for name in servers]
        most = with_prefix(s["ue_memory_peak_bytes"], "B")
        rows += [
            ("servers busy", ", ".join(busy)),
            ("UE side", f"{with_prefix(s['ue_flops'], 'FLOP')}, {most} at most"),
        ]
    if math.isfinite(s["probe_normalised_mse"]):
        found = [f"{percent(s['probe_normalised_mse'])} of the mean's error"]
        if math.isfinite(s["probe_ssim"]):
            found.append(f"SSIM {s['probe_ssim']:.2f} (mean image {s['probe_mean_ssim']:.2f})")
        if math.isfinite(s["probe_token_accuracy"]):
            found.append(f"{percent(s['probe_token_accuracy'])} of tokens recovered")
        rows.append(("privacy probe", ", ".join(found)))
    return rows


def _losses(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what RLC UM lost and what became of it, if it lost anything, or parity was sent."""
    ways = ("downlink", "uplink")
    rows = {
        "lost by RLC UM": "lost",
        "  of which recovered": "recovered",
        "parity": "parity",
    }
    return [
        (label, _parts(summary, f"{{}}_{kind}_bytes", ways, _bytes))
        for label, kind in rows.items()
        if any(summary[f"{way}_{'lost' if kind == 'recovered' else kind}_bytes"] for way in ways)
    ]


def _parts(summary: Mapping[str, Any], column: str, parts: tuple[str, ...], text: Callable[[float], str]) -> str:
    return ", ".join(f"{part} {text(summary[column.format(part)])}" for part in parts)


def _loss(nats: float) -> str:
    return f"{nats:.3f} (perplexity {math.exp(min(nats, 700.0)):.3g})" if math.isfinite(nats) else "-"


def _bytes(number: float) -> str:
    return with_prefix(number, "B")


def _joule(energy_j: float) -> str:
    return with_prefix(energy_j, "J")


def _bit_s_hz(efficiency: float) -> str:
    return f"{efficiency:.2f} bit/s/Hz" if math.isfinite(efficiency) else "-"
