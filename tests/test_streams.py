import torch

from sgdscope import streams


def test_the_same_place_gives_the_same_numbers():
    draws = [streams.uniform(torch.tensor(streams.key(3, "x")), torch.arange(50)) for _ in "ab"]
    assert torch.equal(*draws)


def test_a_part_of_a_stream_is_that_part_of_the_whole():
    key = torch.tensor(streams.key(0, "mask"))
    whole = streams.uniform(key, torch.arange(1000))
    assert torch.equal(streams.uniform(key, torch.arange(400, 500)), whole[400:500])


def test_many_keys_at_once_equal_one_after_another():
    keys = torch.tensor([streams.key(seed, "mask") for seed in range(4)])
    together = streams.uniform(keys[:, None], torch.arange(100))
    assert torch.equal(together, torch.stack([streams.uniform(k, torch.arange(100)) for k in keys]))


def test_purposes_seeds_and_positions_give_different_streams():
    keys = {
        streams.key(s, p, e) for s in range(20) for p in ("order", "dropout") for e in range(20)
    }
    assert len(keys) == 800


def test_draws_are_uniform_and_uncorrelated():
    n = 200_000
    draws = streams.uniform(torch.tensor(streams.key(1, "u")), torch.arange(n)).double()
    assert 0 <= draws.min() < 1e-4
    assert 1 - 1e-4 < draws.max() < 1
    expected = n / 64
    counts = torch.histc(draws, 64, 0, 1)
    assert ((counts - expected).square() / expected).sum() < 120  # χ², 63 degrees: p < 1e-5 beyond
    for lag in (1, 2, 50, 320):
        correlation = torch.corrcoef(torch.stack([draws[:-lag], draws[lag:]]))[0, 1]
        assert abs(correlation) < 5 / n**0.5


def test_the_next_step_draws_independently():
    key, n = torch.tensor(streams.key(1, "u")), 100_000
    a, b = (streams.uniform(key, torch.tensor(step), torch.arange(n)).double() for step in (7, 8))
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 5 / n**0.5
