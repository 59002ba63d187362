"""FinQA's two scores of an answer: cases by hand, laws of the notations, and the documented table."""

import itertools
import re
import time
import unicodedata
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtrain.scoring import numeric_scores, numerically_equal
from qtrain.scoring.number import CURRENCIES, PLAIN_WORDS, RATIOS, SCALES, THINGS, parse_number
from qtrain.scoring.numeric import official_number, officially_equal

PAGE = Path(__file__).parents[2] / "docs" / "scores.md"

# Minus signs by hand, and all that Unicode calls dashes but for wave dashes and the Japanese double hyphen.
DASHES = [
    *"-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63\ufe58\uff0d\u00ad\u2796\u2043\u02d7",
    *(
        chr(code)
        for code in range(0x20000)
        if unicodedata.category(chr(code)) == "Pd" and code not in (0x301C, 0x3030, 0x30A0)
    ),
]


@pytest.mark.parametrize(
    ("text", "value", "decimals", "factor"),
    [
        ("5", 5, 0, None),
        ("$ 11,736,600.00", 11_736_600, 2, None),
        ("$ 11736600.00 \\n", 11_736_600, 2, None),
        ("$ 11736600.00 \\\\n", 11_736_600, 2, None),
        ("-$5.3", Fraction("-5.3"), 1, None),
        ("$-5", -5, 0, None),
        ("- 5", -5, 0, None),
        ("\N{MINUS SIGN}5", -5, 0, None),
        ("( 5.3 % )", Fraction("-5.3"), 1, Fraction(1, 100)),
        ("it rose by 34.7%.", Fraction("34.7"), 1, Fraction(1, 100)),
        ("34.7 percent", Fraction("34.7"), 1, Fraction(1, 100)),
        ("$ 103.7 million", Fraction("103.7"), 1, 1_000_000),
        ("5 hundred thousand", 5, 0, 100_000),
        ("5 hundred percent", 5, 0, 1),
        (".5", Fraction(1, 2), 1, None),
        ("5.", 5, 0, None),
        ("1.25e3", 1250, -1, None),
        ("5×10⁻³", Fraction(5, 1000), 3, None),
        ("9" * 40, 10**40 - 1, 0, None),
    ],
)
def test_a_number_is_read(text: str, value: Fraction, decimals: int, factor: Fraction | None) -> None:
    number = parse_number(text)
    assert number is not None
    assert (number.value, number.decimals, number.unit.factor) == (value, decimals, factor)


NO_NUMBER = [
    *("", "yes", "five", "x5", "Q3", "½", "①", "⁵", "const_100"),
    *(
        "5 or 6",
        "5% in 2010",
        "3-5",
        "3–5%",
        "3 to 5",
        "2018 revenue was 5",
        "2 + 3 = 5",
        "1/2",
        "5½ or 6",
        "4 1/2",
        "5:1",
    ),
    *(
        "\\frac{1}{2}",
        "5 of 10",
        "5\n6",
        "1 200",
        "1'200",
        "5 (3)",
        "5 (5 gazillion)",
        "3 (-3)",
        "5 ( 5 ) 5",
        "34.72% (34.7%)",
    ),
    *("1,23", "12,345,67", "1.2.3", "5..3", "5_000", "2018\u00a0200", "5,3"),
    *("2^3", "5**2", "5²", "x^5", "5×10", "5 x 10", "5×1000", "5×10^3.5", "5e1000", "5×10^1000", "10^9999"),
    *(
        "--5",
        "- -5",
        "+-5",
        "±5",
        "\\pm 5",
        "+/-5",
        "x-5",
        "covid-19",
        "f(5)",
        "loss(5)",
        "((5))",
        "(5",
        "(5 of them)",
        "5-",
        "5.3%-",
    ),
    *("<5", "< 5", ">5", "≤5", "≥ 5", "less than 5", "more than 5", "at least 5", "√5", "\\sqrt{5}", "\\leq 5"),
    *("9" * 41, "0" * 40 + "5", "9" * 1000),
]


@pytest.mark.parametrize("text", NO_NUMBER)
def test_no_number_or_several_are_none(text: str) -> None:
    assert parse_number(text) is None
    assert not numerically_equal(text, "5")


RIGHT = {
    # gold: answers
    "34.7%": [
        "34.7%",
        "the portion is 34.72 %",
        "34.75%",
        "34.65%",
        "0.347",
        "34.7",
        "0.3475",
        "34.7 percent of sales",
        "$34.7$",
    ],
    ".347": ["34.7%", "347‰"],
    "27.9": ["27.9%", "$27.9", "27.9x", "27.9 million"],
    "1193550": [
        "1,193,550",
        "1\u202f193\u202f550",
        "1{,}193{,}550",
        "1\\,193\\,550",
        "１，１９３，５５０",
        "١٬١٩٣٬٥٥٠",
    ],
    "$ 103.7 million": [
        "$103.7 million",
        "103,700,000",
        "103.7",
        "0.1037 billion",
        "103.7m",
        "USD 103.7mm",
        "103.7 million dollars",
    ],
    "0": ["0.3", "-0", "-0.3", "(0.0)", "zero (0)"],
    "-5.3%": [
        *(
            "minus 5.3%",
            "Negative 5.3 percent",
            "-.053",
            "−\u00a05.3%",
            "－５．３％",
            "\u200e-5.3%",
            "the change is –5.3%",
            "= -5.3%",
        ),
        *(
            "(5.3%)",
            "( 5.3 % )",
            "(5.3)%",
            "（5.3%）",
            "(-5.3%)",
            "-(5.3%)",
            "-5.3% ( 5.3 % )",
            "\\boxed{-5.3\\%}",
            "-530 bps",
        ),
    ],
    "-12.5": [
        *(
            "(12.5)",
            "($12.5)",
            "$(12.5)",
            "$ ( 12.5 )",
            "(USD 12.5)",
            "($ 12.5)",
            "(12.5 EUR)",
            "-$12.5",
            "$-12.5",
            "-$ 12.5",
        ),
        *("EUR -12.5", "-EUR 12.5", "EUR-12.5", "minus $12.5", "negative 12.5", "a loss of (12.5)", "\\boxed{(12.5)}"),
    ],
    "12.5": [
        "(+12.5)",
        "+12.5",
        "+$12.5",
        "[12.5]",
        "\\(12.5\\)",
        "\\[ 12.5 \\]",
        "12.5 ( 12.5 )",
        "twelve point five (12.5)",
    ],
    "-1.2 million": ["(1.2 million)", "(1.2) million", "($1.2M)", "-$1.2M", "in millions: (1.2)", "(in millions) -1.2"],
    "1.2 million": [
        *(
            "1200 thousand",
            "1200\u200b thousand",
            "1200 thousands",
            "12000 hundred",
            "12000 hundreds",
            "1200K",
            "1200k",
            "1.2M",
            "1.2m",
            "1.2 mm",
            "1.2MM",
        ),
        *(
            "1.2 mn",
            "1.2 mln",
            "1.2 millions",
            "0.0012 bn",
            "0.0012B",
            "0.0012 billion",
            "0.0000012 trillion",
            "0.0000012 tn",
        ),
        *(
            "0.0000012T",
            "1.2 million shares",
            "1.2-million",
            "1.2 (in millions)",
            "1.2 in millions",
            "1.2, in millions",
        ),
        *(
            "1.2 dollars (in millions)",
            "1.2 million ($1,200,000)",
            "1.2e3 thousand",
            "12 hundred thousand",
            "US$1.2m",
            "1.2M€",
        ),
    ],
    "0.5%": [
        "50 bps",
        "50bps",
        "50 bp",
        "50 basis points",
        "0.5 percentage points",
        "0.5 pp",
        "0.5 p.p.",
        "0.005",
        "5‰",
        "5 per mille",
    ],
    "5%": [
        "5 percent",
        "5 per cent",
        "5pct",
        "5 pct.",
        "5-percent",
        "５%",
        "5％",
        "5﹪",
        "٥٪",
        "५%",
        "5\u200b%",
        "%5",
        "5\\%",
        "$5\\%$",
        "5% (0.05)",
    ],
    "5000": [
        *(
            "5e3",
            "5E3",
            "5E+3",
            "5.e3",
            "50000e-1",
            "5×10^3",
            "5x10^3",
            "5*10^3",
            "5·10^3",
            "5·10³",
            "5⋅10³",
            "5 × 10³",
            "5 x 10 ^ 3",
        ),
        *(
            "5*10**3",
            "5×10^{3}",
            "5 \\times 10^{3}",
            "$5 \\cdot 10^3$",
            "5×10^(3)",
            "5×10³.",
            "5 thousand",
            "5 (thousand)",
            "0.5×10⁴",
        ),
    ],
    "1000": ["10^3", "10³", "10**3", "$10^{3}$"],
    "0.005": ["5e-3", "5×10^-3", "5×10⁻³", "5×10^−3", "5×10^(-3)", "0.5%"],
    "250%": ["2.5x", "2.5×", "2.5 times", "2.5"],
    "5": [
        *(
            "$5",
            "€5",
            "€ 5",
            "£5",
            "¥5",
            "￥5",
            "₹5",
            "5€",
            "5 USD",
            "5 usd",
            "USD 5",
            "USD5",
            "5USD",
            "EUR 5",
            "US$5",
            "US$ 5",
            "C$5",
        ),
        *(
            "5 dollars",
            "5 US dollars",
            "5 U.S. dollars",
            "5 yen",
            "Rs. 5",
            "$5$",
            "\\$5",
            "$\\$5$",
            "$x = 5$",
            "$5 per share",
            "$5/share",
        ),
        *(
            "\\boxed{5}",
            "$\\boxed{5}$",
            "\\\\boxed{5}",
            "\\text{5}",
            "`5`",
            "**5**",
            "*5*",
            "_5_",
            "__5__",
            "<answer>5</answer>",
        ),
        *(
            "x = 5",
            "x=5",
            "5 = x",
            "Answer: 5",
            "the answer is 5.",
            "-> 5",
            "=> 5",
            "→ 5",
            "{'answer': 5}",
            "≈ 5",
            "~5",
            "approx. 5",
        ),
        *(
            "5 (five)",
            "five (5)",
            "5 (rounded)",
            "5 (as the report has it)",
            "5;",
            "5!",
            "5,",
            "5。",
            '"5"',
            "“5”",
            "5...",
            "5\n",
            "5\nSince it is so.",
        ),
        *(
            "5 shares",
            "5 companies",
            "5 years",
            "5-year",
            "5 of the stores",
            "5 in total",
            "〜5",
            "5 in cash",
            "5₿",
            "₩5",
            "5 is right",
            "5 per share",
            "Q4 had 5",
        ),
        *("٥", "۵", "५", "５", "𝟓", "\ufeff5", "5.0", "5.00"),
    ],
    "$5": ["5 USD", "C$5", "5", "5 dollars"],
    "5 shares": ["5", "5 share", "5 shares"],
    "5 km": ["5 km", "5km", "5 kms", "5"],
    "3-5%": ["3–5%", "3-5% ."],
}


@pytest.mark.parametrize(("answer", "gold"), [(answer, gold) for gold, answers in RIGHT.items() for answer in answers])
def test_right_answers(answer: str, gold: str) -> None:
    assert numeric_scores(answer, (gold,))["numeric"] == 1


WRONG = {
    "34.7%": [
        "34.76%",
        "34%",
        "0.3476",
        "3.47",
        "-34.7%",
        "34.7 million",
        "$34.7",
        "34.7 shares",
        "34.7‰",
        "34.7 bps",
        "34.7x",
        "34.7 ppm",
        "34.7 per million",
    ],
    "5%": ["5 per thousand", "5 million", "5 per mille", "5 bps", "5 ppm"],
    "1.2 million": [
        *(
            "1.2 bn",
            "1.2 hundred",
            "1.2 trillion",
            "1.2 thousand",
            "1.2K",
            "1.2B",
            "1.2T",
            "1.2 tn",
            "1.2%",
            "1.2 bps",
            "1.2x",
            "1.2e6 million",
        ),
        *(
            "1.2 gazillion",
            "1.2 zillion",
            "1.2 quadrillion",
            "1.2 lakh",
            "1.2 crore",
            "1.2 dozen",
            "1.2 foos",
            "1.2t",
            "1.2 km",
            "1.2km",
            "1.2㎞",
        ),
        *(
            "1.2万",
            "1.2億",
            "1.2 Mrd",
            "1.2 m²",
            "1.2 m^2",
            "1.2㎡",
            "1.2 (gazillion)",
            "1.2 in thousands",
            "1.2 (in billions)",
            "in billions: 1.2",
        ),
    ],
    "5": [
        *(
            "5 gazillion",
            "5 km",
            "5th",
            "5pm",
            "5°",
            "5½",
            "5 ½",
            "5₁",
            "5 and a half",
            "5 per million",
            "5万",
            "5円",
            "5 XYZ",
            "6",
            "-5",
            "(5)",
        ),
        *("10-K", "5 cents"),
    ],
    "10": ["10-K", "10-Q"],
    "51": ["5½", "5¹", "5₁", "5①"],
    "52": ["5²", "5**2"],
    "$5": ["€5", "5 EUR", "£5", "5%"],
    "5 USD": ["C$5", "5 CAD"],
    "5 shares": ["5 years", "5%", "6 shares"],
    "5 km": ["5 miles", "5 million", "5%", "5 gazillion", "6 km"],
    "250": ["2.5x"],
    "2.5%": ["2.5x", "2.5 times"],
    "-93": ["93 ( 93 )", "93"],
    "3-5%": ["35%", "3 to 5%", "-3-5%"],
    "-3 to 5": ["3 to 5"],
    "380": ["380 and 5", "none", ""],
    "0": ["0.6"],
    "1.2 trillion": ["1.2t", "1.2 t", "1.2 bn"],
    "€5 million": ["5 dollars (in millions)", "$5 million"],
    "5000": ["5e3.5", "5e2", "5e", "5 e3 m", "5×1000", "-5e3"],
    "yes": ["no", "1", "yes they were", ""],
}


@pytest.mark.parametrize(("answer", "gold"), [(answer, gold) for gold, answers in WRONG.items() for answer in answers])
def test_wrong_answers(answer: str, gold: str) -> None:
    assert numeric_scores(answer, (gold,))["numeric"] == 0


REPORTED = [
    ("1.2 bn", "1.2 million", False),
    ("1.2 hundred", "1.2 million", False),
    ("1.2 trillion", "1.2 million", False),
    ("\u20135.3%", "5.3%", False),
    ("1200 thousands", "1.2 million", True),
    ("50 bps", "0.5%", True),
    ("5e3", "5000", True),
    ("5\xd710^3", "5000", True),
    ("\u0665%", "5%", True),
    ("\u20115.3%", "-5.3%", True),
    ("\u20145.3%", "-5.3%", True),
    ("\ufe635.3%", "-5.3%", True),
    ("\uff0d5.3%", "-5.3%", True),
    ("\uff15%", "5%", True),
    ("34.7", "34.7%", True),
    ("(5.3%)", "-5.3%", True),
    ("(12.5)", "-12.5", True),
    ("($12.5)", "-12.5", True),
    ("$1.2 million", "1.2", True),
    ("1200000", "$ 1.2 million", True),
    ("$1.2M", "$1.2 million", True),
    ("1.2bn", "1.2 billion", True),
    ("1200 thousand", "1.2 million", True),
    ("yes.", "yes", True),
    ("3 (three)", "3", True),
    ("x = 3", "3", True),
    ("\\boxed{3}", "3", True),
    ("`3`", "3", True),
    ("5 percent", "5%", True),
    ("5pct", "5%", True),
    ("\u20ac5", "5", True),
    ("5 USD", "5", True),
    ("$5", "$5", True),
    ("-$ 5", "-5", True),
    ("2.5x", "2.5", True),
    ("11.7%", "11.7", True),
]
"""Answers that were reported as scored wrongly, and their neighbours."""


@pytest.mark.parametrize(("answer", "gold", "right"), REPORTED)
def test_reported_answers(answer: str, gold: str, right: bool) -> None:
    assert numeric_scores(answer, (gold,))["numeric"] == right


@pytest.mark.parametrize("dash", sorted(set(DASHES)), ids=lambda dash: f"U+{ord(dash):04X}")
def test_every_dash_is_a_minus_sign(dash: str) -> None:
    for answer in (f"{dash}5.3%", f"{dash} 5.3%", f"${dash}5.3", f"({dash}5.3%)", f"it is {dash}5.3"):
        number = parse_number(answer)
        assert number is not None
        assert number.value == Fraction("-5.3")
    assert parse_number(f"3{dash}5") is None


@pytest.mark.parametrize(
    "answer",
    ["yes.", "Yes", "YES!", "`yes`", "**Yes**", "\\boxed{yes}", "\\text{Yes.}", "ＹＥＳ", "yes。", "“yes”", " yes\n"],
)
def test_a_gold_answer_without_a_number_is_compared_as_text(answer: str) -> None:
    assert numeric_scores(answer, ("yes",))["numeric"] == 1
    assert numeric_scores(answer, ("no",))["numeric"] == 0
    with pytest.raises(ValueError, match="'yes' names no number"):
        numerically_equal("1", "yes")


def decimal(digits: int, decimals: int, *, commas: bool = False) -> str:
    """The number digits * 10^-decimals, written out."""
    whole = f"{digits // 10**decimals:,}" if commas else f"{digits // 10**decimals}"
    return f"{whole}.{digits % 10**decimals:0{decimals}}" if decimals else whole


def exact_decimal(value: Fraction) -> str:
    """A terminating decimal, written out."""
    decimals = next(n for n in itertools.count() if (value * 10**n).denominator == 1)
    return decimal(int(value * 10**decimals), decimals)


SCRIPTS = [0x660, 0x6F0, 0x966, 0xFF10, 0x1D7CE]
"""Where the digits of a script begin: Arabic-Indic, Persian, Devanagari, full-width, mathematical bold."""


@st.composite
def notations(draw: st.DrawFn, digits: int, decimals: int) -> str:
    """A number in one of the notations of digits and powers of ten."""
    power = draw(st.integers(-6, 6))
    mantissa = exact_decimal(Fraction(digits, 10**decimals) / Fraction(10) ** power)
    raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    script = draw(st.sampled_from(SCRIPTS))
    plain = decimal(digits, decimals)
    return draw(
        st.sampled_from(
            [
                plain,
                decimal(digits, decimals, commas=True),
                plain.translate({ord("0") + n: chr(script + n) for n in range(10)}),
                f"{mantissa}e{power}",
                f"{mantissa}E{power:+}",
                f"{mantissa}×10^{power}",
                f"{mantissa} x 10^{power}",
                f"{mantissa}*10^{power}",
                f"{mantissa}·10{raised}",
                f"{mantissa} \\times 10^{{{power}}}",
            ]
        )
    )


MINUSES = st.one_of(st.sampled_from(sorted(set(DASHES))), st.sampled_from(["minus ", "negative ", "- "]))
WRAPS = st.sampled_from(
    ["{}", " {}\n", "{}.", "`{}`", "**{}**", "x = {}", "Answer: {}", "\\boxed{{{}}}", "<b>{}</b>", "“{}”"]
)
MONEY = st.sampled_from([("", ""), ("$", ""), ("€ ", ""), ("USD ", ""), ("", " EUR"), ("", "£")])
SCALE_WORDS = [(word, factor) for factor, words in SCALES.items() for word in words]
RATIO_WORDS = [(word, factor) for factor, words in RATIOS.items() for word in words]


@st.composite
def written(draw: st.DrawFn, digits: int, decimals: int, unit: str, *, negative: bool, money: bool) -> str:
    """A number with a unit, in any notation, sign, bracket, currency and wrapping."""
    body = draw(notations(digits, decimals))
    before, after = draw(MONEY) if money else ("", "")
    body = before + body + (f" {unit}" if unit else "") + after
    if negative:
        body = f"({body})" if draw(st.booleans()) else draw(MINUSES) + body
    return draw(WRAPS).format(body)


SIZES = {"digits": st.integers(1, 10**9), "decimals": st.integers(0, 4), "negative": st.booleans(), "data": st.data()}


@given(**SIZES, unit=st.sampled_from([("", Fraction(1)), *SCALE_WORDS]))
def test_every_notation_of_an_amount_is_its_plain_form(
    digits: int, decimals: int, negative: bool, data: st.DataObject, unit: tuple[str, Fraction]
) -> None:
    word, factor = unit
    plain = exact_decimal(Fraction(digits, 10**decimals) * factor)
    answer = data.draw(written(digits, decimals, word, negative=negative, money=True))
    assert numerically_equal(answer, f"-{plain}" if negative else plain), answer
    assert not numerically_equal(answer, plain if negative else f"-{plain}"), answer


@given(**SIZES, unit=st.sampled_from(RATIO_WORDS))
def test_every_notation_of_a_ratio_is_its_percentage(
    digits: int, decimals: int, negative: bool, data: st.DataObject, unit: tuple[str, Fraction]
) -> None:
    word, factor = unit
    plain = exact_decimal(Fraction(digits, 10**decimals) * factor * 100) + "%"
    answer = data.draw(written(digits, decimals, word, negative=negative, money=False))
    assert numerically_equal(answer, f"-{plain}" if negative else plain), answer
    assert not numerically_equal(answer, plain if negative else f"-{plain}"), answer


@given(**SIZES, units=st.tuples(st.sampled_from(SCALE_WORDS + RATIO_WORDS), st.sampled_from(SCALE_WORDS + RATIO_WORDS)))
def test_another_unit_never_matches(
    digits: int,
    decimals: int,
    negative: bool,
    data: st.DataObject,
    units: tuple[tuple[str, Fraction], tuple[str, Fraction]],
) -> None:
    (ours, factor), (theirs, other) = units
    answer = data.draw(written(digits, decimals, ours, negative=negative, money=False))
    gold = f"{'-' if negative else ''}{decimal(digits, decimals)} {theirs}"
    same_dimension = (units[0] in SCALE_WORDS) == (units[1] in SCALE_WORDS)
    assert numerically_equal(answer, gold) is (same_dimension and factor == other), (answer, gold)


@given(**SIZES, word=st.text("abcdefghijklmnopqrstuvwxyzéßжд", min_size=1, max_size=12))
def test_an_unknown_unit_matches_itself_alone(
    digits: int, decimals: int, negative: bool, data: st.DataObject, word: str
) -> None:
    if {word, word.removesuffix("s"), word.removesuffix("es"), re.sub("ies$", "y", word)} & KNOWN_WORDS:
        return
    answer = data.draw(written(digits, decimals, word, negative=False, money=False))
    plain = decimal(digits, decimals)
    for unit in ("", "million", "%", "USD", "shares"):
        assert not numerically_equal(answer, f"{plain} {unit}"), answer
    assert numerically_equal(answer, f"{plain} {word}"), answer


KNOWN_WORDS = {word.lower() for word, _ in SCALE_WORDS + RATIO_WORDS} | {*CURRENCIES, *THINGS, *PLAIN_WORDS, "e"}


@given(**SIZES, joint=st.sampled_from([" ", " and ", ", ", "-", " – ", " to ", "/", " = ", "\n", " (as of 2018) "]))
def test_two_numbers_are_none(digits: int, decimals: int, negative: bool, data: st.DataObject, joint: str) -> None:
    # After a blank the second number is another one, since a bracket may repeat the number: "-93 (93)" names -93.
    second = digits + 1 if joint == " " else digits
    numbers = [data.draw(written(number, decimals, "", negative=negative, money=True)) for number in (digits, second)]
    assert parse_number(joint.join(numbers)) is None


@given(st.integers(-(10**9), 10**9), st.integers(0, 4), st.booleans(), st.integers(-60, 60))
def test_the_tolerance_is_half_of_the_last_digit(digits: int, decimals: int, percent: bool, tenths: int) -> None:
    moved = 100 * abs(digits) + tenths  # hundredths of the last digit
    if moved < 0:
        return
    sign, unit = "-" if digits < 0 else "", "%" if percent else ""
    gold = sign + decimal(abs(digits), decimals, commas=True) + unit
    assert numerically_equal(sign + decimal(moved, decimals + 2) + unit, gold) is (abs(tenths) <= 50)


PIECES = [
    *(
        "1",
        " ",
        "1,",
        "-",
        "1,111",
        "a1",
        "(",
        "1 ",
        "1-",
        "$",
        ".",
        "$a",
        "\\",
        "\\a",
        "<",
        "<a",
        "^",
        "⁵",
        "⁺",
        "{",
        "*",
        "_",
    ),
    *(
        "1e",
        "10^",
        "x10^",
        "5 million ",
        "million ",
        "minus ",
        "(5)",
        "5 (",
        "–",
        "½",
        "\u200b",
        "EUR",
        "EUR5",
        "%",
        "( in ",
        "a.",
        "per ",
    ),
    *("\\,", "{,}", "1\u00a0", "\n", ")"),
]


@pytest.mark.parametrize("piece", PIECES)
def test_time_is_linear_in_the_length(piece: str) -> None:
    hostile = piece * (200_000 // len(piece))
    start = time.process_time()
    assert numeric_scores(f"5{hostile}x", ("7",))["numeric"] == 0
    # About 0.07 s; a pattern that went back over the text once would take seconds.
    assert time.process_time() - start < 1


@given(
    st.lists(st.sampled_from([*PIECES, "5", "%", "bn", "three", "in millions", "\\%", "10^3"]), max_size=8).map("".join)
)
def test_every_text_that_names_a_number_equals_itself(text: str) -> None:
    number = parse_number(text)
    assert number is None or numerically_equal(text, text)


def test_digits_scripts_and_separators() -> None:
    assert numerically_equal("١٬٢٠٠٫٥", "1200.5")
    for code in range(0x20000):
        if unicodedata.category(chr(code)) == "Nd":
            assert numerically_equal(f"1{chr(code)}%", f"1{unicodedata.decimal(chr(code))}%")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("5", 5.0),
        (" 1,193,550\n", 1193550.0),
        ("-5.3", -5.3),
        ("34.7%", 0.347),
        ("% 5", 0.05),
        ("5%%", 0.05),
        ("5e3", 5000.0),
        ("1_000", 1000.0),
        ("const_100", 100.0),
        ("const_m1", -1.0),
        ("m1", None),
        ("const_m2", None),
        ("$5", None),
        ("5 million", None),
        ("(5)", None),
        ("−5", None),
        ("nan", None),
        ("inf", None),
        ("5 const_1", None),
        ("", None),
    ],
)
def test_numbers_as_the_official_evaluation_reads_them(text: str, number: float | None) -> None:
    assert official_number(text) == (number if number is None else pytest.approx(number, rel=1e-15))


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("34.7%", "34.7%", True),
        ("0.347", "34.7%", True),
        ("0.347004", "34.7%", True),
        ("0.347006", "34.7%", False),
        ("34.7", "34.7%", False),
        ("34.72%", "34.7%", False),
        ("5.000001", "5", True),
        ("5.00001", "5", False),
        ("yes", "yes", True),
        (" yes\n", "yes", True),
        ("Yes", "yes", False),
        ("yes.", "yes", False),
        ("1", "yes", False),
        ("five", "5", False),
        ("$ 103.7 million", "$ 103.7 million", True),
        ("103.7", "$ 103.7 million", False),
    ],
)
def test_the_official_literal_rule(answer: str, gold: str, right: bool) -> None:
    assert officially_equal(answer, gold) is right
    assert numeric_scores(answer, (gold,))["numeric_official"] == right


def table() -> list[list[str]]:
    """Rows of the page's table of both rules."""
    lines = PAGE.read_text(encoding="utf-8").split("| written |")[1].splitlines()[2:]
    return [re.split(r" ?\| ?", line)[1:-1] for line in itertools.takewhile(lambda line: line.startswith("|"), lines)]


def spans(cell: str) -> list[str]:
    """What a cell has as code."""
    return re.findall(r"(?:``\s|`)(.+?)(?:\s``|`)", cell)


@pytest.mark.parametrize("row", table(), ids=lambda row: row[0])
def test_each_row_of_the_documented_table(row: list[str]) -> None:
    (answer,), (gold,) = spans(row[3]), spans(row[4])
    assert numeric_scores(answer, (gold,)) == {"numeric": float(row[5]), "numeric_official": float(row[6])}


def test_the_table_names_the_units_and_words_that_are_known() -> None:
    cells = {row[0]: row[1] for row in table()}
    for name, units in (("scale words", SCALES), ("units of ratios", RATIOS)):
        groups = [group.rpartition(": ") for group in cells[name].partition(". ")[0].split("; ")]
        assert {Fraction(factor.replace(",", "")): tuple(spans(words)) for words, _, factor in groups} == units
    assert {word.lower() for word in spans(cells["currencies"])} == set(CURRENCIES)
    assert set(spans(cells["counted nouns"])) == THINGS
    assert set(spans(cells["words that are no unit"])) == PLAIN_WORDS
