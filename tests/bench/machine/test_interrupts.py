import logging
import signal
import threading

import pytest

from layton_bench.errors import CtrlC
from layton_bench.machine.interrupts import deferred_interrupt, stop_code, stops_raise


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_the_first_ctrl_c_only_sets_the_flag(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("layton_bench"), "propagate", True)
    with caplog.at_level(logging.WARNING), deferred_interrupt() as pressed:
        assert not pressed()
        press()
        assert pressed()
    assert "press Ctrl-C again to stop at once" in caplog.text


def test_the_second_ctrl_c_interrupts() -> None:
    with pytest.raises(CtrlC), deferred_interrupt() as pressed:
        press()
        assert pressed()
        press()


def test_afterwards_ctrl_c_is_what_it_was() -> None:
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupt():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
    with pytest.raises(ZeroDivisionError), deferred_interrupt():
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_a_flag_does_not_outlive_its_block() -> None:
    with deferred_interrupt():
        press()
    with deferred_interrupt() as pressed:
        assert not pressed()


def test_outside_the_main_thread_nothing_is_changed() -> None:
    found = []

    def work() -> None:
        before = signal.getsignal(signal.SIGINT)
        with deferred_interrupt() as pressed:
            found.append((pressed(), signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, True)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_raises_or_sets_the_flag_and_gives_the_exit_code(number: int, code: int) -> None:
    with pytest.raises(CtrlC), stops_raise():
        signal.raise_signal(number)
    assert stop_code() == code
    with stops_raise(), deferred_interrupt() as stopped:
        assert not stopped()
        signal.raise_signal(number)
        assert stopped()
    assert stop_code() == code


def test_a_second_sigterm_waits_for_the_batch_too() -> None:
    with deferred_interrupt() as stopped:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert stopped()


def test_an_ignored_signal_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stops_raise(), deferred_interrupt() as stopped:
            press()
            assert not stopped()
    finally:
        signal.signal(signal.SIGINT, before)
