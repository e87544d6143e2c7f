"""Curvature of a loss, matrix-free: an operator (which matrix) × an algorithm (what of it)."""

from sgdscope.curvature.lanczos import Eigenvalues, bottom_eigenvalues, top_eigenvalues
from sgdscope.curvature.operators import GaussNewton, Hessian, InputHessian, Loss, Operator

__all__ = [
    "Eigenvalues",
    "GaussNewton",
    "Hessian",
    "InputHessian",
    "Loss",
    "Operator",
    "bottom_eigenvalues",
    "top_eigenvalues",
]
