# Label smoothing, mmpretrain's loss.
loss = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
loss_hooks = []
