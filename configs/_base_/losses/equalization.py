# Softmax equalization loss (Tan et al. 2020).
loss = dict(type='SoftmaxEqualizationLoss', gamma=0.9)
loss_hooks = []
