"""Which names a server answers to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_server.kernel.errors import ValidationFailed
from mcp_server.kernel.hosts import LOOPBACK, Host, Hosts, host_of, is_loopback, own_name

HERE = Hosts((*LOOPBACK, "desk.example.org", "two.example.org:8443", "[2001:db8::5]:*"))


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "127.0.0.1:8765", "LOCALHOST:8765", "localhost", "[::1]", "[::1]:8765", "[0:0:0:0:0:0:0:1]:1"),
        *("desk.example.org", "Desk.Example.ORG:443", "desk.example.org:80", "two.example.org:8443"),
        *("[2001:DB8::5]", "[2001:db8:0::5]:65535"),
    ],
)
def test_a_name_of_the_server_is_taken_in_every_way_of_writing_it(text: str):
    assert HERE.admits(text) and HERE.admits_origin(f"https://{text}") and HERE.admits_origin(f"http://{text}")


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "evil.example", "localhost.", "127.0.0.1.", "localhost:", "localhost:0", "localhost:65536"),
        *("localhost:8765:1", "localhost:+1", "localhost:1e3", "localhost:\u0661", "localhost.evil.example"),
        *("evil@localhost", "localhost@evil.example", "localhost/", "localhost?", "localhost#", "localhost,evil"),
        *("desk.example.org:8443", "two.example.org", "::1", "[::1", "[::1]8765", "[::2]", "[127.0.0.1]", "[:::]"),
        *("127.1", "2130706433", "0x7f.0.0.1", "0.0.0.0", "http://localhost", "localhost\n", "*", "localhost:*"),
    ],
)
def test_what_is_no_name_of_the_server_is_not(text: str):
    assert not HERE.admits(text) and not HERE.admits_origin(f"http://{text}")


@pytest.mark.parametrize("origin", ["null", "localhost", "file://localhost", "ftp://localhost", "", "http:/localhost"])
def test_an_origin_that_is_none_of_the_web_is_refused(origin: str):
    assert not HERE.admits_origin(origin)


@given(st.text(max_size=80))
def test_whatever_a_request_claims_it_is_a_host_or_none(text: str):
    host = host_of(text)
    if host is not None:
        again = host.name if host.port is None else f"{host.name}:{host.port}"
        assert host_of(again) == host and host.name == host.name.lower()


def test_a_host_is_told_in_one_form():
    assert host_of("[2001:DB8:0:0::1]:443") == Host("[2001:db8::1]", None)


@pytest.mark.parametrize(
    "name", ["https://desk.example.org", "desk example", "", "desk.example.org:x", "*.example.org"]
)
def test_an_operators_name_that_is_no_host_is_told(name: str):
    with pytest.raises(ValidationFailed, match="is no host.*DATAMCP_ALLOWED_HOSTS"):
        Hosts((name,))


def test_what_is_listened_on_is_a_name_unless_it_is_every_address():
    assert [own_name(one) for one in ("0.0.0.0", "::", "[::]")] == [(), (), ()]
    assert own_name("::1") == own_name("[::1]") == ("[::1]:*",)
    assert own_name("fe80::1%eth0") == ("[fe80::1]:*",) and own_name("desk.local") == ("desk.local:*",)


def test_only_loopback_addresses_count_as_this_machine():
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost") and is_loopback("127.9.9.9")
    assert not (is_loopback("0.0.0.0") or is_loopback("192.168.0.1") or is_loopback("example.org"))
