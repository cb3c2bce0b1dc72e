"""The network in torch.nn.RNN: the same function, converted and back without rounding errors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn

from agreement import assert_within, numpy_array
from problems import Problem, generated
from rnn_numpy import bounds
from rnn_torch import ElmanRNN, from_nn_rnn, to_nn_rnn


@given(generated)
def test_it_computes_the_same_network(problem: Problem) -> None:
    """The rounding of the column sums is an error of the weights, which the bound includes."""
    params, x, upstream, h_0 = problem
    model = ElmanRNN.from_params(params)
    rnn, readout = to_nn_rnn(model)
    assert {p.dtype for p in (*rnn.parameters(), *readout.parameters())} == {model.W.dtype}
    g, _ = rnn(torch.tensor(x), 2 * torch.tensor(h_0)[None] - 1)
    pairs = []
    for outputs, states in (
        model(torch.tensor(x), torch.tensor(h_0)),
        (torch.sigmoid(readout(g)), (1 + g) / 2),
    ):
        pairs.append({"outputs": numpy_array(outputs), "states": numpy_array(states)})
    # Another network's rounding: g is twice h, and its sums begin with the column sums of W.
    hidden, unit = len(params.W), np.finfo(params.W.dtype).eps
    off = [(hidden + 8) * unit * np.abs(p).sum(0, keepdims=True) + 0 * np.abs(p) for p in params]
    allowed = bounds(params, x, upstream=upstream, h_0=h_0, params_error=type(params)(*off))
    one, other = pairs
    assert_within(one, other, {"outputs": allowed.outputs, "states": allowed.states})


@given(generated)
def test_there_and_back(problem: Problem) -> None:
    model = ElmanRNN.from_params(problem.params)
    tanh = to_nn_rnn(model)
    back = from_nn_rnn(*tanh)
    with torch.no_grad():  # the copies are independent
        for parameter in (*tanh[0].parameters(), *tanh[1].parameters()):
            parameter.fill_(7)
    for one, other, third in zip(back.to_params(), problem.params, model.to_params(), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
        np.testing.assert_array_equal(third, other, strict=True)


@pytest.mark.parametrize(
    ("rnn", "message"),
    [
        (nn.RNN(2, 3, nonlinearity="relu"), "rnn must be"),
        (nn.RNN(2, 3, num_layers=2), "rnn must be"),
        (nn.RNN(2, 3, bidirectional=True), "rnn must be"),
        (nn.RNN(2, 3, bias=False), "rnn must be"),
        (nn.RNN(2, 3, batch_first=True), "rnn must be"),
        (nn.RNN(2, 3), "rnn's biases must be the column sums"),
        (nn.RNN(2, 4), r"readout must be a Linear\(4, n_out\)"),
    ],
    ids=lambda value: "" if isinstance(value, str) else repr(value),
)
def test_modules_without_a_sigmoid_form_are_refused(rnn: nn.RNN, message: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=message):
        from_nn_rnn(rnn, nn.Linear(3, 1))


@pytest.mark.parametrize("name", ["0.bias_hh_l0", "1.bias", "0.weight_hh_l0"])
def test_a_slightly_wrong_bias_is_refused(name: str) -> None:
    tanh = to_nn_rnn(ElmanRNN(2, 3, 1, dtype=torch.float64))
    with torch.no_grad():
        nn.ModuleList(tanh).get_parameter(name).view(-1)[0] += 1e-12
    with pytest.raises(ValueError, match="must be the column sums"):
        from_nn_rnn(*tanh)
