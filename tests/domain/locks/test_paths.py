"""Names of locks that are paths and globs conflict as files do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from wcmatch import glob

from mcp_server.domain.locks.expressions import WORTHWHILE_FROM, expression, meets
from mcp_server.domain.locks.model import AcquireLock, FindLocks, ReleaseLock
from mcp_server.domain.locks.paths import is_glob, may_meet, normalised, why_not_told
from tests.patience import within

FLAGS = glob.GLOBSTAR | glob.DOTMATCH | glob.FORCEUNIX | glob.CASE
LETTERS = st.sampled_from("abAB")
NAMES = st.lists(st.text(LETTERS, min_size=1, max_size=4), min_size=1, max_size=4).map("/".join)
TOKENS = st.one_of(LETTERS, st.sampled_from(["*", "?", "[ab]", "[!a]", "[A-a]", "[^bB]"]))
SEGMENTS = st.one_of(st.just("**"), st.lists(TOKENS, min_size=1, max_size=4).map("".join))
GLOBS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)


def of_many(one: str, other: str) -> bool:
    """Whether names meet by the expression of one of them, where it has one."""
    made = expression(one) if is_glob(one) and not is_glob(other) else None
    return may_meet(one, other) if made is None else made.fullmatch(f"{other}/") is not None


def every_path(letters: str, segments: int, length: int) -> list[str]:
    words = [""]
    for _ in range(length):
        words += [word + letter for word in words for letter in letters if len(word) < length]
    words = sorted({word for word in words if word})
    paths, longest = list(words), list(words)
    for _ in range(segments - 1):
        longest = [f"{path}/{word}" for path in longest for word in words]
        paths += longest
    return paths


PATHS = every_path("ab", 3, 2)


@given(GLOBS, NAMES)
def test_a_glob_meets_a_name_exactly_when_a_file_matcher_says_so(pattern: str, name: str):
    assert may_meet(pattern, name) == may_meet(name, pattern)
    assert may_meet(pattern, name) == (pattern == name or glob.globmatch(name, pattern, flags=FLAGS))


ODD = st.lists(
    st.one_of(TOKENS, st.sampled_from(["**", "/", "[z-a]", "[", "\n", "\\", "-", "]", "."])), min_size=1
).map("".join)


@given(st.one_of(GLOBS, ODD), st.one_of(NAMES, st.text(st.sampled_from("abAB/\n\\-].^"), min_size=1)))
def test_a_name_that_is_asked_of_many_meets_the_same(pattern: str, name: str):
    pattern, name = normalised(pattern), normalised(name)
    assert of_many(pattern, name) == may_meet(pattern, name)


SMALL = st.lists(
    st.one_of(
        st.just("**"),
        st.lists(st.sampled_from(["a", "b", "*", "?", "[ab]", "[!a]"]), min_size=1, max_size=2).map("".join),
    ),
    min_size=1,
    max_size=2,
).map("/".join)


@given(SMALL, SMALL)
def test_two_globs_meet_exactly_when_some_path_matches_both(one: str, other: str):
    """Two segments of two tokens each have a witness among paths of four segments, or none: three suffice where each
    `**` stands for at most one."""
    both = glob.globfilter(glob.globfilter(PATHS, one, flags=FLAGS), other, flags=FLAGS)
    if both:
        assert may_meet(one, other)
    elif may_meet(one, other):
        assert one == other or "!" in one + other  # a witness with a letter that is in no path of the list


@given(st.text(st.sampled_from("ab./*["), min_size=1, max_size=12))
def test_a_normalised_name_is_its_own_normal_form_and_keeps_its_case(name: str):
    assert normalised(normalised(name)) == normalised(name)
    assert is_glob(normalised(name)) == is_glob(name)
    assert normalised(name.upper()) == normalised(name).upper()


@pytest.mark.parametrize(
    ("given", "kept"),
    [("./src/a", "src/a"), ("src//a/", "src/a"), ("a/./b", "a/b"), ("/a/", "/a"), ("./", "."), ("/", "/"), ("A", "A")]
    + [("src\\a", "src/a"), (".\\src\\\\a", "src/a"), ("src/../src/a", "src/a"), ("src/b/../a", "src/a"), ("a/..", ".")]
    + [("a/b/../../c", "c"), ("/a/../b", "/b"), ("a\\..\\b/*.py", "b/*.py"), ("a/..b/c..", "a/..b/c..")]
    + [("../a", "../a"), ("a/../../b", "../b"), ("*/../a", "*/../a")],
)
def test_spellings_of_one_path_are_one_name(given: str, kept: str):
    assert normalised(given) == kept


SPELLINGS = st.sampled_from(["", "./", "x/../", "y/z/../../", "./w/../", "x\\..\\", ".\\"])


@given(NAMES, st.data())
def test_a_path_through_other_folders_and_back_is_the_same_name(name: str, data: st.DataObject):
    written = "/".join(f"{data.draw(SPELLINGS)}{part}" for part in name.split("/"))
    assert normalised(written) == name and why_not_told(normalised(written)) is None


@pytest.mark.parametrize(
    "name", ["../a", "a/../../b", "*/../a", "/..", "..", "a\\..\\..", "src/{a,b}.py", "{a,b/c}", "**/{x,y}/*"]
)
def test_a_name_of_which_nobody_can_tell_what_it_means_is_not_acquired_but_is_released_and_found(name: str):
    with pytest.raises(ValidationError, match="is no name of a lock"):
        AcquireLock(name=name)
    assert ReleaseLock(name=name).name == FindLocks(name=name).name == normalised(name)


@pytest.mark.parametrize("name", ["a..b", "{slug}/page", "a{", "}{,", "a,b", "{a},b", "..a/b"])
def test_dots_and_braces_that_are_parts_of_a_name_are_taken(name: str):
    assert AcquireLock(name=name).name == name


def test_both_spellings_of_an_accent_are_one_name():
    composed, decomposed = "docs/caf\u00e9.md", "docs/cafe\u0301.md"
    assert normalised(decomposed) == normalised(composed) == composed
    assert may_meet(normalised("docs/caf?.md"), normalised(decomposed))


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("src/**", "src/a.py", True),
        ("src/**", "src/b/c", True),
        ("*.py", "a.py", True),
        ("*.py", "src/a.py", False),
        ("**/*.py", "src/*/a.*", True),
        ("SRC/**", "src/a", False),
        ("*/a", "/a", False),
        ("[", "[", True),
        ("[z-a]", "[z-a]", True),
        ("[a-c]", "[!a-c]", False),
        ("[!b]", "a", True),
        ("[.-1]", "0", True),
        ("[]-a]", "]", True),
        ("a", "b", False),
    ],
)
def test_some_names_meet_and_others_do_not(one: str, other: str, meet: bool):
    assert may_meet(one, other) is may_meet(other, one) is meet
    assert of_many(one, other) is of_many(other, one) is meet


def test_no_glob_of_the_longest_name_takes_long():
    with within(5):
        assert not may_meet("*a" * 100, "a*" * 99 + "ab")
        assert not may_meet("**/" * 66 + "a", "**/" * 66 + "b")
        assert not of_many("*a" * 100, "a" * 199 + "b")
        assert not of_many("**/" * 66 + "a", "a/" * 99 + "b")
        assert not of_many("**/a/*/" * 28 + "b", "a/" * 99 + "c")


def test_few_names_are_compared_without_an_expression_and_many_by_one_with_the_same_answers():
    expression.cache_clear()
    ask, names = meets("src/[a-m]*"), [f"src/{letter}" for letter in "amz"]
    for number in range(WORTHWHILE_FROM):
        assert ask(names[number % 3]) is (number % 3 < 2)
    assert expression.cache_info().misses == 0
    for number in range(9):
        assert ask(names[number % 3]) is (number % 3 < 2)
    assert expression.cache_info().misses == 1


@pytest.mark.parametrize(
    ("glob", "is_made"),
    [
        ("?" * 199 + "*", True),
        ("[!a]" * 49, True),
        ("[a-z]" * 39, True),
        ("[a-\U0010fffe]" * 39, False),
        ("[!a-\u8000]" * 39, False),
    ],
)
def test_an_expression_goes_through_few_characters_or_is_not_made(glob: str, is_made: bool):
    made = expression(glob)
    assert (made is not None) == is_made
    assert made is None or len(made.pattern) < 30 * 200
