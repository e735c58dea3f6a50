"""Plain JSON data: what is kept as it is, and where an error says that something is not."""

from __future__ import annotations

import enum
import json
from collections import OrderedDict, namedtuple
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from fastvae.checks import plain


class Colour(enum.IntEnum):
    RED = 1


def nested(depth, inner=None):
    for _ in range(depth):
        inner = [inner]
    return inner


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"": None, "a": True, "b": 1, "c": -0.0, "d": "é\0\n\U0001f600", "e": [], "f": {}},
        {"largest": 1.7976931348623157e308, "smallest": 5e-324, "long": 10**4299, "id": 2**64},
        {"deep": nested(plain.MAX_DEPTH - 1)},
        {"undecodable file name": "\udcff\udcfe", "lone halves": "\ud800 \udc00"},
        {"the same list twice": [[1]] * 2},
    ],
)
def test_plain_data_come_back_equal_and_as_a_copy(value):
    copy = plain.mapping(value, "card")
    assert copy == value
    assert copy is not value
    text = json.dumps(copy, allow_nan=False)
    assert json.dumps(json.loads(text)) == text
    assert json.loads(text) == copy


def test_every_list_and_mapping_is_copied():
    inner: dict[str, Any] = {"list": [1], "mapping": {"a": 1}}
    copy = plain.mapping({"inner": inner}, "card")
    inner["list"].append(2)
    inner["mapping"]["b"] = 2
    assert copy == {"inner": {"list": [1], "mapping": {"a": 1}}}


def test_other_mappings_and_tuples_become_dict_and_list():
    pair = namedtuple("pair", "x y")
    given = MappingProxyType({"a": OrderedDict(b=(1, (2,))), "pair": pair(1, 2)})
    copy = plain.mapping(given, "card")
    assert copy == {"a": {"b": [1, [2]]}, "pair": [1, 2]}
    assert type(copy["a"]) is dict
    assert type(copy["pair"]) is list


def cyclic_list():
    cycle: list[Any] = [1]
    cycle.append([cycle, cycle])
    return cycle


def cyclic_mapping():
    cycle: dict[str, Any] = {}
    cycle["again"] = [cycle]
    return cycle


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([1], TypeError, "card must be a mapping of plain JSON data; got list"),
        (None, TypeError, "card must be a mapping of plain JSON data; got NoneType"),
        ("text", TypeError, "card must be a mapping of plain JSON data; got str"),
        ([("a", 1)], TypeError, "card must be a mapping of plain JSON data; got list"),
        ({"a": {1, 2}}, TypeError, r"card\['a'\] must be plain JSON data .*; got set$"),
        ({"a": b"x"}, TypeError, r"card\['a'\] must be plain JSON data .*; got bytes$"),
        ({"a": 1j}, TypeError, r"card\['a'\] must be plain JSON data .*; got complex$"),
        ({"a": [0, object()]}, TypeError, r"card\['a'\]\[1\] must be plain"),
        ({"test": {"elbo": np.float32(1)}}, TypeError, r"card\['test'\]\['elbo'\] must be .*32; u"),
        ({"a": np.float64(1)}, TypeError, r"card\['a'\].*got numpy.float64; use .item\(\)"),
        ({"a": np.int64(1)}, TypeError, r"card\['a'\].*got numpy.int64; use .item\(\)"),
        ({"a": np.bool_(True)}, TypeError, r"card\['a'\].*got numpy.bool.*; use .item\(\)"),
        ({"a": np.str_("x")}, TypeError, r"card\['a'\].*got numpy.str_; use .item\(\)"),
        ({"a": np.zeros(2)}, TypeError, r"card\['a'\].*got numpy.ndarray; use .tolist\(\)"),
        ({"a": Colour.RED}, TypeError, r"card\['a'\].*got test_plain.Colour$"),
        ({1: "a"}, TypeError, "the keys of card must be str; got 1, int"),
        ({"a": {None: 1}}, TypeError, r"the keys of card\['a'\] must be str; got None"),
        ({np.str_("a"): 1}, TypeError, "the keys of card must be str; got .*numpy.str_"),
        ({"a": float("nan")}, ValueError, r"card\['a'\] must be finite.*got nan"),
        ({"a": [float("-inf")]}, ValueError, r"card\['a'\]\[0\] must be finite.*got -inf"),
        ({"a": 10**4300}, ValueError, r"card\['a'\] must have at most 4300 digits"),
        ({"a": -(10**5000)}, ValueError, r"card\['a'\] must have at most 4300 digits"),
        ({"a": nested(plain.MAX_DEPTH)}, ValueError, "is nested more than 100 deep"),
        ({"a": nested(10**5)}, ValueError, "is nested more than 100 deep"),
        ({"a": cyclic_list()}, ValueError, r"card\['a'\]\[1\]\[0\] holds itself"),
        (cyclic_mapping(), ValueError, r"card\['again'\]\[0\] holds itself"),
        ({"a": "\ud83d\ude00"}, ValueError, r"card\['a'\] must be valid Unicode"),
        ({"\ud83d\ude00": 1}, ValueError, "the key .* of card must be valid Unicode"),
        ({"k" * 10**6: np.int8(1)}, TypeError, r"card\['kk.*\.\.\..*k'\] must be plain"),
    ],
)
def test_what_json_would_change_is_refused_and_named(value, error, message):
    with pytest.raises(error, match=message) as caught:
        plain.mapping(value, "card")
    assert len(str(caught.value)) < 1000
