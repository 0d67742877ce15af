# Softmax focal loss (Lin et al. 2017) in the form of Cao et al. 2019.
loss = dict(type='SoftmaxFocalLoss', gamma=1.0)
loss_hooks = []
