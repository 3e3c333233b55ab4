"""The plan of `benchmarks/scale.py`, by hand."""

import argparse
import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "scale.py"
SPEC = importlib.util.spec_from_file_location("scale", PATH)
scale = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scale)


def given(**keys):
    keys = {
        **{"image_seconds": 0.1, "parameters": 25e6, "devices_per_host": 8, "link": 100},
        **{"network": 10, "latency": 0.0, "load_seconds": 0.04, "cores": 32, **keys},
    }
    return argparse.Namespace(**keys)


def test_a_ring_sends_all_but_its_own_part_twice():
    # Four devices: 6 messages of 2 GB over 100 GB/s, 0.02 s, and a millisecond each.
    assert scale.ring_seconds(4, 8e9, 100e9, 1e-3) == pytest.approx(6 * 0.021)
    assert scale.ring_seconds(1, 8e9, 100e9, 1e-3) == 0


def test_two_sums_tell_link_and_latency():
    sums = [(8e9, 6 * (0.02 + 0.001)), (16e9, 6 * (0.04 + 0.001))]
    assert scale.fit_link(4, sums) == pytest.approx((100e9, 1e-3))
    with pytest.raises(ValueError, match="take more --steps"):
        scale.fit_link(4, [(1, 2.0), (2, 2.0)])


def test_a_step_of_two_hosts():
    found = scale.plan(16, given(), 2)
    # 100 MB of gradients: 14 messages of 12.5 MB inside, 2 of 50 MB between the hosts.
    adding = 14 * 12.5e6 / 100e9 + 2 * 50e6 / 10e9
    assert (found["computing"], found["adding"]) == pytest.approx((0.2, adding))
    assert adding == pytest.approx(0.01175)
    assert found["reading"] == pytest.approx(16 * 0.04 / 32)  # of the 16 images of a host
    assert found["step"] == pytest.approx(0.21175)
    assert found["rate"] == pytest.approx(32 / 0.21175)
    assert found["efficiency"] == pytest.approx(0.2 / 0.21175)  # of 16 devices with 10 a second


def test_a_step_waits_for_its_images():
    found = scale.plan(16, given(load_seconds=1), 2)
    assert found["step"] == found["reading"] == 0.5 and found["rate"] == 64


def test_what_was_measured_beside_the_plan(capsys):
    """Two devices fit the link, four are predicted; a step of four was longer than that."""
    bytes_, two, four = 4e6, 0.004 + 2e-4, 0.006 + 6e-4  # a link of 1 GB/s, 1e-4 s of a message
    cases = [
        scale.Measured(1, 0.1, [(bytes_, 0.0), (4 * bytes_, 0.0)], 0),
        scale.Measured(2, 0.105, [(bytes_, two), (4 * bytes_, 0.016 + 2e-4)], 76_000),
        scale.Measured(4, 0.1333, [(bytes_, four), (4 * bytes_, 0.024 + 6e-4)], 5_000_000),
    ]
    scale.print_measured(cases, 8)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "link 1.000 GB/s, latency 100 us, by 2"
    assert lines[3].startswith("| 1 | 0.1000 | 0.1000 | +0.0 % |")
    assert lines[4] == "| 2 | 0.1050 | 0.1042 | -0.8 % | 0.0042 | 0.0042 | 0.8 % | 0.076 |"
    # 0.1 + 0.0066 = 0.1066 is planned, 20 % less; 0.0267 of 0.1333 are neither.
    assert lines[5] == "| 4 | 0.1333 | 0.1066 | -20.0 % | 0.0066 | 0.0066 | 20.0 % | 5.000 |"


def test_no_row_of_the_plan_is_beyond_the_recipe_alone(capsys):
    scale.print_plan(given(images=2))
    rows = [line.split(" | ")[:2] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [(x.removeprefix("| "), batch) for x, batch in rows] == [
        *[("8", "16"), ("64", "128"), ("512", "1024"), ("512", "512")]
    ]
