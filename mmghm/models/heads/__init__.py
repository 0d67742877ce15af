from .normed_linear_head import NormedLinearClsHead

__all__ = ['NormedLinearClsHead']
