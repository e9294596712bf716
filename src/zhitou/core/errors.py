"""The errors a user can cause. Each says what was expected, what came and what to do.

`status` is the HTTP status the doors answer with, `code` the stable machine name of the problem.
A programmer's mistake is an assert with a sentence, never one of these.
"""


class ZhitouError(Exception):
    """Base of everything a user can cause and mend."""

    status = 400
    code = "error"


class SourceError(ZhitouError):
    """A file or data set that is missing, empty, cut short or not what its name says."""

    code = "source"


class SchemaError(ZhitouError):
    """A table, mapping or message whose columns or types are not the contract's."""

    status = 422
    code = "schema"


class MoneyError(ZhitouError):
    """Two currencies in one sum, or an amount that is no whole number of micros."""

    status = 422
    code = "money"


class BudgetError(ZhitouError):
    """A charge or reservation that the flight's budget does not cover."""

    status = 409
    code = "budget"


class ConsentError(ZhitouError):
    """A read of behaviour for a purpose that the subject did not agree to."""

    status = 403
    code = "consent"


class AuthError(ZhitouError):
    """A missing, wrong or expired key, token or signature."""

    status = 401
    code = "auth"


class NotFoundError(ZhitouError):
    """An id that is not known here."""

    status = 404
    code = "not_found"


class ConfigError(ZhitouError):
    """A setting that is out of range, or two that contradict each other."""

    code = "config"


class ModelError(ZhitouError):
    """A model folder that is incomplete, altered or made for other data."""

    status = 500
    code = "model"


class MissingExtraError(ZhitouError):
    """An optional dependency that is not installed; the message names the command that installs it."""

    status = 501
    code = "missing_extra"
