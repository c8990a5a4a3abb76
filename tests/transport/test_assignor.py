"""Giving out lead partitions: each to one member, evenly, and nothing moves that need not."""

from hypothesis import given
from hypothesis import strategies as st

from transport.writing.assignor import NO_CLAIM, Claim, claim_from_bytes, claim_to_bytes, give_out

partitions = st.integers(0, 12)
claims = st.dictionaries(
    st.sampled_from("abcde"), st.tuples(st.integers(-1, 3), st.frozensets(st.integers(0, 14))), max_size=5
)
busy_ones = st.frozensets(st.integers(0, 14))


@given(claims, partitions, busy_ones)
def test_every_partition_goes_to_exactly_one_member_and_shares_are_fair(
    told: dict[str, Claim], count: int, busy: frozenset[int]
) -> None:
    given_out = give_out(told, count, busy)
    everything = sorted(partition for got in given_out.values() for partition in got)
    assert everything == (list(range(count)) if told else [])
    for part in (busy, frozenset(range(count)) - busy):
        shares = [len(got & part) for got in given_out.values()]
        assert not shares or max(shares) - min(shares) <= 1


@given(claims, partitions, busy_ones)
def test_when_nobody_comes_or_goes_nothing_moves(told: dict[str, Claim], count: int, busy: frozenset[int]) -> None:
    before = give_out(told, count, busy)
    again = give_out({member: (7, frozenset(got)) for member, got in before.items()}, count, busy)
    assert again == before


def test_a_standby_that_joins_leaves_a_single_study_where_it_runs() -> None:
    for study in range(8):
        given_out = give_out({"a": (4, frozenset(range(8))), "b": NO_CLAIM}, 8, frozenset({study}))
        assert study in given_out["a"]
        assert len(given_out["b"]) in (3, 4)


def test_several_studies_are_shared_with_the_standby() -> None:
    given_out = give_out({"a": (4, frozenset(range(8))), "b": NO_CLAIM}, 8, frozenset({1, 2, 5, 6}))
    assert [len(got & {1, 2, 5, 6}) for got in given_out.values()] == [2, 2]


def test_who_slept_through_a_generation_does_not_take_back_what_it_held() -> None:
    told = {"sleeper": (3, frozenset({0, 1})), "successor": (4, frozenset({0, 1}))}
    assert 0 in give_out(told, 2, frozenset({0}))["successor"]


@given(st.integers(-1, 2**31 - 1), st.frozensets(st.integers(0, 2**31 - 1), max_size=9))
def test_a_claim_survives_the_wire(generation: int, held: frozenset[int]) -> None:
    assert claim_from_bytes(claim_to_bytes((generation, held))) == (generation, held)


@given(st.one_of(st.none(), st.binary(max_size=9).filter(lambda told: len(told) % 4 or not told)))
def test_what_is_no_claim_claims_nothing(told: bytes | None) -> None:
    assert claim_from_bytes(told) == NO_CLAIM
