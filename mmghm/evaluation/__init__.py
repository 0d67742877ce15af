from .calibration import Reliability, reliability
from .class_scores import ClassScores
from .group_accuracy import GroupAccuracy
from .groups import group_classes
