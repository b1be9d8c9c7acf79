"""What a server of tests counts, and the failures that it is told to make."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Fault:
    """A failure of requests.

    Attributes:
      method: the method of the requests, such as `GET`.
      part: a part of their path.
      times: how often it is made.
      status: the status of the answer; 0 for none, after which the connection is closed.
      seconds: how long the answer is held back.
      skip: how many such requests are answered first.
    """

    method: str
    part: str
    times: int = 1
    status: int = 503
    seconds: float = 0.0
    skip: int = 0


@dataclass
class Traffic:
    """Requests and bytes of bodies as the server sees them.

    Attributes:
      received: bytes that clients sent.
      sent: bytes that clients received.
      requests: the number of requests by method.
      puts: the number of objects that clients sent, by key.
    """

    received: int = 0
    sent: int = 0
    requests: Counter[str] = field(default_factory=Counter)
    puts: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    made: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reset(self) -> None:
        """Counts from zero, without faults."""
        with self._lock:
            self.received = self.sent = self.made = 0
            self.requests.clear()
            self.puts.clear()
            self.copies.clear()
            self.faults.clear()

    def count(self, method: str, received: int = 0, sent: int = 0) -> None:
        """Counts one request."""
        with self._lock:
            self.requests[method] += 1
            self.received += received
            self.sent += sent

    def put(self, key: str) -> None:
        """Counts an object that a client sent."""
        with self._lock:
            self.puts[key] += 1

    def copy(self, key: str) -> None:
        """Counts an object that the server copied."""
        with self._lock:
            self.copies[key] += 1

    def fault(self, method: str, path: str) -> int | None:
        """Returns the status of a failure that this request has to have; None for no failure."""
        with self._lock:
            for found in self.faults:
                if found.times and found.method == method and found.part in path:
                    if found.skip:
                        found.skip -= 1
                        return None
                    found.times -= 1
                    self.made += 1
                    break
            else:
                return None
        time.sleep(found.seconds)
        return found.status
