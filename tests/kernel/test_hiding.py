"""Secrets are taken out of what programs say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel.hiding import CHARACTERS_MIN, without

SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="[]K"), min_size=CHARACTERS_MIN, max_size=12)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(before=TEXTS, secret=SECRETS, after=TEXTS, inside_json=st.booleans())
def test_no_secret_is_left_wherever_it_stands(before: str, secret: str, after: str, inside_json: bool):
    told = json.dumps({"x": before + secret + after}) if inside_json else before + secret + after
    clean = without(told, [("K", secret)])
    assert secret not in clean and json.dumps(secret)[1:-1] not in clean and "[K]" in clean


@given(secret=SECRETS, text=TEXTS, kept=st.integers(CHARACTERS_MIN, 12))
def test_no_part_is_left_where_a_text_was_cut_in_the_midst_of_a_secret(secret: str, text: str, kept: int):
    kept = min(kept, len(secret))
    assert not without(text + "|" + secret[:kept], [("K", secret)]).endswith(secret[:kept])
    assert not without(secret[-kept:] + "|" + text, [("K", secret)]).startswith(secret[-kept:])


@pytest.mark.parametrize(
    ("secrets", "told", "clean"),
    [
        ({"A": "pass", "B": "password"}, "a password", "a [B]"),
        ({"A": "", "B": "abc"}, "nothing is as short as abc", "nothing is as short as abc"),
        ({"PEM": "-----\nkey\n"}, '{"pem": "-----\\nkey\\n"}', '{"pem": "[PEM]"}'),
        ({"KEY": "hush-hush"}, "cut in the midst: hush-", "cut in the midst: [KEY]"),
    ],
)
def test_the_name_stands_where_the_secret_stood(secrets: dict[str, str], told: str, clean: str):
    assert without(told, secrets.items()) == clean
