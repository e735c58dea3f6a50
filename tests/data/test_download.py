"""Downloads from mirrors, against a server on this machine, and the search on disk before them."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastvae.data import DataUnavailable, MislabelledData, fetch, locate
from fastvae.data import sources as sources_module
from fastvae.data.download import download
from fastvae.data.sources import FILES, SOURCES, Source, advice, cache_folder

CONTENT = {role: gzip.compress(role.encode() * 400, mtime=0) for role in FILES}
MD5 = {role: hashlib.md5(content).hexdigest() for role, content in CONTENT.items()}
ROLE_OF = {f"{file}.gz": role for role, file in FILES.items()}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /<behaviour>/<file>: how the file is sent depends on the behaviour."""

    requests: list[tuple[str, str]]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        _, behaviour, file = self.path.split("/")
        self.requests.append((behaviour, file))
        content = CONTENT[ROLE_OF[file]]
        if behaviour == "absent" or (behaviour == "half" and "t10k" in file):
            self.send_error(404)
            return
        if behaviour == "mute":
            time.sleep(1)
        self.send_response(200)
        self.send_header("Content-Type", "application/gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not with_body:
            return
        if behaviour == "wrong":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if behaviour == "truncated":
            content = content[: len(content) // 2]
        if behaviour == "slow":
            self.wfile.write(content[:10])
            time.sleep(0.3)
            content = content[10:]
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[Callable[..., Source]]:
    """Return a function that makes a data set with mirrors of the given behaviours."""
    Handler.requests = []
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    port = httpd.server_address[1]

    def source(*behaviours: str) -> Source:
        mirrors = tuple(f"http://127.0.0.1:{port}/{behaviour}/" for behaviour in behaviours)
        return Source("mnist", mirrors, MD5, {})

    yield source
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture
def refused() -> str:
    """Return the address of a mirror at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.fixture(autouse=True)
def no_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the search find nothing but what a test puts down, and no proxy stand between."""
    monkeypatch.delenv("FASTVAE_DATA", raising=False)
    monkeypatch.setattr(sources_module, "cache_folder", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr("fastvae.data.download.cache_folder", sources_module.cache_folder)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def assert_complete(files: dict[str, Path], folder: Path) -> None:
    assert {role: path.read_bytes() for role, path in files.items()} == CONTENT
    assert sorted(path.name for path in folder.iterdir()) == sorted(ROLE_OF)


def put(folder: Path, plain: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for role, file in FILES.items():
        if plain:
            (folder / file).write_bytes(gzip.decompress(CONTENT[role]))
        else:
            (folder / f"{file}.gz").write_bytes(CONTENT[role])


def test_good_mirror(server: Callable[..., Source], tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert_complete(download(server("good"), folder), folder)


def test_intact_files_are_kept(server: Callable[..., Source], tmp_path: Path) -> None:
    source = server("good")
    download(source, tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"spoiled")
    Handler.requests.clear()
    assert_complete(download(source, tmp_path / "mnist"), tmp_path / "mnist")
    assert {file for _, file in Handler.requests} == {"t10k-labels-idx1-ubyte.gz"}


@pytest.mark.parametrize("first", ["wrong", "absent", "truncated", "mute", "half"])
def test_next_mirror_is_tried(server: Callable[..., Source], tmp_path: Path, first: str) -> None:
    files = download(server(first, "good"), tmp_path / "mnist", timeout=0.3)
    assert_complete(files, tmp_path / "mnist")
    assert {behaviour for behaviour, _ in Handler.requests} == {first, "good"}


def test_refused_connection(server: Callable[..., Source], tmp_path: Path, refused: str) -> None:
    good = server("good")
    source = Source("mnist", (refused, *good.mirrors), MD5, {})
    assert_complete(download(source, tmp_path / "mnist"), tmp_path / "mnist")


def test_dead_mirror_is_asked_once(server: Callable[..., Source], tmp_path: Path) -> None:
    download(server("mute", "good"), tmp_path / "mnist", timeout=0.3)
    assert sum(behaviour == "mute" for behaviour, _ in Handler.requests) == 1


def test_all_fail(server: Callable[..., Source], tmp_path: Path, refused: str) -> None:
    """Every mirror is listed with its own reason, and no file is left, whole or half."""
    local = server("wrong", "absent", "truncated", "mute")
    source = Source("mnist", (*local.mirrors, refused), MD5, {})
    with pytest.raises(DataUnavailable) as caught:
        download(source, tmp_path / "mnist", timeout=0.3)
    lines = str(caught.value).splitlines()
    assert lines[0] == "mnist cannot be downloaded; tried, for train-images-idx3-ubyte.gz:"
    reasons = dict(line.strip().split("/: ", 1) for line in lines[1:])
    assert [mirror + "/" for mirror in reasons] == list(source.mirrors)
    wrong, absent, truncated, mute, closed = reasons.values()
    assert wrong == f"wrong checksum (expected MD5 {MD5['train_images']})"
    assert absent == "HTTP status 404"
    assert truncated == "the transfer broke off"
    assert mute == "no answer within 0.3 s"
    assert "refused" in closed
    assert list((tmp_path / "mnist").iterdir()) == []


@pytest.mark.slow
def test_time_limit(server: Callable[..., Source], tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match="the time allowed for the download is over"):
        download(server("slow"), tmp_path / "mnist", time_limit=0.1)
    assert_complete(download(server("slow"), tmp_path / "mnist", time_limit=60), tmp_path / "mnist")


def test_folder_that_cannot_be_written(server: Callable[..., Source], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataUnavailable, match="mnist cannot be written"):
        download(server("good"), tmp_path / "file" / "mnist")


def test_fetch_says_where_to_put_the_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused: str
) -> None:
    monkeypatch.setitem(SOURCES, "mnist", Source("mnist", (refused,), MD5, {}))
    monkeypatch.setenv("FASTVAE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataUnavailable) as caught:
        fetch("mnist", tmp_path)
    message = str(caught.value)
    for expected in (
        f"{refused}: ",
        f"not in {tmp_path / 'mnist'}, nor directly in {tmp_path}",
        f"$FASTVAE_DATA is '{tmp_path / 'nowhere'}', which is not a folder",
        f"not in the cache {tmp_path / 'cache' / 'mnist'}",
        "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz",
        "<dir>/mnist",
        "--data-dir",
    ):
        assert expected in message


def test_fetch_downloads_into_the_cache_once(
    server: Callable[..., Source], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(SOURCES, "mnist", server("good"))
    assert locate("mnist") is None
    assert_complete(fetch("mnist"), tmp_path / "cache" / "mnist")
    Handler.requests.clear()
    assert_complete(fetch("mnist"), tmp_path / "cache" / "mnist")
    assert Handler.requests == []


def test_spoiled_cache_does_not_count(
    server: Callable[..., Source], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(SOURCES, "mnist", server("good"))
    put(tmp_path / "cache" / "mnist")
    assert locate("mnist") is not None
    (tmp_path / "cache" / "mnist" / "train-labels-idx1-ubyte.gz").write_bytes(b"spoiled")
    assert locate("mnist") is None
    assert_complete(fetch("mnist"), tmp_path / "cache" / "mnist")


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("folder", ["mnist", "."])
@pytest.mark.parametrize("how", ["argument", "environment"])
def test_places_on_disk(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str, folder: str, plain: bool
) -> None:
    put(tmp_path / "data" / folder, plain)
    if how == "environment":
        monkeypatch.setenv("FASTVAE_DATA", str(tmp_path / "data"))
    files = locate("mnist", tmp_path / "data" if how == "argument" else None)
    assert files is not None
    suffix = "" if plain else ".gz"
    assert files == {
        role: tmp_path / "data" / folder / f"{file}{suffix}" for role, file in FILES.items()
    }


def test_order_of_the_search(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(SOURCES, "mnist", Source("mnist", (), MD5, {}))
    monkeypatch.setenv("FASTVAE_DATA", str(tmp_path / "environment"))
    for place in ("cache/mnist", "environment", "environment/mnist", "argument/mnist"):
        put(tmp_path / place)
        (tmp_path / "argument").mkdir(exist_ok=True)
        files = locate("mnist", tmp_path / "argument")
        assert files is not None
        assert files["train_images"].parent == tmp_path / place


def test_incomplete_folder(tmp_path: Path) -> None:
    put(tmp_path / "mnist")
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="holds 3 of the four files of mnist; missing: t10"):
        locate("mnist", tmp_path)


@pytest.mark.parametrize("plain", [False, True])
def test_mislabelled_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plain: bool) -> None:
    """Files of one data set in another's folder are an error, lying directly they are passed."""
    md5_plain = {
        role: hashlib.md5(gzip.decompress(content)).hexdigest() for role, content in CONTENT.items()
    }
    fashion = Source("fashion_mnist", (), MD5, md5_plain)
    monkeypatch.setitem(SOURCES, "fashion_mnist", fashion)
    put(tmp_path, plain)
    assert locate("mnist", tmp_path) is None
    assert locate("fashion_mnist", tmp_path) is not None
    assert f"({tmp_path} holds the files of fashion_mnist)" in advice("mnist", tmp_path)
    put(tmp_path / "mnist", plain)
    with pytest.raises(MislabelledData, match=r"by its checksum the train-images.* of fashion"):
        locate("mnist", tmp_path)


def test_swapped_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(SOURCES, "mnist", Source("mnist", (), MD5, {}))
    put(tmp_path / "mnist")
    train, test = (tmp_path / "mnist" / f"{FILES[f'{s}_images']}.gz" for s in ("train", "test"))
    train.write_bytes(CONTENT["test_images"])
    test.write_bytes(CONTENT["train_images"])
    with pytest.raises(MislabelledData, match="t10k-images-idx3-ubyte of mnist; expected the"):
        locate("mnist", tmp_path)


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown data set 'minst'; known: fashion_mnist, kmnist"):
        locate("minst")
    with pytest.raises(NotADirectoryError, match=r"data_dir must be an existing folder; got .*no"):
        locate("mnist", tmp_path / "no")


def test_real_cache_is_the_users() -> None:
    """The fixture replaces the place; the real one ends in the package's and data set's name."""
    assert cache_folder("kmnist").parts[-3:] == ("fastvae", "data", "kmnist")


def test_known_checksums_are_whole() -> None:
    checksums = [md5 for source in SOURCES.values() for md5 in source.md5.values()]
    assert all(set(source.md5) == set(FILES) for source in SOURCES.values())
    assert len(set(checksums)) == len(checksums) == 12
    assert all(len(md5) == 32 for md5 in checksums)


def test_official_files_are_recognised(mnist_dir: Path) -> None:
    for role in FILES:
        found = sources_module.identify(next(mnist_dir.glob(f"{FILES[role]}*")))
        assert found == ("mnist", role)
