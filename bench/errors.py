"""The one exception a user sees."""


class BadInput(Exception):
    """Input that cannot be used: `wrong`, what would be `valid`, and what to `type` instead."""

    def __init__(self, wrong: str, valid: str, type_: str):
        super().__init__(wrong)
        self.wrong, self.valid, self.type = wrong, valid, type_

    def __str__(self) -> str:
        return f"error: {self.wrong}\n  valid: {self.valid}\n  type:  {self.type}"
