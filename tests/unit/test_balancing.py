"""Settings of the load balancer (spec: load-balancer.md §2, §3)."""

import pytest

from upcall.balancing import Balancing, factor, fraction
from upcall.config import load


@pytest.mark.parametrize(("text", "value"), [("90%", 0.9), ("90 %", 0.9), ("0.25", 0.25), ("0", 0), (" 100% ", 1)])
def test_shares_are_written_as_percentages_or_numbers(text: str, value: float) -> None:
    assert fraction(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "90", "-1", "101%", "a", "1.1"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ValueError, match="is no share from 0 % to 100 %"):
        fraction(text)


@pytest.mark.parametrize("text", ["0", "0.5", "200%", "x"])
def test_what_is_no_factor(text: str) -> None:
    with pytest.raises(ValueError, match="is no number of 1 or more"):
        factor(text)


def test_upstreams_keys_and_defaults() -> None:
    assert load({}, {})[0].balancing == Balancing()
    environment = {
        "CONFIG_whisk_loadbalancer_managedFraction": "80%",
        "CONFIG_whisk_loadbalancer_blackboxFraction": "20%",
        "CONFIG_whisk_loadbalancer_timeoutFactor": "3",
        "CONFIG_whisk_loadbalancer_timeoutAddon": "30 seconds",
        "CONFIG_whisk_controller_readinessFraction": "50%",
        "CONFIG_whisk_controller_activation_pollingFromDb": "false",
        "CONFIG_whisk_runtimes_bypassPullForLocalImages": "true",
    }
    assert load({}, environment)[0].balancing == Balancing(
        managed_fraction=0.8,
        blackbox_fraction=0.2,
        timeout_factor=3,
        timeout_addon=30,
        readiness_fraction=0.5,
        local_image_prefix="whisk",
        polling=False,
    )
