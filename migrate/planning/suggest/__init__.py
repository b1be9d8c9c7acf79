"""From a checkpoint and a template to a rule file that a person reviews: a pipeline of pure steps.

`layout` says what each leaf is; `tokens` compares names; `scope` finds modules and sequences of like modules;
`convert`, `fit` and `fusion` know how shapes become others; `align` decides what belongs to what, and `doubts` what it
cannot know; `rows`, `indices` and `generalize` make few patterns of many pairs; `rest` settles what is no parameter;
`text` writes the file; `suggest` runs them all.
"""
