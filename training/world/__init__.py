"""A small world of moving shapes that a camera and an event sensor see differently.

`scenes` says what there is, `render` shows it to the two senses, `questions` asks about it and knows the
answers. Everything is a pure function of a seed.
"""
