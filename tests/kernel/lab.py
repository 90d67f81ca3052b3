"""Everything one experiment needs, cleared up in the right order whatever happens."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from . import net
from .cable import Cable
from .capture import Capture
from .net import LINK, Namespace, Pair
from .recorder import Recorder
from .traffic import Program


class Lab:
    """Makes namespaces, programs, captures and recordings, and ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._numbers = itertools.count()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def namespace(self) -> Namespace:
        made = Namespace()
        self._stack.callback(made.delete)
        return made

    def pair(self) -> Pair:
        """Two namespaces joined by a virtual Ethernet cable."""
        return net.join(self.namespace(), self.namespace())

    def cable(self) -> Cable:
        """Two namespaces joined by a cable that can hold and drop."""
        made = Cable(self.namespace(), self.namespace())
        self._stack.callback(made.stop)
        return made

    def program(self, name: str, namespace: Namespace) -> Program:
        made = Program(name, namespace)
        self._stack.callback(made.stop)
        return made

    def capture(self, namespace: Namespace, mark_to: str, device: str = LINK) -> Capture:
        """tcpdump; `mark_to` is an address that `device` leads to."""
        path = self.folder / f"{next(self._numbers)}.pcap"
        made = Capture(namespace, path, mark_to=mark_to, device=device)
        self._stack.callback(made.kill)
        return made

    def record(self, *options: str) -> Recorder:
        made = Recorder(self.folder / f"{next(self._numbers)}.arrows", *options)
        self._stack.callback(made.kill)
        return made
