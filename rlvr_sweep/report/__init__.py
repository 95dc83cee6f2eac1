"""What came out: reads the records of cells on disk (and nothing else), and makes tables, pictures and JSON of them.

Nothing here imports torch or the trainer; pyarrow, numpy and matplotlib are imported where they are used.
"""
