"""The error that a person can mend, and texts without their passwords. Standard library only."""

from __future__ import annotations

import re

#: User information ends at the last @ before the path. A password that nobody has encoded may hold slashes, to which
#: SQLAlchemy has no objection; what looks like a port is none.
_USER = re.compile(r"(?<=://)(?:[^\s/?#]*@|[^\s/?#@:]*:(?!\d{1,5}(?:[/?#\"'`,;)\]}>\s]|$))[^\s@]*@)")
#: A URI as a parameter of another one.
_ENCODED_USER = re.compile(r"(?<=%3A%2F%2F)(?:(?!%2F|%3F|%23)[^\s/?#&])*%40", re.IGNORECASE)
#: Databases take the password as a parameter too.
_PARAMETER = re.compile(r"([?&](?:password|passwd|pwd|sslpassword)=)[^\s&#\"']*", re.IGNORECASE)


def without_password(text: object) -> str:
    """The text without the user information of the URIs in it: for all that leaves the program.

    Parameters
    ----------
    text : a URI, a message that may hold some, or an exception, whose text counts.

    Examples
    --------
    >>> without_password("open http://user:secret@tracking.example:5000/#/experiments")
    'open http://tracking.example:5000/#/experiments'
    """
    shown = _ENCODED_USER.sub("", _USER.sub("", str(text)))
    return _PARAMETER.sub(r"\1***", shown)


class ThermoError(Exception):
    """Something a person can mend: one line that names the thing and the remedy, without any password."""

    def __init__(self, *arguments: object) -> None:
        # Here and not where it is shown: a message often quotes the text of a foreign error, and goes many ways.
        super().__init__(*(without_password(part) if isinstance(part, str) else part for part in arguments))
