"""Threading layers: on each, threads and processes of all kinds get the serial bits."""

from __future__ import annotations

import functools

import pytest
from probes import layers

expected = functools.cache(layers.expected)


@pytest.mark.slow
@pytest.mark.parametrize("way", layers.WAYS)
@pytest.mark.parametrize("layer", layers.layers())
def test_all_jobs_at_once_give_the_bits_of_one_process_alone(layer, way):
    layers.check_cell(layer, way, layers.rotated(layers.JOBS), expected())
