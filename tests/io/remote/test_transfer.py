"""Objects brought and sent: whole or not at all, whatever the network does (moto's server, and a proxy that fails)."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from buckets import SECRET, Proxy, client, environment, one_in_five, server

from caml_dask.errors import TransferError, UsageError
from caml_dask.io.remote import retries, web
from caml_dask.io.remote.objects import BLOCK_BYTES
from caml_dask.io.remote.transfer import Content, Places, fetch, send_file
from caml_dask.io.remote.url import Url

OBJECT = Url.parse("s3://bucket/folder/a b+c%20ü.bin")


@pytest.fixture(scope="module")
def store():
    with server() as address:
        client(address).create_bucket(Bucket="bucket")
        yield address


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(retries, "_FIRST_WAIT_S", 0.01)


@pytest.fixture(scope="module")
def blob(tmp_path_factory):
    """12 MiB: two parts of an upload, two blocks of a download."""
    path = tmp_path_factory.mktemp("blob") / "blob"
    path.write_bytes(np.random.default_rng(0).bytes(12 << 20))
    return path


def stored(address: str) -> bytes:
    return client(address).get_object(Bucket="bucket", Key=OBJECT.key)["Body"].read()


def remove(address: str) -> None:
    client(address).delete_object(Bucket="bucket", Key=OBJECT.key)


def test_there_and_back_over_a_bad_network(store, blob, tmp_path):
    remove(store)
    with Proxy(store, one_in_five) as proxy, environment(proxy.address):
        sent = send_file(Places(), blob, OBJECT)
        assert stored(store) == blob.read_bytes() and sent.sha256 == hashlib.sha256(blob.read_bytes()).hexdigest()
        for _ in range(6):
            fetch(Places(), OBJECT, tmp_path / "here")
            assert (tmp_path / "here").read_bytes() == blob.read_bytes()
    assert min(proxy.fates[fate] for fate in ("503", "cut", "lost")) >= 2
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_what_is_there_is_not_sent_again(store, blob):
    with environment(store):
        send_file(Places(), blob, OBJECT)
    with Proxy(store, lambda *_: "") as proxy, environment(proxy.address):
        send_file(Places(), blob, OBJECT)
    assert [method for method, _ in proxy.seen] == ["HEAD"]


def test_what_arrives_altered_is_sent_again(store, blob):
    """The first object has the size that was sent, and another content."""
    remove(store)
    with (
        Proxy(store, lambda _, method, path: "altered" if puts(proxy) == 1 and method == "PUT" else "") as proxy,
        environment(proxy.address),
    ):
        send_file(Places(), blob, OBJECT)
    assert proxy.fates["altered"] == 1 and stored(store) == blob.read_bytes()


def puts(proxy: Proxy) -> int:
    return sum(method == "PUT" for method, _ in proxy.seen) + 1


def test_a_store_that_alters_all_is_named(store, tmp_path):
    small = tmp_path / "small"
    small.write_bytes(b"0123456789")
    with (
        Proxy(store, lambda _, method, path: "altered" if method == "PUT" else "") as proxy,
        environment(proxy.address),
        pytest.raises(TransferError, match="is not what was sent"),
    ):
        send_file(Places(), small, OBJECT)


def test_a_store_whose_tags_are_no_digests_is_read_back(store, blob):
    """As with encryption by a key of the user's own."""
    with environment(store):
        content = send_file(Places(), blob, OBJECT)
        tag = Places().about(OBJECT).tag
    assert tag in content.tags
    with pytest.MonkeyPatch.context() as patch, Proxy(store, lambda *_: "") as proxy, environment(proxy.address):
        patch.setattr("caml_dask.io.remote.transfer._md5", lambda data=b"": hashlib.md5(b"no digest" + data))
        send_file(Places(), blob, OBJECT)
    assert {method for method, _ in proxy.seen} == {"HEAD", "GET"}


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1])
@pytest.mark.parametrize("block", [1 << 20, 3 << 20, BLOCK_BYTES, 64 << 20])
def test_the_content_does_not_depend_on_blocks(size, block):
    data = np.random.default_rng(1).bytes(size)
    found = Content.of(data[i : i + block] for i in range(0, size, block))
    parts = [data[i : i + BLOCK_BYTES] for i in range(0, size, BLOCK_BYTES)] or [b""]
    joined = hashlib.md5(b"".join(hashlib.md5(part).digest() for part in parts)).hexdigest()
    assert (found.size, found.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert found.tags[0] == f"{joined}-{len(parts)}"


def test_a_network_that_never_holds_ends_in_words(store, blob, tmp_path):
    with (
        Proxy(store, lambda _, method, path: "cut" if method == "GET" else "") as proxy,
        environment(proxy.address) as patch,
        pytest.raises(TransferError, match=r"reading s3://bucket/folder/.* failed 6 times.*--resume"),
    ):
        patch.setattr("caml_dask.io.remote.s3._ATTEMPTS", 1)
        fetch(Places(), OBJECT, tmp_path / "here")
    assert list(tmp_path.iterdir()) == []


def test_no_server(tmp_path):
    with environment("http://127.0.0.1:1") as patch:
        patch.setattr("caml_dask.io.remote.s3._ATTEMPTS", 1)
        with pytest.raises(TransferError, match="failed 6 times") as found:
            fetch(Places(), OBJECT, tmp_path / "here")
        assert SECRET not in str(found.value)


def test_what_a_store_refuses_is_said_at_once(store, tmp_path):
    elsewhere = Url.parse("s3://no-such-bucket/a")
    (tmp_path / "a").write_bytes(b"a")
    with environment(store):
        assert Places().open(elsewhere) is None and Places().open(OBJECT.at("none")) is None
        with pytest.raises(UsageError, match="there is no bucket 'no-such-bucket'"):
            send_file(Places(), tmp_path / "a", elsewhere)
        with pytest.raises(UsageError, match="there is no bucket 'no-such-bucket'"):
            Places().bucket(elsewhere).names_below(elsewhere.at(""))


def test_an_endpoint_with_credentials_is_refused_without_them():
    with environment(f"http://me:{SECRET}@127.0.0.1:1"), pytest.raises(UsageError, match="names no endpoint") as found:
        Places().open(OBJECT)
    assert SECRET not in str(found.value)


# -- web servers: the store's public objects through the proxy ---------------------------------------------------------


@pytest.fixture(scope="module")
def page(store, blob):
    client(store).put_object(Bucket="bucket", Key="page.bin", Body=blob.read_bytes(), ACL="public-read")
    return "/bucket/page.bin"


def test_from_a_web_server_over_a_bad_network(store, page, blob, tmp_path):
    with Proxy(store, one_in_five) as proxy:
        url = Url.parse(f"{proxy.address}{page}?token={SECRET}")
        for _ in range(16):
            fetch(Places(), url, tmp_path / "page.bin")
            assert (tmp_path / "page.bin").read_bytes() == blob.read_bytes()
    assert min(proxy.fates[fate] for fate in ("503", "cut", "lost")) >= 1
    assert all(SECRET in path for _, path in proxy.seen)  # the server gets the query, and nobody else


def test_a_web_server_that_knows_no_ranges(store, page, blob, tmp_path, monkeypatch):
    ask = web._ask
    monkeypatch.setattr(web, "_ask", lambda url, headers: ask(url, {}))
    with Proxy(store, lambda number, *_: "cut" if number == 0 else "") as proxy:
        fetch(Places(), Url.parse(f"{proxy.address}{page}"), tmp_path / "here")
    assert (tmp_path / "here").read_bytes() == blob.read_bytes() and len(proxy.seen) == 2


def test_an_object_that_changes_meanwhile_is_refused(store, tmp_path, blob):
    def fate(number: int, method: str, path: str) -> str:
        if number == 1:
            client(store).put_object(Bucket="bucket", Key="page2.bin", Body=b"other", ACL="public-read")
        return "cut" if number == 0 else ""

    client(store).put_object(Bucket="bucket", Key="page2.bin", Body=blob.read_bytes(), ACL="public-read")
    with Proxy(store, fate) as proxy, pytest.raises(TransferError, match="changed while it was read"):
        fetch(Places(), Url.parse(f"{proxy.address}/bucket/page2.bin"), tmp_path / "here")
    assert list(tmp_path.iterdir()) == []


def test_missing_and_refused_pages(store):
    assert Places().open(Url.parse(f"{store}/bucket/none")) is None
    with Proxy(store, lambda *_: "403") as proxy, pytest.raises(UsageError, match="the server answers 403") as found:
        Places().open(Url.parse(f"{proxy.address}/bucket/page.bin?X-Amz-Signature={SECRET}"))
    assert SECRET not in str(found.value)


# -- URLs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gs://bucket/a", "gs://bucket/a cannot be opened"),
        (f"s3://me:{SECRET}@bucket/a", "s3://bucket/a was given with a user or password"),
        (f"https://{SECRET}@host/a?b={SECRET}", "https://host/a was given with a user"),
        (f"s3://bucket/a?secret_key={SECRET}", "s3://bucket/a was given with settings"),
        (f"ftp://u:{SECRET}@host/a?{SECRET}#{SECRET}", "ftp://host/a cannot be opened"),
        ("s3:///a", "names no bucket"),
    ],
)
def test_urls_that_are_refused(text, shown):
    with pytest.raises(UsageError) as found:
        Url.parse(text)
    assert shown in str(found.value) and SECRET not in str(found.value)


def test_a_query_is_in_no_text():
    url = Url.parse(f"https://host:8080/a/b%20c.csv?X-Amz-Signature={SECRET}#part")
    assert str(url) == "https://host:8080/a/b%20c.csv" and url.name == "b c.csv"
    assert SECRET not in repr(url) and url == Url.parse(str(url)) and SECRET in url.query
    assert str(url.beside("b.yaml")) == "https://host:8080/a/b.yaml"


@pytest.mark.parametrize("key", ["", "a/", "a/..", "a/%2e%2e", "a/%00", "x" * 300])
def test_names_that_no_file_can_have(key):
    with pytest.raises(UsageError, match="no name that a file can have"):
        _ = Url.parse(f"https://host/{key}").name
