from .load_checked_image import LoadCheckedImage, check_whole

__all__ = ['LoadCheckedImage', 'check_whole']
