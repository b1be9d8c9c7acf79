"""Plan files: a plan as JSON that is reviewed, and that is applied later without its rule file or its model.

`syntax` reads JSON with positions, `leaf_text` spells leaves, `op_lines` ops and initial values, `schema` declares the
fields, `write` and `read` map plans to text and back, `consistent` checks what a file claims, `bind` applies a plan
that was read to the checkpoint at hand.
"""
