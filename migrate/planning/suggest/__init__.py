"""Suggests a rule file for a checkpoint and a template, in a pipeline of pure steps; the user reviews the result.

`layout` classifies the leaves; `tokens` compares names; `scope` finds modules and sequences of similar modules;
`convert`, `fit` and `fusion` relate shapes to each other; `align` matches arrays (with `assign`): modules of one name
(`named`), scans over blocks (`scans`), sequences of modules (`candidates`) and numbered layers of several lists
(`towers`); `replicas` removes the axis of `pmap`; `doubts` marks matches that neither shapes nor names prove; `drafts`
(with `strides`) turns matches into rule drafts, which `planning.rule_text` merges into few rules; `leftovers` decides
about everything but parameters; `text` writes the file; `pipeline` runs all steps.
"""
