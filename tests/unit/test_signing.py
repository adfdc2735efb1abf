"""AK/SK signatures: the contract's vectors, the vendor's own signer, and everything that must be refused."""

import hashlib
from collections.abc import Mapping
from types import SimpleNamespace
from urllib.parse import quote

import msgspec
import pytest
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from hypothesis import given
from hypothesis import strategies as st

from darkroom.errors import Unauthenticated
from darkroom.wire import signing

AK, SK = "EXAMPLEAK00000000001", "exampleSecretKey000000000000000000000001"
PROJECT, HOST, DATE = "0123456789abcdef0123456789abcdef", "appstream.test.example.com", "20260102T030405Z"
NOW = 1_767_323_045_000  #: DATE in milliseconds
PREFIX = "Incorrect IAM authentication information: "
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Vector(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and what contract section 13 says its hashes and signature are."""

    method: str
    path: bytes
    query: bytes = b""
    signed: str
    headers: dict[str, str]
    body: bytes = b""
    body_hash: str
    canonical_hash: str
    signature: str
    secret: str = SK

    @property
    def pairs(self) -> list[tuple[bytes, bytes]]:
        return pairs(self.headers)

    def canonical(self) -> str:
        return signing.canonical_request(
            self.method, self.path, self.query, headers_of(self.headers), self.signed.split(";"), self.body_hash
        )

    def authorization(self) -> signing.Authorization:
        return signing.parse_authorization(
            f"SDK-HMAC-SHA256 Access={AK}, SignedHeaders={self.signed}, Signature={self.signature}"
        )


def pairs(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def headers_of(headers: Mapping[str, str]) -> signing.Headers:
    return signing.headers_of(pairs(headers))


COMMON = {"Host": HOST, "X-Sdk-Date": DATE, "X-Project-Id": PROJECT, "Content-Type": "application/json"}
VECTORS = {
    "A": Vector(
        method="GET",
        path=f"/v1/{PROJECT}/image-server-jobs/912345678901234567".encode(),
        signed="content-type;host;x-project-id;x-sdk-date",
        headers=COMMON,
        body_hash=EMPTY,
        canonical_hash="e36ccb384a74b0695bf05b0d6754be66b4f381f883f57da5c94203e0fdf133c1",
        signature="729a979fab2d336faad94d9bc783964e37b8dad8178bf93427f52696d409ba11",
    ),
    "B": Vector(
        method="POST",
        path=f"/v1/{PROJECT}/image-servers/912345678901234999/actions/recreate-image".encode(),
        signed="content-type;host;x-project-id;x-sdk-date;x-security-token",
        headers={**COMMON, "X-Security-Token": "tok"},
        body='{"name": "golden-2026", "description": "été"}'.encode(),
        body_hash="2e1fa1e6ee0eb42abd513cfb6abd02949bf549dcabb98fa1b7eaef0904cec7e5",
        canonical_hash="8e872a690923e7f4d4348e2ffc7dd48de5ceff83a5783ee1287637e353a485b6",
        signature="5c5cfadac90632d664dfcb9b918e7fca5f2a9219afa072f97727043c0a204a8a",
    ),
    "C": Vector(
        method="GET",
        path=f"/v1/{PROJECT}/image-servers".encode(),
        query=b"limit=10&offset=0&server_name=a%20b%2A~%2F%E4%B8%AD",
        signed="host;x-sdk-date",
        headers={"Host": HOST, "X-Sdk-Date": DATE},
        body_hash=EMPTY,
        canonical_hash="40f6e9e7fbca18b0ac8b230ce7356658232a88e7607eac85b5755a79fcb92862",
        signature="6b5611eb05dda8ec1d3ae7c1996a14023d3ea2ff72f6e57cbba1121226a78832",
    ),
    "D": Vector(
        method="PATCH",
        path=f"/v1/{PROJECT}/image-servers/actions/batch-delete".encode(),
        signed="accept;content-type;user-agent;x-sdk-date",
        headers={
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "terraform-provider-iac golangsdk/2.0.0",
            "X-Sdk-Date": DATE,
        },
        body=b'{"items":["912345678901234999"],"recursive":true}\n',
        body_hash="f4d51d70e3a76b356c6bbe85db820ebaa9bd688706af5b9931bc020733e66146",
        canonical_hash="350fc30d6290cc699ccdb122607b2ab1debcbb9976a495c31e21ec9d991cdda9",
        signature="bf9204fcff0e7ffaf21fa57bc5f2189de64c4269daa4b45704a606eabea2f24f",
    ),
    # The example in the vendor's description of the algorithm, with the sample key printed there.
    "vendor": Vector(
        method="GET",
        path=b"/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs",
        query=b"limit=2&marker=13551d6b-755d-4757-b956-536f674975c0",
        signed="content-type;host;x-sdk-date",
        headers={
            "Content-Type": "application/json",
            "Host": "service.region.example.com",
            "X-Sdk-Date": "20191115T033655Z",
        },
        body_hash=EMPTY,
        canonical_hash="b25362e603ee30f4f25e7858e8a7160fd36e803bb2dfe206278659d71a9bcd7a",
        signature="7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe",
        secret="MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc",
    ),
}
each_vector = pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS.keys())


@pytest.fixture
def b() -> Vector:
    return VECTORS["B"]


def verify(vector: Vector, **changed: object) -> None:
    """Verify a vector's request with some of its parts changed."""
    request = {
        "secret": vector.secret,
        "method": vector.method,
        "raw_path": vector.path,
        "raw_query": vector.query,
        "headers": vector.pairs,
        "body": vector.body,
        **changed,
    }
    request["headers"] = signing.headers_of(request["headers"])  # type: ignore[arg-type]
    hashes = signing.body_hashes(request["headers"], request.pop("body"))  # type: ignore[arg-type]
    signing.verify(vector.authorization(), hashes=hashes, **request)  # type: ignore[arg-type]


def refusal(vector: Vector, **changed: object) -> str:
    with pytest.raises(Unauthenticated) as refused:
        verify(vector, **changed)
    return refused.value.message.removeprefix(PREFIX)


# The vectors of the contract


@each_vector
def test_a_vector_has_the_body_hash_canonical_hash_and_signature_of_the_contract(vector: Vector) -> None:
    assert signing.body_hashes(headers_of(vector.headers), vector.body) == (vector.body_hash,)
    assert hashlib.sha256(vector.canonical().encode()).hexdigest() == vector.canonical_hash
    assert signing.signature(vector.secret, vector.headers["X-Sdk-Date"], vector.canonical()) == vector.signature


@each_vector
def test_a_vector_is_accepted(vector: Vector) -> None:
    verify(vector)


def test_the_canonical_request_of_vector_a_line_by_line() -> None:
    assert VECTORS["A"].canonical().split("\n") == [
        "GET",
        f"/v1/{PROJECT}/image-server-jobs/912345678901234567/",
        "",
        "content-type:application/json",
        f"host:{HOST}",
        f"x-project-id:{PROJECT}",
        f"x-sdk-date:{DATE}",
        "",
        "content-type;host;x-project-id;x-sdk-date",
        EMPTY,
    ]


# Paths, queries and headers


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"/a%20b%2F%C3%BC", "/a%20b/%C3%BC/"),  # the encoded slash becomes a real one
        (b"/a/", "/a/"),
        (b"", "/"),
        (b"/a+b*~", "/a%2Bb%2A~/"),  # a plus in a path is a plus
        (b"/%41%7e%2d", "/A~-/"),
        (b"/100%", "/100%25/"),  # a broken escape is text
        (b"/%252F", "/%252F/"),  # decoded once, not twice
        (b"/%ff", "/%FF/"),  # not UTF-8: the byte itself
        ("/é".encode(), "/%C3%A9/"),
    ],
)
def test_a_path_is_decoded_as_a_whole_and_encoded_afresh(raw: bytes, canonical: str) -> None:
    assert signing.canonical_path(raw) == canonical


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"", ""),
        (b"b=1&a=2", "a=2&b=1"),
        (b"a=2&a=10&a=1", "a=1&a=10&a=2"),
        (b"a", "a="),
        (b"a&b=", "a=&b="),
        (b"=1", "=1"),
        (b"&a=1&&", "a=1"),
        (b"a=b=c", "a=b%3Dc"),
        (b"a=1+2", "a=1%202"),  # a plus in a query is a blank
        (b"a=1%2B2", "a=1%2B2"),  # an encoded plus is a plus
        (b"a=%zz", "a=%25zz"),
        (b"a=%ff", "a=%FF"),
        (b"a=%7E%2a", "a=~%2A"),
        (b"a%26b=1", "a%26b=1"),
        (b"a-=1&a=2", "a=2&a-=1"),  # by name, not by `name=value`
        (b"%C3%A9=1&z=2", "z=2&%C3%A9=1"),  # before encoding
    ],
)
def test_a_query_is_decoded_sorted_and_encoded_afresh(raw: bytes, canonical: str) -> None:
    assert signing.canonical_query(raw) == canonical


def header_block(headers: list[tuple[bytes, bytes]], *signed: str) -> list[str]:
    return signing.canonical_request("get", b"/", b"", signing.headers_of(headers), signed, EMPTY).split("\n")[3:-2]


def test_header_names_are_matched_in_any_case_and_values_are_trimmed() -> None:
    assert header_block([(b"HoSt", b" \th ")], "host") == ["host:h", ""]


def test_a_repeated_header_has_one_line_per_value_sorted() -> None:
    headers = [(b"accept", b"b"), (b"host", b"h"), (b"Accept", b" c"), (b"accept", b"a")]
    assert header_block(headers, "accept", "host") == ["accept:a", "accept:b", "accept:c", "host:h", ""]


def test_signed_headers_keep_the_order_the_client_gave_them() -> None:
    assert header_block([(b"host", b"h"), (b"accept", b"a")], "host", "accept") == ["host:h", "accept:a", ""]


def test_a_missing_signed_header_is_refused_by_name() -> None:
    without = [pair for pair in VECTORS["A"].pairs if pair[0] != b"x-project-id"]
    assert refusal(VECTORS["A"], headers=without) == "verify aksk signature fail, signed header x-project-id not found"


def test_the_method_counts_in_capitals() -> None:
    verify(VECTORS["A"], method="get")


# Agreement with the vendor's own signer

words = st.text(st.characters(codec="utf-8"), max_size=12)
header_values = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
header_names = st.from_regex(r"x-[a-z]{1,8}", fullmatch=True)


def vendor_signed(
    method: str, path: str, query: list[tuple[str, str]], headers: dict[str, str], body: bytes
) -> SdkRequest:
    request = SdkRequest(
        method=method,
        schema="https",
        host=HOST,
        resource_path=path,
        query_params=query,
        header_params={"X-Sdk-Date": DATE, **headers},
        body=body,
    )
    return Signer(SimpleNamespace(ak=AK, sk=SK)).sign(request)


def accept(request: SdkRequest) -> None:
    """Verify a request that the vendor's signer signed, as it would arrive."""
    headers = signing.headers_of(
        (name.encode(), value.encode("latin-1")) for name, value in request.header_params.items()
    )
    path, _, query = request.uri.partition("?")
    authorization = signing.parse_authorization(request.header_params["Authorization"])
    assert authorization.access == AK
    hashes = signing.body_hashes(headers, request.body)
    signing.verify(authorization, SK, request.method, path.encode(), query.encode(), headers, hashes)


@given(
    method=st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE"]),
    pieces=st.lists(words, max_size=4),
    query=st.lists(st.tuples(words, words), max_size=5),
    headers=st.dictionaries(header_names, header_values, max_size=4),
    body=st.binary(max_size=40),
)
def test_whatever_the_vendors_signer_signs_is_accepted(
    method: str, pieces: list[str], query: list[tuple[str, str]], headers: dict[str, str], body: bytes
) -> None:
    path = "/v1/" + "/".join(quote(piece, safe="") for piece in pieces)
    accept(vendor_signed(method, path, query, headers, body))


@given(query=st.dictionaries(words.filter(bool), st.lists(words, max_size=4), max_size=3))
def test_the_vendors_lists_of_values_are_accepted(query: dict[str, list[str]]) -> None:
    accept(vendor_signed("GET", "/v1/x", list(query.items()), {}, b""))  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [b"", b"bytes"])
def test_the_vendors_unsigned_payload_is_accepted(body: bytes) -> None:
    request = vendor_signed("PUT", "/v1/x", [], {"Content-Type": "application/octet-stream"}, body)
    assert request.header_params["X-Sdk-Content-Sha256"] == "UNSIGNED-PAYLOAD"
    accept(request)


@given(
    pieces=st.lists(words, max_size=3),
    query=st.lists(st.tuples(words, words), max_size=4),
    project=st.sampled_from(["", PROJECT]),
    body=st.binary(max_size=20),
)
def test_our_client_signs_as_the_vendors_signer_does(
    pieces: list[str], query: list[tuple[str, str]], project: str, body: bytes
) -> None:
    path = "/v1/" + "/".join(quote(piece, safe="") for piece in pieces)
    headers = {"Content-Type": "application/json", **({"X-Project-Id": project} if project else {})}
    theirs = vendor_signed("POST", path, query, dict(headers), body)
    url = f"https://{HOST}{theirs.uri}"
    ours = signing.sign("POST", url, headers, body, access_key=AK, secret_key=SK, now_ms=NOW)
    assert ours == {"Host": HOST, "X-Sdk-Date": DATE, "Authorization": theirs.header_params["Authorization"]}


# Our own client


def test_our_client_signs_vector_b() -> None:
    vector = VECTORS["B"]
    headers = {name: value for name, value in vector.headers.items() if name not in ("Host", "X-Sdk-Date")}
    url = f"https://{HOST}{vector.path.decode()}"
    signed = signing.sign(
        "POST", url, {**headers, "User-Agent": "not signed"}, vector.body, access_key=AK, secret_key=SK, now_ms=NOW
    )
    assert signing.parse_authorization(signed["Authorization"]) == vector.authorization()


@pytest.mark.parametrize(("option", "header"), [(True, {}), (False, {"x-sdk-content-sha256": "UNSIGNED-PAYLOAD"})])
def test_our_client_leaves_a_streamed_body_out_and_says_so(option: bool, header: dict[str, str]) -> None:
    signed = signing.sign(
        "PUT", "http://h:8080/v2/x?a=b", header, access_key=AK, secret_key=SK, now_ms=NOW, unsigned_payload=option
    )
    assert signed["X-Sdk-Content-Sha256"] == "UNSIGNED-PAYLOAD"
    authorization = signing.parse_authorization(signed["Authorization"])
    assert authorization.signed_headers == ("host", "x-sdk-content-sha256", "x-sdk-date")
    hashes = signing.body_hashes(headers_of(signed), None)
    signing.verify(authorization, SK, "PUT", b"/v2/x", b"a=b", headers_of(signed), hashes)


@pytest.mark.parametrize(
    ("url", "headers", "host"),
    [
        ("http://localhost:9000/", {}, "localhost:9000"),
        ("http://user:password@localhost/", {}, "localhost"),
        ("http://localhost:80/", {"host": "localhost"}, "localhost"),
    ],
)
def test_our_client_signs_the_host_as_it_is_sent(url: str, headers: dict[str, str], host: str) -> None:
    signed = signing.sign("GET", url, headers, access_key=AK, secret_key=SK, now_ms=NOW)
    assert signed["Host"] == host
    authorization = signing.parse_authorization(signed["Authorization"])
    signing.verify(authorization, SK, "GET", b"/", b"", headers_of({**signed, "Host": host}), [EMPTY])


def test_our_client_dates_a_request_now_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkroom.domain.times.now_ms", lambda: NOW)
    assert signing.sign("GET", "http://h/", {}, access_key=AK, secret_key=SK)["X-Sdk-Date"] == DATE


# Tampering


def with_header(vector: Vector, name: str, value: str) -> list[tuple[bytes, bytes]]:
    assert name in vector.headers
    return pairs({**vector.headers, name: value})


@pytest.mark.parametrize(
    "changed",
    [
        {"body": b'{"name": "golden-2027"}'},
        {"body": b""},
        {"method": "PUT"},
        {"raw_path": b"/v1/other"},
        {"raw_query": b"a=1"},
        {"headers": with_header(VECTORS["B"], "X-Project-Id", "f" * 32)},
        {"headers": with_header(VECTORS["B"], "X-Sdk-Date", "20260102T030406Z")},
        {"headers": [*VECTORS["B"].pairs, (b"x-project-id", b"f" * 32)]},
        {"secret": SK[:-1] + "2"},
    ],
    ids=["body", "no body", "method", "path", "query", "header", "date", "second header", "secret"],
)
def test_a_changed_request_is_refused(b: Vector, changed: dict[str, object]) -> None:
    assert refusal(b, **changed).startswith("verify aksk signature fail, canonicalRequest:")


@given(position=st.integers(0, 63), digit=st.sampled_from("0123456789abcdef"))
def test_a_changed_signature_is_refused(position: int, digit: str) -> None:
    right = VECTORS["A"].signature
    wrong = right[:position] + digit + right[position + 1 :]
    authorization = msgspec.structs.replace(VECTORS["A"].authorization(), signature=wrong)
    request = ("GET", VECTORS["A"].path, b"", headers_of(VECTORS["A"].headers), [EMPTY])
    if wrong == right:
        signing.verify(authorization, SK, *request)
    else:
        with pytest.raises(Unauthenticated):
            signing.verify(authorization, SK, *request)


def test_a_header_left_out_of_the_signature_may_change() -> None:
    verify(VECTORS["C"], headers=[*VECTORS["C"].pairs, (b"user-agent", b"any")])


def test_another_body_under_the_old_bodys_declared_hash_is_refused(b: Vector) -> None:
    headers = [*b.pairs, (b"x-sdk-content-sha256", b.body_hash.encode())]
    verify(b, headers=headers)
    tail = "x-sdk-content-sha256 is neither the hash of the body nor UNSIGNED-PAYLOAD"
    assert refusal(b, headers=headers, body=b"{}") == tail


def test_a_signed_body_cannot_be_declared_unsigned_afterwards(b: Vector) -> None:
    headers = [*b.pairs, (b"x-sdk-content-sha256", b"UNSIGNED-PAYLOAD")]
    assert refusal(b, headers=headers, body=b"{}").startswith("verify aksk signature fail")


def test_a_body_cannot_be_slipped_into_a_request_signed_without_one() -> None:
    headers = [*VECTORS["A"].pairs, (b"x-sdk-content-sha256", b"UNSIGNED-PAYLOAD")]
    assert refusal(VECTORS["A"], headers=headers, body=b"{}").startswith("verify aksk signature fail")
    assert refusal(VECTORS["A"], headers=headers, body=None).startswith("verify aksk signature fail")


def test_contradicting_body_declarations_are_refused(b: Vector) -> None:
    declared = [(b"x-sdk-content-sha256", b"UNSIGNED-PAYLOAD"), (b"x-sdk-content-sha256", b.body_hash.encode())]
    assert refusal(b, headers=[*b.pairs, *declared]).startswith("x-sdk-content-sha256")


def test_a_streamed_body_must_be_declared_unsigned(b: Vector) -> None:
    assert refusal(b, body=None) == "a body sent as a stream needs the header x-sdk-content-sha256: UNSIGNED-PAYLOAD"


# What a refusal shows


def test_a_mismatch_shows_our_canonical_request_on_one_line() -> None:
    echoed = VECTORS["A"].canonical().replace("\n", "|")
    assert refusal(VECTORS["A"], secret="wrong") == f"verify aksk signature fail, canonicalRequest:{echoed}"


def test_a_mismatch_shows_two_thousand_characters_at_most() -> None:
    tail = refusal(VECTORS["A"], raw_query=b"a=" + b"x" * 5000)
    assert len(tail.removeprefix("verify aksk signature fail, canonicalRequest:")) == 2000


def test_a_mismatch_over_bytes_that_are_not_utf_8_can_still_be_written_out() -> None:
    headers = [(name, b"\xff" if name == b"x-project-id" else value) for name, value in VECTORS["A"].pairs]
    assert "x-project-id:\N{REPLACEMENT CHARACTER}|" in refusal(VECTORS["A"], headers=headers)


# The Authorization header


def authorization_text(**changed: str) -> str:
    members = {"access": AK, "signed": "host;x-sdk-date", "signature": "0" * 64, **changed}
    return "SDK-HMAC-SHA256 Access={access}, SignedHeaders={signed}, Signature={signature}".format(**members)


def test_the_authorization_header_is_taken_apart() -> None:
    assert signing.parse_authorization(authorization_text()) == signing.Authorization(
        access=AK, signed_headers=("host", "x-sdk-date"), signature="0" * 64
    )


def test_blanks_around_the_members_do_not_matter() -> None:
    spaced = authorization_text().replace(", ", " ,  ")
    tight = authorization_text().replace(", ", ",")
    assert signing.parse_authorization(spaced) == signing.parse_authorization(tight)


@pytest.mark.parametrize(
    "value",
    [
        "SDK-HMAC-SM3 Access=a, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
        "SDK-ECDSA-P256-SHA256 Access=a, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
        "SDK-SM2-SM3 Access=a, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
        "V11-HMAC-SHA256 Credential=a/20260102/r/s, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256X Access=a, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
    ],
)
def test_another_algorithm_is_recognised_as_a_signature_and_refused(value: str) -> None:
    assert signing.is_signature(value)
    with pytest.raises(Unauthenticated, match="only SDK-HMAC-SHA256 signatures are accepted"):
        signing.parse_authorization(value)


@pytest.mark.parametrize("value", ["", "Bearer x", "Basic eDp5", "sdk"])
def test_another_scheme_is_not_a_signature(value: str) -> None:
    assert not signing.is_signature(value)
    with pytest.raises(Unauthenticated):
        signing.parse_authorization(value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("SDK-HMAC-SHA256", "once each"),
        (authorization_text() + ", Access=" + AK, "once each"),
        (authorization_text() + ", Extra=1", "once each"),
        (authorization_text().replace("Access", "Credential"), "once each"),
        (authorization_text(access=""), "Access is not"),
        (authorization_text(access="a b"), "Access is not"),
        (authorization_text(access="A" * 129), "Access is not"),
        (authorization_text(signature="0" * 63), "Signature is not"),
        (authorization_text(signature="A" * 64), "Signature is not"),
        (authorization_text(signed=""), "SignedHeaders are not"),
        (authorization_text(signed="Host;x-sdk-date"), "SignedHeaders are not"),
        (authorization_text(signed="host;;x-sdk-date"), "SignedHeaders are not"),
        (authorization_text(signed="host;host;x-sdk-date"), "a name twice"),
        (authorization_text(signed="host"), "x-sdk-date is not among the SignedHeaders"),
        (authorization_text(signed="x-sdk-date;" + ";".join(map(str, range(2000)))), "longer than 4096 characters"),
        (f"SDK-HMAC-SHA256 Signature={'0' * 64}, Access={AK}, SignedHeaders=x-sdk-date", "at last Signature"),
    ],
)
def test_a_malformed_authorization_header_is_refused_with_its_fault(value: str, reason: str) -> None:
    with pytest.raises(Unauthenticated, match=reason) as refused:
        signing.parse_authorization(value)
    assert refused.value.status == 401
    assert refused.value.code == "APIGW.0301"


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    with pytest.raises(Unauthenticated):
        signing.parse_authorization("SDK-HMAC-SHA256 " + text)


# The date

MINUTES_15 = 15 * 60 * 1000


@pytest.mark.parametrize("skew_ms", [0, MINUTES_15, -MINUTES_15, MINUTES_15 + 999])
def test_a_date_up_to_fifteen_minutes_away_is_accepted(skew_ms: int) -> None:
    signing.check_date(DATE, NOW + skew_ms)


@pytest.mark.parametrize(
    ("skew_ms", "server_time"), [(MINUTES_15 + 1000, "20260102T031906Z"), (-MINUTES_15 - 1000, "20260102T024904Z")]
)
def test_a_date_further_away_is_refused_with_both_times(skew_ms: int, server_time: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        signing.check_date(DATE, NOW + skew_ms)
    assert refused.value.message == (
        f"{PREFIX}calc aksk signature fail:signature expired, signature time:{DATE},server time:{server_time}"
    )


@pytest.mark.parametrize(
    "date",
    [
        "",
        "20260102T030405",
        "2026-01-02T03:04:05Z",
        "20260102T030405.000Z",
        "20260102T030405+0000",
        "20261302T030405Z",
        "20260230T030405Z",
        "20260102T240000Z",
        "20260102T030405Z\n",
        "2026010٢T030405Z",
        "00000101T000000Z",
    ],
)
def test_a_malformed_date_is_refused(date: str) -> None:
    with pytest.raises(Unauthenticated, match="not of the form YYYYMMDDTHHMMSSZ"):
        signing.check_date(date, NOW)


def test_the_date_header_must_be_there_once() -> None:
    assert signing.signed_date(headers_of({"X-SDK-Date": DATE})) == DATE
    with pytest.raises(Unauthenticated, match="x-sdk-date header not found"):
        signing.signed_date({})
    with pytest.raises(Unauthenticated, match="x-sdk-date header repeated"):
        signing.signed_date(signing.headers_of([(b"x-sdk-date", DATE.encode())] * 2))
