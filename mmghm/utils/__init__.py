from .dependencies import check_dependencies

__all__ = ['check_dependencies']
