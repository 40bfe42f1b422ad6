"""The one kind of error that training raises on purpose."""


class TrainingError(Exception):
    """A data set, a starting network, a recipe or a run cannot be used; the sentence says why."""
