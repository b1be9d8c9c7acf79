"""Reports on checkpoints, diffs, plans, suggestions and receipts: one view model, and its drawings."""
