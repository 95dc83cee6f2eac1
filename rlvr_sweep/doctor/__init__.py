"""Is this machine ready? `commands` shows the checks of `install`, `places` and `machine`; `probe` runs two steps of a
cell."""
