"""Download of the published data sets: mirrors in turn, checksums verified, nothing half done."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fastvae.data.published import SOURCES, Source
from fastvae.data.sources import DataUnavailable, advice, cache_folder, locate

if TYPE_CHECKING:
    import pooch


class _Watch:
    """Stands in for pooch's progress bar, to end a transfer that takes too long."""

    def __init__(self, end: float | None) -> None:
        self.total = 0
        self._end = end

    def update(self, size: int) -> None:
        if self._end is not None and time.monotonic() > self._end:
            raise TimeoutError("the time allowed for the download is over")

    def reset(self) -> None:
        """Do nothing: there is no bar to redraw."""

    def close(self) -> None:
        """Do nothing: there is no bar to close."""


def fetch(
    name: str,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    timeout: float = 3.0,
    time_limit: float | None = None,
) -> dict[str, Path]:
    """Find the four files of a known data set, or else download them into the user's cache.

    Parameters
    ----------
    name : str
        One of `NAMES`, but for "synthetic_digits".
    data_dir : path, optional
        The folder to search, as for `locate`; where it, or `FASTVAE_DATA`, names one, nothing is
        downloaded.
    timeout : float
        Seconds within which a mirror must answer, and the longest pause of a transfer.
    time_limit : float, optional
        Seconds for everything.

    Returns
    -------
    dict of str to path
        The files, by "train_images", "train_labels", "test_images" and "test_labels".

    Raises
    ------
    DataUnavailable
        Where the files are neither on disk nor to be downloaded; the message lists every mirror
        with its reason and says where the files may be put.
    ValueError, OSError
        As `locate`.
    """
    found = locate(name, data_dir)
    if found is not None:
        return found
    try:
        return download(SOURCES[name], cache_folder(name), timeout=timeout, time_limit=time_limit)
    except DataUnavailable as error:
        raise DataUnavailable(f"{error}\n{advice(name)}") from error


def download(
    source: Source,
    folder: str | os.PathLike[str],
    *,
    timeout: float = 3.0,
    time_limit: float | None = None,
) -> dict[str, Path]:
    """Download the four files of a data set, each from the first mirror that has it intact.

    A file appears in the folder only whole and with its checksum verified. Files that are there
    already and intact are kept. A mirror that does not answer is not asked again.

    Parameters
    ----------
    source : data set, with its mirrors and checksums
    folder : folder to write to, made if need be
    timeout : seconds within which a mirror must answer, and the longest pause of a transfer
    time_limit : seconds for everything; None sets no limit

    Returns
    -------
    path of each file, by the keys of `FILES`

    Raises
    ------
    DataUnavailable
        Where a file cannot be had from any mirror, or the folder cannot be written. The message
        lists every mirror with its reason.
    """
    from pooch import HTTPDownloader, file_hash

    if not source.mirrors:
        raise DataUnavailable(
            f"{source.name} is not on disk, and not downloaded: no checksums of its files are known"
        )
    watch = _Watch(None if time_limit is None else time.monotonic() + time_limit)
    downloader = HTTPDownloader(progressbar=watch, chunk_size=1 << 16, timeout=timeout)
    dead: dict[str, str] = {}
    files = {}
    for role, file in source.files.items():
        path = Path(folder) / f"{file}.gz"
        if not (path.is_file() and file_hash(str(path), alg="md5") == source.md5[role]):
            _from_any_mirror(source, path, source.md5[role], downloader, timeout, dead)
        files[role] = path
    return files


def _from_any_mirror(
    source: Source,
    path: Path,
    md5: str,
    downloader: pooch.HTTPDownloader,
    timeout: float,
    dead: dict[str, str],
) -> None:
    """Download one file from the first mirror that has it; enter those that do not answer."""
    reasons = {}
    for mirror in source.mirrors:
        url = mirror + path.name
        if mirror not in dead and (reason := _unreachable(url, downloader, timeout)):
            dead[mirror] = reason
        reason = dead.get(mirror) or _retrieve(url, md5, path, downloader, timeout)
        if reason is None:
            return
        reasons[mirror] = reason
    tried = "\n".join(f"  {mirror}: {reason}" for mirror, reason in reasons.items())
    raise DataUnavailable(f"{source.name} cannot be downloaded; tried, for {path.name}:\n{tried}")


def _retrieve(
    url: str, md5: str, path: Path, downloader: pooch.HTTPDownloader, timeout: float
) -> str | None:
    """Download one file; return why it failed, or None."""
    import pooch
    import requests

    try:
        pooch.retrieve(url, f"md5:{md5}", path.name, path.parent, downloader=downloader)
    except requests.RequestException as error:
        return _reason(error, timeout)
    except TimeoutError as error:
        return str(error)
    except ValueError:
        return f"wrong checksum (expected MD5 {md5})"
    except OSError as error:
        raise DataUnavailable(f"{path} cannot be written: {error}") from error
    return None


def _unreachable(url: str, downloader: pooch.HTTPDownloader, timeout: float) -> str | None:
    """Return why an address does not answer in time, or None where it does.

    Asked in a thread of its own: the limit of `requests` holds for each address of a host and
    not for the look-up of its name, so that one dead host could take minutes.
    """
    import requests

    outcome: list[str | None] = []

    def ask() -> None:
        try:
            downloader(url, None, None, check_only=True)
            outcome.append(None)
        except requests.RequestException as error:
            outcome.append(_reason(error, timeout))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return outcome[0] if outcome else f"no answer within {timeout:g} s"


def _reason(error: Exception, timeout: float) -> str:
    """Say in a few words why a request failed."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {timeout:g} s"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the transfer broke off"
    cause = getattr(error.args[0], "reason", error) if error.args else error
    return str(cause).rsplit(": ", 1)[-1] or type(error).__name__
