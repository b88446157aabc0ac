import operator
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from places import ROOT
from raising import Deadly, DeadlyStart, Raising

from layton_bench.errors import UserError
from layton_bench.machine.workers import map_ahead


@pytest.mark.parametrize(("num_workers", "ahead"), [(0, 1), (1, 7), (3, 1), (2, 1000)])
def test_values_in_order(num_workers, ahead):
    found = list(map_ahead(operator.neg, range(101), num_workers=num_workers, ahead=ahead))
    assert found == [-i for i in range(101)]


def test_no_values():
    assert list(map_ahead(operator.neg, [], num_workers=2, ahead=4)) == []


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_for_the_user_arrives_whole(num_workers):
    results = map_ahead(Raising("user"), range(60), num_workers=num_workers, ahead=16)
    with pytest.raises(UserError) as caught:
        list(results)
    error = caught.value
    assert (error.thing, error.reason, error.remedy) == ("a.tar", "it is gone", "Bring it back.")


def test_any_other_error_arrives_with_its_traceback():
    with pytest.raises(
        RuntimeError, match=r"(?s)a worker process failed.*KeyError: 'no such thing'"
    ):
        list(map_ahead(Raising("other"), range(60), num_workers=2, ahead=16))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("deadly", [(0,), (13,), (59,), (3, 4, 40), tuple(range(20, 26))])
@pytest.mark.parametrize("ahead", [1, 16, 1000])
def test_a_worker_that_dies_costs_the_value_at_which_it_died(deadly, ahead):
    found = list(
        map_ahead(
            Deadly(*deadly), range(60), num_workers=2, ahead=ahead, when_killed=lambda v: f"{v}?"
        )
    )
    assert found == [f"{i}?" if i in deadly else -i for i in range(60)]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_worker_that_dies_is_an_error_if_nothing_stands_for_its_value():
    with pytest.raises(UserError, match="killed, or out of memory") as caught:
        list(map_ahead(Deadly(7), range(60), num_workers=2, ahead=16))
    assert "--num-workers 0" in caught.value.remedy


def test_workers_that_cannot_start_are_an_error():
    with pytest.raises(UserError, match="they die as soon as they are started"):
        list(map_ahead(DeadlyStart(), range(60), num_workers=2, ahead=16, when_killed=str))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_worker_killed_by_somebody_else_costs_nothing():
    psutil = pytest.importorskip("psutil")
    results = map_ahead(operator.neg, range(5000), num_workers=2, ahead=16, when_killed=str)
    found = [next(results)]
    psutil.Process().children()[-1].kill()
    found += results
    assert found == [-i for i in range(5000)]


def test_what_cannot_be_sent_to_workers_is_said():
    with pytest.raises(UserError, match="cannot be sent to them") as caught:
        list(map_ahead(lambda x: x, range(3), num_workers=2, ahead=4))
    assert "--num-workers 0" in caught.value.remedy


def script(tmp_path: Path, body: str, **options: object) -> subprocess.Popen[str]:
    """A script of its own, in a process group of its own, as a terminal would start it."""
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(body))
    return subprocess.Popen(
        [sys.executable, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **options,
    )


def test_a_script_need_not_guard_its_main_part(tmp_path):
    body = """
        import operator
        from layton_bench.machine.workers import map_ahead
        print("once", flush=True)
        print(sum(map_ahead(operator.neg, range(10), num_workers=2, ahead=4)))
        import sys; print(sys.modules["__main__"].__file__.endswith("script.py"))
    """
    out, err = script(tmp_path, body).communicate(timeout=60)
    assert (out, err) == ("once\n-45\nTrue\n", "")


def test_a_function_of_the_main_module_works_too(tmp_path):
    body = """
        from layton_bench.machine.workers import map_ahead
        def double(value): return 2 * value
        if __name__ == "__main__":
            print(sum(map_ahead(double, range(10), num_workers=2, ahead=4)))
    """
    out, err = script(tmp_path, body).communicate(timeout=60)
    assert (out, err) == ("90\n", "")


SLOW = """
    import time
    from layton_bench.machine.workers import map_ahead
    results = map_ahead(time.sleep, [0.05] * 10_000, num_workers=2, ahead=4)
    next(results)
    import psutil
    print(*[c.pid for c in psutil.Process().children(recursive=True)], flush=True)
    for _ in results: pass
"""


def alive(pids: list[int]) -> list[int]:
    psutil = pytest.importorskip("psutil")
    return [
        pid
        for pid in pids
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    ]


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while alive(pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(pids) == []


@pytest.mark.skipif(os.name == "nt", reason="process groups and signals of POSIX")
def test_ctrl_c_ends_everything_and_workers_print_nothing(tmp_path):
    process = script(tmp_path, SLOW)
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) >= 2
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    _, err = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert err.count("Traceback") == 1  # the main process's own
    assert err.strip().endswith("KeyboardInterrupt")
    wait_until_gone(pids)


@pytest.mark.skipif(os.name == "nt", reason="process groups and signals of POSIX")
def test_workers_end_when_the_main_process_is_killed(tmp_path):
    process = script(tmp_path, SLOW)
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(alive(pids)) >= 2
    process.kill()
    process.communicate(timeout=30)
    wait_until_gone(pids)
