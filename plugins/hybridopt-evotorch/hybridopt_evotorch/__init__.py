"""EvoTorch's searchers (Toklu et al. 2023, https://arxiv.org/abs/2302.12600) as strategies of hybridopt."""
