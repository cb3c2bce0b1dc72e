"""Check a certificate whose state is not rounded; `verify.py` reads its header, and calls this.

The certificate has sets {c + e : e P e <= r^2}, each with the target's state and the bit said.
Shown, in integers alone: h_0 = 0 is in set 0; for each set and input, whatever any evaluation
of the step makes of any state in the set is in the set named; in every set but set 0 the bit said
is certain.
For a step, with v = e W, z = c W + x U, h = sigmoid(z), D = h (1 - h) and s = D (1 - 2 h),

    sigmoid(z + v) = h + m + v D + rest,  m = s a^2 / 4,  |rest| <= b = |s| a^2 / 4 + t a^3 / 6,

where |v| <= a, a^2 = r^2 w P^-1 w, and t bounds the third derivative; b has room for rounding, too.
v runs over {v N v <= r^2}, N = W^-1 P W^-T, rest counts for at most q = sqrt(b |P'| b) in the
metric P' of the set c', r' that is led to, and with d = h + m - c' it is contained (S-procedure) if

    [ g N - D P' D    -D P' d                    ]
    [ -d P' D         (r' - q)^2 - g r^2 - d P' d ]  is positive definite for some g.
"""

import math
import re
from fractions import Fraction
from operator import mul
from typing import Any, NamedTuple

S, Q = 40, 30  # states are in units of 2^-S, metrics of 2^-Q,
ONE = 1 << S
Z, J = 60, 100  # weights and z in units of 2^-Z, the inverse of W of 2^-J
SLOP = 64  # of 2^-S: more than all that is rounded here adds to a step
SET = (r"-?[0-9a-f]+(\.-?[0-9a-f]+)* [0-9]{1,9} [01]( [0-9]{1,9}:[0-9a-f]{1,20})+ [0-9a-f]{1,20} "
       "[0-9]{1,9}")  # fmt: skip
METRIC = r"metric -?[0-9a-f]+(\.-?[0-9a-f]+)*"
Matrix = list[list[int]]


class Set(NamedTuple):
    """A line of the certificate; `leads` has (number of a set, lambda) for each input."""

    centre: list[int]
    task: int
    said: int
    leads: list[tuple[int, int]]
    radius: int
    metric: int


class Metric(NamedTuple):
    """P, |P|, N rounded down, a / r of each unit and of the output, rounded up."""

    P: Matrix
    size: Matrix
    N: Matrix
    reach: list[int]
    output: int


def dot(a: Any, b: Any) -> int:
    """The scalar product."""
    return sum(map(mul, a, b))


def root(x: int) -> int:
    """Above the square root."""
    return math.isqrt(x) + 1


def factor(M: list[list[float]]) -> list[list[float]] | None:
    """About the Cholesky factor of a matrix of floats; None if it breaks down."""
    G: list[list[float]] = []
    for i, row in enumerate(M):
        G.append([])
        for j in range(i + 1):
            rest = row[j] - sum(map(mul, G[i], G[j]))
            if i == j and not rest > 0:
                return None
            G[i].append(math.sqrt(rest) if i == j else rest / G[j][j])
    return G


def positive(M: Matrix) -> bool:
    """Whether a symmetric matrix is positive definite for certain: less K K^T, exactly, K found in
    floats, its diagonal outweighs the rest, each row and column taken in its own scale."""
    M = [[x << 80 for x in row] for row in M]
    scale = [math.isqrt(max(row[i], 0)) + 1 for i, row in enumerate(M)]
    G = factor([[M[i][j] / (scale[i] * scale[j]) - (i == j) * 1e-12 for j in range(i + 1)]
                for i in range(len(M))])  # fmt: skip
    K = [
        [int(x * (1 << 53)) * a >> 53 for x in row] for row, a in zip(G or [], scale, strict=False)
    ]
    off = [0] * len(M)
    for i, row in enumerate(K):
        for j in range(i):
            left = abs(M[i][j] - dot(row, K[j]))
            off[i] += left * scale[i] // scale[j] + 1
            off[j] += left * scale[j] // scale[i] + 1
    return len(K) > 0 and all(M[i][i] - dot(row, row) > off[i] for i, row in enumerate(K))


def inverse(W: Matrix) -> Matrix:
    """The inverse of W in units of 2^-J: so close that |e W W^-1 - e| is below 2^-31 |e| in every
    metric that `metric_of` lets pass; raises ValueError if there is none."""
    n = len(W)
    A = [[Fraction(x, 1 << Z) for x in row] + [Fraction(i == j) for j in range(n)]
         for i, row in enumerate(W)]  # fmt: skip
    for k in range(n):
        p = max(range(k, n), key=lambda i: abs(A[i][k]))
        A[k], A[p] = A[p], A[k]
        if not A[k][k]:
            raise ValueError("W must be invertible")
        A[k] = [x / A[k][k] for x in A[k]]
        for i in range(n):
            if i != k and A[i][k]:
                A[i] = [x - A[i][k] * y for x, y in zip(A[i], A[k], strict=True)]
    Wi = [[round(x * (1 << J)) for x in row[n:]] for row in A]
    off = [[abs(dot(row, c) - ((i == j) << Z + J)) for j, c in enumerate(zip(*Wi, strict=True))]
           for i, row in enumerate(W)]  # fmt: skip
    if max(map(max, off)) >> Z + J - 70:
        raise ValueError("W must be further from singular")
    return Wi


def reach_of(P: Matrix, G: list[list[float]], w: list[int]) -> int:
    """Above sqrt(w P^-1 w), in units of 2^-S: with P y = w - left, it is y P y + 2 y left + left
    P^-1 left, and the last is at most left^2 times 2^26, as P is shown to be above 2^-26."""
    n = len(P)
    x = [0.0] * n
    for i in range(n):
        x[i] = (w[i] / (1 << Z) - sum(map(mul, G[i], x[:i]))) / G[i][i]
    for i in reversed(range(n)):
        x[i] = (x[i] - sum(G[j][i] * x[j] for j in range(i + 1, n))) / G[i][i]
    y = [round(t * (1 << 70)) for t in x]
    Py = [dot(row, y) for row in P]  # in units of 2^-(Q + 70), as `left`
    left = [(t << Q + 70 - Z) - u for t, u in zip(w, Py, strict=True)]
    square = (dot(y, Py) + 2 * dot(y, left) << Q) + (dot(left, left) << 26)
    return (root(square) >> Q + 70 - S) + 2


def metric_of(line: str, W: Matrix, Wi: Matrix, V: list[int]) -> Metric:
    """A metric and all that is needed of it; raises ValueError if it is none."""
    n = len(W)
    numbers = [int(text, 16) for text in line.split(" ")[1].split(".")]
    if len(numbers) != n * (n + 1) // 2:
        raise ValueError(f"a metric must have {n * (n + 1) // 2} entries, got {len(numbers)}")
    below = [numbers[i * (i + 1) // 2 : (i + 1) * (i + 2) // 2] for i in range(n)]
    P = [[below[max(i, j)][min(i, j)] for j in range(n)] for i in range(n)]
    above = [[x - (i == j) * (1 << Q - 26) for j, x in enumerate(row)]
             for i, row in enumerate(P)]  # fmt: skip
    G = factor([[x / (1 << Q) for x in row] for row in P])
    if G is None or not positive(above) or sum(P[i][i] for i in range(n)) >> Q + 16:
        raise ValueError("a metric must be above 2^-26, and its trace below 2^16")
    WiP = [[dot(row, column) for column in P] for row in Wi]  # in units of 2^-(J + Q)
    N = [[(dot(a, b) >> 2 * J + Q - 2 * S) - (i == j) * n for j, b in enumerate(Wi)]
         for i, a in enumerate(WiP)]  # fmt: skip
    reach = [reach_of(P, G, list(w)) for w in zip(*W, strict=True)]
    return Metric(P, [[abs(x) for x in row] for row in P], N, reach, reach_of(P, G, V))


def set_of(line: str, hidden: int, inputs: int) -> Set:
    """A set; raises ValueError if the line is none."""
    if not re.fullmatch(SET, line):
        raise ValueError(f"must be {SET!r}, got {line[:80]!r}")
    text, task, said, *leads, radius, metric = line.split(" ")
    centre = [int(entry, 16) for entry in text.split(".")]
    pairs = [(int(to), int(part, 16)) for to, _, part in (lead.partition(":") for lead in leads)]
    r = int(radius, 16)
    if len(centre) != hidden or len(pairs) != inputs or max(map(abs, centre)) > 4 * ONE or r < 1:
        raise ValueError(f"must have {hidden} numbers up to 4, {inputs} leads and a radius above 0")
    return Set(centre, int(task), int(said), pairs, r, int(metric))


class Steps:
    """The network, made ready for single steps."""

    def __init__(self, matrices: Any, inputs: Any, digits: int, verify: Any) -> None:
        U, W, V = matrices
        rows = [[round(x * (1 << Z)) for x in row] for row in W]
        self.columns, self.Wi = list(zip(*rows, strict=True)), inverse(rows)
        self.W, self.V = rows, [round(x * (1 << Z)) for (x,) in V]
        self.driven = [[round(sum(x * row[k] for x, row in zip(each, U, strict=True)) * (1 << Z))
                        for k in range(len(V))] for each in inputs]  # fmt: skip
        zeros = (Fraction(0),) * len(V)  # a rounding more, of weights that are converted
        error = 2 * verify.rounding_error([*U, *W, zeros], digits)
        n = len(U) + len(W) + 1
        said = 2 * Fraction(n, 2**digits - n) * sum(abs(x) for (x,) in V) + Fraction(1, 1 << 10)
        self.room = (error >> verify.P - S) + 1 + SLOP
        self.least = math.ceil(said * (1 << S + Z)) + (1 << Z)
        self.exp_below, self.P = verify.exp_below, verify.P

    def sigmoid(self, z: int) -> int:
        """In units of 2^-S, of z in units of 2^-Z; off by one unit at most."""
        if abs(z) >> Z >= 64:
            return ONE if z > 0 else 0
        return (1 << self.P + S) // ((1 << self.P) + self.exp_below(-z << self.P - Z))

    def says(self, at: Set, metric: Metric) -> bool:
        """Whether the bit said is certain everywhere in this set."""
        output = dot(at.centre, self.V)
        right = output if at.said else -output
        return right > self.least + (at.radius * metric.output << Z - S)

    def leads(self, at: Set, here: Metric, number: int, to: Set, there: Metric, part: int) -> bool:
        """Whether this input leads from all of a set into another; lambda is `part` r'^2."""
        n = len(self.V)
        a = [(at.radius * x >> S) + 1 for x in here.reach]
        if max(a) > 4 * ONE:
            return False
        z = [(dot(at.centre, self.columns[k]) >> S) + self.driven[number][k] for k in range(n)]
        h = [self.sigmoid(x) for x in z]
        D = [x * (ONE - x) >> S for x in h]
        m = [(D[k] * (ONE - 2 * h[k]) >> S) * a[k] ** 2 >> 2 * S + 2 for k in range(n)]
        t = [min(ONE // 8, D[k] * (ONE + 2 * a[k]) >> S) if a[k] <= ONE else ONE // 8
             for k in range(n)]  # fmt: skip
        b = [abs(m[k]) + (t[k] * a[k] ** 3 >> 3 * S) // 6 + self.room for k in range(n)]
        rest = (root(dot(b, [dot(row, b) for row in there.size])) >> Q // 2) + 1
        d = [x + y - c for x, y, c in zip(h, m, to.centre, strict=True)]
        Pd = [dot(row, d) for row in there.P]
        square = at.radius**2 + (at.radius**2 >> 28) + 1  # as W^-1 is rounded
        g = part * to.radius**2 // square
        inner, shift = max(to.radius - rest, 0), S - Q
        side = [-x * y << shift for x, y in zip(D, Pd, strict=True)]
        M = [[g * here.N[i][j] - (D[i] * there.P[i][j] * D[j] << shift) for j in range(n)]
             + [side[i]] for i in range(n)]  # fmt: skip
        return positive([*M, [*side, (inner**2 << S) - g * square - (dot(d, Pd) << shift)]])


def check(lines: list[str], matrices: Any, target: str, digits: int, verify: Any) -> int:
    """The number of sets, if the certificate holds from its seventh line on; raises otherwise."""
    count = int(lines[5].split(" ")[1])
    U, W, _ = matrices
    if len(W) > 128:
        raise ValueError("more than 128 hidden units")
    inputs = [tuple(i >> j & 1 for j in range(len(U))) for i in range(2 ** len(U))]
    steps = Steps(matrices, inputs, digits, verify)
    metrics = []
    for number, line in enumerate(lines[6 + count :], 7 + count):
        if not re.fullmatch(METRIC, line):
            raise ValueError(f"line {number} must be {METRIC!r}, got {line[:80]!r}")
        metrics.append(metric_of(line, steps.W, steps.Wi, steps.V))
    sets = [set_of(line, len(W), len(inputs)) for line in lines[6 : 6 + count]]
    if len(sets) != count or any(sets[0].centre) or sets[0].task:
        raise verify.Rejected("line 6 or 7: not all sets are there, or the first does not hold h_0")
    for number, at in enumerate(sets, 7):
        here = metrics[at.metric]
        if number > 7 and not steps.says(at, here):
            raise verify.Rejected(f"line {number}: not always {at.said} there")
        for k, (x, (lead, part)) in enumerate(zip(inputs, at.leads, strict=True)):
            to = sets[lead]
            right = (to.task, to.said) == verify.right_step(target, at.task, x)
            if not (lead and right and steps.leads(at, here, k, to, metrics[to.metric], part)):
                raise verify.Rejected(f"line {number}: {x} does not lead to {lead} for certain")
    return count
