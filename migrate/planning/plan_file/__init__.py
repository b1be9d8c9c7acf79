"""Plan files: a plan as JSON that is reviewed, and that is applied later without its rule file or its model.

`syntax` reads JSON with positions, `leaf_text` spells leaves, `op_lines` spells ops and initial values, and `schema`
declares the fields. `write` and `read` (with `read_tasks`) convert plans to text and back. `bind` turns a plan that was
read into the plan for the checkpoint at hand. `save` returns text that is known to be read as the same plan.
"""
