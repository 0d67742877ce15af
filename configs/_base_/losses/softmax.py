# Plain softmax cross-entropy.
loss = dict(type='ReweightedCrossEntropyLoss', weighting='none')
loss_hooks = []
