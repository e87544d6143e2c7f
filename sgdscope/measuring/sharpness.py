"""How curved the training loss is where a network landed."""

from pydantic import Field

from sgdscope.curvature import Hessian, top_eigenvalues
from sgdscope.measuring.base import Count, Measure, Reading, Subject
from sgdscope.registry import MEASURES


@MEASURES.add("top_eigenvalue")
class TopEigenvalue(Measure):
    """λ₁: the largest eigenvalue of the training loss's Hessian in the parameters."""

    examples: Count | None = 2_000  # the first so many training images; None: all
    tolerance: float = Field(1e-2, gt=0)  # largest residual accepted, relative to the value
    max_products: Count = 100

    def read(self, subject: Subject) -> list[Reading]:
        """One reading; its value is within ``residual`` of an eigenvalue."""
        images = subject.data.train[: self.examples]
        hessian = Hessian(subject.model, images.inputs(), images.labels)
        top = top_eigenvalues(
            hessian,
            tolerance=self.tolerance,
            max_products=self.max_products,
            seed=subject.seed,
        )
        residual = top.residuals[0].item()
        flags = []
        if not top.converged:
            flags.append(
                f"λ₁ did not converge in {top.products} products: residual {residual:.3g}, "
                f"asked for {self.tolerance:g} of the value."
            )
        evidence = {
            "residual": residual,
            "converged": top.converged,
            "products": top.products,
            "examples": top.examples,
        }
        return [Reading("top_eigenvalue", top.values[0].item(), evidence=evidence, flags=flags)]
