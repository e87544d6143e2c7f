from dataclasses import replace

from sgdscope.claims import Verdict
from sgdscope.claims.in_short import in_short, parts
from sgdscope.claims.verdicts import END, EQUAL

OPEN = Verdict(
    claim="yao-2018", statement="λ₁ rises with batch size: here", model="m1", data="mnist",
    line="fixed, m = 0", measure="top_eigenvalue", eps=None, when=END, statistic="slope",
    unit="power", value=0.1, low=-1.5, high=1.0, margin=0.1, verdict="inconclusive", reason="open",
    informative=True, runs=18, seeds=3, left_out=0, flagged=0, figure=None,
)  # fmt: skip
UNTESTED = replace(OPEN, value=None)
ANSWERS = {"✓": "supported", "✗": "contradicted", "?": "inconclusive"}


def network(name: str, signs: str) -> list[Verdict]:
    """One verdict a sign; – was not tested."""
    return [
        replace(UNTESTED, model=name)
        if sign == "–"
        else replace(OPEN, model=name, verdict=ANSWERS[sign])
        for sign in signs
    ]


def said(*networks: str, equal: str = "") -> str:
    ends = [one for i, signs in enumerate(networks) for one in network(f"m{i}", signs)]
    equals = [replace(one, when=EQUAL) for one in network("m0", equal)] or [None] * len(ends)
    return in_short(list(zip(ends, equals, strict=True)))


def test_networks_are_counted_by_what_most_of_their_statements_say() -> None:
    assert said("✓✓?", "✓", "✗✗?", "✓??", "✓✗✓", "–") == (
        "Holds in 2 of 6 networks, contradicted in 1, mixed in 1, undecided in 1, "
        "not testable in 1."
    )


def test_where_all_networks_agree_it_says_so() -> None:
    assert said("??", "?") == "Undecided in both networks."
    assert said("✗", "✗", "✗✗") == "Contradicted in all 3 networks."


def test_of_one_network_the_statements_are_counted() -> None:
    assert said("✓✓✗?") == "Mixed (2 of 4 statements supported, 1 contradicted, 1 inconclusive)."
    assert said("✓✓✓") == "Holds (all 3 statements supported)."
    assert said("✗") == "Contradicted."
    assert said("–") == "Not testable."


def test_what_is_left_at_equal_training_loss_follows() -> None:
    assert said("✓", equal="?") == "Holds. At equal training loss: undecided."
    assert said("✓", equal="✓") == "Holds; the same at equal training loss."
    assert said("✓", equal="–") == "Holds."


def test_verdicts_on_all_networks_together_are_not_one_more_network() -> None:
    whole = replace(UNTESTED, model="all", data="all", statement="λ₁ rises, somewhere")
    pairs = [(one, None) for one in [*network("m1", "✓"), *network("m2", "?"), whole]]
    assert in_short(pairs) == "Holds in 1 of 2 networks, undecided in 1."
    assert parts(pairs) == [
        ("… rises with batch size", "holds in 1 of 2 networks, undecided in 1."),
        ("… rises, somewhere", "undecided over all networks together."),
    ]
    assert parts(pairs[:2]) == []
