import torch
from torch import nn

from tubelet.training.ema import Average


def learning(decay: float, steps: int) -> tuple[nn.Linear, Average, list[torch.Tensor]]:
    model = nn.Linear(2, 1)
    average = Average(model, decay)
    seen = [model.weight.detach().clone()]
    for _ in range(steps):
        with torch.no_grad():
            model.weight.add_(torch.randn_like(model.weight))
        average.update()
        seen.append(model.weight.detach().clone())
    return model, average, seen


def test_without_decay_the_average_is_the_model_itself() -> None:
    model, average, _ = learning(0.0, 5)
    torch.testing.assert_close(average.weights["weight"], model.weight.detach())


def test_a_constant_model_is_its_own_average() -> None:
    model = nn.Linear(2, 1)
    average = Average(model, 0.999)
    for _ in range(20):
        average.update()
    torch.testing.assert_close(average.weights["weight"], model.weight.detach())


def test_the_recursion_with_its_short_memory_at_first() -> None:
    _, average, seen = learning(0.5, 30)
    expected = seen[0]
    for number, value in enumerate(seen[1:]):
        decay = min(0.5, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(average.weights["weight"], expected)
    assert average.updates == 30


def test_inside_the_model_is_the_average_and_afterwards_what_it_was() -> None:
    model, average, seen = learning(0.9, 4)
    averaged = average.weights["weight"].clone()
    with average.applied():
        assert torch.equal(model.weight, averaged)
    assert torch.equal(model.weight, seen[-1])
    assert torch.equal(average.weights["weight"], averaged)


def test_what_a_checkpoint_keeps() -> None:
    model, average, _ = learning(0.9, 4)
    again = Average(model, 0.9)
    again.load(**average.state())  # type: ignore[arg-type]
    assert again.updates == 4
    assert torch.equal(again.weights["weight"], average.weights["weight"])


def test_what_is_frozen_is_not_averaged() -> None:
    model = nn.Linear(2, 1)
    model.bias.requires_grad_(False)
    assert set(Average(model, 0.9).weights) == {"weight"}
