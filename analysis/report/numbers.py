"""Numbers as a reader takes them in: few digits, one power of ten for a value and its interval."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from markupsafe import Markup, escape

from analysis.results import Estimate

#: A space at which no line ends.
KEPT = "\u00a0"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
#: Powers of ten between which a number is written out.
_PLAIN = range(-2, 4)
#: Digits of a value behind its first, at least, and how many more its error may ask for.
_DIGITS, _MORE = 2, 3


@dataclass(frozen=True)
class Shown:
    """A value and its interval in words; a dash for what does not exist.

    Attributes
    ----------
    value, interval : as in ``3.54 × 10⁻⁴`` and ``[3.46, 3.63] × 10⁻⁴``.
    """

    value: str
    interval: str

    def __str__(self) -> str:
        """Both, with the power of ten once.

        Examples
        --------
        >>> str(in_words(Estimate(3.5443e-4, None, 3.4564e-4, 3.6322e-4))).replace(KEPT, " ")
        '3.54 [3.46, 3.63] × 10⁻⁴'
        """
        if self.interval == "-":
            return self.value
        number, _, _ = self.value.partition(" × ")
        # No line ends within a number.
        return f"{number} {self.interval}".replace(" ", KEPT)


def in_words(estimate: Estimate | None) -> Shown:
    """A number with its interval, in as many digits as the interval allows.

    Examples
    --------
    >>> in_words(Estimate(0.125, None, 0.0, 0.25)).interval
    '[0.000, 0.250]'
    """
    if estimate is None:
        return Shown("-", "-")
    value, low, high = estimate.value, estimate.lower, estimate.upper
    known = [one for one in (value, low, high) if one is not None and math.isfinite(one)]
    half = max((abs(one - value) for one in known), default=0.0)
    largest = max(abs(one) for one in known) if known else 0.0
    # An interval that is wider than the value has more of a power of ten than it.
    exponent = _exponent(abs(value) if half < 10 * abs(value) else largest)
    shift = 0 if exponent in _PLAIN else exponent
    fewest = max(0, _DIGITS - (exponent - shift))
    digits = fewest if not half else min(max(fewest, -_exponent(half / 10.0**shift)), fewest + _MORE)
    power = f" × 10{str(shift).translate(_RAISED)}" if shift else ""

    def shown(one: float) -> str:
        return f"{one / 10.0**shift:.{digits}f}".replace("-", "−")

    bounds = "-" if low is None or high is None else f"[{shown(low)}, {shown(high)}]{power}"
    return Shown(f"{shown(value)}{power}", bounds)


def with_error(value: float, stderr: float | None) -> str:
    """A value ± its standard error, of which two digits are shown.

    Examples
    --------
    >>> with_error(-323.0335, 0.1464), with_error(0.5, None)
    ('−323.03 ± 0.15', '0.5')
    """
    if not stderr or not math.isfinite(stderr):
        return f"{value:.5g}".replace("-", "−")
    digits = max(0, 1 - _exponent(stderr))
    return f"{value:.{digits}f} ± {stderr:.{digits}f}".replace("-", "−")


def with_powers(sentence: str) -> Markup:
    """The sentence as HTML, with its exponents raised.

    Examples
    --------
    >>> with_powers("as lr^1.23 & lr^(2.05 ± 0.1)").replace(KEPT, " ")
    Markup('as lr<sup>1.23</sup> &amp; lr<sup>2.05 ± 0.1</sup>')
    """
    # What is raised is digits: no text of a run can be.
    return Markup(
        re.sub(
            r"\^\(?(-?\d[\d.]*(?: ± [\d.]+)?)\)?",
            lambda found: f"<sup>{found[1].replace(' ', KEPT)}</sup>",
            str(escape(sentence)),
        )
    )


def _exponent(value: float) -> int:
    return math.floor(math.log10(value)) if value > 0 and math.isfinite(value) else 0
