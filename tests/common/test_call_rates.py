"""How many calls a principal may begin: a burst, then its rate, and nobody pays for another."""

from __future__ import annotations

from common.call_rates import CallRates
from common.connection_limits import Connection, ConnectionLimits, excess


def test_a_burst_then_the_rate() -> None:
    rates = CallRates(10.0)
    assert [rates.over("=edge-1", 100.0) for _ in range(60)].count(False) == 41
    assert not rates.over("=edge-2", 100.0)
    assert [rates.over("=edge-1", 101.0) for _ in range(60)].count(False) == 10


def test_a_flood_is_forgotten_at_once_when_it_ends() -> None:
    rates = CallRates(10.0)
    for _ in range(100_000):
        rates.over("=edge-1", 100.0)
    assert not rates.over("=edge-1", 100.3)


def test_what_is_remembered_is_bounded() -> None:
    rates = CallRates(10.0)
    for number in range(20_000):
        rates.over(f"@host-{number}", 100.0 + number)
    assert len(rates._of) < 5_000


def test_a_flooding_connection_goes_whosever_it_is() -> None:
    flooding = Connection(("10.0.0.1", 1), 0.0, 1.0, "=edge-1", flooding=True)
    quiet = Connection(("10.0.0.1", 2), 0.0, 1.0, "=edge-1")
    assert excess([flooding, quiet], ConnectionLimits(), 2.0) == [flooding]
    flooding.closing = True
    assert excess([flooding, quiet], ConnectionLimits(), 2.0) == []
