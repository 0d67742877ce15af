"""The study: the paper's tables, what W adds, and what everything costs."""
