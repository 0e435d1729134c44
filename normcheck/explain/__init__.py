"""``normcheck explain``: the statistic sets, their picture, the formula, and the PyTorch code."""
