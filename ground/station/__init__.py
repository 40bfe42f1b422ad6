"""How a ground station is put together: one module for each group of parts, started by `ground.serve`."""
