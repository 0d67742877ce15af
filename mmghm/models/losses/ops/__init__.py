from .backward import graph_is_kept, refuse_second_derivative
from .cross_entropy import (
    adjusted_cross_entropy,
    spoil,
    transformed_cross_entropy,
)

__all__ = [
    'adjusted_cross_entropy',
    'graph_is_kept',
    'refuse_second_derivative',
    'spoil',
    'transformed_cross_entropy',
]
