"""Credentials: which are sent, and that nothing shows them."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kestra._api.credentials import (
    MASK,
    NO_CREDENTIALS,
    credentials,
    redact,
    without_userinfo,
)


def decoded(given_credentials):
    scheme, _, value = given_credentials.authorization.partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(value).decode()


def test_the_token_goes_before_user_and_password_before_the_hostname():
    """The order is token, user and password, user and password of the hostname, nothing."""
    assert credentials("t", "u", "p", ("h", "i")).authorization == "Bearer t"
    assert decoded(credentials(None, "u", "p", ("h", "i"))) == "u:p"
    assert decoded(credentials(None, None, None, ("h", "i"))) == "h:i"
    assert credentials(None, None, None) is NO_CREDENTIALS


@pytest.mark.parametrize("nothing", ["", "  ", None])
def test_an_empty_token_counts_as_none(nothing):
    """A variable that is set to nothing is no token."""
    assert decoded(credentials(nothing, "u", "p")) == "u:p"


def test_basic_credentials_are_utf8():
    """A password with a euro sign is sent as RFC 7617 has it."""
    assert decoded(credentials(None, "ü", "€:x")) == "ü:€:x"


@pytest.mark.parametrize(
    ("user", "password", "missing"),
    [
        ("u", None, "password"),
        ("u", "", "password"),
        (None, "secret", "user"),
        ("", "secret", "user"),
    ],
)
def test_half_a_pair_is_an_error_that_names_the_other_half(user, password, missing):
    """The error says what is missing, and where it is set."""
    with pytest.raises(ValueError, match=f"^{missing}: .*KESTRA_PASSWORD") as caught:
        credentials(None, user, password)
    assert "secret" not in str(caught.value)


def test_half_a_pair_does_not_matter_beside_a_token():
    """With a token, user and password are not looked at."""
    assert credentials("t", "u", None).authorization == "Bearer t"


@pytest.mark.parametrize("token", ["secret\n", "sec\rret", "sec\x00ret", "secret é", "sec ret"])
def test_a_token_that_no_header_can_hold_is_refused_unseen(token):
    """The error says what is wrong with it, and does not show it."""
    with pytest.raises(ValueError, match=r"^api_token: .*strip") as caught:
        credentials(token, None, None)
    assert "ret" not in str(caught.value).replace("perhaps read", "")


def test_a_user_name_with_a_colon_is_refused():
    """The server would take what follows for the password."""
    with pytest.raises(ValueError, match=r"^user: "):
        credentials(None, "a:b", "p")


def test_credentials_do_not_show_what_they_hold():
    """Their repr tells the kind only."""
    for each in (credentials("tok3n", None, None), credentials(None, "u", "passw0rd")):
        shown = repr(each) + each.kind
        assert not any(secret in shown for secret in ("tok3n", "passw0rd", each.authorization))


@pytest.mark.parametrize(
    ("url", "stripped", "pair"),
    [
        ("http://h/p?q#f", "http://h/p?q#f", None),
        ("http://u:p%40ss@h:80/p", "http://h:80/p", ("u", "p@ss")),
        ("http://u@h", "http://h", ("u", "")),
        ("http://@h", "http://h", None),
        ("http://u:p@[h", MASK, None),
    ],
)
def test_user_and_password_are_taken_out_of_a_url(url, stripped, pair):
    """What is left can be shown."""
    assert without_userinfo(url) == (stripped, pair)


# --- what a server repeats ---


def test_short_values_are_masked_where_they_stand_alone():
    """Else an input `a` would blacken every sentence."""
    assert redact("an `a` is no date: a", ["a"]) == f"an `{MASK}` is no date: {MASK}"


def test_the_beginning_of_a_long_value_is_masked_too():
    """Parsers cut what they quote."""
    value = "0123456789abcdefghij-the-rest"
    assert redact("got 0123456789abcdefghij...", [value]) == f"got {MASK}..."
    assert redact("got 0123456789abcdefgh, 0123456789abcdefX", [value]) == f"got {MASK}, {MASK}X"


def test_a_value_is_masked_as_json_has_it():
    """A line break in a value comes back as an escape."""
    assert redact('cannot read "two\\nlines"', ["two\nlines"]) == f'cannot read "{MASK}"'


@given(st.text(min_size=8), st.text(), st.text())
def test_no_long_value_survives(secret, before, after):
    """Wherever a value of eight characters or more stands, it is masked."""
    redacted = redact(before + secret + after, [secret])
    assert secret.strip() not in redacted or len(secret.strip()) < 8 or secret.strip() in MASK


def test_what_is_masked_is_text_again():
    """Masking a response's JSON keeps what is around the value."""
    said = json.dumps({"message": "topsecret!"})
    assert redact(said, ["topsecret"]) == '{"message": "***!"}'
