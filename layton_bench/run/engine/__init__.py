"""The loop over batches: candidates, halving, gallery."""
