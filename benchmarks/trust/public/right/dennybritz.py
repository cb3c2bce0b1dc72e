"""dennybritz/rnn-tutorial-rnnlm, WildML's tutorial: the network is that of pangolulu."""

from benchmarks.trust.public.form import Pass
from benchmarks.trust.public.right.char import without_biases as rnn  # noqa: F401

PASSES = [
    Pass(
        name="dennybritz",
        repository="dennybritz/rnn-tutorial-rnnlm",
        commit="344d8ffbe2230335c44138ecbd4cd93c7e993aa0",
        path="RNNLM.ipynb",
        function="rnn",
        network="rnn",
        flags="--window 4",
        verdict="agrees",
    )
]
