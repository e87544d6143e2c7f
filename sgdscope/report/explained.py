"""What each flag means and what to do, as shown beside it on the page.

Titles are the headings of ``docs/flags.md``, which says more; a test holds one to the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Explained:
    """A kind of flag."""

    title: str  # its heading in docs/flags.md
    parts: tuple[str, ...]  # of its sentence, now or in results kept from before
    means: str
    do: str = ""


STRONGER = "Report strong_accuracy, the worst of five attacks, one of them without gradients."
MARGIN = "Use the measure of the same name with _margin."
LAYER = (
    "Find the layer at fault (rounding, thresholds, noise, very steep activations), attack the "
    "network without it or with a smooth stand-in, and report strong_accuracy. More steps do not "
    "help."
)
UNCONVERGED = "not converged"  # said of a value without flags that did not converge
FLAGS = (
    Explained(
        "No gradient", ("loss has no gradient at all at",),
        "The loss is flat at these points, so the attack does not move.", MARGIN,
    ),
    Explained(
        "Lost to rounding", ("gradient is lost to rounding at", "gradient is rounded off at",),
        "The network is so confident that cross-entropy's gradient is mostly rounding error.",
        MARGIN,
    ),
    Explained(
        "Noise does better", ("random noise fools",),
        "Random changes of size eps fool points that survive the attack.", STRONGER,
    ),
    Explained(
        "Another loss does better", ("one step with the margin loss fools",),
        "A single step with another loss fools points that survive the attack.", MARGIN,
    ),
    Explained(
        "Only the search does better", ("only the search without gradients fools",),
        "Every attack along gradients is misled at these points; they are counted as fooled.",
        "Raise queries and see whether the accuracy falls further.",
    ),
    Explained(
        "Not settled", ("the search did not settle",),
        "Below the value, attacks neither fooled half of the points nor failed at them.",
        "Raise rounds and steps; if that does not help, look for what hides the gradient.",
    ),
    Explained(
        "Never fooled", ("no eps fools",),
        "However far a point is moved, the answer stays the same: something hides the gradient.",
        LAYER,
    ),
    Explained(
        "Small steps", ("gradients are misleading",),
        "The gradient is wrong even at the length of one step of PGD.", LAYER,
    ),
    Explained(
        "A large step", ("the loss does not rise as its gradient says",),
        "Along its own gradient the loss is jagged or a staircase.", LAYER,
    ),
    Explained(
        "Idle pixels", ("gradients pass over pixels that matter",),
        "Something hides part of the image from the gradient.", LAYER,
    ),
    Explained(
        "Another direction", ("the attack's loss misleads",),
        "The two losses rise for the same reason, yet their gradients have nothing in common.",
        "First attack with the margin loss. " + LAYER,
    ),
    Explained(
        "Where it ended", ("the attack was misled",),
        "The attack ended in a place where its gradient means nothing.", LAYER,
    ),
    Explained(
        "On the way to another class", ("gradients miss part of what the network does",),
        "Between an image and one of another class, the gradients do not add up to the change.",
        LAYER,
    ),
    Explained(
        "A step without a gradient", ("one step towards the nearest image of another class",),
        "The simplest possible attack does better than one that follows gradients.", LAYER,
    ),
    Explained(
        "It is random", ("the network is randomised", "the network draws random numbers"),
        "Attacks face a different network at each step, and no single network has the curvature "
        "measured.",
        "Switch the noise off in evaluation mode, or attack the mean over many draws.",
    ),
    Explained(
        "It depends on its batch", ("depends on the rest of its batch",),
        "No single number describes a test set: answers depend on what is beside a point.",
        "Keep running statistics in BatchNorm and use them in evaluation mode.",
    ),
    Explained(
        "It accepts only some batch sizes",
        ("one row per point, for any number", "one row per point, of any number",
         "expected a network of any number of points",
         "expected a network that accepts any number of points"),
        "A batch size is fixed in the code, or the program was exported with one.",
        "Write x.flatten(1) in place of a fixed view; export with a dynamic batch size.",
    ),
    Explained(
        "It has memory",
        ("depends on its earlier inputs", "what it was asked before",
         "the network changes its own", "switches training mode"),
        "The order of the inputs changes the answers.",
        "Guard updates with if self.training; never call train() in forward.",
    ),
    Explained(
        "Probabilities", ("the outputs are probabilities", "the outputs all lie in [0, 1]"),
        "A second softmax is applied to them, so attacks and curvature come out too small.",
        "Remove the last softmax or sigmoid.",
    ),
    Explained(
        "Not finite", ("logits are not finite",),
        "Answers that are NaN or infinite count as wrong, and as fooled.",
        "Find the overflow; half precision is a usual cause.",
    ),
    Explained(
        "One answer", ("bit-identical outputs", "bit for bit alike", "alike to the last bit"),
        "No attack can change an answer that does not depend on the input: this is not robustness.",
        "Train the network, or find where its input is rounded away.",
    ),
    Explained(
        "Pixels on another scale",
        ("inputs are whole numbers in", "with pixels in [0, 1]", "expected it to accept any pixels",
         "expected it to take any pixels"),
        "An eps is a distance in [0, 1], and so are the pixels that the network is given.",
        "Add the normalisation that it was trained with as its first layer.",
    ),
    Explained(
        "Images in order", ("images are sorted by class",),
        "The images measured are the first ones, of a few classes, and not like all of them.",
        "Shuffle the images once, or measure all of them.",
    ),
    Explained(
        "Very large logits", ("the logits are so large",),
        "The network is so confident that cross-entropy has no gradient.", MARGIN,
    ),
    Explained(
        "Gradients are blocked",
        ("cannot be differentiated", "no gradient reaches", "is zero throughout",
         "gradient in the inputs is not finite", "when gradients are enabled",
         "answers otherwise when gradients"),
        "Gradients do not reach the input, so accuracy under attack is accuracy without attack.",
        "Use strong_accuracy, whose search needs no gradient, or leave out the layer at fault.",
    ),
    Explained(
        "Rounding", ("rounding error alone may reach", "rounding alone may be",
                     "products are accurate to", "products are exact to"),
        "More products do not help: the arithmetic is not exact enough.",
        "Measure in float32, or in float64 where the eigenvalue is tiny; use more examples.",
    ),
    Explained(
        "Not converged", ("did not converge in", "did not converge with", UNCONVERGED),
        "The number is an estimate whose known error exceeds the tolerance; an eigenvalue may be "
        "too small.",
        "Raise max_products (of the density probes or steps), or set tolerance to the error.",
    ),
    Explained(
        "Followed the wrong eigenvalue", ("followed another eigenvalue",),
        "A larger eigenvalue rose between two readings from a random start; this one is right.",
        "Lower afresh, or leave it out.",
    ),
    Explained(
        "Not symmetric", ("products with the matrix are not symmetric",),
        "A layer or loss with a backward pass of its own has a second derivative that is wrong or "
        "missing.",
        "Replace it with torch's own operations while measuring.",
    ),
    Explained(
        "A random loss", ("the loss is randomised",),
        "A loss of your own gives a different number each time.", "Fix its random draws.",
    ),
    Explained(
        "A loss in float32", ("the loss fails in float64",),
        "A loss of your own has float32 tensors, and the curvature of a confident network is lost "
        "in float32.",
        "Convert them to the outputs' type in the loss.",
    ),
    Explained(
        "λ₁ is doubtful", ("λ₁ is doubtful",),
        "The robustness is fine, but the λ₁ that it is plotted against is flagged.",
    ),
    Explained(
        "Could not be measured", ("could not be measured", "could not be taken",),
        "The measure raised an exception; the run's other numbers are fine.",
        "Fix the cause and run the same command again; it takes only that measure.",
    ),
)  # fmt: skip
LOST = "Runs that failed, diverged or collapsed"
RISEN = "Runs whose training loss rose again"


def explain(flag: str) -> Explained | None:
    """What a flag means; None for one that a plugin raises."""
    return next((one for one in FLAGS if any(part in flag for part in one.parts)), None)


def of_convergence(flag: str) -> bool:
    """Whether a flag says that a value did not converge."""
    return explain(flag) == explain(UNCONVERGED)


def occurring(flags: Iterable[str]) -> list[Explained]:
    """The kinds among flags, in the order in which a flag is looked up."""
    found = [explain(flag) for flag in set(flags)]
    return [one for one in FLAGS if one in found]


def note(flag: str) -> str:
    """The explanation of a flag as HTML, with where to read more; empty if there is none."""
    if (one := explain(flag)) is None:
        return ""
    advice = f" <b>Do:</b> {escape(one.do)}" if one.do else ""
    return f'<p class="explained">{escape(one.means)}{advice} {more(one.title)}</p>'


def more(title: str) -> str:
    """Where the documentation says more about a kind of flag."""
    return f"<small>More: docs/flags.md, “{escape(title)}”.</small>"
