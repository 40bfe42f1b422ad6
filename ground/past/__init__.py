"""The past as it was: where platforms were, where their cameras looked, and everything else at a moment."""
