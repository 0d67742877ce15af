from .batch_data_preprocessor import BatchDataPreprocessor

__all__ = ['BatchDataPreprocessor']
