"""The synthetic world, the tiny pair trained on it, and its evaluation.

Nothing at run time depends on this package.
"""
