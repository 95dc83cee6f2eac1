"""What became of a model: read from the records that cells leave, never from the trainer."""
