"""Numbers and formulas as people write them: each value by hand."""

import os
import signal
from fractions import Fraction

import pytest

from pgsrm_plugin.text import formula
from pgsrm_plugin.text.formula import same_formula
from pgsrm_plugin.text.picks import final_number, inside_box, json_value
from pgsrm_plugin.text.quantity import find_quantities, fold, number_end, parse_quantity

HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("72", 72),
        ("72.", 72),
        ("72.00", 72),
        (" -5", -5),
        ("+5", 5),
        ("\u22125", -5),
        ("\u20135", -5),
        ("-$5", -5),
        ("$-5", -5),
        ("-5 dollars", -5),
        ("$1,234.50", Fraction("1234.5")),
        ("\\$18", 18),
        ("US$ 18", 18),
        ("€5", 5),
        ("5 €", 5),
        ("５００円", 500),
        ("1,000,000", 1_000_000),
        ("12,34,567", 1_234_567),
        ("1 000 000", 1_000_000),
        ("1\u202f000", 1000),
        ("1'000", 1000),
        ("1.234.567", 1_234_567),
        ("1.234.567,89", Fraction("1234567.89")),
        ("1.234,5", Fraction("1234.5")),
        ("1 000,5", Fraction("1000.5")),
        ("1{,}000", 1000),
        ("1\\,000", 1000),
        (".5", HALF),
        ("1/2", HALF),
        ("\u00bd", HALF),
        ("1\u00bd", Fraction(3, 2)),
        ("1 1/2", Fraction(3, 2)),
        ("\\frac{1}{2}", HALF),
        ("\\dfrac12", HALF),
        ("-\\tfrac{3}{4}", Fraction(-3, 4)),
        ("1\\frac{1}{2}", Fraction(3, 2)),
        ("1e3", 1000),
        ("1.5E-3", Fraction("0.0015")),
        ("1.5 \\times 10^3", 1500),
        ("1.5×10³", 1500),
        ("2 x 10^{4}", 20000),
        ("$5 million", 5_000_000),
        ("5k", 5000),
        ("3万", 30_000),
        ("2 billion people", 2_000_000_000),
        ("\u0663", 3),
        ("\uff11\uff12", 12),
        ("\u096a\u0968", 42),
        ("x = 5", 5),
        ("about 5", 5),
        ("= 5", 5),
        ("(5)", 5),
        ("[5]", 5),
        ("\\text{\\mathbf{5}}", 5),
        ("{5}", 5),
        ('"5"', 5),
        ("'5'", 5),
        ("**5**", 5),
        ("$5$", 5),
        ("\\(5\\)", 5),
        ("\\boxed{5}", 5),
        ("\\text{5 cm}", 5),
        ("5^\\circ", 5),
        ("-5°C", -5),
        ("72 apples", 72),
        ("72 apples in all", 72),
        ("72 apples " + "and so on " * 20, None),
        ("10000000001", 10_000_000_001),
        ("minus 5", -5),
        ("5 or six", None),
        ("5 is wrong, it is twelve", None),
        ("5 minus two", None),
        ("5 or more", None),
        ("3 and a half", None),
        ("4 cubed", None),
        ("10 thousandths", None),
        ("3,4", None),
        ("1,23", None),
        ("1_0", None),
        ("1/0", None),
        ("10^3", None),
        ("3:30", None),
        ("2019-05-01", None),
        ("5 of 6", None),
        ("nan", None),
        ("ten", None),
        ("v2", None),
        ("", None),
        ("1 1/0", None),
        ("9" * 64, 10**64 - 1),
        ("9" * 65, None),
        ("1" * 1000, None),
    ],
)
def test_the_value_of_a_text(text, value):
    found = parse_quantity(text)
    assert (None if found is None else found.value) == value


@pytest.mark.parametrize(
    ("answer", "truth", "same"),
    [
        ("12%", "12 %", True),
        ("12%", "0.12", True),
        ("12 percent", "12", True),
        ("12%", "0.12%", False),
        ("12%", "1.2", False),
        ("12\\%", "0.12", True),
        ("5^\\circ", "5 km", False),
        ("5 km", "5000 m", True),
        ("5 km", "5 m", False),
        ("5 km", "5", True),
        ("2 hours", "120 min", True),
        ("1 l", "1 kg", False),
        ("$5", "5 dollars", True),
        ("$5", "€5", False),
        ("$5", "5 km", False),
        ("5 apples", "5", True),
        ("20 °C", "20 °C", True),
        ("20 °C", "20 °F", False),
        ("20 °C", "68 °F", True),
        ("20 °C", "676 °F", False),
        ("0 °C", "273.15 K", True),
        ("3 dB", "3 neper", False),
        ("0 l", "0 kg", False),
        ("$0", "€0", False),
        ("5 l", "5 dm^3", True),
        ("USD 5", "$5", True),
        ("USD 5", "€5", False),
        ("5 dollars", "€5", False),
        ("5 apples", "5 pears", True),
        ("$5$", "€5", True),
        ("5/2", "5", False),
        ("2.5", "5/2", True),
        ("0.3333", "1/3", False),
    ],
)
def test_equal_quantities(answer, truth, same):
    a, b = parse_quantity(answer), parse_quantity(truth)
    assert (a.equals(b), b.equals(a)) == (same, same)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("It was $1,200 in 2019 and -5 % later.", ["$1,200", "2019", "-5 %"]),
        ("10-5=5", ["10", "5", "5"]),
        ("from 3-5 days", ["3", "5 days"]),
        ("Answer:-5", ["-5"]),
        ("H2O, CO2 and no1", []),
        ("区3个苹果", ["3"]),
        ("2,000,000.", ["2,000,000"]),
        ("3,4", ["3,4"]),
        ("about 3,4 of it", ["3,4"]),
        ("it is 3,4.", ["3,4"]),
        ("3,4 or 5.", ["3,4", "5"]),
        ("5 dollars or .5 km", ["5 dollars", ".5 km"]),
        ("it costs $- 5 now", ["$- 5"]),
        ("no digits", []),
    ],
)
def test_the_numbers_in_a_text(text, numbers):
    assert find_quantities(text) == numbers


@pytest.mark.parametrize(
    ("text", "folded"),
    [("-\\dfrac12", "-1/2"), ("2\\timesA", "2\\timesA"), ("x = \\frac{1}{2}", "x = 1/2"), ("(1\\frac12)", "(1 1/2)")],
)
def test_one_way_to_write_it(text, folded):
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("text", "start", "end", "found"), [("5/2 = 2.5", 0, 1, 3), ("72, which", 0, 3, 3), ("no 5", 0, 2, 2)]
)
def test_where_a_number_ends(text, start, end, found):
    assert number_end(text, start, end) == found


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3 + 4 = 7", "7"),
        ("so 72\n#### 72", "72"),
        ("#### $1,200 in 3 years", "$1,200"),
        ("The answer is 18. I needed 3 steps.", "18"),
        ("The answer is x = 18", "18"),
        ("The answer is 3 + 4 = 7.", "7"),
        ("The answer is 2.5, of 10 in all.", "2.5"),
        ("first \\boxed{1} then \\boxed{2} of 3", "2"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("7 is in \\boxed{blue}", None),
        ("答案是18。共3步", "18"),
        ("The answer is 3. No: the answer is 4.", "4"),
        ("She has 5 apples and 3 pears, 8 in all", "8"),
        ("it costs -$5", "-$5"),
        ("it is 12%", "12%"),
        ("The probability is 3/4.", "3/4"),
        ("The answer is 3/4. Done in 2 steps.", "3/4"),
        ("18 - 20 = - 2", "- 2"),
        ("The answer is 64 (= 16 × 4).", "64"),
        ("The answer is not 20 but 18.", "18"),
        ("The answer is 9*2 which gives 18.", "18"),
        ("The answer is minus 5", "-5"),
        ("none", None),
    ],
)
def test_the_number_that_a_solution_ends_in(text, number):
    assert final_number(text) == number


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("\\boxed{1} and \\boxed{2}", "2"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{x^{2}+\\frac{a}{b}}.", "x^{2}+\\frac{a}{b}"),
        ("\\boxed{\\{1,2\\}}", "\\{1,2\\}"),
        ("\\boxed{a \\boxed{b}}", "a \\boxed{b}"),
        ("\\boxed {3}", "3"),
        ("\\boxed 7", "7"),
        ("\\boxed 7 and \\boxed{8}", "8"),
        ("\\fbox{4}", "4"),
        ("\\boxed{}", ""),
        ("\\boxed{1", None),
        ("\\boxed{1} \\boxed{2", "1"),
        ("boxed{1}", None),
    ],
)
def test_inside_the_last_box(text, inside):
    assert inside_box(text) == inside


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"answer": "B"}', "B"),
        ('```json\n{"why": {"answer": 1}, "answer": 2.5}\n```', "2.5"),
        ('{"answer": 1} {"answer": 2}', "2"),
        ('{"answer": true}', "true"),
        ('{"answer": null}', None),
        ('{"answer": "a\nb"}', "a\nb"),
        ('{a {b {c {{"answer": 2}', "2"),
        ('{"answer": [1]}', None),
        ('{"other": 1}', None),
        ("{" * 1000, None),
        (r"\frac{1}{2}" * 150 + ' {"answer": "B"}', "B"),
        (r'{"answer": "\frac{1}{2}"}', r"\frac{1}{2}"),
        (r'{"answer": "a\nb"}', "a\nb"),
        ("no braces", None),
    ],
)
def test_a_value_of_the_last_object(text, value):
    assert json_value(text, "answer") == value


@pytest.mark.parametrize(
    ("answer", "truth", "same"),
    [
        ("\\frac{\\sqrt{3}}{2}", "\\sqrt{3}/2", True),
        ("(x+1)^2", "x^2+2x+1", True),
        ("(x+1)^2", "x^2+2x", False),
        ("\\{1,2\\}", "\\{2,1\\}", True),
        ("(1,2)", "(2,1)", False),
        ("[0,1)", "(0,1)", False),
        ("2^{10}", "1024", True),
        ("9^{9^{9^9}}", "1", False),
        ("99999999!", "1", False),
        ("", "", False),
        ("x" * 600, "x" * 600, False),
    ],
)
def test_formulas(answer, truth, same):
    assert same_formula(answer, truth) is same


@pytest.mark.parametrize(
    "piece", ["1,", "1 ", "$", "\\text{", "\\boxed{", "1/2 ", "-", "{", "1.2.3 ", "answer is 1 ", "#### "]
)
def test_hostile_text_takes_linear_time(piece):
    """20,000 characters at a quadratic cost would take minutes; the timeout of the test is the bound."""
    text = piece * (20_000 // len(piece))
    for find in (final_number, inside_box, parse_quantity):
        find(text)


def test_a_killed_process_is_no_verdict_and_an_interrupt_leaves_no_answer_behind(monkeypatch):
    assert formula.same_formula("x+6", "6+x") is True
    os.kill(formula._worker._process.pid, signal.SIGKILL)
    assert formula.same_formula("x+7", "7+x") is True

    class Interrupted(BaseException):
        pass

    def interrupt(*_):
        raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(formula.select, "select", interrupt)
        with pytest.raises(Interrupted):
            formula.same_formula("x+1", "1+x")
    assert [formula.same_formula(*pair) for pair in (("x+1", "x+2"), ("z+2", "2+z"), ("x+1", "1+x"))] == [
        False,
        True,
        True,
    ]


def test_a_fork_while_another_thread_compares_is_no_deadlock():
    with formula._worker._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if formula.same_formula("z+1", "1+z") else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
