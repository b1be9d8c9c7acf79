"""Inverts a plan: writes the rule file that leads back from its target, and lists what cannot be restored.

`task_inverse` inverts the steps of one task, `expressions` compares what two tasks compute, and `spellings` finds one
op for several arrays. `patterns` reverses the patterns of a rule, `path_rules` derives rules from key paths where that
fails, and `rule_inverter` chooses between the two. `readback` is the target as a reader finds it, `notes` compares
structure, `text` writes the file, and `model` holds the result. `pipeline` runs them and plans the file against the
target.
"""
