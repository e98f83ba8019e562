"""OpenAI-ES (Salimans, Ho, Chen, Sidor, Sutskever 2017), https://arxiv.org/abs/1703.03864."""
from hybridopt.strategy import Search


class OpenAIES(Search):
    """x."""

    def __init__(self, popsize: int = 100, sigma: float = 0.05):
        super().__init__()
