"""A claim's answer in a sentence: in how many networks it holds, at both moments of training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from sgdscope.claims.overall import ALL
from sgdscope.claims.verdicts import SIGNS, Verdict

Word = Literal["holds", "contradicted", "mixed", "undecided", "not testable"]
WORDS: tuple[Word, ...] = ("holds", "contradicted", "mixed", "undecided", "not testable")
Pair = tuple[Verdict, Verdict | None]  # at the end of training and at equal training loss


def in_short(pairs: Sequence[Pair]) -> str:
    """One or two sentences that sum up a claim's verdicts.

    In a network a claim holds if most of its tested statements are supported and none is
    contradicted; it is contradicted in the reverse case, and mixed if there are some of each.

    Args:
        pairs: of the claim, as :func:`sgdscope.claims.record.telling` has them.
    """
    ends = _told(_networks(end for end, _ in pairs))
    equals = _networks(equal for _, equal in pairs if equal is not None)
    if not any(one.tested for own in equals for one in own):
        return f"{_capital(ends)}."
    equal = _told(equals)
    if equal == ends:
        return f"{_capital(ends)}; the same at equal training loss."
    return f"{_capital(ends)}. At equal training loss: {equal}."


def parts(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """The parts of a claim with several statements, each with its own answer."""
    found: dict[str, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(pair[0].said, []).append(pair)
    return [(said, _lower(in_short(own))) for said, own in found.items() if len(found) > 1]


def _networks(verdicts: Iterable[Verdict]) -> list[list[Verdict]]:
    """The verdicts on each network; if there are none, those on all together."""
    found: dict[bool, dict[tuple[str, str], list[Verdict]]] = {True: {}, False: {}}
    for one in verdicts:
        place = one.model, one.data
        found[ALL in place].setdefault(place, []).append(one)
    return [*(found[False] or found[True]).values()]


def _told(networks: Sequence[Sequence[Verdict]]) -> str:
    words = Counter(map(_word, networks))
    first, *others = [word for word in WORDS if words[word]]
    if len(networks) == 1:
        counted = _counted(networks[0])
        together = " over all networks together" * (networks[0][0].model == ALL)
        return f"{first}{together}" + (f" ({counted})" if counted else "")
    if not others:
        return f"{first} in {all_of(len(networks))} networks"
    return ", ".join(
        [f"{first} in {words[first]} of {len(networks)} networks"]
        + [f"{word} in {words[word]}" for word in others]
    )


def _word(verdicts: Sequence[Verdict]) -> Word:
    """The answer of a claim in one network."""
    answers = [one.verdict for one in verdicts if _counts(one)]
    supported, contradicted = answers.count("supported"), answers.count("contradicted")
    if not answers:
        return "not testable"
    if supported and contradicted:
        return "mixed"
    if 2 * supported > len(answers):
        return "holds"
    return "contradicted" if 2 * contradicted > len(answers) else "undecided"


def _counts(one: Verdict) -> bool:
    """Whether a verdict was tested; an open one on all networks has no number."""
    return one.tested or (one.model == ALL and one.informative)


def _counted(verdicts: Sequence[Verdict]) -> str:
    """The numbers of a network's statements that are supported, contradicted and neither."""
    answers = Counter(one.verdict for one in verdicts if _counts(one))
    whole, told = answers.total(), [answer for answer in SIGNS if answers[answer]]
    if whole < 2:
        return ""
    if len(told) == 1:
        return f"{all_of(whole)} statements {told[0]}"
    first, *others = [f"{answers[answer]} {answer}" for answer in told]
    return ", ".join([first.replace(" ", f" of {whole} statements "), *others])


def all_of(count: int) -> str:
    """That many, when they are all there are: "both" or "all 3"."""
    return "both" if count == 2 else f"all {count}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
