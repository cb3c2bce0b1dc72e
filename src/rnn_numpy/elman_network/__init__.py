"""The network and its gradient, (1)-(13) of docs/bptt.md, four ways that share no code."""
