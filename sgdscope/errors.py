"""Errors that say in one line what the bad value is, what was expected, and where it was found."""

from collections.abc import Iterable
from difflib import get_close_matches

MANY = 40  # valid names that a message lists
LONG = 300  # characters of another library's error that a message repeats
_NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")


class SgdscopeError(Exception):
    """Base of every error that sgdscope raises on purpose."""


class RequestError(SgdscopeError):
    """The request cannot be carried out as it stands; nothing was computed or changed."""


class RunsFailedError(SgdscopeError):
    """Every run of a study failed."""


def reason(error: BaseException) -> str:
    """What an error says, in one line; of other code's its class and its first line."""
    if isinstance(error, SgdscopeError):
        return str(error)
    said = (str(error).strip().splitlines() or ["no details"])[0]
    return f"{type(error).__name__}: {said[:LONG]}"


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that memory ran out, on whatever device."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in _NO_MEMORY)


def unknown(kind: str, name: str, known: Iterable[str], *, where: str = "") -> RequestError:
    """An error for a name that does not exist, with the nearest one that does.

    Of more than ``MANY`` valid names it lists the first.

    Args:
        kind: what the name should have been, for example ``"model"``.
        name: the name as given.
        known: every valid name.
        where: the place it was read from, for example ``"study.toml"``.
    """
    known = sorted(known)
    folded = {one.lower(): one for one in reversed(known)}
    close = get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    hint = f"did you mean {folded[close[0]]!r}? " if close else ""
    place = f"{where}: " if where else ""
    more = len(known) - MANY
    valid = ", ".join(known[:MANY]) or "none"
    valid += f" and {more} more" if more > 0 else ""
    return RequestError(f"{place}unknown {kind} {name!r}; {hint}valid: {valid}")
