"""Downloads from mirrors, against a server on this machine, and the search on disk before them."""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.server
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fastvae.data import Dataset, DataUnavailable, MislabelledData, fetch, locate
from fastvae.data import sources as sources_module
from fastvae.data.download import download
from fastvae.data.sources import FILES, SOURCES, Source, cache_folder

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
    with pytest.raises(DataUnavailable, match="train-images-idx3-ubyte.gz cannot be written"):
        download(server("good"), tmp_path / "file" / "mnist")


def test_fetch_says_where_to_put_the_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refused: str
) -> None:
    monkeypatch.setitem(SOURCES, "mnist", Source("mnist", (refused,), MD5, {}))
    with pytest.raises(DataUnavailable) as caught:
        fetch("mnist")
    message = str(caught.value)
    for expected in (
        f"{refused}: ",
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


def test_a_folder_of_its_name_comes_before_files_that_lie_directly(tmp_path: Path) -> None:
    for place in (".", "mnist"):
        put(tmp_path / place)
        assert located(tmp_path).parent == tmp_path / place


def located(data_dir: Path | None, name: str = "mnist") -> Path:
    """Where the training images are found."""
    files = locate(name, data_dir)
    assert files is not None
    return files["train_images"]


def test_one_place_is_searched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(SOURCES, "mnist", Source("mnist", (), MD5, {}))
    put(tmp_path / "cache" / "mnist")
    assert located(None).parent == tmp_path / "cache" / "mnist"
    monkeypatch.setenv("FASTVAE_DATA", "")
    assert located(None).parent == tmp_path / "cache" / "mnist"
    monkeypatch.setenv("FASTVAE_DATA", str(tmp_path / "environment"))
    put(tmp_path / "environment")
    assert located(None).parent == tmp_path / "environment"
    put(tmp_path / "argument" / "mnist")
    assert located(tmp_path / "argument").parent == tmp_path / "argument" / "mnist"


@pytest.mark.parametrize("how", ["data_dir", "$FASTVAE_DATA"])
@pytest.mark.parametrize(
    "get", [locate, fetch, lambda name, folder: Dataset(name, data_dir=folder)]
)
def test_a_named_folder_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str, get: Callable[..., object]
) -> None:
    """By the cache, the other folder that is named, or a download."""
    monkeypatch.setitem(SOURCES, "mnist", Source("mnist", (), MD5, {}))
    monkeypatch.setattr("fastvae.data.download.download", None)
    put(tmp_path / "cache" / "mnist")
    named, argument = tmp_path / "named", None
    named.mkdir()
    if how == "data_dir":
        argument = named
        put(tmp_path / "environment")
        monkeypatch.setenv("FASTVAE_DATA", str(tmp_path / "environment"))
    else:
        monkeypatch.setenv("FASTVAE_DATA", str(named))
    with pytest.raises(FileNotFoundError) as caught:
        get("mnist", argument)
    assert not isinstance(caught.value, DataUnavailable)
    for part in (f"{named}, which {how} names, does not hold mnist", *FILES.values(), "MNIST/raw"):
        assert part in str(caught.value)
    put(named / "other")  # a folder that is not the data set's
    with pytest.raises(FileNotFoundError, match="does not hold mnist"):
        get("mnist", argument)
    named.rename(tmp_path / "away")
    with pytest.raises(NotADirectoryError, match=rf"{re.escape(how)} must be an existing folder"):
        get("mnist", argument)
    named.touch()
    with pytest.raises(NotADirectoryError, match=rf"{re.escape(how)} must be an existing folder"):
        get("mnist", argument)


@pytest.mark.parametrize("data_dir", ["", " ", "\0", "~nobody-of-this-name/data"])
def test_what_is_no_folder_is_refused(data_dir: str) -> None:
    with pytest.raises(NotADirectoryError, match="data_dir must be an existing folder; got"):
        locate("mnist", data_dir)


LAYOUTS = {
    "torchvision": ("{name}/raw", "{file}"),
    "torchvision, compressed": ("{name}/raw", "{file}.gz"),
    "torchvision in a folder of the name": ("mnist/{name}/raw", "{file}"),
    "the raw folder": ("raw", "{file}"),
    "dots": (".", "{dotted}"),
    "dots in a folder, compressed": ("mnist", "{dotted}.gz"),
    "capitals": ("Mnist", "{capitals}.GZ"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_of_others(tmp_path: Path, layout: str) -> None:
    folder, form = LAYOUTS[layout]
    folder = folder.format(name="MNIST")
    put_as(tmp_path / folder, form)
    files = locate("mnist", tmp_path)
    assert files is not None
    assert {path.parent for path in files.values()} == {tmp_path / folder}
    for role, path in files.items():
        content = path.read_bytes()
        assert content in (CONTENT[role], gzip.decompress(CONTENT[role]))


def put_as(folder: Path, form: str) -> None:
    """Write the four files under names of a form."""
    folder.mkdir(parents=True, exist_ok=True)
    for role, file in FILES.items():
        dotted = file.replace("-idx", ".idx")
        name = form.format(file=file, dotted=dotted, capitals=file.upper())
        content = CONTENT[role] if name.lower().endswith(".gz") else gzip.decompress(CONTENT[role])
        (folder / name).write_bytes(content)


def test_each_data_set_of_torchvision_is_found_by_its_name(tmp_path: Path) -> None:
    names = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
    assert set(names) < set(SOURCES)
    for folder in names.values():
        put_as(tmp_path / folder / "raw", "{file}")
    for name, folder in names.items():
        assert located(tmp_path, name).parent == tmp_path / folder / "raw"


@pytest.mark.parametrize("folder", ["kmnist", "KMNIST", "KMNIST/raw"])
def test_a_folder_that_is_named_after_another_data_set_is_its(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    """Also where the checksums of its files are not known, as of plain or changed ones."""
    put_as(tmp_path / folder, "{file}")
    monkeypatch.chdir(tmp_path / folder)
    for given in (tmp_path / folder, Path()):
        with pytest.raises(FileNotFoundError, match="does not hold mnist .*holds files of kmnist"):
            locate("mnist", given)
        assert located(given, "kmnist").parent == given
    put_as(tmp_path / folder / "mnist", "{file}")
    assert located(tmp_path / folder).parent == tmp_path / folder / "mnist"


def test_of_two_forms_the_compressed_and_the_usual_one_is_taken(tmp_path: Path) -> None:
    images = FILES["train_images"]
    dotted = images.replace("-idx", ".idx")
    put_as(tmp_path, "{dotted}")
    for name in (images, f"{dotted}.gz", f"{images}.gz"):
        (tmp_path / name).touch()
        assert located(tmp_path).name == name


def test_links_are_followed_and_what_is_no_file_does_not_count(tmp_path: Path) -> None:
    put_as(tmp_path / "away", "{file}")
    (tmp_path / "MNIST").symlink_to("away")
    assert located(tmp_path).parent == tmp_path / "MNIST"
    images = tmp_path / "away" / FILES["train_images"]
    images.rename(tmp_path / "images")
    images.symlink_to(tmp_path / "images")
    assert located(tmp_path).name == images.name
    (tmp_path / "images").unlink()
    (tmp_path / "MNIST" / f"{FILES['train_images']}.gz").mkdir()
    with pytest.raises(FileNotFoundError, match="MNIST holds 3 of the four .* missing: train-ima"):
        locate("mnist", tmp_path)
    (tmp_path / "away" / "raw").symlink_to(".")  # in circles
    with pytest.raises(FileNotFoundError, match="holds 3 of the four"):
        locate("mnist", tmp_path)


def test_a_folder_that_cannot_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(path: Path) -> Iterator[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(PermissionError, match=str(tmp_path)):
        locate("mnist", tmp_path)


@pytest.mark.parametrize("folder", ["mnist", ".", "MNIST/raw", "raw"])
@pytest.mark.parametrize("n_left", [1, 2, 3])
def test_an_incomplete_folder(tmp_path: Path, folder: str, n_left: int) -> None:
    put(tmp_path / folder)
    missing = list(FILES.values())[n_left:]
    for file in missing:
        (tmp_path / folder / f"{file}.gz").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        fetch("mnist", tmp_path)
    assert not isinstance(caught.value, DataUnavailable)
    message = f"{tmp_path / folder} holds {n_left} of the four files of mnist; missing: "
    assert f"{message}{', '.join(missing)} (" in str(caught.value)


@pytest.mark.parametrize("plain", [False, True])
def test_mislabelled_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plain: bool) -> None:
    """Files of one data set are not taken for those of another."""
    md5_plain = {
        role: hashlib.md5(gzip.decompress(content)).hexdigest() for role, content in CONTENT.items()
    }
    fashion = Source("fashion_mnist", (), MD5, md5_plain)
    monkeypatch.setitem(SOURCES, "fashion_mnist", fashion)
    put(tmp_path, plain)
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} holds files of fashion_mnist"):
        locate("mnist", tmp_path)
    assert locate("fashion_mnist", tmp_path) is not None
    put(tmp_path / "mnist", plain)
    with pytest.raises(MislabelledData, match=r"by its checksum the train-images.* of fashion"):
        locate("mnist", tmp_path)


@pytest.mark.parametrize("folder", ["mnist", "."])
def test_swapped_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str) -> None:
    monkeypatch.setitem(SOURCES, "mnist", Source("mnist", (), MD5, {}))
    put(tmp_path / folder)
    train, test = (tmp_path / folder / f"{FILES[f'{s}_images']}.gz" for s in ("train", "test"))
    train.write_bytes(CONTENT["test_images"])
    test.write_bytes(CONTENT["train_images"])
    with pytest.raises(MislabelledData, match="t10k-images-idx3-ubyte of mnist; expected the"):
        locate("mnist", tmp_path)


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"unknown data set 'minst'; known: emnist_balanced, .*fashion_mnist, kmnist",
    ):
        locate("minst")
    with pytest.raises(NotADirectoryError, match=r"data_dir must be an existing folder; got .*no"):
        locate("mnist", tmp_path / "no")


def test_real_cache_is_the_users() -> None:
    """The fixture replaces the place; the real one ends in the package's and data set's name."""
    assert cache_folder("kmnist").parts[-3:] == ("fastvae", "data", "kmnist")


def test_known_checksums_are_whole() -> None:
    checksums = [md5 for source in SOURCES.values() for md5 in source.md5.values()]
    downloaded = [source for source in SOURCES.values() if source.mirrors]
    assert all(set(source.md5) == set(FILES) for source in downloaded)
    assert all(set(source.files) == set(FILES) for source in SOURCES.values())
    assert len(set(checksums)) == len(checksums) == 4 * len(downloaded) == 16
    assert all(len(md5) == 32 for md5 in checksums)


def test_official_files_are_recognised(mnist_dir: Path) -> None:
    for role in FILES:
        found = sources_module.identify(next(mnist_dir.glob(f"{FILES[role]}*")))
        assert found == ("mnist", role)


def test_files_that_are_larger_than_all_known_ones_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    with path.open("wb") as file:
        file.truncate(10**12)
    assert sources_module.identify(path) is None
