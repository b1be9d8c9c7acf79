"""Several layouts of one state in one step: an item is added (`expand`), and the others are dropped (`contract`)."""
