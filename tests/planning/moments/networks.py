"""Networks and their optimizers in the text notation of `tests.planning.trees`."""

SHAPES = {"kernel": "4,6", "bias": "6"}


def net(node, layer="fc"):
    """Returns one layer below a node."""
    return {f"{node}/{layer}/{name}": shape for name, shape in SHAPES.items()}


def adam(node, *layers):
    """Returns Adam's state for these layers."""
    moments = {
        f"{node}/0/{slot}/{part}": text for slot in ("mu", "nu") for n in layers for part, text in _of(n).items()
    }
    return moments | {f"{node}/0/count": "int32:"}


def _of(layer):
    return {f"{layer}/{name}" if layer else name: shape for name, shape in SHAPES.items()}
