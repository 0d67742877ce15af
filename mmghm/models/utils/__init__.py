from .checkpointed_state import CheckpointedState

__all__ = ['CheckpointedState']
