"""A greedy client beside modest ones: what each gets of one cloud, with fair shares and without."""
