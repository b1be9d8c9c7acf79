"""Generated rule files: merges many drafts into few rules, and writes rules as text.

`rule_drafts` holds the draft of one rule, `indices` and `generalize` merge drafts, `cover` finds few patterns for many
key paths, `numbers` finds numbers in names, `doubt` holds doubts and alternatives, `ops` and `write` write YAML.
"""
