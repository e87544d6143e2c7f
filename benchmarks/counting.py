"""A network that counts what an attack asks of it."""

from torch import Tensor, nn


class Counting(nn.Module):
    """Counts the points it is given, and those of them whose gradient is asked for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.points, self.gradients = network, 0, 0

    @property
    def passes(self) -> int:
        """Forwards and backwards."""
        return self.points + self.gradients

    def forward(self, x: Tensor) -> Tensor:
        """(N, classes)."""
        self.points += len(x)
        self.gradients += len(x) * x.requires_grad
        return self.network(x)
