"""The anomaly detector: what stands out from its surroundings, found without training."""
