"""`eventspec-bench report`: benchmark results as one page that needs no network, and as pictures.

Pure functions turn `Record`s into tables, figures' data and sentences; `pictures` draws them, `page` sets them.
"""
