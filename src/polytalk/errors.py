"""The one error that users see: it names the field or file and says what would be right."""

from __future__ import annotations


class PolytalkError(ValueError):
    """Bad input. The command line prints it on one line and exits with code 2.

    Args:
        field: what is wrong, as the user knows it: a field of the scene, an option or a file name.
        problem: what was found there.
        remedy: what would be right.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        self.field, self.problem, self.remedy = field, problem, remedy
        super().__init__(f"{field}: {problem}. {remedy}")
