"""Calls that run until somebody stops them, made so that Ctrl+C stops them: in the main thread they run on another one,
while this one waits as Python waits."""

from __future__ import annotations

import threading
from typing import Callable, List, TypeVar, Union

Answer = TypeVar("Answer")


def run_interruptibly(call: Callable[[], Answer], stop: Callable[[], object]) -> Answer:
    """What `call` answers or raises. An exception that comes to this thread meanwhile, such as KeyboardInterrupt, calls
    `stop`, and is raised when `call` has returned."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    answers: List[Union[Answer, BaseException]] = []
    done = threading.Event()

    def work() -> None:
        try:
            answers.append(call())
        except BaseException as error:
            answers.append(error)
        finally:
            done.set()

    threading.Thread(target=work, name="libstream", daemon=True).start()
    try:
        done.wait()
    except BaseException:
        stop()
        done.wait()
        raise
    answer = answers[0]
    if isinstance(answer, BaseException):
        raise answer
    return answer
