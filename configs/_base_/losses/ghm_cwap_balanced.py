# Our variant: the margin of Balanced Softmax (eq. (2) without its minimum, with
# the class counts in place of S, gamma 1) with the weights of eq. (1).
# The paper's are eq. (1), algorithm 1, alpha 0.9 and N 30. Ours are the margin,
# and as in ghm_cwap the scale of the weights and the epoch in which they begin.
loss = dict(type='GHMCWAPLoss', margin='balanced', gamma=1.0)
loss_hooks = [dict(type='AURARebinHook'), dict(type='HistogramPictureHook')]
