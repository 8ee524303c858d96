"""The error that users see, and the removal of passwords from text. Standard library only."""

from __future__ import annotations

import re

#: User information ends at the last @ before the path. A password that is not percent-encoded may contain slashes,
#: which SQLAlchemy accepts; a colon followed by a port number does not begin a password.
_USER = re.compile(r"(?<=://)(?:[^\s/?#]*@|[^\s/?#@:]*:(?!\d{1,5}(?:[/?#\"'`,;)\]}>\s]|$))[^\s@]*@)")
#: The same in a percent-encoded URI, as a query parameter of another one.
_ENCODED_USER = re.compile(r"(?<=%3A%2F%2F)(?:(?!%2F|%3F|%23)[^\s/?#&])*%40", re.IGNORECASE)
#: Databases also accept the password as a query parameter.
_PARAMETER = re.compile(r"([?&](?:password|passwd|pwd|sslpassword)=)[^\s&#\"']*", re.IGNORECASE)


def without_password(text: object) -> str:
    """Remove user names and passwords from the URIs in a text.

    Everything that the program shows, logs or uploads goes through here.

    Parameters
    ----------
    text : object
        A URI, a message that may contain URIs, or an exception, whose message is taken.

    Returns
    -------
    str

    Examples
    --------
    >>> without_password("open http://user:secret@tracking.example:5000/#/experiments")
    'open http://tracking.example:5000/#/experiments'
    """
    shown = _ENCODED_USER.sub("", _USER.sub("", str(text)))
    return _PARAMETER.sub(r"\1***", shown)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, without passwords; its type where it has none.

    Examples
    --------
    >>> first_line(OSError("disk full\\ndetails")), first_line(TimeoutError())
    ('disk full', 'TimeoutError')
    """
    lines = without_password(error).strip().splitlines()
    # SQLAlchemy begins with when an error came, and says what it is in the second line.
    return next((line for line in lines if not line.startswith("(raised as a result of")), type(error).__name__)


class ThermoError(Exception):
    """An error that the user can fix: one line that says what is wrong and what to do, without passwords.

    Parameters
    ----------
    *arguments : object
        As for any exception; user information is removed from the URIs in strings.
    """

    def __init__(self, *arguments: object) -> None:
        # Messages often quote an error of another library and are shown in many places: removing passwords only where
        # a message is shown would miss one of them.
        super().__init__(*(without_password(part) if isinstance(part, str) else part for part in arguments))
