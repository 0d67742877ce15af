"""Checkpoints, run folders and caches on disk."""
