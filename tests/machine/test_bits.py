"""Equal bits in other environments; ``tests/reliability.py bits`` goes through all of them."""

from __future__ import annotations

import pytest
from kernel_checks import SMALLER
from probes import bits

from fastvae import kernels


@pytest.mark.slow
def test_threads_layers_and_instruction_sets_give_the_same_bits() -> None:
    *_, counted = bits.probe(8, seed=0)
    assert counted["processes"] == 8
    assert counted["results equal to the first process's"] == counted["results"] > 1000


@pytest.mark.slow
@pytest.mark.parametrize("isa", [kernels.isa(), *SMALLER[kernels.isa()]])
def test_results_in_float32_are_on_every_processor_those_on_record(isa: str) -> None:
    found = bits.digests_in(isa, bits.LAYERS[0], 2, seed=0)
    expected = bits.recorded(isa)
    assert not bits.differing({name: found[name] for name in expected}, expected)


def test_a_result_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def digests_in(isa: str, layer: str, n_threads: int, seed: int) -> dict[str, str]:
        return {"weights": isa if n_threads == 5 else "same", "sample": "same"}

    monkeypatch.setattr(bits, "digests_in", digests_in)
    with pytest.raises(AssertionError, match=r"5 threads: \['weights'\] differ"):
        list(bits.probe(bits.COUNT, seed=0))
