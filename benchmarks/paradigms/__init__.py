"""The paradigms that are compared, the processes that they need, and how their runs are ordered, checked and judged."""
