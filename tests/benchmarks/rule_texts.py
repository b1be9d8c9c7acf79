"""The rule files of the cases."""

import re

RENAME = """migrate: 1
rules:
  - "params/block_{i}/** -> params/blocks/{i}/**"
"""
STACK = """migrate: 1
rules:
  - {from: "params/block_{i}/**", to: "params/blocks/**", ops: [{stack: {axis: 0, over: i}}]}
"""
DROP = """migrate: 1
rules:
  - "params/block_{i}/** -> params/blocks/{i}/**"
  - drop: "opt_state/**"
"""
TRANSPOSE = """migrate: 1
rules:
  - from: "params/block_{i}/{part}/{name}/kernel"
    to: "params/blocks/{i}/{part}/{name}/kernel"
    ops: [transpose, {cast: {to: bfloat16, lossy: true}}]
  - from: "params/embed/embedding"
    to: "params/embed/embedding"
    ops: [transpose, {cast: {to: bfloat16, lossy: true}}]
  - from: "opt_state/0/{slot:mu|nu}/block_{i}/{part}/{name}/kernel"
    to: "opt_state/0/{slot}/blocks/{i}/{part}/{name}/kernel"
    ops: [transpose, {cast: {to: bfloat16, lossy: true}}]
  - from: "opt_state/0/{slot:mu|nu}/embed/embedding"
    to: "opt_state/0/{slot}/embed/embedding"
    ops: [transpose, {cast: {to: bfloat16, lossy: true}}]
  - "params/block_{i}/{part}/{name}/bias -> params/blocks/{i}/{part}/{name}/bias"
  - "params/block_{i}/{norm}/scale -> params/blocks/{i}/{norm}/scale"
"""
TURN_ALL = re.sub(r"ops: \[transpose, \{cast:.*\}\]", "ops: [transpose]", TRANSPOSE)
"""Every matrix transposed, in float32."""
TURN = """migrate: 1
rules:
  - {from: "params/block_0/kernel", to: "params/block_0/kernel", ops: [transpose]}
"""
TURN_LAYERS = """migrate: 1
rules:
  - {from: "params/block_{i}/{name}/kernel", to: "params/blocks/{i}/{name}/kernel", ops: [transpose]}
"""
TURN_AND_STACK = """migrate: 1
rules:
  - {from: "params/block_{i}/kernel", to: "params/kernel", ops: [transpose, {stack: {axis: 0, over: i}}]}
"""
UNSTACK_AND_TURN = """migrate: 1
rules:
  - {from: "params/kernel", to: "params/block_{i}/kernel", ops: [{unstack: {axis: 0, over: i}}, transpose]}
"""
CAST = """migrate: 1
rules:
  - {from: "params/block_{i}/kernel", to: "params/blocks/{i}/kernel", ops: [{cast: {to: bfloat16, lossy: true}}]}
"""
LOAD = """migrate: 1
rules:
  - {{from: embed, to: embed{cast}}}
  - from: ["block_{{i}}/q", "block_{{i}}/k", "block_{{i}}/v"]
    to: qkv
    ops: [{{concat: {{axis: 1}}}}, {{stack: {{axis: 0, over: i}}}}]
  - {{from: "block_{{i}}/up", to: up, ops: [{{stack: {{axis: 0, over: i}}}}]}}
  - {{from: "block_{{i}}/down", to: down, ops: [{turn}{{stack: {{axis: 0, over: i}}}}]}}
"""
LOADS = {
    "relinked": LOAD.format(cast="", turn=""),
    "streamed": LOAD.format(cast=", ops: [{cast: {to: bfloat16, lossy: true}}]", turn="transpose, "),
    "small": "migrate: 1\nrules: [{from: 'block_{i}/{name}', to: '{name}', ops: [{stack: {axis: 0, over: i}}]}]\n",
}
RULES = {
    **LOADS,
    "rename": RENAME,
    "stack": STACK,
    "drop": DROP,
    "transpose": TRANSPOSE,
    "turn": TURN,
    "turn-all": TURN_ALL,
    "turn-layers": TURN_LAYERS,
    "turn-and-stack": TURN_AND_STACK,
    "unstack-and-turn": UNSTACK_AND_TURN,
    "cast": CAST,
}
