"""Static tubelets: which are found, and that what stands still is computed once and answers the same."""

import torch

from tubelet.layers.static import find_runs


def test_runs_begin_where_something_changes() -> None:
    # One place whose values creep, one that jumps and stays.
    creeping = torch.tensor([0.0, 0.4, 0.8, 1.2, 1.2])
    jumping = torch.tensor([0.0, 0.0, 5.0, 5.0, 5.0])
    tubelets = torch.stack((creeping, jumping), dim=1)[None, :, None, :, None].expand(1, 5, 1, 2, 3)
    runs = find_runs(tubelets, 0.5)
    # No two neighbours of the first differ by more, but the third differs from what stands for it.
    assert runs.begun[0].T.tolist() == [[0, 0, 2, 2, 2], [0, 0, 2, 2, 2]]
    assert find_runs(tubelets, 0.3).begun[0].T.tolist() == [[0, 1, 2, 3, 3], [0, 0, 2, 2, 2]]
    assert runs.kept[0].T.tolist() == [[True, False, True, False, False]] * 2
    assert runs.lengths[0].T.tolist() == [[2, 0, 3, 0, 0]] * 2
    assert find_runs(tubelets, 0.0).kept.sum() == 4 + 2


def test_a_small_change_of_a_large_picture_counts_in_float16() -> None:
    tubelets = torch.zeros(1, 2, 1, 1, 300_000, dtype=torch.float16)
    tubelets[0, 1, 0, 0, 7] = 2 / 255
    assert find_runs(tubelets, 0.0).kept.all()
