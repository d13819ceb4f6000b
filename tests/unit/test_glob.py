"""Patterns for names, as Redis has them, at a cost that is known."""

import pytest

from fastpaxos_live.server.glob import PATTERN_BYTES_MAX, PatternTooLong, glob


class Counted(bytes):
    """Counts how often a byte of it is looked at."""

    seen = 0

    def __getitem__(self, at):
        Counted.seen += 1
        return super().__getitem__(at)


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (b"", [b""], [b"a"]),
        (b"*", [b"", b"a"], []),
        (b"**a**", [b"a", b"bab"], [b"", b"b"]),
        (b"a?c", [b"abc"], [b"ac", b"abbc"]),
        (b"A?C", [b"abc"], []),
        (b"a[b-d]", [b"ab", b"ad"], [b"ae", b"a-", b"a"]),
        (b"a[B-D]", [b"ab", b"ad"], [b"ae"]),
        (b"a[^b]", [b"ac"], [b"ab", b"a"]),
        (b"a[-b]", [b"a-", b"ab"], [b"ac"]),
        (b"a[b-]", [b"ab", b"a^"], [b"a-", b"ac"]),  # a range from b to the bracket, and then the end
        (rb"a\*", [b"a*"], [b"ab"]),
        (rb"a[\]]", [b"a]"], [b"ab"]),
        (b"a\\", [b"a\\"], [b"a"]),
        (b"a[z-a]", [b"am"], [b"a-"]),
        (b"a[]", [], [b"a", b"a]"]),
        (b"a[^]", [b"ab"], [b"a"]),
        (b"a[", [], [b"a[", b"a"]),
        (b"a[bc", [b"ab", b"ac"], [b"a[", b"ad"]),
        (b"a.c", [b"a.c"], [b"abc"]),
        (b"*ab*ab", [b"abab", b"aabbabxab"], [b"ab", b"ababx"]),
        (b"\xff?", [b"\xff\n"], [b"\xff"]),
    ],
)
def test_patterns(pattern, matching, other):
    matches = glob(pattern)
    assert [name for name in matching if not matches(name)] == []
    assert [name for name in other if matches(name)] == []


@pytest.mark.parametrize("part", [b"*", b"*a", b"*?", b"*[a-z]", b"a*a"])
def test_what_a_match_costs(part):
    name = Counted(b"a" * 40)
    for length in (10, 20, 40, 80, PATTERN_BYTES_MAX - 1):
        pattern = part * (length // len(part)) + b"x"
        Counted.seen = 0
        assert not glob(pattern)(name)
        assert Counted.seen <= len(name) * len(name)


def test_a_pattern_has_a_bound():
    assert glob(b"*" * PATTERN_BYTES_MAX)(b"x")
    with pytest.raises(PatternTooLong):
        glob(b"*" * (PATTERN_BYTES_MAX + 1))
