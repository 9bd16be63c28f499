"""The requests of the differential run: every operation of a blob service, as it should be used, at its edges, and wrongly.

A request is a name, a method, a target behind the account's name, headers, a body and options:

    save    variable → what of the answer it takes: a header's name, or a function of the answer's body
    sas     how the target is signed, instead of a SharedKey: a function of the side
    raw     sent without any signature
    batch   the body is made of these requests, each signed for itself

`{name}` in targets and headers stands for a variable of the side, `{endpoint}` and `{account}` among them. The requests are asked in
this order, and build on each other.
"""

import base64
import hashlib
import re

KIB, MIB = 1 << 10, 1 << 20
BLOCK, APPEND, PAGE = ({"x-ms-blob-type": kind} for kind in ("BlockBlob", "AppendBlob", "PageBlob"))
TEXT = b"The quick brown fox jumps over the lazy dog. " * 40
LONG = hashlib.shake_256(b"long").digest(300_000)
PAST, FUTURE = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
NO_ETAG, NO_LEASE = '"0x8D0000000000000"', "00000000-0000-0000-0000-000000000000"
LEASES = [f"{digit * 8}-{digit * 4}-4{digit * 3}-8{digit * 3}-{digit * 12}" for digit in "123456789a"]


def md5(body):
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def b64(text):
    return base64.b64encode(text.encode()).decode()


def quoted(text):
    return b64(text).replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")


def meta(**pairs):
    return {f"x-ms-meta-{name}": value for name, value in pairs.items()}


def block_list(*entries):
    inner = "".join(f"<{kind}>{b64(name)}</{kind}>" for kind, name in entries)
    return f'<?xml version="1.0" encoding="utf-8"?><BlockList>{inner}</BlockList>'.encode()


def tags(**pairs):
    inner = "".join(f"<Tag><Key>{name}</Key><Value>{value}</Value></Tag>" for name, value in pairs.items())
    return f'<?xml version="1.0" encoding="utf-8"?><Tags><TagSet>{inner}</TagSet></Tags>'.encode()


def element(name):
    return lambda body: (re.search(f"<{name}>([^<]*)</{name}>".encode(), body) or [b"", b""])[1].decode()


def requests():
    yield from service()
    yield from containers()
    yield from whole_blobs()
    yield from reading()
    yield from conditions()
    yield from describing()
    yield from blocks()
    yield from appending()
    yield from leases()
    yield from snapshots()
    yield from copies()
    yield from tiers_and_tags()
    yield from listing()
    yield from batches()
    yield from shared()
    yield from wrong()
    yield from ending()


def service():
    yield "service/properties", "GET", "/?restype=service&comp=properties"
    yield "service/stats", "GET", "/?restype=service&comp=stats"
    yield "service/account", "GET", "/?restype=account&comp=properties"
    yield "service/account-head", "HEAD", "/?restype=account&comp=properties"
    document = '<StorageServiceProperties><DefaultServiceVersion>2021-12-02</DefaultServiceVersion></StorageServiceProperties>'
    yield "service/set", "PUT", "/?restype=service&comp=properties", {}, document.encode()
    yield "service/set-no-xml", "PUT", "/?restype=service&comp=properties", {}, b"<Storage"
    yield "service/unknown", "GET", "/?comp=unknown"
    yield "service/bare", "GET", "/"
    yield "service/put", "PUT", "/?comp=list"


def containers():
    for name, status in (("files", "new"), ("files", "again"), ("ab", "short"), ("Upper", "upper"), ("a--b", "hyphens"), ("x" * 64, "long"), ("-ab", "first")):
        yield f"container/create-{status}", "PUT", f"/{name}?restype=container", meta(Made="here") if status == "new" else {}
    yield "container/create-other", "PUT", "/other?restype=container", {"x-ms-blob-public-access": "container"}
    yield "container/create-wrong-access", "PUT", "/third?restype=container", {"x-ms-blob-public-access": "everybody"}
    yield "container/create-reserved-metadata", "PUT", "/third?restype=container", {"x-ms-meta-a-b": "x"}
    for method in ("GET", "HEAD"):
        for target in ("/files?restype=container", "/files?restype=container&comp=metadata", "/other?restype=container", "/none?restype=container", "/files?restype=container&comp=acl", "/none?restype=container&comp=acl"):
            yield f"container/{method.lower()} {target}", method, target
    yield "container/account", "GET", "/files?restype=account&comp=properties"
    yield "container/set-metadata", "PUT", "/files?restype=container&comp=metadata", meta(One="1", two="2")
    yield "container/metadata-set", "GET", "/files?restype=container&comp=metadata"
    yield "container/set-metadata-none", "PUT", "/files?restype=container&comp=metadata"
    yield "container/metadata-none", "GET", "/files?restype=container"
    yield "container/set-metadata-missing", "PUT", "/none?restype=container&comp=metadata", meta(a="b")
    yield "container/set-metadata-modified", "PUT", "/files?restype=container&comp=metadata", {"If-Modified-Since": PAST}
    yield "container/set-metadata-unmodified", "PUT", "/files?restype=container&comp=metadata", {"If-Modified-Since": FUTURE}
    policy = "<SignedIdentifiers><SignedIdentifier><Id>reading</Id><AccessPolicy><Start>2020-01-01T00:00:00.0000000Z</Start><Expiry>2099-01-01T00:00:00.0000000Z</Expiry><Permission>r</Permission></AccessPolicy></SignedIdentifier></SignedIdentifiers>"
    yield "container/set-acl", "PUT", "/files?restype=container&comp=acl", {}, policy.encode()
    yield "container/acl-set", "GET", "/files?restype=container&comp=acl"
    yield "container/set-acl-no-xml", "PUT", "/files?restype=container&comp=acl", {}, b"<Signed"
    yield "container/set-acl-missing", "PUT", "/none?restype=container&comp=acl", {}, policy.encode()
    yield "container/set-acl-unmodified", "PUT", "/files?restype=container&comp=acl", {"If-Unmodified-Since": PAST}, policy.encode()
    for what, query in (
        ("all", ""), ("prefix", "&prefix=fi"), ("none", "&prefix=zz"), ("metadata", "&include=metadata"), ("one", "&maxresults=1"),
        ("zero", "&maxresults=0"), ("many", "&maxresults=5001"), ("words", "&maxresults=x"), ("negative", "&maxresults=-1"),
        ("marker", "&marker=other"), ("include-unknown", "&include=everything"), ("system", "&include=system"), ("deleted", "&include=deleted"),
    ):
        yield f"containers/{what}", "GET", f"/?comp=list{query}"
    lease = "/other?restype=container&comp=lease"
    for what, headers in (
        ("acquire", {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "-1", "x-ms-proposed-lease-id": LEASES[0]}),
        ("acquire-again", {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "15"}),
        ("renew", {"x-ms-lease-action": "renew", "x-ms-lease-id": LEASES[0]}),
        ("renew-other", {"x-ms-lease-action": "renew", "x-ms-lease-id": LEASES[1]}),
        ("change", {"x-ms-lease-action": "change", "x-ms-lease-id": LEASES[0], "x-ms-proposed-lease-id": LEASES[1]}),
        ("break", {"x-ms-lease-action": "break", "x-ms-lease-break-period": "0"}),
        ("acquire-after", {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "60", "x-ms-proposed-lease-id": LEASES[2]}),
        ("release-other", {"x-ms-lease-action": "release", "x-ms-lease-id": LEASES[1]}),
        ("no-action", {}), ("unknown", {"x-ms-lease-action": "borrow"}), ("short", {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "3"}),
    ):
        yield f"container-lease/{what}", "PUT", lease, headers
    yield "container-lease/shown", "HEAD", "/other?restype=container"
    yield "container-lease/delete", "DELETE", "/other?restype=container"
    yield "container-lease/list-with", "GET", "/other?restype=container&comp=list", {"x-ms-lease-id": LEASES[2]}
    yield "container-lease/release", "PUT", lease, {"x-ms-lease-action": "release", "x-ms-lease-id": LEASES[2]}


def whole_blobs():
    for size in (0, 1, 719, 65_535, 65_536, 65_537, 262_144, 262_145, 300_000):
        yield f"put/{size}", "PUT", f"/files/put/{size}", BLOCK, LONG[:size]
        yield f"put/{size}-head", "HEAD", f"/files/put/{size}"
        yield f"put/{size}-get", "GET", f"/files/put/{size}"
    described = {
        "x-ms-blob-content-type": "text/x", "x-ms-blob-content-encoding": "x-enc", "x-ms-blob-content-language": "de",
        "x-ms-blob-cache-control": "no-store", "x-ms-blob-content-disposition": 'attachment; filename="x"',
    }
    for what, headers, body in (
        ("described", described | meta(Camel="Case", under_score="x"), TEXT),
        ("standard", {"Content-Type": "text/y", "Content-Encoding": "y-enc", "Content-Language": "fr", "Cache-Control": "max-age=1"}, TEXT),
        ("both-types", {"Content-Type": "text/y", "x-ms-blob-content-type": "text/z"}, TEXT),
        ("content-md5", {"Content-MD5": md5(TEXT)}, TEXT), ("wrong-md5", {"Content-MD5": md5(b"")}, TEXT), ("no-md5", {"Content-MD5": "x"}, TEXT),
        ("short-md5", {"Content-MD5": b64("short")}, TEXT),
        ("blob-md5", {"x-ms-blob-content-md5": md5(TEXT)}, TEXT), ("wrong-blob-md5", {"x-ms-blob-content-md5": md5(b"")}, TEXT),
        ("long-md5", {"Content-MD5": md5(LONG)}, LONG), ("long-wrong-md5", {"Content-MD5": md5(b"")}, LONG),
        ("long-blob-md5", {"x-ms-blob-content-md5": md5(LONG)}, LONG),
        ("tier", {"x-ms-access-tier": "Cool"}, TEXT), ("wrong-tier", {"x-ms-access-tier": "Warm"}, TEXT),
        ("tags", {"x-ms-tags": "a=1&b=2"}, TEXT), ("wrong-tags", {"x-ms-tags": "a=1&a=2"}, TEXT),
        ("metadata-hyphen", {"x-ms-meta-a-b": "x"}, TEXT), ("metadata-digit", {"x-ms-meta-1a": "x"}, TEXT), ("metadata-empty", {"x-ms-meta-a": ""}, TEXT),
        ("long-described", described | meta(Camel="Case") | {"x-ms-tags": "a=1"}, LONG),
    ):
        yield f"put/{what}", "PUT", f"/files/put/{what}", BLOCK | headers, body
        yield f"put/{what}-get", "GET", f"/files/put/{what}"
    for name in ("with space", "ü", "a+b", "a%25b", "a/b/c", "a//b", "trailing/", "a&b", "q%3Fq", "h%23h", "'quote'", "~t", "a:b", "%E2%82%AC"):
        name = name.replace(" ", "%20").replace("ü", "%C3%BC")
        yield f"names/put {name}", "PUT", f"/files/names/{name}", BLOCK, b"named"
        yield f"names/get {name}", "GET", f"/files/names/{name}"
    yield "names/long", "PUT", "/files/" + "n" * 1024, BLOCK, b"x"
    yield "names/too-long", "PUT", "/files/" + "n" * 1025, BLOCK, b"x"
    yield "put/no-container", "PUT", "/none/blob", BLOCK, b"x"
    yield "put/no-type", "PUT", "/files/typeless", {}, b"x"
    yield "put/wrong-type", "PUT", "/files/typeless", {"x-ms-blob-type": "SquareBlob"}, b"x"
    yield "put/over-itself", "PUT", "/files/put/1", BLOCK | meta(second="time"), b"again"
    yield "put/over-itself-get", "GET", "/files/put/1"
    yield "put/page", "PUT", "/files/page", PAGE | {"x-ms-blob-content-length": "512"}
    yield "put/chunked", "PUT", "/files/chunked", BLOCK | {"Content-Length": None, "Transfer-Encoding": "chunked"}, b"3\r\nabc\r\n0\r\n\r\n"
    yield "put/immutable", "PUT", "/files/immutable", BLOCK | {"x-ms-legal-hold": "true"}, b"x"


def reading():
    yield "read/put", "PUT", "/files/read", BLOCK | meta(a="b"), LONG
    yield "read/put-text", "PUT", "/files/text", BLOCK, TEXT
    yield "read/put-empty", "PUT", "/files/empty", BLOCK
    sizes = {"read": len(LONG), "text": len(TEXT), "empty": 0}
    for name, size in sizes.items():
        for header in ("Range", "x-ms-range"):
            for value in dict.fromkeys((
                "bytes=0-0", "bytes=0-", "bytes=10-19", "bytes=65530-65545", f"bytes={max(0, size - 1)}-", f"bytes={size}-", f"bytes={size}-{size + 9}",
                f"bytes=0-{size + 100}", f"bytes=0-{max(0, size - 1)}", "bytes=5-2", "bytes=-5", "bytes=a-b", "bytes=", "items=0-1", "bytes=0-1,3-4",
                "bytes=99999999999-", "bytes=0-99999999999999999999",
            )):
                yield f"range/{name} {header}: {value}", "GET", f"/files/{name}", {header: value}
    yield "range/both", "GET", "/files/read", {"Range": "bytes=0-9", "x-ms-range": "bytes=5-6"}
    yield "range/head", "HEAD", "/files/read", {"Range": "bytes=0-9"}
    for what, headers in (
        ("md5", {"x-ms-range": "bytes=0-99", "x-ms-range-get-content-md5": "true"}), ("md5-false", {"x-ms-range": "bytes=0-99", "x-ms-range-get-content-md5": "false"}),
        ("md5-whole", {"x-ms-range-get-content-md5": "true"}), ("md5-open", {"x-ms-range": "bytes=0-", "x-ms-range-get-content-md5": "true"}),
        ("md5-large", {"x-ms-range": f"bytes=0-{5 * MIB}", "x-ms-range-get-content-md5": "true"}),
        ("crc64", {"x-ms-range": "bytes=0-99", "x-ms-range-get-content-crc64": "true"}),
        ("both-checksums", {"x-ms-range": "bytes=0-99", "x-ms-range-get-content-md5": "true", "x-ms-range-get-content-crc64": "true"}),
    ):
        yield f"range/{what}", "GET", "/files/read", headers
    for method in ("GET", "HEAD"):
        for target in ("/files/none", "/none/none", "/files/read?snapshot=2020-01-01T00:00:00.0000000Z", "/files/read?snapshot=x", "/files/read?comp=metadata", "/files/none?comp=metadata"):
            yield f"read/{method.lower()} {target}", method, target
    yield "read/root", "GET", "/rootless"
    for version in ("2019-02-02", "2020-10-02", "2023-11-03"):
        yield f"read/version {version}", "GET", "/files/text", {"x-ms-version": version}
    yield "read/client-id", "GET", "/files/text", {"x-ms-client-request-id": "my own id"}
    yield "read/client-id-error", "GET", "/files/none", {"x-ms-client-request-id": "my own id"}
    yield "read/timeout", "GET", "/files/text?timeout=30"
    yield "read/timeout-wrong", "GET", "/files/text?timeout=x"
    for name in ("Origin", "Accept", "User-Agent"):
        yield f"read/with {name}", "GET", "/files/text", {name: "http://example.com"}


def conditions():
    yield "conditions/put", "PUT", "/files/cond", BLOCK, TEXT, {"save": {"etag": "etag"}}
    states = {
        "match": {"If-Match": "{etag}"}, "match-other": {"If-Match": NO_ETAG}, "match-any": {"If-Match": "*"},
        "none-match": {"If-None-Match": "{etag}"}, "none-match-other": {"If-None-Match": NO_ETAG}, "none-match-any": {"If-None-Match": "*"},
        "modified": {"If-Modified-Since": PAST}, "not-modified": {"If-Modified-Since": FUTURE},
        "unmodified": {"If-Unmodified-Since": FUTURE}, "not-unmodified": {"If-Unmodified-Since": PAST},
        "match-and-unmodified": {"If-Match": "{etag}", "If-Unmodified-Since": PAST}, "match-none": {"If-Match": NO_ETAG, "If-None-Match": NO_ETAG},
        "none-match-modified": {"If-None-Match": "{etag}", "If-Modified-Since": PAST}, "unquoted": {"If-Match": "0x8D"}, "wrong-date": {"If-Modified-Since": "yesterday"},
        "tags": {"x-ms-if-tags": "\"a\"='1'"}, "lease": {"x-ms-lease-id": LEASES[0]},
    }
    for what, headers in states.items():
        for method in ("GET", "HEAD"):
            yield f"conditions/{method.lower()} {what}", method, "/files/cond", headers
        yield f"conditions/range {what}", "GET", "/files/cond", headers | {"x-ms-range": "bytes=1-2"}
        yield f"conditions/past-the-end {what}", "GET", "/files/cond", headers | {"x-ms-range": "bytes=9999-"}
    # What is taken on one side only would make all that follows another.
    for what, headers in states.items():
        for name, target, more, body in () if what == "wrong-date" else (
            ("put", "", BLOCK, TEXT), ("long-put", "", BLOCK, LONG), ("metadata", "?comp=metadata", meta(a="b"), b""), ("properties", "?comp=properties", {"x-ms-blob-content-type": "text/x"}, b""),
            ("snapshot", "?comp=snapshot", {}, b""), ("list", "?comp=blocklist", {}, block_list()),
        ):
            yield f"conditions/{name} {what}", "PUT", f"/files/cond{target}", headers | more, body
            yield f"conditions/{name} {what}, its etag", "HEAD", "/files/cond", {}, b"", {"save": {"etag": "etag"}}
    yield "conditions/wrong-date", "PUT", "/files/dated", BLOCK, TEXT
    yield "conditions/wrong-date metadata", "PUT", "/files/dated?comp=metadata", states["wrong-date"]
    yield "conditions/wrong-date long-put", "PUT", "/files/dated", BLOCK | states["wrong-date"], LONG
    for what in ("match-any", "match-other", "none-match-any", "none-match-other", "modified", "unmodified"):
        yield f"conditions/new {what}", "PUT", f"/files/cond/{what}", BLOCK | states[what], TEXT
        yield f"conditions/new-list {what}", "PUT", f"/files/cond/list/{what}?comp=blocklist", states[what], block_list()
        yield f"conditions/new-append {what}", "PUT", f"/files/cond/append/{what}", APPEND | states[what]
        yield f"conditions/delete-missing {what}", "DELETE", "/files/cond/none", states[what]
        yield f"conditions/get-missing {what}", "GET", "/files/cond/none", states[what]


def describing():
    yield "describe/put", "PUT", "/files/described", BLOCK | meta(One="1"), TEXT
    for what, target, headers in (
        ("metadata", "metadata", meta(Two="2", three_3="3")), ("metadata-hyphen", "metadata", {"x-ms-meta-a-b": "x"}),
        ("metadata-none", "metadata", {}), ("metadata-empty", "metadata", meta(a="")), ("metadata-long", "metadata", meta(a="x" * 6000)), ("metadata-too-long", "metadata", meta(a="x" * 9000)),
        ("properties", "properties", {"x-ms-blob-content-type": "text/z", "x-ms-blob-content-language": "it"}),
        ("properties-md5", "properties", {"x-ms-blob-content-md5": md5(b"claimed"), "x-ms-blob-content-type": "text/z"}),
        ("properties-md5-only", "properties", {"x-ms-blob-content-md5": md5(b"claimed too")}),
        ("properties-wrong-md5", "properties", {"x-ms-blob-content-md5": "x"}), ("properties-none", "properties", {}),
        ("properties-length", "properties", {"x-ms-blob-content-length": "512"}), ("properties-sequence", "properties", {"x-ms-sequence-number-action": "increment"}),
    ):
        yield f"describe/{what}", "PUT", f"/files/described?comp={target}", headers
        yield f"describe/{what}-head", "HEAD", "/files/described"
        yield f"describe/{what}-metadata", "GET", "/files/described?comp=metadata"
        yield f"describe/{what}-get", "GET", "/files/described", {"x-ms-range": "bytes=0-9"}
    for target in ("metadata", "properties", "snapshot", "tags"):
        yield f"describe/missing-{target}", "PUT", f"/files/none?comp={target}", {}, tags(a="1") if target == "tags" else b""
        yield f"describe/no-container-{target}", "PUT", f"/none/none?comp={target}", {}, tags(a="1") if target == "tags" else b""


def blocks():
    def block(name, number, body, **headers):
        return f"blocks/{name} {number}", "PUT", f"/files/{name}?comp=block&blockid={quoted(number)}", headers, body

    parts = {"one": LONG[:10], "two": LONG[:70_000], "tri": b"x", "for": LONG[:200_000]}
    for number, body in parts.items():
        yield block("blocks", number, body)
    for kind in ("", "&blocklisttype=committed", "&blocklisttype=uncommitted", "&blocklisttype=all", "&blocklisttype=most"):
        yield f"blocks/uncommitted{kind}", "GET", f"/files/blocks?comp=blocklist{kind}"
    yield "blocks/before-get", "GET", "/files/blocks"
    yield "blocks/before-head", "HEAD", "/files/blocks"
    yield "blocks/before-list", "GET", "/files?restype=container&comp=list&prefix=blocks&include=uncommittedblobs"
    yield "blocks/again", "PUT", f"/files/blocks?comp=block&blockid={quoted('one')}", {}, LONG[:20]
    yield "blocks/other-length", "PUT", f"/files/blocks?comp=block&blockid={quoted('longer')}", {}, b"x"
    lists = {
        "first": [("Latest", "two"), ("Uncommitted", "one"), ("Latest", "tri")], "missing": [("Latest", "nix")], "missing-committed": [("Committed", "for")],
        "mixed": [("Committed", "one"), ("Latest", "two")], "repeated": [("Committed", "one"), ("Committed", "one"), ("Latest", "one")],
        "gone": [("Latest", "two")], "empty": [],
    }
    for what, entries in lists.items():
        if what == "mixed":
            yield "blocks/second two", "PUT", f"/files/blocks?comp=block&blockid={quoted('two')}", {}, b"a second generation"
        yield f"blocks/list-{what}", "PUT", "/files/blocks?comp=blocklist", meta(made=what.replace("-", "_")), block_list(*entries)
        yield f"blocks/list-{what}-get", "GET", "/files/blocks"
        yield f"blocks/list-{what}-range", "GET", "/files/blocks", {"x-ms-range": "bytes=5-24"}
        yield f"blocks/list-{what}-head", "HEAD", "/files/blocks"
        yield f"blocks/list-{what}-blocks", "GET", "/files/blocks?comp=blocklist&blocklisttype=all"
    for what, headers, body in (
        ("md5", {"Content-MD5": md5(TEXT)}, TEXT), ("wrong-md5", {"Content-MD5": md5(b"")}, TEXT), ("no-md5", {"Content-MD5": "?"}, TEXT), ("empty", {}, b""),
        ("lease", {"x-ms-lease-id": LEASES[0]}, TEXT),
    ):
        yield block(f"checked/{what}", "one", body, **headers)
    for what, query in (("no-id", "?comp=block"), ("empty-id", "?comp=block&blockid="), ("no-base64", "?comp=block&blockid=%3F%3F"), ("long-id", f"?comp=block&blockid={quoted('x' * 65)}")):
        yield f"blocks/{what}", "PUT", f"/files/ids{query}", {}, b"x"
    # As the SDK for Go names its blocks: 64 bytes that end in zeros.
    for number in "ab":
        yield f"blocks/of-go {number}", "PUT", f"/files/go?comp=block&blockid={quoted(number * 20 + chr(0) * 44)}", {}, TEXT
    yield "blocks/of-go-waiting", "GET", "/files/go?comp=blocklist&blocklisttype=uncommitted"
    yield "blocks/of-go-list", "PUT", "/files/go?comp=blocklist", {}, block_list(*(("Latest", number * 20 + chr(0) * 44) for number in "ba"))
    yield "blocks/of-go-get", "GET", "/files/go"
    yield "blocks/of-go-blocks", "GET", "/files/go?comp=blocklist&blocklisttype=committed"
    yield "blocks/no-container", "PUT", f"/none/b?comp=block&blockid={quoted('a')}", {}, b"x"
    yield block("stated", "one", TEXT)
    stated = {"x-ms-blob-content-md5": md5(TEXT), "x-ms-blob-content-type": "text/q", "x-ms-access-tier": "Cool", "x-ms-tags": "a=1"} | meta(Key="Value")
    yield "blocks/stated-list", "PUT", "/files/stated?comp=blocklist", stated, block_list(("Latest", "one"))
    yield "blocks/stated-get", "GET", "/files/stated"
    for what, headers, body in (
        ("md5", {"Content-MD5": md5(block_list())}, block_list()), ("wrong-md5", {"Content-MD5": md5(b"")}, block_list()),
        ("no-xml", {}, b"<BlockList"), ("other-xml", {}, b"<Other/>"), ("unknown-kind", {}, b"<BlockList><Newest>YQ==</Newest></BlockList>"), ("nothing", {}, b""),
        ("wrong-blob-md5", {"x-ms-blob-content-md5": "x"}, block_list()), ("no-base64", {}, b"<BlockList><Latest>?</Latest></BlockList>"),
    ):
        yield f"blocks/list-{what}", "PUT", f"/files/lists/{what}?comp=blocklist", headers, body
    yield "blocks/list-no-container", "PUT", "/none/b?comp=blocklist", {}, block_list()
    yield "blocks/of-none", "GET", "/files/none?comp=blocklist"
    yield "blocks/of-a-whole", "GET", "/files/text?comp=blocklist&blocklisttype=all"
    yield "blocks/over-a-whole", "PUT", f"/files/text2?comp=block&blockid={quoted('a')}", {}, b"x"
    yield "blocks/waiting-put", "PUT", "/files/text2", BLOCK, TEXT
    yield "blocks/waiting-gone", "GET", "/files/text2?comp=blocklist&blocklisttype=all"


def appending():
    yield "append/create", "PUT", "/files/append", APPEND | meta(a="b") | {"x-ms-blob-content-type": "text/log"}
    yield "append/empty-get", "GET", "/files/append"
    yield "append/empty-range", "GET", "/files/append", {"x-ms-range": "bytes=0-"}
    yield "append/empty-head", "HEAD", "/files/append"
    to = "/files/append?comp=appendblock"
    for what, headers, body in (
        ("first", {}, TEXT), ("second", {}, LONG[:70_000]), ("md5", {"Content-MD5": md5(b"x")}, b"x"), ("wrong-md5", {"Content-MD5": md5(b"")}, b"x"), ("nothing", {}, b""),
        ("at-wrong", {"x-ms-blob-condition-appendpos": "3"}, b"x"), ("at-right", {"x-ms-blob-condition-appendpos": str(len(TEXT) + 70_001)}, b"y"),
        ("max-wrong", {"x-ms-blob-condition-maxsize": "10"}, b"x"), ("max-right", {"x-ms-blob-condition-maxsize": str(len(TEXT) + 70_003)}, b"z"),
        ("at-words", {"x-ms-blob-condition-appendpos": "x"}, b"x"), ("match-other", {"If-Match": NO_ETAG}, b"x"), ("none-match-any", {"If-None-Match": "*"}, b"x"),
        ("lease", {"x-ms-lease-id": LEASES[0]}, b"x"),
    ):
        yield f"append/{what}", "PUT", to, headers, body
    yield "append/get", "GET", "/files/append"
    yield "append/head", "HEAD", "/files/append"
    for value in ("bytes=0-9", f"bytes={len(TEXT) - 5}-{len(TEXT) + 5}", f"bytes={len(TEXT) + 69_999}-", "bytes=99999-", f"bytes={len(TEXT) + 65_500}-{len(TEXT) + 65_600}"):
        yield f"append/range {value}", "GET", "/files/append", {"x-ms-range": value}
    yield "append/range-md5", "GET", "/files/append", {"x-ms-range": "bytes=100-5000", "x-ms-range-get-content-md5": "true"}
    yield "append/blocklist", "GET", "/files/append?comp=blocklist"
    yield "append/put-block", "PUT", f"/files/append?comp=block&blockid={quoted('a')}", {}, b"x"
    yield "append/list", "GET", "/files?restype=container&comp=list&prefix=append&include=metadata"
    yield "append/metadata", "PUT", "/files/append?comp=metadata", meta(c="d")
    yield "append/properties", "PUT", "/files/append?comp=properties", {"x-ms-blob-content-type": "text/other"}
    yield "append/after", "PUT", to, {}, b"after"
    yield "append/snapshot", "PUT", "/files/append?comp=snapshot", {}, b"", {"save": {"appended": "x-ms-snapshot"}}
    yield "append/after-snapshot", "PUT", to, {}, b"and more"
    yield "append/snapshot-get", "GET", "/files/append?snapshot={appended}"
    yield "append/to-a-block-blob", "PUT", "/files/text?comp=appendblock", {}, b"x"
    yield "append/to-none", "PUT", "/files/none?comp=appendblock", {}, b"x"
    yield "append/no-container", "PUT", "/none/none?comp=appendblock", {}, b"x"
    yield "append/create-over", "PUT", "/files/append", APPEND
    yield "append/create-body", "PUT", "/files/append2", APPEND, b"x"
    yield "append/create-md5", "PUT", "/files/append3", APPEND | {"x-ms-blob-content-md5": md5(b"")}
    yield "append/over-a-block-blob", "PUT", "/files/put/719", APPEND
    yield "append/over-a-block-blob-get", "GET", "/files/put/719"
    yield "append/seal", "PUT", "/files/append?comp=seal"
    yield "append/sealed-head", "HEAD", "/files/append"
    yield "append/put-over", "PUT", "/files/append", BLOCK, TEXT
    yield "append/put-over-get", "GET", "/files/append"


def leases():
    yield "lease/put", "PUT", "/files/leased", BLOCK, TEXT
    to = "/files/leased?comp=lease"
    for what, headers in (
        ("acquire", {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "-1", "x-ms-proposed-lease-id": LEASES[3]}),
        ("again", {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "15", "x-ms-proposed-lease-id": LEASES[4]}),
        ("renew", {"x-ms-lease-action": "renew", "x-ms-lease-id": LEASES[3]}), ("renew-other", {"x-ms-lease-action": "renew", "x-ms-lease-id": LEASES[4]}),
        ("change", {"x-ms-lease-action": "change", "x-ms-lease-id": LEASES[3], "x-ms-proposed-lease-id": LEASES[4]}),
        ("unknown", {"x-ms-lease-action": "borrow"}), ("none", {}), ("short", {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "3"}),
    ):
        yield f"lease/{what}", "PUT", to, headers
    for what, headers in (("without", {}), ("other", {"x-ms-lease-id": LEASES[3]}), ("with", {"x-ms-lease-id": LEASES[4]}), ("wrong", {"x-ms-lease-id": "x"})):
        for name, target, more, body in (
            ("put", "", BLOCK, TEXT), ("long-put", "", BLOCK, LONG), ("metadata", "?comp=metadata", meta(a="b"), b""), ("properties", "?comp=properties", {"x-ms-blob-content-md5": md5(b"")}, b""),
            ("snapshot", "?comp=snapshot", {}, b""), ("snapshot-metadata", "?comp=snapshot", meta(a="b"), b""), ("block", f"?comp=block&blockid={quoted('a')}", {}, b"x"), ("list", "?comp=blocklist", {}, block_list()),
            ("tags", "?comp=tags", {}, tags(a="1")), ("tier", "?comp=tier", {"x-ms-access-tier": "Hot"}, b""), ("append", "", APPEND, b""), ("undo", "", BLOCK, TEXT),
        ):
            yield f"lease/{name} {what}", "PUT", f"/files/leased{target}", headers | more, body
        yield f"lease/get {what}", "GET", "/files/leased", headers
        yield f"lease/head {what}", "HEAD", "/files/leased", headers
        yield f"lease/blocks {what}", "GET", "/files/leased?comp=blocklist", headers
        if what in ("without", "other"):
            yield f"lease/delete {what}", "DELETE", "/files/leased", headers
    yield "lease/break", "PUT", to, {"x-ms-lease-action": "break", "x-ms-lease-break-period": "0"}
    yield "lease/broken", "HEAD", "/files/leased"
    yield "lease/release", "PUT", to, {"x-ms-lease-action": "release", "x-ms-lease-id": LEASES[4]}
    yield "lease/missing", "PUT", "/files/none?comp=lease", {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "15"}


def snapshots():
    yield "snapshot/put", "PUT", "/files/snap", BLOCK | meta(a="1"), TEXT
    yield "snapshot/take", "PUT", "/files/snap?comp=snapshot", {}, b"", {"save": {"first": "x-ms-snapshot"}}
    yield "snapshot/take-metadata", "PUT", "/files/snap?comp=snapshot", meta(Own="x"), b"", {"save": {"second": "x-ms-snapshot"}}
    yield "snapshot/later", "PUT", "/files/snap", BLOCK, LONG
    for which in ("first", "second"):
        for method in ("GET", "HEAD"):
            yield f"snapshot/{method.lower()} {which}", method, f"/files/snap?snapshot={{{which}}}"
        yield f"snapshot/range {which}", "GET", f"/files/snap?snapshot={{{which}}}", {"x-ms-range": "bytes=3-9"}
        yield f"snapshot/metadata {which}", "GET", f"/files/snap?comp=metadata&snapshot={{{which}}}"
        yield f"snapshot/blocks {which}", "GET", f"/files/snap?comp=blocklist&snapshot={{{which}}}"
    yield "snapshot/write", "PUT", "/files/written?snapshot={first}", BLOCK, b"x"
    yield "snapshot/list", "GET", "/files?restype=container&comp=list&prefix=snap&include=snapshots,metadata"
    yield "snapshot/delete-base", "DELETE", "/files/snap"
    yield "snapshot/delete-one", "DELETE", "/files/snap?snapshot={first}"
    yield "snapshot/delete-gone", "DELETE", "/files/snap?snapshot={first}"
    yield "snapshot/delete-only", "DELETE", "/files/snap", {"x-ms-delete-snapshots": "only"}
    yield "snapshot/delete-wrong", "DELETE", "/files/snap", {"x-ms-delete-snapshots": "some"}
    yield "snapshot/delete-include", "DELETE", "/files/snap", {"x-ms-delete-snapshots": "include"}
    yield "snapshot/undelete", "PUT", "/files/snap?comp=undelete"


def copies():
    source = {"x-ms-copy-source": "{endpoint}/files/source"}
    yield "copy/source", "PUT", "/files/source", BLOCK | meta(Color="Red") | {"x-ms-blob-content-type": "text/s", "x-ms-tags": "a=1"}, TEXT, {"save": {"source": "etag"}}
    yield "copy/snapshot", "PUT", "/files/source?comp=snapshot", {}, b"", {"save": {"taken": "x-ms-snapshot"}}
    for what, headers in (
        ("plain", {}), ("metadata", meta(Own="x")), ("tier", {"x-ms-access-tier": "Cool"}), ("tags", {"x-ms-tags": "b=2"}),
        ("source-match", {"x-ms-source-if-match": "{source}"}), ("source-match-other", {"x-ms-source-if-match": NO_ETAG}), ("source-none-match", {"x-ms-source-if-none-match": "{source}"}),
        ("source-modified", {"x-ms-source-if-modified-since": PAST}), ("source-not-modified", {"x-ms-source-if-modified-since": FUTURE}), ("source-unmodified", {"x-ms-source-if-unmodified-since": PAST}),
        ("new-only", {"If-None-Match": "*"}), ("match-other", {"If-Match": NO_ETAG}), ("sync", {"x-ms-requires-sync": "true"}), ("sync-metadata", {"x-ms-requires-sync": "true"} | meta(Own="y")),
    ):
        yield f"copy/{what}", "PUT", f"/files/copies/{what}", source | headers
        yield f"copy/{what}-head", "HEAD", f"/files/copies/{what}"
        yield f"copy/{what}-get", "GET", f"/files/copies/{what}"
    yield "copy/over", "PUT", "/files/copies/plain", source | {"If-None-Match": "*"}
    yield "copy/of-snapshot", "PUT", "/files/copies/snapshot", {"x-ms-copy-source": "{endpoint}/files/source?snapshot={taken}"}
    yield "copy/of-snapshot-get", "GET", "/files/copies/snapshot"
    yield "copy/promoted", "PUT", "/files/source", {"x-ms-copy-source": "{endpoint}/files/source?snapshot={taken}"}
    yield "copy/of-blocks", "PUT", "/files/copies/blocks", {"x-ms-copy-source": "{endpoint}/files/stated"}
    yield "copy/of-blocks-get", "GET", "/files/copies/blocks"
    yield "copy/of-missing", "PUT", "/files/copies/none", {"x-ms-copy-source": "{endpoint}/files/none"}
    yield "copy/of-no-container", "PUT", "/files/copies/none", {"x-ms-copy-source": "{endpoint}/none/none"}
    yield "copy/no-url", "PUT", "/files/copies/none", {"x-ms-copy-source": "not a url"}
    yield "copy/to-no-container", "PUT", "/none/none", source
    yield "copy/to-itself", "PUT", "/files/source", source | meta(now="here")
    yield "copy/to-itself-get", "GET", "/files/source"
    yield "copy/long", "PUT", "/files/copies/long", {"x-ms-copy-source": "{endpoint}/files/read"}
    yield "copy/long-get", "GET", "/files/copies/long"
    yield "copy/append-create", "PUT", "/files/rows", APPEND | meta(r="s")
    yield "copy/append-block", "PUT", "/files/rows?comp=appendblock", {}, TEXT
    yield "copy/append-block-2", "PUT", "/files/rows?comp=appendblock", {}, b"second"
    yield "copy/of-append", "PUT", "/files/copies/rows", {"x-ms-copy-source": "{endpoint}/files/rows"}
    yield "copy/of-append-get", "GET", "/files/copies/rows"
    yield "copy/of-append-head", "HEAD", "/files/copies/rows"
    yield "copy/of-append-more", "PUT", "/files/copies/rows?comp=appendblock", {}, b"third"
    yield "copy/of-append-more-get", "GET", "/files/copies/rows"
    yield "copy/list", "GET", "/files?restype=container&comp=list&prefix=copies/&include=copy,metadata"
    yield "copy/abort", "PUT", "/files/copies/plain?comp=copy&copyid=00000000-0000-0000-0000-000000000000", {"x-ms-copy-action": "abort"}
    yield "copy/abort-no-action", "PUT", "/files/copies/plain?comp=copy&copyid=00000000-0000-0000-0000-000000000000"
    yield "copy/block-from-url", "PUT", f"/files/fromurl?comp=block&blockid={quoted('a')}", source | {"x-ms-source-range": "bytes=10-99"}
    yield "copy/blob-from-url", "PUT", "/files/fromurl", source | BLOCK
    yield "copy/append-from-url", "PUT", "/files/rows?comp=appendblock", source


def tiers_and_tags():
    yield "tier/put", "PUT", "/files/tier", BLOCK, TEXT
    for tier in ("Cool", "Hot", "Cold", "Archive", "Warm", "P10", ""):
        yield f"tier/{tier}", "PUT", "/files/tier?comp=tier", {"x-ms-access-tier": tier}
        yield f"tier/{tier}-head", "HEAD", "/files/tier"
        yield f"tier/{tier}-get", "GET", "/files/tier"
    yield "tier/none", "PUT", "/files/tier?comp=tier"
    yield "tier/missing", "PUT", "/files/none?comp=tier", {"x-ms-access-tier": "Cool"}
    yield "tier/append", "PUT", "/files/rows?comp=tier", {"x-ms-access-tier": "Cool"}
    yield "tier/rehydrate", "PUT", "/files/tier?comp=tier", {"x-ms-access-tier": "Hot", "x-ms-rehydrate-priority": "High"}
    for what, body in (("two", tags(a="1", b="x y")), ("none", tags()), ("again", tags(color="red")), ("no-xml", b"<Tags"), ("other-xml", b"<Other/>"), ("many", tags(**{f"k{n}": "v" for n in range(11)})), ("empty-key", b"<Tags><TagSet><Tag><Key></Key><Value>x</Value></Tag></TagSet></Tags>")):
        yield f"tags/set-{what}", "PUT", "/files/text?comp=tags", {}, body
        yield f"tags/after-{what}", "GET", "/files/text?comp=tags"
    yield "tags/head", "HEAD", "/files/text"
    yield "tags/missing", "GET", "/files/none?comp=tags"
    yield "tags/if", "GET", "/files/text", {"x-ms-if-tags": "\"color\"='red'"}
    yield "tags/if-not", "GET", "/files/text", {"x-ms-if-tags": "\"color\"='blue'"}
    for what, where in (("found", "%22color%22%3D%27red%27"), ("none", "%22color%22%3D%27blue%27"), ("wrong", "color")):
        yield f"tags/find-{what}", "GET", f"/?comp=blobs&where={where}"
        yield f"tags/find-in-{what}", "GET", f"/files?restype=container&comp=blobs&where={where}"
    yield "tags/list", "GET", "/files?restype=container&comp=list&prefix=text&include=tags"
    yield "other/expiry", "PUT", "/files/text?comp=expiry", {"x-ms-expiry-option": "NeverExpire"}
    yield "other/hold", "PUT", "/files/text?comp=legalhold", {"x-ms-legal-hold": "true"}
    yield "other/policy", "PUT", "/files/text?comp=immutabilityPolicies", {"x-ms-immutability-policy-until-date": FUTURE}
    yield "other/no-policy", "DELETE", "/files/text?comp=immutabilityPolicies"
    yield "other/query", "POST", "/files/text?comp=query", {}, b"<QueryRequest/>"


def listing():
    # A container of its own, with the same in it on both sides.
    yield "list/create", "PUT", "/listed?restype=container"
    yield "list/empty-yet", "GET", "/listed?restype=container&comp=list"
    for name in ("a", "b/1", "b/2", "c%20d", "%C3%BC", "z+&"):
        yield f"list/put {name}", "PUT", f"/listed/{name}", BLOCK | meta(Name="x") | {"x-ms-tags": "a=1"}, TEXT
    described = {"x-ms-blob-content-type": "text/x", "x-ms-blob-content-encoding": "e", "x-ms-blob-content-language": "de", "x-ms-blob-cache-control": "no-store", "x-ms-blob-content-disposition": "inline"}
    yield "list/put-described", "PUT", "/listed/described", BLOCK | described, TEXT
    yield "list/put-long", "PUT", "/listed/long", BLOCK, LONG
    yield "list/put-empty", "PUT", "/listed/empty", BLOCK
    yield "list/put-blocks", "PUT", f"/listed/of%20blocks?comp=block&blockid={quoted('a')}", {}, LONG
    yield "list/put-blocks-list", "PUT", "/listed/of%20blocks?comp=blocklist", meta(b="c"), block_list(("Latest", "a"), ("Latest", "a"))
    yield "list/put-waiting", "PUT", f"/listed/waiting?comp=block&blockid={quoted('a')}", {}, LONG
    yield "list/put-append", "PUT", "/listed/row", APPEND | meta(b="c")
    yield "list/put-append-block", "PUT", "/listed/row?comp=appendblock", {}, LONG
    yield "list/put-copy", "PUT", "/listed/copy", {"x-ms-copy-source": "{endpoint}/listed/a"}
    yield "list/snapshot", "PUT", "/listed/a?comp=snapshot"
    yield "list/after-snapshot", "PUT", "/listed/a", BLOCK, LONG
    yield "list/tier", "PUT", "/listed/long?comp=tier", {"x-ms-access-tier": "Cool"}
    yield "list/lease", "PUT", "/listed/described?comp=lease", {"x-ms-lease-action": "acquire", "x-ms-lease-duration": "-1", "x-ms-proposed-lease-id": LEASES[5]}
    to = "/listed?restype=container&comp=list"
    for what, query in (
        ("all", ""), ("delimiter", "&delimiter=/"), ("delimiter-prefix", "&delimiter=/&prefix=b/"), ("prefix", "&prefix=b"), ("none", "&prefix=zz"), ("other-delimiter", "&delimiter=o"),
        ("one", "&maxresults=1"), ("zero", "&maxresults=0"), ("many", "&maxresults=5001"), ("words", "&maxresults=x"), ("negative", "&maxresults=-1"),
        ("include-unknown", "&include=everything"), ("marker", "&marker=c"), ("showonly", "&showonly=files"), ("empty-include", "&include="), ("empty-prefix", "&prefix="),
    ):
        yield f"list/{what}", "GET", f"{to}{query}"
    for include in ("snapshots", "metadata", "uncommittedblobs", "copy", "deleted", "tags", "versions", "immutabilitypolicy", "legalhold", "deletedwithversions", "permissions", "metadata,tags", "snapshots,copy,tags,metadata", "Metadata"):
        yield f"list/include {include}", "GET", f"{to}&include={include}"
    yield "list/page-1", "GET", f"{to}&maxresults=4", {}, b"", {"save": {"next": element("NextMarker")}}
    for page in range(2, 4):
        yield f"list/page-{page}", "GET", f"{to}&maxresults=4&marker={{next}}", {}, b"", {"save": {"next": element("NextMarker")}}
    yield "list/pages-of-folders", "GET", f"{to}&maxresults=3&delimiter=/", {}, b"", {"save": {"next": element("NextMarker")}}
    yield "list/pages-of-folders-2", "GET", f"{to}&maxresults=3&delimiter=/&marker={{next}}"
    yield "list/missing", "GET", "/none?restype=container&comp=list"
    yield "list/empty", "GET", "/other?restype=container&comp=list"
    yield "list/twice", "GET", f"{to}&comp=list"
    yield "list/without-restype", "GET", "/listed?comp=list"


def batches():
    for number in range(4):
        yield f"batch/put-{number}", "PUT", f"/files/batch/{number}", BLOCK, b"x"
    delete = [("DELETE", f"/files/batch/{number}", {}) for number in (0, 1)]
    tier = [("PUT", "/files/batch/2?comp=tier", {"x-ms-access-tier": "Cool"}), ("PUT", "/files/batch/none?comp=tier", {"x-ms-access-tier": "Cool"})]
    for what, inner in (("delete", [*delete, ("DELETE", "/files/batch/none", {})]), ("tier", tier), ("mixed", [delete[0], tier[0]]), ("get", [("GET", "/files/batch/2", {})]), ("put", [("PUT", "/files/batch/5", BLOCK)]), ("none", [])):
        yield f"batch/{what}", "POST", "/?comp=batch", {}, b"", {"batch": inner}
    yield "batch/container", "POST", "/files?restype=container&comp=batch", {}, b"", {"batch": [("DELETE", "/files/batch/3", {})]}
    yield "batch/outside", "POST", "/files?restype=container&comp=batch", {}, b"", {"batch": [("DELETE", "/other/batch/3", {})]}
    yield "batch/no-boundary", "POST", "/?comp=batch", {"Content-Type": "text/plain"}, b"x"
    yield "batch/after", "GET", "/files?restype=container&comp=list&prefix=batch/"


def shared():
    def case(name, method, target, kind, headers=(), body=b"", **options):
        return f"sas/{name}", method, target, dict(headers), body, {"sas": (kind, options)}

    for permission in ("r", "w", "c", "d", "l", "a", "t", "rw", "racwdl"):
        for what, method, target, headers, body in (
            ("get", "GET", "/files/text", {}, b""), ("head", "HEAD", "/files/text", {}, b""), ("put", "PUT", "/files/shared", BLOCK, TEXT), ("put-new", "PUT", f"/files/shared/new-{permission}", BLOCK, TEXT),
            ("list", "GET", "/files?restype=container&comp=list&prefix=text", {}, b""), ("tags", "GET", "/files/text?comp=tags", {}, b""), ("metadata", "PUT", "/files/shared?comp=metadata", meta(a="b"), b""),
            ("block", "PUT", f"/files/shared/blocks?comp=block&blockid={quoted('a')}", {}, b"x"), ("properties", "GET", "/files?restype=container", {}, b""), ("acl", "GET", "/files?restype=container&comp=acl", {}, b""),
            ("snapshot", "PUT", "/files/shared?comp=snapshot", {}, b""), ("lease", "PUT", "/files/text?comp=lease", {"x-ms-lease-action": "renew", "x-ms-lease-id": LEASES[0]}, b""), ("delete", "DELETE", f"/files/shared/gone-{permission}", {}, b""),
            ("break", "PUT", "/files/text?comp=lease", {"x-ms-lease-action": "break"}, b""), ("break-container", "PUT", "/files?restype=container&comp=lease", {"x-ms-lease-action": "break"}, b""),
        ):
            for kind in ("account", "container"):
                yield case(f"{kind} {permission} {what}", method, target, kind, headers, body, permission=permission)
    yield case("blob", "GET", "/files/text", "blob", permission="r", blob="text")
    yield case("blob-other", "GET", "/files/read", "blob", permission="r", blob="text")
    yield case("blob-list", "GET", "/files?restype=container&comp=list", "blob", permission="rl", blob="text")
    yield case("blob-overrides", "GET", "/files/text", "blob", permission="r", blob="text", content_type="text/o", content_disposition="inline", cache_control="no-cache", content_encoding="o", content_language="o")
    yield case("policy", "GET", "/files/text", "blob", blob="text", policy_id="reading", expiry=None)
    yield case("policy-write", "PUT", "/files/text", "blob", BLOCK, TEXT, blob="text", policy_id="reading", expiry=None)
    yield case("policy-unknown", "GET", "/files/text", "blob", blob="text", policy_id="none", expiry=None)
    yield case("expired", "GET", "/files/text", "blob", permission="r", blob="text", expiry=-3600)
    yield case("not-yet", "GET", "/files/text", "blob", permission="r", blob="text", start=3600, expiry=7200)
    yield case("https-only", "GET", "/files/text", "blob", permission="r", blob="text", protocol="https")
    yield case("ip", "GET", "/files/text", "blob", permission="r", blob="text", ip="10.0.0.1")
    yield case("ip-range", "GET", "/files/text", "blob", permission="r", blob="text", ip="127.0.0.0-127.0.0.255")
    yield case("wrong-signature", "GET", "/files/text", "blob", permission="r", blob="text", wrong=True)
    yield case("account-services", "GET", "/files/text", "account", permission="r", services="q")
    yield case("account-types", "GET", "/files/text", "account", permission="r", types="c")
    yield case("account-list", "GET", "/?comp=list", "account", permission="l", types="s")
    yield case("container-other", "GET", "/other?restype=container&comp=list", "container", permission="l")


def wrong():
    for what, headers in (
        ("encryption-key", {"x-ms-encryption-key": b64("k" * 32), "x-ms-encryption-key-sha256": md5(b""), "x-ms-encryption-algorithm": "AES256"}), ("unknown", {"x-ms-unknown": "x"}), ("reserved", {"x-ms-meta-portcullis_core": "x"}),
    ):
        yield f"wrong/header-{what}", "PUT", "/files/wrong", BLOCK | headers, b"x"
    yield "wrong/no-version", "GET", "/files/text", {"x-ms-version": None}
    for what, headers in (("none", {"Authorization": None}), ("scheme", {"Authorization": "Basic x"}), ("short", {"Authorization": "SharedKey"}), ("other", {"Authorization": "SharedKey {account}:AAAA"}), ("bearer", {"Authorization": "Bearer x"})):
        yield f"wrong/authorization-{what}", "GET", "/files/text", headers, b"", {"raw": True}
    yield "wrong/old", "GET", "/files/text", {"x-ms-date": PAST}
    yield "wrong/no-date", "GET", "/files/text", {"x-ms-date": None}
    for method, target in (("POST", "/files/text"), ("PATCH", "/files/text"), ("PUT", "/files/text?comp=unknown"), ("GET", "/files/text?comp=unknown"), ("DELETE", "/files/none?comp=metadata"), ("PUT", "/files/text?comp=page"), ("GET", "/files/text?comp=pagelist"), ("PUT", "/files/text?comp=incrementalcopy"), ("GET", "/files/text?unknown=1"), ("PUT", "/files/text?resource=file"), ("POST", "/files?restype=container")):
        yield f"wrong/{method} {target}", method, target


def ending():
    for name in ("text", "none"):
        yield f"delete/{name}", "DELETE", f"/files/{name}"
    yield "delete/again", "DELETE", "/files/text"
    yield "delete/no-container", "DELETE", "/none/none"
    yield "delete/then-get", "GET", "/files/text"
    yield "delete/blocks-too", "PUT", f"/files/stated?comp=block&blockid={quoted('one')}", {}, b"x"
    yield "delete/stated", "DELETE", "/files/stated"
    yield "delete/stated-blocks", "GET", "/files/stated?comp=blocklist&blocklisttype=all"
    yield "container/delete", "DELETE", "/files?restype=container"
    yield "container/delete-again", "DELETE", "/files?restype=container"
    yield "container/gone", "GET", "/files?restype=container&comp=list"
    yield "container/gone-put", "PUT", "/files/x", BLOCK, b"x"
