"""Detectors: catalogue, ONNX sessions, pre- and post-processing."""
