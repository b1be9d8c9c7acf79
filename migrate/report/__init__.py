"""Plan, diff, checkpoint, receipt and diagnostics, turned into one view model, and its drawings."""
