# LDAM with deferred re-weighting (Cao et al. 2019).
loss = dict(
    type='LDAMLoss',
    max_margin=0.5,
    scale=30.0,
    weighting='effective_number',
    beta=0.9999,
    normalize='weights',
)
head = dict(type='NormedLinearClsHead')
loss_hooks = [dict(type='DeferredReweightingHook', begin=0.8)]
