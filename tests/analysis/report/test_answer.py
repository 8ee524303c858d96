"""What a page says first: T in one sentence, in a short table, whether to trust it, and what is not ok."""

from dataclasses import replace

import pytest

from analysis.report.answer import answer, parting, rows, troubles, trust
from analysis.report.checks import concerns
from analysis.report.numbers import KEPT, in_words, with_error, with_powers
from analysis.report.tables import run_tables, short
from analysis.results import REMEDIES, BrokenLawCheck, Estimate, EstimatorUsed, RunResult, StudyResult, Thermometers
from tests.analysis.report.studies import KINDS, around, study_of


def said(text):
    return text.replace(KEPT, " ")


class TestNumbers:
    @pytest.mark.parametrize(
        ("value", "lower", "upper", "words"),
        [
            (3.5443e-4, 3.4564e-4, 3.6322e-4, "3.54 [3.46, 3.63] × 10⁻⁴"),
            (6.0359e-5, 6.0359e-5 - 2e-8, 6.0359e-5 + 2e-8, "6.036 [6.034, 6.038] × 10⁻⁵"),
            (0.0137, 0.0130, 0.0144, "0.0137 [0.0130, 0.0144]"),
            (0.0, -1e-5, 1e-5, "0.00 [−1.00, 1.00] × 10⁻⁵"),
            (1e-6, -3e-4, 3e-4, "0.01 [−3.00, 3.00] × 10⁻⁴"),
            (-2e-5, -3e-5, -1e-5, "−2.00 [−3.00, −1.00] × 10⁻⁵"),
            (1234.5, 1000, 2000, "1234 [1000, 2000]"),
            (4e-4, None, None, "4.00 × 10⁻⁴"),
        ],
    )
    def test_a_value_and_its_interval_share_a_power_of_ten(self, value, lower, upper, words):
        assert said(str(in_words(Estimate(value, None, lower, upper)))) == words

    def test_no_line_ends_within_a_number(self):
        assert " " not in str(in_words(around(3e-4, 0.1)))

    def test_two_digits_of_a_standard_error(self):
        assert with_error(0.8989325, 8.01e-6) == "0.8989325 ± 0.0000080"
        assert with_error(-323.0335, 0.1464) == "−323.03 ± 0.15"
        assert with_error(-0.5, 0.0) == with_error(-0.5, None) == "−0.5"

    def test_exponents_are_raised_and_texts_stay_texts(self):
        assert said(with_powers("lr^(1.60 ± 0.05) and lr^-2.1")) == "lr<sup>1.60 ± 0.05</sup> and lr<sup>-2.1</sup>"
        assert with_powers("<b>^x") == "&lt;b&gt;^x"


class TestSentence:
    def test_of_a_sound_study(self):
        assert said(answer(study_of(9, 1))) == (
            "T rises with the learning rate, from 1.89 [1.80, 1.99] × 10⁻⁵ at lr = 0.01 to 4.37 [4.15, 4.59] × 10⁻³ at "
            "lr = 0.3 (loss per nat), as lr^(1.60 ± 0.05)."
        )

    def test_of_two_power_laws(self):
        study = study_of(9, 1)
        bend = BrokenLawCheck(True, 0.07, 1.2, 2.1, None, None)
        found = said(answer(replace(study, checks=replace(study.checks, segmented=bend))))
        assert found.endswith("(loss per nat), as lr^1.20 below lr = 0.07 and as lr^2.10 above.")

    @pytest.mark.parametrize(("exponent", "begins"), [(-1.6, "T falls with"), (0.01, "T does not depend on")])
    def test_of_other_trends(self, exponent, begins):
        study = study_of(9, 1)
        assert answer(replace(study, power_law=replace(study.power_law, exponent=exponent))).startswith(begins)
        assert answer(replace(study, power_law=None)).startswith("T goes from")

    def test_its_ends_are_sound(self):
        found = said(answer(KINDS["mixed"]()))
        assert "at lr = 0.0153 to" in found
        assert "at lr = 0.196 (" in found
        unsound = replace(study_of(3, 1), runs=tuple(
            replace(run, status="imprecise", temperature=replace(run.temperature, status="imprecise"))
            for run in study_of(3, 1).runs
        ))  # fmt: skip
        assert answer(unsound).endswith("; it is tentative, as no run is ok.")
        assert trust(unsound) == "No run is ok: every T is tentative."

    @pytest.mark.parametrize(
        ("kind", "words", "trusted"),
        [
            ("one run", "dU/dS needs 3 learning rates, and the study has 1.", "The run is ok."),
            (
                "refused",
                "dU/dS needs 3 learning rates with a stationary state, and none of 4 has one.",
                "No run is ok.",
            ),
            (
                "converging",
                "dU/dS needs 3 learning rates with a stationary state, and none of 4 has one; 4 runs are converging.",
                "No run is ok.",
            ),
            ("nothing", "there are no runs.", ""),
        ],
    )  # fmt: skip
    def test_says_why_there_is_no_temperature(self, kind, words, trusted):
        study = KINDS[kind]()
        assert answer(study) == f"No temperature: {words}"
        assert trust(study) == trusted

    def test_of_temperatures_that_were_set(self):
        assert answer(KINDS["gibbs"]()) == (
            "T = dU/dS is 1.004 times the temperature that was set (median), for T_set from 0.01 to 0.3."
        )


class TestTrust:
    def test_a_sound_study(self):
        assert trust(study_of(9, 1)) == "All 9 runs are ok: T can be trusted within its 95 % interval."
        assert concerns(study_of(9, 1)) == []
        assert trust(replace(study_of(9, 1), method="interval")).endswith("within its bounds.")

    def test_what_speaks_against_it_is_said(self):
        study = KINDS["mixed"]()
        assert trust(study).startswith("12 of 18 runs are ok; every other T is tentative")
        assert [one.split()[0] for one in concerns(study)] == ["The", "U", "4"]
        sound = replace(study_of(9, 1), checks=study.checks)
        assert trust(sound) == "All 9 runs are ok, but tests of the study as a whole speak against its temperatures:"


class TestParting:
    """The virial against T, where both are known."""

    def judged(self, ratios, share=0.01):
        study = study_of(len(ratios), 1)
        runs = tuple(
            replace(run, thermometers=replace(run.thermometers, virial=around(ratio * run.temperature.value, share)))
            for run, ratio in zip(study.runs, ratios, strict=True)
        )
        return replace(study, runs=runs)

    def test_where_it_begins(self):
        study = self.judged([1, 0.95, 0.8, 0.5])
        found = said(parting(study))
        assert found.startswith(f"From lr = {study.runs[2].lr:.3g} up the virial, a thermometer without entropy")
        assert found.endswith(
            "more than 10 % off T: SGD is not in a Gibbs state there, and T is the slope dU/dS alone."
        )
        assert parting(self.judged([0.5, 0.5, 0.5])).startswith("At all learning rates the virial")
        assert parting(self.judged([1, 0.5, 1, 1.5, 1])).startswith("At 2 of 5 learning rates the virial")

    def test_not_within_the_errors_nor_where_nothing_is_known(self):
        assert parting(self.judged([1, 1.05, 0.95])) == ""
        assert parting(self.judged([0.8, 0.8, 0.8], share=0.5)) == ""
        bare = tuple(replace(run, thermometers=Thermometers()) for run in study_of(3, 1).runs)
        assert parting(replace(study_of(3, 1), runs=bare)) == ""
        # A temperature that was set is compared elsewhere.
        assert parting(KINDS["gibbs"]()) == ""


class TestRows:
    def test_of_seeds_the_mean_and_the_interval_of_all(self):
        study = study_of(3, 2)
        low, high = (run.temperature for run in study.runs[:2])
        (first, *_), n = rows(study)
        mean = Estimate((low.value + high.value) / 2, None, low.lower, high.upper)
        assert (first.temperature, first.status, first.runs, n) == (in_words(mean), "ok", 2, 3)

    def test_many_learning_rates_are_thinned_and_the_middle_one_stays(self):
        study = study_of(61, 1)
        found, n = rows(study)
        assert (len(found), n) == (15, 61)
        assert [found[i].lr for i in (0, 7, -1)] == [f"{study.runs[i].lr:.3g}" for i in (0, 30, -1)]

    def test_statuses_of_seeds_are_counted(self):
        found = {row.lr: row for row in rows(KINDS["mixed"]())[0]}
        assert (found["0.01"].status, found["0.01"].sound) == ("imprecise", False)
        assert found["0.0234"].status == "ok (1), not-stationary (1)"
        assert (found["0.3"].status, found["0.3"].temperature.value) == ("uniform", "-")

    def test_a_run_that_names_no_learning_rate_has_a_row_too(self):
        runs = tuple(RunResult(str(i), float("nan"), i, "inconsistent-record", "") for i in range(2))
        (row,), _ = rows(StudyResult(runs, EstimatorUsed("oas"), "convex"))
        assert (row.lr, row.runs) == ("-", 2)


def test_every_status_that_is_not_ok_has_its_runs_and_its_remedy():
    found = {one.status: one for one in troubles(KINDS["mixed"]())}
    assert set(found) == {"imprecise", "uniform", "not-stationary", "too-few-samples"}
    assert found["imprecise"].runs == "2 runs, lr = 0.01"
    assert found["too-few-samples"].runs == "1 run, lr = 0.196"
    assert all(one.remedy == REMEDIES[status] for status, one in found.items())
    assert troubles(study_of(9, 1)) == []


def test_tables_leave_out_what_no_run_has():
    results, thermometers, sampling = run_tables(study_of(3, 2))
    assert len(results.rows) == len(thermometers.rows) == len(sampling.rows) == 6
    assert "equipartition" not in thermometers.columns
    assert sampling.rows[0][sampling.columns.index("chains")] == "16"
    # What could not be read is listed all the same.
    results, thermometers, sampling = run_tables(KINDS["refused"]())
    assert (len(results.rows), thermometers.rows, sampling.rows) == (4, (), ())
    assert short("a" * 32) == "aaaaaaaa…"
    assert short("a" * 33) == "aaaaaaaa…aaaaaaa"
