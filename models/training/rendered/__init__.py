"""Pictures that no camera took: drawn worlds for the simulator, and what a thermal camera would see."""
