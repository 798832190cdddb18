from hypothesis import given
from hypothesis import strategies as st

from tubelet.data.dataset import EpochSampler
from tubelet.data.loader import GroupSampler


@given(
    length=st.integers(1, 40),
    size=st.integers(1, 4),
    share=st.integers(1, 3),
    count=st.integers(1, 3),
    epoch=st.integers(0, 3),
    data=st.data(),
)
def test_processes_hold_the_groups_of_one(
    length: int, size: int, share: int, count: int, epoch: int, data: st.DataObject
):
    groups = share * count

    def of(rank: int, count: int, start: int = 0) -> list[list[tuple[int, int]]]:
        sampler = GroupSampler(EpochSampler(length, 5), size, groups, rank, count)
        sampler.epoch, sampler.start = epoch, start
        found = list(sampler)
        assert len(found) == len(sampler)
        return found

    alone = of(0, 1)
    each = [of(rank, count) for rank in range(count)]
    steps = len(alone) // groups
    joined = [
        each[rank][step * share + n] for step in range(steps) for rank in range(count) for n in range(share)
    ]
    assert joined == alone
    assert sorted(item for group in alone for item in group) == [(epoch, index) for index in range(length)]
    start = data.draw(st.integers(0, steps))
    assert of(0, 1, start) == alone[start * groups :]
