"""What a model gets wrong: classes, pairs of classes, images."""

from pathlib import Path
from typing import Any, Dict, Sequence

import numpy as np

from mmghm.deploy.page import thumbnail

# Rows of a table, and images.
SHOWN = 12
# Longer side of a picture, in pixels.
SIDE = 144


def find_mistakes(
    predictions: Dict[str, np.ndarray],
    class_names: Sequence[str],
    class_counts: np.ndarray,
) -> Dict[str, Any]:
    """Look for what people look for first, and give it as plain values.

    ``classes``, the worst first: name, train images, evaluated images, accuracy
    in percent, the class that it is taken for most often (empty if none).
    ``pairs``, the most frequent first: class, what it is taken for, images,
    percent of the class. ``images``, the surest mistakes first: picture as a
    data address (empty if it cannot be read), file name, class, prediction,
    confidence in percent.

    Args:
        predictions (Dict[str, np.ndarray]): ``label``, ``prediction`` and
            ``confidence`` in [0, 1], (images,), of a
            :class:`~mmghm.evaluation.GroupAccuracy`; and, if the images are
            files, ``image``, their paths.
        class_names (Sequence[str]): Of the C classes.
        class_counts (np.ndarray): Train images per class, (C,).

    Returns:
        Dict[str, Any]: As above.
    """
    label, prediction = predictions['label'], predictions['prediction']
    number = len(class_names)
    confusion = np.zeros((number, number), np.int64)
    np.add.at(confusion, (label, prediction), 1)
    tested, right = confusion.sum(axis=1), confusion.diagonal().copy()
    np.fill_diagonal(confusion, 0)
    accuracy = 100 * right / np.maximum(tested, 1)
    # The class with fewer train images first where accuracies are equal.
    worst = np.lexsort((class_counts, accuracy))
    worst = worst[(tested[worst] > 0) & (right[worst] < tested[worst])]
    found = np.argwhere(confusion)
    found = found[np.argsort(-confusion[tuple(found.T)], kind='stable')]
    return dict(
        classes=[
            [
                class_names[c],
                int(class_counts[c]),
                int(tested[c]),
                round(float(accuracy[c]), 1),
                class_names[confusion[c].argmax()],
            ]
            for c in worst[:SHOWN]
        ],
        pairs=[
            [
                class_names[c],
                class_names[taken],
                int(confusion[c, taken]),
                round(100 * float(confusion[c, taken] / tested[c]), 1),
            ]
            for c, taken in found[:SHOWN]
        ],
        images=[
            [
                thumbnail(path := str(predictions['image'][index]), SIDE),
                Path(path).name,
                class_names[label[index]],
                class_names[prediction[index]],
                round(100 * float(predictions['confidence'][index]), 1),
            ]
            for index in surest_mistakes(predictions)
        ],
    )


def surest_mistakes(predictions: Dict[str, np.ndarray]) -> np.ndarray:
    """Numbers of the wrong predictions of the highest confidence, as image files.

    The surest first, at most :data:`SHOWN`; none if the images are no files.
    ``predictions`` are those that :func:`find_mistakes` takes.
    """
    if 'image' not in predictions:
        return np.zeros(0, np.int64)
    wrong = np.flatnonzero(predictions['label'] != predictions['prediction'])
    confidence = np.nan_to_num(predictions['confidence'][wrong])
    wrong = wrong[np.argsort(-confidence, kind='stable')][:SHOWN]
    return wrong[predictions['image'][wrong] != '']
