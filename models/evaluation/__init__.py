"""How good a model is: labelled image folders, figures, calibration, contact sheets."""
