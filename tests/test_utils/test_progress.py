import threading

import pytest

from mmghm.utils.progress import tracked


def test_an_error_ends_the_progress_bar():
    seen = []

    def pack():
        with tracked(range(5), 'Packing') as numbers:
            for number in numbers:
                seen.append(number)
                if number == 2:
                    raise ValueError('bad image')

    before = set(threading.enumerate())
    with pytest.raises(ValueError, match='bad image') as caught:
        pack()
    # Although the error still holds the loop.
    assert caught.value.__traceback__ and seen == [0, 1, 2]
    for thread in set(threading.enumerate()) - before:
        # It draws for another moment.
        thread.join(timeout=10)
        assert not thread.is_alive()
