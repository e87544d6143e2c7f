"""Products against an independent library."""

import pytest
import torch
from torch import nn

from sgdscope.curvature import GaussNewton, Hessian

curvlinops = pytest.importorskip(
    "curvlinops", reason="curvlinops-for-pytorch (benchmarks/requirements.txt) is not installed"
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("matrix", "theirs"),
    [(Hessian, "HessianLinearOperator"), (GaussNewton, "GGNLinearOperator")],
)
def test_products_are_those_of_curvlinops(matrix: type[Hessian | GaussNewton], theirs: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(36, 6),
    ).double().eval()  # fmt: skip
    model[1].running_mean.normal_()
    model[1].running_var.uniform_(0.5, 2)
    inputs = torch.rand(23, 1, 8, 8, dtype=torch.float64)
    labels = torch.arange(23) % 6
    batches = list(zip(inputs.split(10), labels.split(10), strict=True))
    other = getattr(curvlinops, theirs)(
        model, nn.CrossEntropyLoss(), list(model.parameters()), batches, check_deterministic=False
    )
    ours = matrix(model, inputs, labels, chunk=7)
    vectors = torch.randn(ours.size, 3, dtype=torch.float64)
    torch.testing.assert_close(ours @ vectors, other @ vectors, atol=1e-12, rtol=1e-9)
