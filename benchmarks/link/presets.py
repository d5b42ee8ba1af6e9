"""Named links, each with where its figures come from. "Assumed" is said where no source was found."""

from __future__ import annotations

from benchmarks.link.profile import LinkProfile, Outage
from common.errors import SettingsError

_MAG = "5G-MAG 6G-Testbed netemu profiles.yaml"

PRESETS: dict[str, LinkProfile] = {
    profile.name: profile
    for profile in (
        LinkProfile(
            "lan",
            rtt_ms=1.0,
            uplink_mbps=1000.0,
            downlink_mbps=1000.0,
            source="Ethernet LAN: IEEE 802.3ab's nominal rate; a round trip through switches and two hosts' stacks",
        ),
        LinkProfile(
            "wifi-good",
            rtt_ms=15.0,
            uplink_mbps=50.0,
            downlink_mbps=50.0,
            jitter_ms=5.0,
            loss_pct=0.1,
            source=f"hop median 3 ms (Sui et al., MobiSys 2016) and 12 ms to a near cloud region (assumed); rates and "
            f"loss: {_MAG}, good_wifi",
        ),
        LinkProfile(
            "wifi-busy",
            rtt_ms=35.0,
            uplink_mbps=10.0,
            downlink_mbps=10.0,
            jitter_ms=30.0,
            loss_pct=1.0,
            source="hop over 20 ms for half of the packets (Pei et al., WiFi can be the weakest link, 2016) and 12 ms "
            "to a near cloud region (assumed); rates, jitter and loss assumed",
        ),
        LinkProfile(
            "5g",
            rtt_ms=25.0,
            uplink_mbps=30.0,
            downlink_mbps=100.0,
            jitter_ms=8.0,
            loss_pct=0.1,
            source=f"mid-band: one way 7 ms down and 18 ms up (Rohde & Schwarz, 5G NSA); uplink 31 Mbit/s on average "
            f"(Cellsmart 2022, 31 countries); downlink and loss: {_MAG}, 5g_urban; jitter assumed",
        ),
        LinkProfile(
            "lte",
            rtt_ms=100.0,
            uplink_mbps=10.0,
            downlink_mbps=30.0,
            jitter_ms=30.0,
            loss_pct=0.2,
            source=f"typical: {_MAG}, lte_typical (50 ms and 15 ms of jitter one way); uplink between 6.3 (Opensignal, "
            "USA 2019) and 20 Mbit/s (Cellsmart 2022)",
        ),
        LinkProfile(
            "lte-poor",
            rtt_ms=240.0,
            uplink_mbps=5.0,
            downlink_mbps=5.0,
            jitter_ms=60.0,
            loss_pct=1.0,
            source=f"{_MAG}, poor_cellular (120 ms and 30 ms of jitter one way)",
        ),
        LinkProfile(
            "starlink",
            rtt_ms=50.0,
            uplink_mbps=10.0,
            downlink_mbps=100.0,
            jitter_ms=30.0,
            loss_pct=0.1,
            outages=(Outage(start_s=10.0, duration_s=0.1, every_s=15.0),),
            source="round trip's median 50 ms, quartiles 40 and 60, least 20 (APNIC); a new satellite every 15 s "
            "(APNIC) with a gap of 0.1 s (assumed; IMC 2022 saw bursts of up to 50 % loss); rates as advertised (100 "
            "down, 10 up); loss assumed",
        ),
        LinkProfile(
            "geo",
            rtt_ms=600.0,
            uplink_mbps=3.0,
            downlink_mbps=25.0,
            jitter_ms=30.0,
            loss_pct=0.5,
            source=f"geostationary satellite: 477 ms of light's way and processing, about 600 ms as users measure; "
            f"rates of a consumer plan (25 down, 3 up); loss: {_MAG}, satellite; jitter assumed",
        ),
        LinkProfile(
            "transatlantic",
            rtt_ms=90.0,
            uplink_mbps=100.0,
            downlink_mbps=100.0,
            jitter_ms=5.0,
            loss_pct=0.1,
            source=f"New York to London: Verizon's service level, 90 ms a round trip; rates and loss: {_MAG}, "
            "transatlantic; jitter assumed",
        ),
    )
}


def preset(name: str) -> LinkProfile:
    """The preset of that name.

    Raises:
        SettingsError: there is none.
    """
    if name not in PRESETS:
        raise SettingsError(f"there is no link profile {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
