"""The process in which a contributor's file runs: `child` reads questions and answers them.

Within `limits`; a `Workshop` of `editing` answers with lines of the file changed. No file imports
torch.
"""
