"""Every attribute of a model is checked when it is set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from model_checks import small_vae

from fastvae import VAE, Dense, Sampler


def owners():
    return [small_vae(), VAE(), Dense(3, 2), Sampler(3, 2)]


@pytest.mark.parametrize("owner", owners(), ids=lambda owner: type(owner).__name__)
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (2**64, ValueError),
        (1.0, TypeError),
        (True, TypeError),
        ("1", TypeError),
        (None, TypeError),
        (np.float32(1), TypeError),
    ],
)
def test_seeds(owner, value, error):
    owner.seed = 7
    with pytest.raises(error, match="seed must be an integer between 0 and 18446744073709551615"):
        owner.seed = value
    assert owner.seed == 7
    owner.seed = np.uint64(2**64 - 1)
    assert owner.seed == 2**64 - 1
    assert type(owner.seed) is int


@pytest.mark.parametrize("name", ["epochs", "updates"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(-1, ValueError), (2**62, ValueError), (1.5, TypeError), (False, TypeError), ([], TypeError)],
)
def test_counters(name, value, error):
    vae = small_vae()
    setattr(vae, name, 7)
    with pytest.raises(error, match=f"{name} must be an integer between 0 and 46116860184273879"):
        setattr(vae, name, value)
    assert getattr(vae, name) == 7
    setattr(vae, name, np.int64(2**62 - 1))
    assert getattr(vae, name) == 2**62 - 1
    assert type(getattr(vae, name)) is int


def test_the_card_is_a_copy_of_plain_data():
    vae = small_vae()
    given: dict[str, Any] = {"sizes": (1, 2), "nested": {"list": [1]}}
    vae.card = given
    given["nested"]["list"].append(2)
    assert vae.card == {"sizes": [1, 2], "nested": {"list": [1]}}
    wrong: list[tuple[Any, str]] = [
        ([1], "card must be a mapping"),
        ({"elbo": np.float32(1)}, r"card\['elbo'\] must be plain JSON data .*numpy.float32"),
        ({"elbo": float("nan")}, r"card\['elbo'\] must be finite"),
    ]
    for card, message in wrong:
        with pytest.raises((TypeError, ValueError), match=message):
            vae.card = card
    assert vae.card == {"sizes": [1, 2], "nested": {"list": [1]}}
    vae.card["note"] = "mine"
    assert vae.card["note"] == "mine"


def test_two_models_share_no_card():
    one, other = small_vae(), small_vae()
    one.card["a"] = 1
    other.card = one.card
    one.card["b"] = 2
    assert other.card == {"a": 1}
