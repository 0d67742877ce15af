# GHM-CWAP as the evidence supports it (docs/evidence.md): the margin holds on
# both sides, and the intra-category weights act in the last fifth of the
# epochs, when the learning rate has dropped.
loss = dict(type='GHMCWAPLoss')
loss_hooks = [
    dict(type='AURARebinHook', begin=0.8),
    dict(type='HistogramPictureHook'),
]
