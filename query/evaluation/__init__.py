"""How well the strategies find: synthetic queries, and the paper's tables."""
