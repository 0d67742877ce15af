"""What eq. (1) does to examples whose labels are wrong."""

from typing import Any, Dict

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from mmghm.evaluation.groups import group_classes

_BINS = 20


def weights_of_wrong_labels(
    norm: np.ndarray,
    weight: np.ndarray,
    labels: np.ndarray,
    clean_labels: np.ndarray,
    num_classes: int,
) -> Dict[str, Dict[str, Any]]:
    """Compare examples with right and with wrong labels.

    Args:
        norm (np.ndarray): g in [0, 1], shape (n,).
        weight (np.ndarray): W, positive, shape (n,).
        labels (np.ndarray): Labels that the loss sees, shape (n,).
        clean_labels (np.ndarray): Labels before the noise, shape (n,).
        num_classes (int): C.

    Returns:
        Dict[str, Dict[str, Any]]: By group of the label that the loss sees,
        and ``all``: ``examples``, ``wrong`` (the share of wrong ones),
        ``auc`` (how often W is lower for a wrong example than for a right
        one; a half says nothing), ``precision`` (the share of wrong ones among
        those with W below 1), ``gradient_of_wrong`` and
        ``weighted_gradient_of_wrong`` (their share of the gradient norm, without
        and with W); and for ``right_labels`` and ``wrong_labels`` the counts
        in 20 bins of g with the mean W in each. What does not exist is NaN.
    """
    counts = np.bincount(labels, minlength=num_classes)
    _, groups = group_classes(counts, 'quartile')
    wrong = labels != clean_labels
    found = {'all': _compare(norm, weight, wrong)}
    for group, members in groups.items():
        chosen = np.isin(labels, members)
        found[group] = _compare(norm[chosen], weight[chosen], wrong[chosen])
    return found


def _compare(
    norm: np.ndarray, weight: np.ndarray, wrong: np.ndarray
) -> Dict[str, Any]:
    nan = float('nan')
    lowered = weight < 1
    weighted = norm * weight
    figures: Dict[str, Any] = dict(
        examples=len(norm),
        wrong=float(wrong.mean()) if len(wrong) else nan,
        auc=nan
        if wrong.all() or not wrong.any()
        else float(roc_auc_score(wrong, -weight)),
        precision=float(wrong[lowered].mean()) if lowered.any() else nan,
        gradient_of_wrong=_share(norm, wrong),
        weighted_gradient_of_wrong=_share(weighted, wrong),
    )
    place = np.minimum((norm * _BINS).astype(int), _BINS - 1)
    for name, which in (('right_labels', ~wrong), ('wrong_labels', wrong)):
        number = np.bincount(place[which], minlength=_BINS)
        total = np.bincount(place[which], weight[which], minlength=_BINS)
        mean = np.divide(
            total, number, out=np.full(_BINS, nan), where=number > 0
        )
        figures[name] = dict(counts=number.tolist(), weights=mean.tolist())
    return figures


def _share(amount: np.ndarray, which: np.ndarray) -> float:
    total = amount.sum()
    return float(amount[which].sum() / total) if total else float('nan')


def draw_label_noise(groups: Dict[str, Dict[str, Any]]) -> Figure:
    """Draw where right and wrong labels lie in g, and the W they get.

    Args:
        groups (Dict[str, Dict[str, Any]]): Of :func:`weights_of_wrong_labels`.

    Returns:
        Figure: A column per group: shares of the examples above, W below.
    """
    figure = Figure(
        figsize=(2.5 * len(groups) + 0.6, 4.2), layout='constrained'
    )
    panels = figure.subplots(
        2, len(groups), sharex=True, sharey='row', squeeze=False
    )
    middle = (np.arange(_BINS) + 0.5) / _BINS
    kinds = (
        ('right_labels', 'right label', '#4878a8'),
        ('wrong_labels', 'wrong label', '#c44e30'),
    )
    for (group, figures), (above, below) in zip(groups.items(), panels.T):
        bottom = np.zeros(_BINS)
        for kind, name, color in kinds:
            share = np.array(figures[kind]['counts']) / figures['examples']
            above.bar(middle, share, 1 / _BINS, bottom, color=color, label=name)
            bottom += share
            below.plot(
                middle,
                figures[kind]['weights'],
                'o-',
                color=color,
                markersize=3,
                linewidth=1,
            )
        below.axhline(1, color='grey', linewidth=0.7, linestyle=':')
        below.set_yscale('log')
        below.set_xlabel('gradient norm g')
        above.set_title(f'{group}: {figures["wrong"]:.0%} wrong')
    panels[0, 0].set_ylabel('share of examples')
    panels[1, 0].set_ylabel('mean W')
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(),
        loc='outside lower center',
        ncols=2,
    )
    return figure
