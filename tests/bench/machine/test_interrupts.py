import logging
import signal
import threading

import pytest

from layton_bench.machine.interrupts import deferred_interrupt


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
    with pytest.raises(KeyboardInterrupt), deferred_interrupt() as pressed:
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
