"""The paper as pure functions that need nothing but torch."""
