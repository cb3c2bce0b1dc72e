"""A thousand forged certificates of the network itself: how many the checker accepts."""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from rnn_numpy import Params, verify
from rnn_numpy.proof.certificate import weights_hash
from rnn_numpy.real_proof.certificate import real_certificate
from rnn_numpy.real_proof.verdict import prove_real
from rnn_numpy.storage.weights import save_params
from rnn_numpy.tasks.targets import multiplication

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "helpers"))
from real_proofs import FORGERIES, copier, forged


def main() -> None:
    """Run the benchmark; print what became of each kind of forgery."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forgeries", type=int, default=1000, help="in all (%(default)s)")
    count = parser.parse_args().forgeries
    params = copier()
    lines = list(real_certificate(params, prove_real(params, multiplication(1))))
    found: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/weights.safetensors"
        for seed in range(count):
            kind = (*FORGERIES, "weights")[seed % (len(FORGERIES) + 1)]
            if kind == "weights":
                U, W, V = params
                other = Params(U * (1 + 0.02 * (seed % 7 + 1)), W, V)
                certificate = [lines[0], f"weights {weights_hash(other)}", *lines[2:]]
                save_params(file, other, {})
            else:
                certificate = forged(lines, kind, seed)
                save_params(file, params, {})
            try:
                verify.verify(certificate, file)
                found[kind, "accepted"] += 1
            except (verify.Rejected, ValueError, IndexError) as reason:
                found[kind, type(reason).__name__] += 1
    for (kind, outcome), times in sorted(found.items()):
        print(f"{kind:15}{outcome:12}{times:6}")
    print(f"accepted of {count}: {sum(n for (_, o), n in found.items() if o == 'accepted')}")


if __name__ == "__main__":
    main()
