from .calibration import Reliability, reliability
from .group_accuracy import GroupAccuracy
from .groups import group_classes

__all__ = ['GroupAccuracy', 'Reliability', 'group_classes', 'reliability']
