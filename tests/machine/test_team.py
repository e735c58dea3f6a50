"""Teams: every task is done once, and a member that is late or missing holds up nobody."""

from __future__ import annotations

import re
import threading

import llvmlite.binding as llvm
import numba
import numpy as np
import pytest
from model_checks import small_vae

from fastvae import kernels
from fastvae.kernels import engine
from fastvae.kernels.engine import records, regions, steps, workspace
from fastvae.kernels.machine import team
from fastvae.kernels.machine.compilation import address_of

# What only kernels can call, for calls from here.
announce = numba.njit(lambda *arguments: team.announce(*arguments))
offer = numba.njit(lambda *arguments: team.offer(*arguments))
claim = numba.njit(lambda words, member: team.claim(words, member))
has_tasks = numba.njit(lambda words, member: team.has_tasks(words, member))
wait = numba.njit(lambda spins, address: team.wait(spins, address))

LAYERS = [(29, 17, "relu"), (17, 6, "identity"), (3, 17, "relu"), (17, 29, "sigmoid")]


@pytest.mark.parametrize(("n_tasks", "n_members"), [(10, 3), (2, 4), (7, 1)])
def test_every_place_of_a_range_is_claimed_once(n_tasks, n_members):
    words = team.new_team(n_members, 3)
    announce(words, (5, 7), n_members)
    assert (words[team.REGION], words[team.REGIONS_END], words[team.RANGES]) == (5, 7, n_members)
    for member in range(n_members):
        assert not has_tasks(words, member)
        offer(words, member, n_tasks + member)
    for member in range(n_members):
        own = []
        while (place := claim(words, member)) >= 0:
            own.append(place)
        assert own == list(range(n_tasks + member))
        assert not has_tasks(words, member)
    assert not words[-3:].any()


@numba.njit(nogil=True)
def count_claims(words, counts):
    task = team.claim(words, 0)
    while task >= 0:
        counts[task] += 1
        task = team.claim(words, 0)


def test_claims_of_many_threads_do_not_collide():
    words, n_tasks = team.new_team(1, 0), 1_000_000
    count_claims(words, np.zeros(1, np.int64))  # compiled before the threads start
    offer(words, 0, n_tasks)
    counts = np.zeros((4, n_tasks), np.int64)
    run_threads([(count_claims, (words, own)) for own in counts])
    np.testing.assert_array_equal(counts.sum(axis=0), 1)


def run_threads(calls):
    threads = [threading.Thread(target=function, args=arguments) for function, arguments in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def train(monkeypatch, n_members, run_members=None):
    """Three steps of training; return the parameters and the team's shared words.

    `run_members(words, program, steps, memory)` stands in for the threads of `run_steps`.
    """
    teams = []
    run_all = steps.run_steps

    def run_steps(address, words, program, numbers, *arrays):
        teams.append(words)
        if run_members is None:
            run_all(address, words, program, numbers, *arrays)
        else:
            run_members(words, program, numbers, records.Memory(*arrays))

    table = engine.layer_table(LAYERS, np.float32)
    rng = np.random.default_rng(0)
    parameters, *others = (engine.new_arena(table, np.float32) for _ in range(4))
    for layer, (n_in, n_out, _) in enumerate(LAYERS):
        weight = rng.normal(size=(n_out, n_in)).astype(np.float32) / 4
        engine.write_dense(table, parameters, layer, weight, np.zeros(n_out, np.float32))
    batch = 1500
    rows = rng.integers(0, 256, (3 * batch, 29)).astype(np.uint8)
    run = engine.Training(
        n_steps=3,
        batch_size=batch,
        optimizer=kernels.OPTIMIZERS["adam"],
        hyper=np.array([0.9, 0.999, 1e-8]),
        schedule=engine.new_schedule(3, 1e-2),
        totals=engine.new_totals(3),
    )
    with monkeypatch.context() as changed:
        changed.setattr(steps, "run_steps", run_steps)
        changed.setattr(workspace, "team_size", lambda: n_members)
        changed.setattr(workspace, "max_threads", lambda: n_members)
        work = workspace.Workspace(
            engine.Architecture(table, 1),
            "bernoulli",
            batch,
            np.dtype(np.float32),
            training=True,
            skip_zeros=False,
        )
        work.take(rows)
        work.set(draws_noise=True)
        (piece,) = work.pieces(run, np.inf)
        work.train((parameters, *others), np.arange(len(rows)), run, piece)
    return parameters, teams[0]


@pytest.mark.parametrize("arrivals", [1, 3])
def test_the_leader_needs_nobody_and_late_members_do_nothing(monkeypatch, arrivals):
    def one_after_another(*arguments):
        for _ in range(arrivals):
            steps.run_member(*arguments)

    alone, words = train(monkeypatch, 3, one_after_another)
    assert words[team.ARRIVED] == arrivals
    assert words[team.FINISHED] == 1
    assert words[team.CLAIMS + team._SPACING] > 0  # a range was offered to others
    np.testing.assert_array_equal(alone, train(monkeypatch, 1)[0])


def test_a_team_larger_than_the_machine_gives_the_same_bits(monkeypatch):
    def at_once(*arguments):
        run_threads([(steps.run_member, arguments)] * 7)

    many, words = train(monkeypatch, 7, at_once)
    assert words[team.ARRIVED] == 7
    np.testing.assert_array_equal(many, train(monkeypatch, 1)[0])


@numba.njit
def fails(words, program, numbers, memory):
    """A kernel that breaks the rule that kernels never raise."""
    memory.totals[0] = 1.0
    if memory.totals[0] > 0:
        raise ValueError


@numba.njit
def mode_of_halving(values):
    """1 where subnormal numbers count, 0 where they are flushed."""
    return values[0] * 0.5 > 0


def test_a_call_that_fails_releases_everybody():
    """The members that wait learn of it, and subnormal numbers count as before."""
    program, numbers = np.zeros(1, records.REGION), workspace.new_step(np.dtype(np.float32))
    numbers["n_members"] = 2
    arena, lists, reals = np.zeros(16, np.float32), np.zeros(1, np.int32), np.zeros(1)
    words_, sources = np.zeros(1, np.int64), np.zeros(1, records.SOURCE)
    totals = np.zeros(1)
    memory = records.Memory(
        arena, arena, arena, arena, arena, arena, lists, lists, reals, reals, reals, totals,
        engine.new_schedule(0, 0.0), words_, words_, sources,
    )  # fmt: skip
    words = team.new_team(2, 0)
    address = address_of(fails, tuple(map(numba.typeof, (words, program, numbers, memory))))
    steps.run_steps(address, words, program, numbers, *memory)
    assert totals[0] == 1.0
    assert words[team.FAILED] == 1
    assert words[team.FINISHED] == 1
    assert mode_of_halving(np.array([5e-324 * 4]))


def test_a_failed_run_is_an_error(monkeypatch):
    def run_steps(address, words, *job):
        words[team.FAILED] = 1

    monkeypatch.setattr(steps, "run_steps", run_steps)
    with pytest.raises(RuntimeError, match="a kernel failed"):
        small_vae().encode(np.zeros((3, 37)))


def test_a_task_that_fails_ends_the_run(monkeypatch):
    """The leader runs the tasks itself; the first that fails is the last, and none hangs."""
    region, step = map(numba.from_dtype, (records.REGION, records.STEP))
    memory = regions.memory_type(np.float32, pointers=True)
    address = address_of(failing_task, (numba.types.int64, region, step, memory, numba.types.int64))
    monkeypatch.setattr(workspace, "task_address", lambda _: address)
    vae = small_vae()
    with pytest.raises(RuntimeError, match="a kernel failed"):
        vae.encode(np.zeros((700, 37)))
    with pytest.raises(RuntimeError, match="a kernel failed"):
        vae.fit(np.zeros((70, 37)), epochs=1, verbose=False)
    assert vae.updates == 0


@numba.njit
def failing_task(task, region, step, memory, thread):
    if region.kind >= 0:
        raise ValueError


def test_the_processor_is_offered_by_a_function_of_the_system():
    assert team.yield_address() != 0
    assert wait(10**6, team.yield_address()) == 10**6 + 1


@pytest.mark.parametrize("words", [np.zeros(9, np.int32), np.zeros(99, np.int64)[::11]])
def test_shared_words_are_whole_words_side_by_side(words):
    """A narrower or strided array would be read and written past its end."""
    calls = {announce: (words, (5, 6), 1), offer: (words, 0, 3), claim: (words, 0)}
    for call, arguments in {**calls, has_tasks: (words, 0)}.items():
        with pytest.raises(numba.TypingError):
            call(*arguments)


@numba.njit
def read_word(words):
    return team.shared_get(words, 3)


@numba.njit
def write_word(words):
    team.shared_set(words, 3, 7)


@numba.njit
def add_to_word(words):
    return team.shared_add(words, 3, 7)


SHARED = {
    "read": (read_word, r"load atomic i64, .* acquire", "ldar"),
    "write": (write_word, r"store atomic i64 .* release", "stlr"),
    "add": (add_to_word, r"atomicrmw add .* acq_rel", "ldaddal"),
}


@pytest.mark.parametrize("name", SHARED)
def test_shared_words_are_ordered_on_arm_too(name):
    """What orders them is an instruction there; x86 orders without."""
    function, operation, instruction = SHARED[name]
    function(team.new_team(1, 0))
    (code,) = function.inspect_llvm().values()
    if "aarch64.stlxr" in code:  # on Arm 8.0 itself an addition is a loop
        assert "aarch64.ldaxr" in code
        return
    (found,) = {re.sub(r"ptr %[\w.]+", "ptr %0", text) for text in re.findall(operation, code)}
    value = "" if name == "write" else "%2 = "
    module = f"define void @f(ptr %0) {{\n{value}{found}, align 8\nret void\n}}"
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = llvm.Target.from_triple("aarch64-unknown-linux-gnu")
    machine = target.create_target_machine(features="+lse", opt=0)
    assert re.search(rf"\b{instruction}\b", machine.emit_assembly(llvm.parse_assembly(module)))
