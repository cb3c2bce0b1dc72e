"""Call the GRU of MichaelMastro, with // for Python 2's / in line 35."""

import os
from pathlib import Path

from bptt_check.candidate.loading import load_function, read_instead

_file = os.environ["PUBLISHED"]
read_instead({_file: Path(_file).read_text().replace("WGRU.shape[1] / 3", "WGRU.shape[1] // 3")})
_GRU = load_function(_file, "GRU", definitions_only=True)


def michaelmastro(X, WGRU, h0, dh):
    return _GRU.backward(dh, _GRU.forward(X, WGRU, h0)[2])
