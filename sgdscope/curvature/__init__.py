"""Curvature of a loss, matrix-free: an operator (which matrix) × an algorithm (which property)."""

from sgdscope.curvature.density import SpectralDensity, spectral_density
from sgdscope.curvature.gaussnewton import GaussNewton
from sgdscope.curvature.hessian import Hessian
from sgdscope.curvature.inputs import InputHessian
from sgdscope.curvature.lanczos import Eigenvalues, bottom_eigenvalues, top_eigenvalues
from sgdscope.curvature.operators import Loss, Operator
from sgdscope.curvature.sharpness import (
    Sharpness,
    asam_sharpness,
    batch_sharpness,
    input_gradient_norm,
    keskar_sharpness,
    sam_sharpness,
)
from sgdscope.curvature.traces import Trace, trace

__all__ = [
    "Eigenvalues",
    "GaussNewton",
    "Hessian",
    "InputHessian",
    "Loss",
    "Operator",
    "Sharpness",
    "SpectralDensity",
    "Trace",
    "asam_sharpness",
    "batch_sharpness",
    "bottom_eigenvalues",
    "input_gradient_norm",
    "keskar_sharpness",
    "sam_sharpness",
    "spectral_density",
    "top_eigenvalues",
    "trace",
]
