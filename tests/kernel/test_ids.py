"""Ids and secrets: short, of letters that spell nothing and look like nothing else."""

import re

from mcp_server.kernel.ids import ALPHABET, SECRET_LETTERS, new_id, new_secret


def test_no_id_holds_a_vowel_or_what_looks_like_something_else():
    assert not set(ALPHABET) & set("aeiouy01il")
    assert len(set(ALPHABET)) == len(ALPHABET) == 27
    for _ in range(2000):
        assert re.fullmatch(f"task_[{ALPHABET}]{{12}}", new_id("task"))


def test_ids_made_in_a_row_are_all_different():
    assert len({new_id("task") for _ in range(20_000)}) == 20_000


def test_a_secret_shares_no_beginning_with_another_and_uses_every_letter():
    made = [new_secret("lease").removeprefix("lease_") for _ in range(2000)]
    assert len({secret[:6] for secret in made}) > 1990
    assert {len(secret) for secret in made} == {SECRET_LETTERS}
    counted = {letter: sum(secret.count(letter) for secret in made) for letter in ALPHABET}
    assert max(counted.values()) < 1.3 * min(counted.values()), "no letter is likelier than another"
