"""python -m rnn_torch.prove: where that command is."""

import sys

if __name__ == "__main__":
    print("a proof needs no torch: python -m rnn_numpy.prove", file=sys.stderr)
    sys.exit(2)
