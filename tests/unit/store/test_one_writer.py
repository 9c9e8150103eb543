"""Whose turn it is to write."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence

import pytest

from connector.store.one_writer import OneWriter


class Stopped(BaseException):
    """What Ctrl-C raises in the main thread, raised here in any."""


def until(holds: Callable[[], bool]) -> None:
    """Let others work until something holds."""
    for _ in range(600):
        if holds():
            return
        threading.Event().wait(0.1)
    raise AssertionError("it never came to hold")


def order(writer: OneWriter, names: Sequence[str], *, first_in_a_hurry: bool) -> str:
    """The order in which those who come one after the other have their turns; capital letters are
    in a hurry."""
    had = list[str]()

    def work(name: str) -> None:
        with writer.writing(hurry=name.isupper()):
            had.append(name)

    threads = []
    with writer.writing(hurry=first_in_a_hurry):
        for number, name in enumerate(names, 1):
            threads.append(threading.Thread(target=work, args=(name,)))
            threads[-1].start()
            until(lambda number=number: writer.waiting == number)  # type: ignore[misc]
        assert had == []
    for thread in threads:
        thread.join()
    return "".join(had)


@pytest.mark.parametrize(("came", "first_in_a_hurry", "had"), [
    ("abc", False, "abc"), ("abC", False, "Cab"), ("abCD", False, "CaDb"), ("ABc", True, "cAB"),
    ("aBCD", True, "aBCD"), ("ABC", True, "ABC")])
def test_those_in_a_hurry_go_first_but_not_twice_in_a_row(came: str, first_in_a_hurry: bool,
                                                          had: str) -> None:
    writer = OneWriter()
    assert order(writer, came, first_in_a_hurry=first_in_a_hurry) == had
    assert writer.waiting == 0
    with writer.writing():  # it is free again
        pass


def test_a_turn_that_fails_is_handed_on() -> None:
    writer = OneWriter()
    with pytest.raises(ZeroDivisionError), writer.writing():
        raise ZeroDivisionError
    assert order(writer, "ab", first_in_a_hurry=False) == "ab"


def test_whoever_is_interrupted_while_waiting_holds_up_nobody() -> None:
    writer, had = OneWriter(), list[str]()
    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with writer.writing():
            held.set()
            over.wait(60)

    def interrupt() -> None:
        until(lambda: writer.waiting == 1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def stopped(*_: object) -> None:
        raise Stopped

    holder, interrupter = threading.Thread(target=hold), threading.Thread(target=interrupt)
    before = signal.signal(signal.SIGUSR1, stopped)
    try:
        holder.start()
        held.wait(60)
        interrupter.start()
        with pytest.raises(Stopped), writer.writing():
            had.append("interrupted")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert (writer.waiting, had) == (0, [])
    over.set()
    holder.join()
    interrupter.join()
    assert order(writer, "ab", first_in_a_hurry=False) == "ab"
