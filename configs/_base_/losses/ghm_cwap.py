# GHM-CWAP with the paper's alpha, gamma and N.
loss = dict(type='GHMCWAPLoss', num_regions=30, alpha=0.9, gamma=0.8)
loss_hooks = [
    # The intra-category weights act in the last fifth of the epochs, when the
    # learning rate has dropped: see docs/evidence.md.
    dict(type='AURARebinHook', begin=0.8),
    dict(type='HistogramPictureHook'),
]
