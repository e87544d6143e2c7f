import re
from dataclasses import replace
from html import unescape

from sgdscope.claims import Verdict
from sgdscope.claims.answers import interval, number
from sgdscope.claims.statistics import Estimate
from sgdscope.claims.verdicts import END, EQUAL
from sgdscope.report.verdicts import verdicts

SAID = "λ₁ barely varies with batch size: <m1> on mnist under constant-ratio, m = 0"
NUMBER = interval(Estimate(-1.25, -1.5, -1.0), "power")
FOUND = Verdict(
    claim="a-ratio", statement=SAID, model="<m1>", data="mnist", line="constant-ratio, m = 0",
    measure="top_eigenvalue", eps=None, when=END, statistic="slope", unit="power",
    value=-1.25, low=-1.5, high=-1.0, margin=0.1, verdict="contradicted",
    reason=f"falls: {NUMBER}", informative=True, runs=18, seeds=3, left_out=0, flagged=0,
    figure="top_eigenvalue",
)  # fmt: skip
UNTESTED = replace(
    FOUND, when=EQUAL, value=None, low=None, high=None, margin=None, verdict="inconclusive",
    reason="2 comparable runs", runs=2, seeds=1,
)  # fmt: skip
ATTACKED = replace(
    FOUND, statement="PGD accuracy at eps 0.3 barely varies: here", measure="pgd_accuracy", eps=0.3
)
FLOOR = replace(UNTESTED, when=END, informative=False, reason="every run is at the floor")


def text(html: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)))


def test_a_verdict_with_all_that_it_rests_on() -> None:
    html = verdicts([FOUND, UNTESTED], places={"top_eigenvalue"})
    said = text(html)
    assert "<m1> on mnist under constant-ratio" in said
    assert "end of training figure contradicted −1.25 power (−1.5 to −1); margin 0.1" in said
    assert "Falls. 18 runs, 3 seeds." in said  # the number is not said twice
    assert "equal training loss figure inconclusive 2 comparable runs. 2 runs, 1 seed." in said
    assert '<a href="#card-top_eigenvalue">' in html
    assert "1 contradicted" in said
    assert "<m1>" not in html


def test_no_link_to_a_figure_that_was_not_drawn() -> None:
    assert "href" not in verdicts([FOUND, UNTESTED], places=set())


def test_what_carries_no_information_is_folded_below() -> None:
    floor = replace(ATTACKED, **{name: getattr(FLOOR, name) for name in ("informative", "value")})
    html = verdicts([floor, FOUND], places=set())
    shown, folded = html.split("<details")
    assert "λ₁ barely varies" in shown
    assert "PGD accuracy at eps 0.3" in folded
    assert "no information" in folded
    assert "no information" not in shown


def test_other_eps_are_folded() -> None:
    smaller = replace(ATTACKED, statement=ATTACKED.statement.replace("0.3", "0.1"), eps=0.1)
    shown, folded = verdicts([smaller, ATTACKED], places=set()).split("<details")
    assert "eps 0.3" in shown
    assert "eps 0.1" in folded


def test_claims_of_which_nothing_can_be_told_share_a_card() -> None:
    untold = replace(UNTESTED, claim="b-curvature", when=END)
    html = verdicts([UNTESTED, untold, replace(FOUND, claim="c-momentum-curvature")], places=set())
    assert html.count("<article") == 2
    first, last = html.split("<article")[1:]
    assert "Momentum lowers λ₁ in most cases" in first
    assert "Not testable on these runs" in last
    assert last.count("<details") == 2


def test_many_statements_are_folded_and_counted() -> None:
    many = [replace(FOUND, statement=f"{SAID} {i}", line=f"{i}") for i in range(9)]
    html = verdicts(many, places=set())
    assert "9 contradicted" in html
    assert "<summary>9 statements</summary>" in html


def test_many_statements_are_a_matrix_of_lines_and_measures() -> None:
    lines = [f"fixed, m = {i}" for i in range(5)]
    curved = [replace(FOUND, statement=f"λ₁ falls: {line}", line=line) for line in lines]
    robust = [
        replace(ATTACKED, statement=f"PGD accuracy at eps 0.3 falls: {line}", line=line, value=2.5,
                verdict="supported", unit="points")
        for line in lines[1:]
    ]  # fmt: skip
    equal = [replace(UNTESTED, statement=one.statement, line=one.line) for one in curved]
    html = verdicts([*curved, *equal, *robust], places={"top_eigenvalue"})
    matrix, *_ = html.split("</table>")
    rows = [" ".join(text(row).split()) for row in matrix.split("<tr>")[2:]]
    assert rows[0] == "… falls power points"
    assert rows[1] == "<m1> on mnist fixed, m = 0 ✗ −1.2 ?"
    assert rows[2] == "<m1> on mnist fixed, m = 1 ✗ −1.2 ? ✓ +2.5 eps 0.3"
    assert len(rows) == 6
    assert 'href="#card-top_eigenvalue" title="end of training: contradicted' in matrix


def test_the_answer_stands_before_the_statements_and_the_matrix() -> None:
    many = [replace(FOUND, statement=f"{SAID} {i}", line=f"{i}") for i in range(9)]
    said = text(verdicts(many, places=set()))
    assert said.index("Contradicted (all 9 statements contradicted).") < said.index("✗")


def test_too_small_to_count_is_a_word_of_its_own() -> None:
    small = replace(FOUND, verdict="inconclusive", detail="too small to count")
    html = verdicts([small, replace(UNTESTED, statement="another")], places=set())
    assert '<span class="verdict inconclusive">1 too small to count</span>' in html
    assert '<b class="verdict inconclusive">too small to count</b>' in html
    assert replace(small, verdict="contradicted").word == "contradicted"


def test_a_claim_of_ones_own_says_its_eps() -> None:
    said = "accuracy under attack falls (stated before the first result): here"
    several = [replace(ATTACKED, claim="mine", statement=said, eps=eps) for eps in (0.05, 0.1)]
    moments = [replace(one, when=when) for one in several for when in (END, EQUAL)]
    shown, folded = verdicts(moments, places=set()).split("<details")
    assert "here, eps 0.1" in shown
    assert "eps 0.05" not in shown
    assert "here, eps 0.05" in folded
    assert shown.count(END) == 1


def test_shares_have_no_sign_and_small_numbers_no_exponent() -> None:
    assert interval(Estimate(1.0, 0.0, 1.0), "share") == "share 1 (0 to 1)"
    assert interval(Estimate(-0.356, -0.713, -8.38e-05), "x") == "−0.356 x (−0.713 to −0.0000838)"
    shares = replace(FOUND, unit="share", value=0.5, low=0.25, high=1.0, reason="so it is")
    assert "share 0.5 (0.25 to 1) So it is. 18 runs, 3 seeds." in text(
        verdicts([shares], places=())
    )
    assert number(2e-17) == "0"


def test_an_untested_verdict_counts_no_runs() -> None:
    reason = "was measured only at the end of training"
    none = replace(UNTESTED, runs=0, seeds=0, reason=reason)
    assert "Measured only at the end of training. " in text(verdicts([FOUND, none], places=()))
    assert "0 runs" not in text(verdicts([FOUND, none], places=()))
