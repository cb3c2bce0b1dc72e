"""Layers with a backward pass of their own, each checked by the same call (a few seconds each).

python examples/torch_layers.py
"""

import torch
from torch.func import functional_call

from bptt_check import check_layer, layer
from rnn_torch.fused import elman


def nn_gru(x, h_0, U, W, b, d):
    module = torch.nn.GRU(x.shape[2], h_0.shape[1])
    weights = {"weight_ih_l0": U.T, "weight_hh_l0": W.T, "bias_ih_l0": b}
    weights["bias_hh_l0"] = torch.cat([torch.zeros_like(d), torch.zeros_like(d), d])
    return functional_call(module, weights, (x, h_0[None]))[0]


@layer(
    x="time batch n_in",
    h_0="batch hidden",
    c_0="batch hidden",
    U="n_in 4*hidden",
    W="hidden 4*hidden",
    b="4*hidden",
    returns={"h": "time batch hidden", "c_n": "batch hidden"},
)
def lstm(x, h_0, c_0, U, W, b):
    h, c = h_0, c_0
    for x_t in x:
        i, f, g, o = (x_t @ U + h @ W + b).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        yield h
    return c


def nn_lstm(x, h_0, c_0, U, W, b):
    module = torch.nn.LSTM(x.shape[2], h_0.shape[1])
    weights = {"weight_ih_l0": U.T, "weight_hh_l0": W.T, "bias_ih_l0": b}
    weights["bias_hh_l0"] = torch.zeros_like(b)
    h, (_, c_n) = functional_call(module, weights, (x, (h_0[None], c_0[None])))
    return h, c_n[0]


@layer(
    x="time batch n_in",
    U="n_in hidden",
    W="hidden hidden",
    h_0="batch hidden",
    returns={"h": "time batch hidden"},
)
def sigmoid_layer(x, U, W, h_0):
    h = h_0
    for x_t in x:
        h = torch.sigmoid(x_t @ U + h @ W)
        yield h


PAIRS = [(nn_gru, "gru"), (nn_lstm, lstm), (elman, sigmoid_layer)]

if __name__ == "__main__":
    for candidate, reference in PAIRS:
        print(check_layer(candidate, reference))
