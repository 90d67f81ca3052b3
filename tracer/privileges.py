"""Keep no more rights than what is still to be done needs.

Capabilities, and the user's number: capabilities(7), prctl(2), include/uapi/linux/capability.h.
"""

import contextlib
import ctypes
import os
import pwd
from collections.abc import Iterable, Iterator
from pathlib import Path

CAPABILITIES = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_FOWNER": 3,
    "CAP_KILL": 5,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYSLOG": 34,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}

#: Those of whoever takes snapshots: to enter network namespaces, to look into other
#: users' processes.
SNAPSHOTS = frozenset({"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"})
#: Those of a recorder that makes and removes files while it records, wherever root could.
FILES = frozenset({"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"})

_SELF = Path("/proc/self/status")
_PR_SET_KEEPCAPS, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 8, 23, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 38, 47
_AMBIENT_RAISE, _AMBIENT_CLEAR = 2, 4
_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def effective(status: Path = _SELF) -> frozenset[str]:
    """Tell which of :data:`CAPABILITIES` are in force; ``status``: a process's or thread's."""
    held = 0
    for line in status.read_text().splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
    return frozenset(name for name, bit in CAPABILITIES.items() if held >> bit & 1)


def restrict(
    keep: Iterable[str], user: tuple[int, int] | None = None, *, inherited: bool = False
) -> None:
    """Give up every capability but these, as far as they are held, for good.

    ``user``: uid and gid to become, with that user's groups. ``inherited``: programs run
    from here have what is kept, too; else none. Nothing run from here on gains rights
    (no_new_privs). Only the calling thread: there should be no other (:func:`one_thread`).
    """
    held = effective()
    kept = sum(1 << CAPABILITIES[name] for name in set(keep) & held)
    number = 0
    while (known := _libc.prctl(_PR_CAPBSET_READ, number, 0, 0, 0)) >= 0:
        if known and not kept >> number & 1:
            # Not without CAP_SETPCAP; no_new_privs keeps it from mattering.
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
        number += 1
    if user is not None:
        _become(*user)
    _set_capabilities(kept, kept if inherited else 0)
    _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR)
    if inherited:
        for name in set(keep) & held:
            _prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, CAPABILITIES[name])
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def hand_on_none() -> None:
    """Let programs run from here have no capabilities, unless they are root's."""
    _prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Have numpy and pyarrow, imported inside, start no threads, which would keep all rights."""
    wanted = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def groups_of(uid: int, gid: int) -> list[int]:
    """Give the groups a user is in; of a uid without a name, only ``gid``."""
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return [gid]


def _become(uid: int, gid: int) -> None:
    # Capabilities stay with this thread only; _set_capabilities() then takes those away
    # that are not to be kept.
    _prctl(_PR_SET_KEEPCAPS, 1)
    # A container's root may not be allowed to: then it stays, with what is kept.
    with contextlib.suppress(PermissionError):
        os.setgroups(groups_of(uid, gid))
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    _prctl(_PR_SET_KEEPCAPS, 0)


def _prctl(option: int, *arguments: int) -> None:
    values = [*arguments, 0, 0, 0, 0][:4]
    if _libc.prctl(option, *map(ctypes.c_ulong, values)):
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")


def _set_capabilities(kept: int, inheritable: int) -> None:
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    words = []
    for shift in (0, 32):
        part, more = kept >> shift & 0xFFFFFFFF, inheritable >> shift & 0xFFFFFFFF
        words += [part, part, more]  # effective, permitted, inheritable
    data = (ctypes.c_uint32 * 6)(*words)
    if _libc.capset(header, data):
        code = ctypes.get_errno()
        raise OSError(code, f"capset: {os.strerror(code)}")
