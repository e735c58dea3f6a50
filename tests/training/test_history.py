"""The history as a mapping, a table, a frame and a text."""

from __future__ import annotations

import copy
import json
import pickle
import re

import numpy as np
import pytest
from model_checks import pixel_rows, small_vae

from fastvae import History


def long_history(n_epochs: int, **figures: float) -> History:
    history = History()
    for epoch in range(1, n_epochs + 1):
        history.append({"elbo": -100.0 + epoch, "kl": epoch / 8, "active_units": 5} | figures)
    return history


def test_it_is_a_dict_of_lists():
    history = History()
    assert history == {}
    assert (history.n_epochs, history.records()) == (0, [])
    history.append({"loss": 2.0, "elbo": -2.0})
    history.append({"loss": 1.5, "elbo": -1.5})
    assert history == {"loss": [2.0, 1.5], "elbo": [-2.0, -1.5]} == dict(history)
    assert history == History({"elbo": [-2.0, -1.5], "loss": [2.0, 1.5]})
    assert history != {"loss": [2.0, 1.5]}
    assert (history["loss"], list(history), len(history)) == ([2.0, 1.5], ["loss", "elbo"], 2)
    assert history.n_epochs == 2
    assert history.records() == [
        {"epoch": 1, "loss": 2.0, "elbo": -2.0},
        {"epoch": 2, "loss": 1.5, "elbo": -1.5},
    ]
    for name, hint in (
        ("val_elbo", r"\(fit\(..., validation=rows\) measures it\)"),
        ("elob", r"\(did you mean 'elbo'\?\)"),
        ("\x1b" * 10**6, r"^no '[x\\1b]{70,90}\.\.\. in the history, which has loss, elbo$"),
        (7, "^no 7 in the history, which has loss, elbo$"),
    ):
        with pytest.raises(KeyError) as error:
            history[name]  # type: ignore[index]
        assert re.search(hint, error.value.args[0]), error.value.args[0]
    assert (history.get("val_elbo"), "val_elbo" in history) == (None, False)


def test_copies_and_pickles_are_histories_of_their_own():
    history = long_history(3)
    for other in (copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert type(other) is History
        assert other == history
        other.append({"elbo": 0.0, "kl": 0.0, "active_units": 0})
        assert history.n_epochs == 3
    assert type(copy.copy(history)) is History
    assert b"fastvae.training" not in pickle.dumps(history)


def test_pandas_makes_a_column_of_each_figure():
    pandas = pytest.importorskip("pandas")
    history = small_vae().fit(
        pixel_rows(23, 37), epochs=3, validation=pixel_rows(5, 37), verbose=False
    )
    frame = pandas.DataFrame(history)
    assert list(frame.columns) == list(history)
    assert len(frame) == 3
    for name in history:
        np.testing.assert_array_equal(frame[name], history[name])


def test_json_has_it_as_it_is():
    history = small_vae().fit(pixel_rows(23, 37), epochs=2, verbose=False)
    assert json.loads(json.dumps(history)) == history


def test_a_short_one_prints_whole():
    history = History()
    for epoch in range(1, 4):
        history.append(
            {
                "loss": 1200.0 + epoch,
                "elbo": -1234.567 + epoch,
                "reconstruction": 1200.126,
                "kl": 34.5 * epoch,
                "active_units": 10 * epoch,
                "seconds": 0.0123,
                "samples_per_second": 91_400.0,
                "val_loss": 1.0,
                "val_elbo": -1240.0 + epoch / 3,
                "val_reconstruction": 2.0,
                "val_kl": 3.0,
            }
        )
    expected = """\
epoch      elbo  reconstruction      kl  active_units  val_elbo  seconds
    1  -1233.57         1200.13   34.50            10  -1239.67   0.0123
    2  -1232.57         1200.13   69.00            20  -1239.33   0.0123
    3  -1231.57         1200.13  103.50            30  -1239.00   0.0123
not shown: loss samples_per_second val_loss val_reconstruction val_kl"""
    assert str(history) == repr(history) == expected
    assert max(map(len, expected.splitlines())) <= 80


def test_of_a_long_one_the_middle_is_left_out():
    whole = str(long_history(20)).splitlines()
    assert [line.split()[0] for line in whole[1:]] == [str(i) for i in range(1, 21)]
    lines = str(long_history(1000)).splitlines()
    kept = [str(i) for i in range(1, 11)], [str(i) for i in range(991, 1001)]
    assert [line.split()[0] for line in lines[1:]] == [*kept[0], "...", *kept[1]]
    assert {len(line) for line in lines if "..." not in line} == {len(lines[0])}


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300, 0])
def test_any_number_prints(odd):
    assert f"{odd:.0f}"[:3] in str(long_history(2, elbo=odd))


def test_an_empty_one_and_one_of_other_figures_print():
    assert str(History()) == "History of no finished epoch"
    assert str(History({"elbo": []})) == "History of no finished epoch"
    assert str(History({"mine": [1.5, 2.25]})).split() == [
        "epoch",
        "mine",
        "1",
        "1.50",
        "2",
        "2.25",
    ]
    other = History({"elbo": [1.0], **{f"figure_{i}": [0.0] for i in range(20)}})
    assert "figure_19" in str(other)
    assert max(map(len, str(other).splitlines())) <= 80
