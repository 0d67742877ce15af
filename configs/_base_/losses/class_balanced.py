# Weights proportional to 1 / n_c: the paper's row "Class Balanced".
loss = dict(type='ReweightedCrossEntropyLoss', weighting='inverse')
loss_hooks = []
