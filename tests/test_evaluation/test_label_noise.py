import numpy as np
import pytest

from study.label_noise import weights_of_wrong_labels


def test_right_and_wrong_labels_are_told_apart():
    # The head, class 0, gets a wrong image of class 1; classes 2 and 3 none.
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    clean = np.array([0, 0, 0, 1, 1, 1, 2])
    norm = np.array([0.1, 0.1, 0.2, 0.9, 0.5, 0.5, 1.0])
    weight = np.array([0.5, 0.5, 2.0, 4.0, 1.0, 1.0, 1.0])
    groups = weights_of_wrong_labels(norm, weight, labels, clean, 4)
    head = groups['many']
    assert head['examples'] == 4 and head['wrong'] == 0.25
    # All three right ones weigh less; none below 1 is wrong.
    assert head['auc'] == 0.0 and head['precision'] == 0.0
    assert head['gradient_of_wrong'] == pytest.approx(0.9 / 1.3)
    assert head['weighted_gradient_of_wrong'] == pytest.approx(3.6 / 4.1)
    assert head['right_labels']['counts'][2] == 2
    assert head['right_labels']['weights'][2] == 0.5
    assert head['wrong_labels']['counts'][18] == 1
    # g = 1 is in the last bin.
    assert groups['few']['right_labels']['counts'][-1] == 1
    assert groups['all']['examples'] == 7
    # Nothing to tell apart, and nobody at all.
    assert np.isnan(groups['medium']['auc'])
    assert np.isnan(groups['rare']['wrong'])
