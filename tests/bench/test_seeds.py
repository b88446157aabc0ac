import hashlib

from hypothesis import given, strategies as st

from layton_bench.seeds import sample_seed

parts = st.tuples(st.text(), st.text(), st.integers(), st.integers(min_value=0))


def test_the_seed_is_the_documented_hash() -> None:
    digest = hashlib.sha256(b"10:photos-2566:coffee1:71:2").digest()
    expected = int.from_bytes(digest, "big") >> (256 - 63)
    assert sample_seed("photos-256", "coffee", user_seed=7, repeat=2) == expected


def test_seeds_stay_what_they_were() -> None:
    # Another value here gives every stochastic model other numbers. These two are
    # printf '10:photos-2566:coffee1:01:0' | sha256sum, first 16 digits halved, and 1:1 for 1:0.
    assert sample_seed("photos-256", "coffee") == 590852423186352361
    assert sample_seed("photos-256", "coffee", user_seed=1) == 8970612644083201979


@given(parts, parts)
def test_different_samples_have_different_seeds(one, other) -> None:
    first = sample_seed(one[0], one[1], user_seed=one[2], repeat=one[3])
    second = sample_seed(other[0], other[1], user_seed=other[2], repeat=other[3])
    assert (first == second) == (one == other)
    assert 0 <= first < 2**63


def test_parts_do_not_run_together() -> None:
    assert sample_seed("a", "bc") != sample_seed("ab", "c")
    assert sample_seed("a", "b", user_seed=1, repeat=2) != sample_seed("a", "b", user_seed=12)
