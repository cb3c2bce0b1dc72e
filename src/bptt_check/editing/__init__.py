"""A pass whose lines can be changed while it is loaded.

`program` knows its functions, `values` what stands in their variables; `edits`, with `expressions`
and `loops`, says what may be changed in a line. `screening` evaluates a line's edits in one run,
`quantities` knows what a right pass computes, and `choosing` takes the edits with which more lines
do. `workshop` is what others use. No file imports torch.
"""
