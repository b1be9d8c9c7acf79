"""Suggests a rule file for a checkpoint and a template, in a pipeline of pure steps; the user reviews the result.

`layout` classifies the leaves; `tokens` compares names; `scope` finds modules and sequences of similar modules;
`convert`, `fit` and `fusion` relate shapes to each other; `align` matches arrays (with `assign`), and `doubts` marks
matches that shapes cannot prove; `drafts` turns matches into rule drafts, which `planning.rule_text` merges into few
rules; `leftovers` decides about everything but parameters; `text` writes the file; `pipeline` runs all steps.
"""
