"""What forms of drafts are worth in the running pair: true acceptance, bytes, time."""
