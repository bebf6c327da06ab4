from __future__ import annotations

import gzip
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pycontainer.errors import RegistryError, VerificationError
from pycontainer.image import manifest as m
from pycontainer.image.auth import parse_challenge
from pycontainer.image.events import Event
from pycontainer.image.manifest import Descriptor
from pycontainer.image.registries_conf import Endpoint
from pycontainer.image.registry import Credentials, Patience, Registry
from tests.support.fake_registry import FakeRegistry, Handler, answers, digest_of, when

HASTY = Patience(tries=3, pause=0.01, connect=2, stall=0.5)
BLOB = bytes(range(256)) * 20_000


BRIEF = {"is_brief": False}


@pytest.fixture(params=[False, True], ids=["requests", "brief"])
def fake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    """A registry, to be asked by `requests` and by what does without it for small questions."""
    monkeypatch.setitem(BRIEF, "is_brief", request.param)
    with FakeRegistry() as registry:
        registry.add_image("app:1", [b"tar"])
        registry.add_blob(BLOB)
        yield registry


def client(
    host: str, *, credentials: Credentials | None = None, insecure: bool = False, events: list[Event] | None = None
) -> Registry:
    heard: list[Event] = [] if events is None else events
    endpoint = Endpoint(host, "app", insecure)
    return Registry(endpoint, credentials=credentials, listener=heard.append, patience=HASTY, **BRIEF)


def blob(of: Registry, data: bytes = BLOB, offset: int = 0, **changes: object) -> bytes:
    descriptor = Descriptor("x", digest_of(data), len(data))._replace(**changes)  # type: ignore[arg-type]
    return b"".join(of.blob(descriptor, offset))


def test_a_manifest_is_fetched_by_tag_and_by_digest(fake: FakeRegistry) -> None:
    by_tag = client(fake.host).manifest("1")
    assert by_tag.media_type == m.OCI_MANIFEST
    assert client(fake.host).manifest(by_tag.digest) == by_tag
    accept = fake.requests[0][1]["Accept"]
    assert all(kind in accept for kind in (m.OCI_INDEX, m.OCI_MANIFEST, m.DOCKER_INDEX, m.DOCKER_MANIFEST))
    assert len(fake.requests) == 2  # no ping


def test_a_blob_is_fetched_whole_or_from_an_offset(fake: FakeRegistry) -> None:
    assert blob(client(fake.host)) == BLOB
    assert blob(client(fake.host), offset=1000) == BLOB[1000:]
    assert blob(client(fake.host), offset=len(BLOB)) == b""


FAILURES: dict[str, tuple[Callable[[Handler], object], str]] = {
    "400": (answers(400), "answered 400"),
    "401 without challenge": (answers(401), "wants authentication"),
    "401 of unknown scheme": (answers(401, WWW_Authenticate="Negotiate"), "wants authentication"),
    "401 basic": (answers(401, WWW_Authenticate='Basic realm="x"'), "wants authentication"),
    "403": (answers(403, b'{"errors": [{"message": "no\\u001b[31m\\nway"}]}'), r"denies access to app: no\[31mway"),
    "404": (answers(404, b'{"errors": []}'), "has no image app:1"),
    "404 html": (answers(404, b"<html>" * 100), "has no image app:1"),
    "404 endless": (answers(404, b"x" * 1_000_000), "has no image app:1"),
    "429": (answers(429), "answered 429 Too Many Requests, 3 times"),
    "500": (answers(500), "answered 500 Internal Server Error, 3 times"),
    "503": (answers(503, b"busy"), "answered 503 Service Unavailable, 3 times"),
    "html": (answers(200, b"<html>login</html>", Content_Type="text/html; charset=utf-8"), "a web page instead"),
    "too large": (answers(200, b" " * (5 << 20)), "sent a manifest 1 larger than 4096 KiB"),
    "cut": (
        lambda h: h.answer(200, b"{}" * 500, cut=10),
        "was cut: closed the connection too early, 3 times",
    ),
    "wrong digest": (answers(200, b"{}", Docker_Content_Digest=digest_of(b"x")), "has digest sha256:44136fa355b3"),
    "redirect circle": (answers(307, Location="/v2/app/manifests/1"), "redirects in circles"),
    "redirect nowhere": (answers(307, Location="file:///etc/passwd"), "no web address"),
    "redirect to plain http": (answers(307, Location="http://192.0.2.1/x"), "over plain HTTP, which is refused"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_line_that_says_who_and_what(fake: FakeRegistry, name: str) -> None:
    answer, message = FAILURES[name]
    fake.rules.append(when("/manifests/", answer, forever=True))
    with pytest.raises((RegistryError, VerificationError), match=message) as caught:
        client(fake.host).manifest("1")
    assert "\n" not in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
    assert fake.host in caught.value.message


def test_a_registry_that_is_down_is_told_from_one_that_does_not_exist() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    start = time.monotonic()
    with pytest.raises(RegistryError, match=f"can't reach registry {host}: connection refused") as caught:
        client(host).manifest("1")
    assert "running" in caught.value.hint
    with pytest.raises(RegistryError, match="its name can't be resolved"):
        client("registry.invalid").manifest("1")
    assert time.monotonic() - start < 2


def test_a_registry_that_accepts_and_says_nothing_is_given_up_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(RegistryError, match="sent nothing for too long"):
            client(f"127.0.0.1:{silent.getsockname()[1]}").manifest("1")
        assert time.monotonic() - start < 5


def test_a_registry_that_hangs_up_is_asked_again(fake: FakeRegistry) -> None:
    def hang_up(handler: Handler) -> None:
        handler.close_connection = True

    fake.rules.append(when("/manifests/", hang_up))
    events: list[Event] = []
    assert client(fake.host, events=events).manifest("1").data
    assert [event.kind for event in events].count("request") >= 2


def test_a_connection_serves_again_unless_the_registry_hung_up_meanwhile(fake: FakeRegistry) -> None:
    def last_words(handler: Handler) -> None:
        handler.answer(200, fake.manifests["app", "1"][0])
        handler.close_connection = True

    events: list[Event] = []
    registry = client(fake.host, events=events)
    for _ in range(3):
        registry.manifest("1")
    assert fake.connections == 1
    fake.rules.append(when("/manifests/", last_words))
    registry.manifest("1")
    time.sleep(0.1)
    registry.manifest("1")
    assert fake.connections == 2
    assert "retry" not in [event.kind for event in events]
    registry.close()


def test_plain_http_is_for_loopback_or_when_registries_conf_says_insecure(fake: FakeRegistry) -> None:
    port = fake.host.rpartition(":")[2]
    assert client(f"localhost:{port}").manifest("1").data

    class Elsewhere(Endpoint):
        is_loopback = False  # type: ignore[assignment]

    secure = Registry(Elsewhere(fake.host, "app"), patience=HASTY)
    with pytest.raises(RegistryError, match="TLS failed") as caught:
        secure.manifest("1")
    assert "insecure = true" in caught.value.hint
    assert Registry(Elsewhere(fake.host, "app", True), patience=HASTY).manifest("1").data


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: object) -> None:
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=x",
    ]
    subprocess.run([*make, "-keyout", f"{tmp_path}/key", "-out", f"{tmp_path}/cert"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{tmp_path}/cert", f"{tmp_path}/key")
    with FakeRegistry(tls=context) as fake:
        fake.add_image("app:1", [b"tar"])
        with pytest.raises(RegistryError, match="its certificate is not trusted") as caught:
            client(fake.host).manifest("1")
        assert "insecure = true" in caught.value.hint
        assert fake.requests == []
        assert client(fake.host, insecure=True).manifest("1").data


def test_a_busy_registry_is_asked_again_when_it_says(fake: FakeRegistry) -> None:
    fake.rules.append(when("/manifests/", answers(429, Retry_After="1"), answers(503)))
    events: list[Event] = []
    start = time.monotonic()
    assert client(fake.host, events=events).manifest("1").data
    assert 1 <= time.monotonic() - start < 2
    assert [event.text.split(";")[0].split(" ", 1)[1] for event in events if event.kind == "retry"] == [
        "answered 429 Too Many Requests",
        "answered 503 Service Unavailable",
    ]


# ---- blobs


def test_a_registry_that_wants_us_gone_for_long_is_not_waited_for(fake: FakeRegistry) -> None:
    limit = json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": "you have reached your pull rate limit"}]})
    fake.rules.append(when("/manifests/", answers(429, limit.encode(), Retry_After="3600"), forever=True))
    with pytest.raises(RegistryError, match="429 Too Many Requests: you have reached your pull rate limit") as caught:
        client(fake.host).manifest("1")
    assert "60 minutes" in caught.value.hint
    assert len(fake.requests) == 1


def test_a_cut_transfer_is_continued_where_it_broke(fake: FakeRegistry) -> None:
    fake.rules.append(when("/blobs/", *[lambda h: h.answer(200, BLOB, cut=100_000)]))
    assert blob(client(fake.host)) == BLOB
    assert fake.requests[1][1]["Range"].startswith("bytes=")
    assert int(fake.requests[1][1]["Range"][6:].split("-")[0]) > 0


def test_a_registry_that_ignores_range_is_skipped_through(fake: FakeRegistry) -> None:
    fake.rules.append(when("/blobs/", lambda h: h.answer(200, BLOB), forever=True))
    assert blob(client(fake.host), offset=1_234_567) == BLOB[1_234_567:]


def test_another_range_than_asked_for_is_never_spliced_in(fake: FakeRegistry) -> None:
    wrong = {"Content-Range": f"bytes 0-{len(BLOB) - 1}/{len(BLOB)}"}
    fake.rules.append(when("/blobs/", lambda h: h.answer(206, BLOB, wrong), forever=True))
    with pytest.raises(VerificationError, match="instead of bytes 1000-"):
        blob(client(fake.host), offset=1000)


def test_a_transfer_that_breaks_every_time_is_an_error_with_its_place(fake: FakeRegistry) -> None:
    fake.rules.append(when("/blobs/", lambda h: h.answer(200, BLOB, cut=1000), forever=True))
    with pytest.raises(RegistryError, match="broke at byte 1000: closed the connection too early") as caught:
        blob(client(fake.host))
    assert "continues" in caught.value.hint
    assert len(fake.requests) == 3


def test_a_blob_longer_or_shorter_than_promised_is_refused(fake: FakeRegistry) -> None:
    with pytest.raises(VerificationError, match="not the 10 promised"):
        blob(client(fake.host), size=10)
    chunked = {"Content-Length": "", "Connection": "close"}
    fake.rules.append(when("/blobs/", lambda h: h.answer(200, BLOB, chunked), forever=True))
    with pytest.raises(VerificationError, match="longer than the 10 bytes"):
        blob(client(fake.host), size=10)
    with pytest.raises((RegistryError, VerificationError)):
        blob(client(fake.host), size=len(BLOB) + 5)


def test_a_trickle_counts_as_stalled(fake: FakeRegistry) -> None:
    def trickle(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BLOB)))
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.05)

    fake.rules.append(when("/blobs/", trickle, forever=True))
    start = time.monotonic()
    with pytest.raises(RegistryError, match=r"sent only \d+ bytes"):
        blob(client(fake.host))
    assert time.monotonic() - start < 5


def test_a_body_that_was_compressed_on_the_way_is_not_unpacked_behind_our_back(fake: FakeRegistry) -> None:
    packed = gzip.compress(BLOB)
    fake.rules.append(when("/blobs/", answers(200, packed, Content_Encoding="gzip")))
    assert blob(client(fake.host), size=len(packed)) == packed  # whose digest will be wrong


def test_closing_ends_a_transfer_that_hangs(fake: FakeRegistry) -> None:
    def hang(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BLOB)))
        handler.end_headers()
        handler.wfile.write(b"x" * 100)
        handler.wfile.flush()
        time.sleep(3)

    fake.rules.append(when("/blobs/", hang))
    registry = Registry(Endpoint(fake.host, "app"), patience=Patience(stall=20))
    threading.Timer(0.3, registry.close).start()
    start = time.monotonic()
    with pytest.raises(RegistryError, match="given up"):
        blob(registry)
    assert time.monotonic() - start < 2


def test_closing_ends_a_transfer_that_is_about_to_begin(fake: FakeRegistry) -> None:
    registry = Registry(Endpoint(fake.host, "app"), patience=Patience(stall=20))

    def close_and_hang(handler: Handler) -> None:
        registry.close()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BLOB)))
        handler.end_headers()
        time.sleep(3)

    fake.rules.append(when("/blobs/", close_and_hang))
    start = time.monotonic()
    with pytest.raises(RegistryError, match="given up"):
        blob(registry)
    assert time.monotonic() - start < 2


# ---- redirects and secrets


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    """A storage host, to which the registry redirects."""
    with FakeRegistry() as registry:
        registry.rules.append(when("/store/", lambda h: h.blob(BLOB), forever=True))
        yield registry


def bearer(fake: FakeRegistry, realm: str = "", token: str = "good") -> None:
    """Make a registry want a token that its own /token hands out."""
    challenge = (
        f'Bearer realm="{realm or fake.url + "/token"}",service="fake, \\"quoted\\"",scope="repository:app:pull"'
    )

    def check(handler: Handler) -> bool:
        if "/v2/" not in handler.path or handler.headers.get("Authorization") == f"Bearer {token}":
            return False
        return handler.answer(401, b"{}", {"WWW-Authenticate": challenge})

    fake.rules.append(check)
    fake.rules.append(when("/token", answers(200, json.dumps({"token": token}).encode()), forever=True))


def test_no_authorization_crosses_to_another_host(fake: FakeRegistry, other: FakeRegistry) -> None:
    bearer(fake)
    fake.rules.append(when("/blobs/", answers(307, Location=f"{other.url}/store/x?sig=secret"), forever=True))
    events: list[Event] = []
    assert blob(client(fake.host, events=events), offset=10) == BLOB[10:]
    path, headers = other.requests[0]
    assert path == "/store/x?sig=secret"
    assert "Authorization" not in headers
    assert headers["Range"] == f"bytes=10-{len(BLOB) - 1}"
    assert not any("secret" in event.text for event in events)


def test_a_storage_host_that_asks_for_a_password_gets_none(fake: FakeRegistry, other: FakeRegistry) -> None:
    other.rules.insert(0, when("/store/", answers(401, WWW_Authenticate=f'Basic realm="{other.url}"'), forever=True))
    fake.rules.append(when("/blobs/", answers(307, Location=f"{other.url}/store/x"), forever=True))
    with pytest.raises(RegistryError, match="was refused by"):
        blob(client(fake.host, credentials=lambda host: ("user", "password")))
    assert other.requests and all("Authorization" not in headers for _, headers in fake.requests + other.requests)


def test_netrc_is_not_consulted(fake: FakeRegistry, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(f"{tmp_path}/netrc", "w") as file:
        file.write("machine 127.0.0.1 login user password secret\n")
    monkeypatch.setenv("NETRC", f"{tmp_path}/netrc")
    client(fake.host).manifest("1")
    assert "Authorization" not in fake.requests[0][1]


def test_a_proxy_never_comes_between_us_and_this_machine(fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:3128")
    monkeypatch.setenv("http_proxy", "http://192.0.2.1:3128")
    assert client(fake.host).manifest("1").data


def test_an_anonymous_token_is_fetched_once_and_used_for_all(fake: FakeRegistry) -> None:
    bearer(fake)
    events: list[Event] = []
    registry = client(fake.host, events=events)
    registry.manifest("1")
    blob(registry)
    assert fake.paths("/token") == ["/token?service=fake%2C+%22quoted%22&scope=repository%3Aapp%3Apull"]
    assert "Authorization" not in dict(fake.requests[1][1])
    assert [event.text for event in events if event.kind == "token"] == [
        f"{fake.host} gives an anonymous token for repository:app:pull"
    ]


def test_a_token_that_expires_is_renewed_once(fake: FakeRegistry) -> None:
    bearer(fake)
    registry = client(fake.host)
    registry.manifest("1")
    del fake.rules[:]
    bearer(fake, token="newer")
    assert blob(registry) == BLOB
    assert len(fake.paths("/token")) == 2


def test_a_fresh_token_that_is_refused_is_tried_once_more_and_no_longer(fake: FakeRegistry) -> None:
    bearer(fake, token="never")
    fake.rules[1] = when("/token", answers(200, b'{"access_token": "stale"}'), forever=True)
    with pytest.raises(RegistryError, match="wants authentication"):
        client(fake.host).manifest("1")
    assert len(fake.paths("/manifests/")) == 3


def test_credentials_go_to_the_token_server_as_basic(fake: FakeRegistry) -> None:
    bearer(fake)
    client(fake.host, credentials=lambda host: ("me", "pw") if host == fake.host else None).manifest("1")
    (token_request,) = [headers for path, headers in fake.requests if "/token" in path]
    assert token_request["Authorization"] == "Basic bWU6cHc="


def test_credentials_answer_a_basic_challenge(fake: FakeRegistry) -> None:
    def check(handler: Handler) -> bool:
        if handler.headers.get("Authorization") == "Basic bWU6cHc=":
            return False
        return handler.answer(401, b"", {"WWW-Authenticate": 'Basic realm="x"'})

    fake.rules.append(check)
    assert client(fake.host, credentials=lambda host: ("me", "pw")).manifest("1").data
    with pytest.raises(RegistryError, match="wants authentication"):
        client(fake.host, credentials=lambda host: ("me", "wrong")).manifest("1")


@pytest.mark.parametrize(
    ("realm", "message"),
    [("http://192.0.2.1/token", "over plain HTTP"), ("ftp://x/", "no web address"), ("\x1b[31m", "no web address")],
)
def test_a_realm_that_would_leak_is_refused(fake: FakeRegistry, realm: str, message: str) -> None:
    bearer(fake, realm=realm)
    with pytest.raises(RegistryError, match=message) as caught:
        client(fake.host, credentials=lambda host: ("me", "pw")).manifest("1")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"token": 1}', b'{"token": "a\\nb"}', b'{"token": "a b"}', b"<html>", b"[" * 90_000]
)
def test_a_useless_token_is_one_line(fake: FakeRegistry, body: bytes) -> None:
    bearer(fake)
    fake.rules[1] = when("/token", answers(200, body), forever=True)
    with pytest.raises(RegistryError, match="no usable token"):
        client(fake.host).manifest("1")


def test_a_token_server_that_fails_is_named(fake: FakeRegistry) -> None:
    bearer(fake, realm="http://127.0.0.1:9/token")
    with pytest.raises(RegistryError, match=r"token server 127.0.0.1:9: connection refused"):
        client(fake.host).manifest("1")
    del fake.rules[:]
    bearer(fake)
    fake.rules[1] = when("/token", answers(403), forever=True)
    with pytest.raises(RegistryError, match="answered 403"):
        client(fake.host).manifest("1")


@pytest.mark.parametrize(
    ("header", "scheme", "fields"),
    [
        ("", "", {}),
        ("Bearer", "bearer", {}),
        ('Bearer realm="https://a/b",service="s"', "bearer", {"realm": "https://a/b", "service": "s"}),
        ('bearer realm = "a" , scope="x:y:pull,push"', "bearer", {"realm": "a", "scope": "x:y:pull,push"}),
        ('Basic realm="x", Bearer realm="y"', "bearer", {"realm": "y"}),
        ("Basic realm=x", "basic", {"realm": "x"}),
        (r'Bearer realm="a\"b\\c"', "bearer", {"realm": 'a"b\\c'}),
        ('Negotiate, Basic realm="x"', "basic", {"realm": "x"}),
        ('Bearer realm="unclosed', "bearer", {"realm": "unclosed"}),
        ('"=,,="', "", {}),
        ("Bearer " + "a=b," * 100_000, "bearer", {"a": "b"}),
    ],
)
def test_a_challenge_is_parsed(header: str, scheme: str, fields: dict[str, str]) -> None:
    assert parse_challenge(header) == (scheme, fields)


@pytest.mark.parametrize("address", ["http://[::1", "http://", "ftp://x/", "//[", "\x1b]0;x\x07:"])
def test_an_address_that_is_none_is_an_error_of_the_registry(fake: FakeRegistry, address: str) -> None:
    fake.rules.append(when("manifests", answers(307, Location=address), forever=True))
    with pytest.raises(RegistryError, match=r"no web address|circles|answered 404|Invalid IPv6 URL"):
        client(fake.host).manifest("1")


def test_a_next_page_that_has_no_address_is_an_error_of_the_registry(fake: FakeRegistry) -> None:
    fake.rules.append(when("tags", answers(200, b'{"tags": ["a"]}', Link="<http://[::1>; rel=next")))
    with pytest.raises(RegistryError, match="on another host"):
        client(fake.host).json("tags/list", "tags")


def test_nothing_that_a_registry_says_reaches_the_terminal_as_it_is(fake: FakeRegistry) -> None:
    def busy(handler: Handler) -> None:
        handler.send_response(503, "\x1b]0;pwned\x07\x9b31m")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    heard: list[Event] = []
    fake.rules.append(when("manifests", busy, forever=True))
    with pytest.raises(RegistryError, match="answered 503") as error:
        client(fake.host, events=heard).manifest("1")
    assert error.value.message.isprintable()
    fake.rules[0] = when("manifests", answers(307, Location=f"{fake.url}/\x1b[31m"))
    with pytest.raises(RegistryError):
        client(fake.host, events=heard).manifest("1")
    assert heard and all(event.text.isprintable() for event in heard)


def test_tls_that_is_insisted_on_is_insisted_on_here_too(fake: FakeRegistry) -> None:
    registry = Registry(Endpoint(fake.host, "app", tls_only=True), patience=HASTY, **BRIEF)
    with pytest.raises(RegistryError, match="TLS failed"):
        registry.manifest("1")
    assert not fake.requests
