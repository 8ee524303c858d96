"""No parameter of an entry point reaches a shell as anything but one word."""

import pytest
import yaml

from tests.end_to_end.conftest import ROOT

ENTRIES = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def hostile(name):
    """A value that makes a file in each way in which a shell would obey it."""
    made = [f"pwned-{name}-{way}" for way in range(10)]
    return (
        f"$(touch {made[0]})`touch {made[1]}`;touch {made[2]};'\";touch {made[3]};\"'\"';touch {made[4]};'\"\n"
        f"touch {made[5]}\n|touch {made[6]}&touch {made[7]};${{IFS}}touch {made[8]}\r\ntouch {made[9]} #"
    )


def test_the_value_would_be_noticed(user):
    """A shell that is given it without quotes, or in either kind, makes one of the files."""
    for before, after in (("echo ", ""), ('echo "', '"'), ("echo '", "'")):
        user("bash", "-c", f"{before}{hostile('x')}{after}")
        assert list(user.folder.glob("pwned-x-*")), before
        for path in user.folder.glob("pwned-x-*"):
            path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES)
def test_no_parameter_reaches_a_shell(user, entry):
    """Those that are declared, and one that is not, which goes to the program all the same."""
    given = [f"{name}={hostile(name)}" for name in [*ENTRIES[entry]["parameters"], "steps"]]
    done = user("mlflow", "run", ".", "-e", entry, *(part for one in given for part in ("-P", one)))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    # The program was started, and it is what refuses.
    assert "error: " in done.stderr.lower()
    assert [path.name for path in user.folder.parent.rglob("*pwned-*")] == []
