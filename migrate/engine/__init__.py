"""Runs a plan: preflight → workspace → stage → commit → verify → probe → publish → receipt (`run`).

Array bytes are read and written here and nowhere above. Imports between the sub-rooms point one way, each to those
before it:

    linking → streaming → workspace → verification → outputs → probing

`options`, `items`, `staged_array` and `stopping` are below all of them; `receipt`, `preflight` and `run`, in this
order, are above.
"""
