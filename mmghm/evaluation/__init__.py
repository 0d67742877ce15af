from .group_accuracy import GroupAccuracy
from .groups import group_classes

__all__ = ['GroupAccuracy', 'group_classes']
