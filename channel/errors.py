"""The one exception class for mistakes that a user can mend."""


class UserError(ValueError):
    """A mistake in what the user gave: one message saying what, where, what was expected and the remedy."""
