from .histograms import draw_histograms, save_histograms

__all__ = ['draw_histograms', 'save_histograms']
