"""The process in which a contributor's file runs: it answers problems, with its lines changed, too.

`child` reads questions and answers them, within `limits`. `workshop` runs the pass with some lines
changed: `program` knows its functions, `values` what stands in their variables, `edits` what may be
changed in a line. None of these files imports torch.
"""
