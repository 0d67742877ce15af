"""The paper's tables: which cells they have, run them, render them."""
