"""Training of small detectors that anyone can repeat; needs torch, numpy, cv2 and onnx, nothing of ours."""
