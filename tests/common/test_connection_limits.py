"""Which connections have to go: laws of the policy, over whatever may be connected."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.connection_limits import Connection, ConnectionLimits, excess

NOW = 1_000.0
LIMITS = ConnectionLimits(
    total=12,
    strangers=8,
    strangers_per_host=3,
    per_principal=4,
    silent_s=5,
    pause_s=15,
    stranger_age_s=600,
    settling_s=1,
)
laws = settings(derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def connections(draw: st.DrawFn, most: int = 30) -> list[Connection]:
    found = []
    for port in range(draw(st.integers(0, most))):
        since = NOW - draw(st.sampled_from([0.1, 2.0, 10.0, 20.0, 700.0]))
        principal = draw(st.sampled_from(["", "", "=edge-1", "=edge-2", "=edge-3", "=edge-4"]))
        used = since + 0.1 if principal or draw(st.booleans()) else None
        running = draw(st.integers(0, 2)) if used else 0
        host = draw(st.sampled_from(["127.0.0.1", "10.0.0.1", "::1"]))
        refused = draw(st.sampled_from([0, 0, 3, 100]))
        found.append(Connection((host, port), since, used, principal, running, refused))
    return found


def left(all_of: list[Connection]) -> list[Connection]:
    gone = {connection.peer for connection in excess(all_of, LIMITS, NOW)}
    return [connection for connection in all_of if connection.peer not in gone]


@laws
@given(connections())
def test_what_stays_keeps_to_every_limit(found: list[Connection]) -> None:
    staying = left(found)
    known = [c for c in staying if c.principal]
    strangers = [c for c in staying if not c.principal]
    assert all(c.refused <= LIMITS.refusals for c in staying)
    assert len(known) <= LIMITS.total
    assert len(strangers) <= LIMITS.strangers
    assert len(staying) <= LIMITS.total + LIMITS.strangers_per_host
    assert max(Counter(c.principal for c in known).values(), default=0) <= LIMITS.per_principal
    settled = Counter(c.peer[0] for c in strangers if NOW - c.since >= LIMITS.settling_s)
    assert max(settled.values(), default=0) <= LIMITS.strangers_per_host
    assert all(NOW - c.since <= LIMITS.silent_s for c in strangers if c.used is None)
    assert all(c.running or NOW - c.used <= LIMITS.pause_s for c in strangers if c.used is not None)
    assert all(c.refused <= LIMITS.refusals and NOW - c.since <= LIMITS.stranger_age_s for c in strangers)


@laws
@given(connections())
def test_what_stays_may_stay(found: list[Connection]) -> None:
    staying = left(found)
    assert excess(staying, LIMITS, NOW) == []


@laws
@given(connections(), connections())
def test_strangers_cost_no_known_connection(found: list[Connection], strangers: list[Connection]) -> None:
    known = [c for c in found if c.principal]
    crowd = [replace(c, peer=(c.peer[0], c.peer[1] + 1_000), principal="") for c in strangers]
    assert [c for c in left(known + crowd) if c.principal] == left(known)


@laws
@given(connections())
def test_another_principals_number_costs_nobody_within_an_even_share(found: list[Connection]) -> None:
    known = [c for c in found if c.principal and c.refused <= LIMITS.refusals]
    counts = Counter(c.principal for c in known)
    share = LIMITS.total // max(1, len(counts))
    staying = Counter(c.principal for c in left(known))
    assert all(staying[name] == count for name, count in counts.items() if count <= min(share, LIMITS.per_principal))


@laws
@given(connections())
def test_connections_with_calls_go_last(found: list[Connection]) -> None:
    known = [c for c in found if c.principal and c.refused <= LIMITS.refusals]
    gone = excess(known, LIMITS, NOW)
    for principal in {c.principal for c in gone if c.running}:
        assert all(c.running for c in known if c.principal == principal and c not in gone)


@laws
@given(connections(), st.integers(0, 3))
def test_there_is_room_for_newcomers_of_any_host(found: list[Connection], count: int) -> None:
    """Even where known ones fill everything, and other strangers do what they like."""
    settled = [c for c in found if NOW - c.since >= LIMITS.settling_s]
    newest = [Connection(("10.9.9.9", port), NOW) for port in range(count)]
    assert set(map(id, newest)) <= set(map(id, left(settled + newest)))


@laws
@given(connections())
def test_those_that_are_closing_dont_count(found: list[Connection]) -> None:
    for connection in excess(found, LIMITS, NOW):
        connection.closing = True
    assert excess(found, LIMITS, NOW) == []


def test_shares_of_a_total() -> None:
    limits = ConnectionLimits.of(1024)
    assert limits == ConnectionLimits()
    tiny = ConnectionLimits.of(1)
    assert (tiny.strangers, tiny.strangers_per_host, tiny.per_principal) == (1, 1, 1)
