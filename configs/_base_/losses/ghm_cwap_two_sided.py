# GHM-CWAP whose margin also holds against larger categories (eq. 2 without its
# minimum): the best variant so far, see docs/evidence.md.
loss = dict(
    type='GHMCWAPLoss',
    gamma=1.0,
    two_sided=True,
    margin_size='class_counts',
    margin_alpha=1.0,
)
loss_hooks = [
    dict(type='AURARebinHook', begin=0.8),
    dict(type='HistogramPictureHook'),
]
