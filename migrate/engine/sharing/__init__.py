"""A plan that several processes carry out: shares of its streamed tasks, staged by workers and joined by reference."""
