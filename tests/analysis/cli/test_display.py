"""The bar and the lines that say how far a program is."""

import io
import sys
import threading

import pytest

from analysis.cli import Display, Report, in_words


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestDisplay:
    def test_a_bar_where_there_is_a_terminal(self, monkeypatch):
        pytest.importorskip("tqdm").tqdm.monitor_interval = 0
        before = threading.enumerate()
        terminal, clock = Terminal(), Clock()
        monkeypatch.setattr(sys, "stderr", terminal)
        with Display(5.0, clock) as display:
            display.show(Report(0.1, 1.0, None))
            assert terminal.getvalue() == ""
            clock.now += 6
            display.show(Report(0.1, 6.0, None))
            display.show(Report(0.1, 10.0, 30.0))
            display.write("[1/2] lr=0.1")
            display.show(Report(0.2, 11.0, 100.0))
        shown = terminal.getvalue()
        assert "too early to tell how long" in shown
        assert "25%|" in shown
        assert "about 100 s left" in shown
        assert "[1/2] lr=0.1\n" in shown
        # An estimate that grows does not move the bar back.
        assert "10%|" not in shown.split("25%|", 1)[1]
        assert set(threading.enumerate()) <= set(before)

    def test_lines_where_there_is_a_terminal_and_no_tqdm(self, monkeypatch):
        terminal, clock = Terminal(), Clock()
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setitem(sys.modules, "tqdm", None)
        with Display(0.0, clock) as display:
            display.show(Report(0.1, 10.0, 30.0))
            display.show(Report(0.1, 11.0, 29.0))
        assert terminal.getvalue() == "25% done, about 30 s left\n"

    @pytest.mark.parametrize(
        ("seconds", "words"),
        [(0.2, "0 s"), (17.4, "17 s"), (99.4, "99 s"), (123.0, "120 s"), (601.0, "10 min"), (11_400.0, "3 h 10 min")],
    )
    def test_units(self, seconds, words):
        assert in_words(seconds) == words
