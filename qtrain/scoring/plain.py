r"""Normalise a text before its number is parsed: ASCII digits and signs, no LaTeX, tags or emphasis.

Every regular expression either looks at a bounded number of characters or consumes them without backtracking, so the
time is linear in the length of the text.
"""

import re
import unicodedata

OTHER_DASHES = "\u00ad\u02d7\u2043\u2052\u207b\u208b\u2212\u2796"
"""Minus signs and dashes outside the Unicode category Pd; the soft hyphen occurs in text from PDF files."""

WAVES = "\u301c\u3030\u30a0"
"""Characters of the category Pd that are not minus signs."""


class _Characters(dict[int, str]):
    """The plain form of each character, for `str.translate`; computed at a character's first use."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        if char in OTHER_DASHES or (category == "Pd" and char not in WAVES):
            form = "-"
        elif category == "Nd":
            form = str(unicodedata.decimal(char))
        elif category == "Cf":
            form = ""  # zero-width characters and direction marks
        else:
            form = unicodedata.normalize("NFKC", char)
            # The NFKC forms of "½" or "①" would merge with the digits before them: 5½ is not 51/2.
            if any(map(str.isnumeric, form)):
                form = char
        self[code] = form
        return form


_CHARACTERS = _Characters(
    {ord(sign): "×" for sign in "·⋅∙∗✕✖⨯⨉"} | {ord("٪"): "%", ord("٫"): ".", ord("٬"): ",", ord("。"): "."}
)
_SUPERSCRIPT = re.compile("[⁺⁻]?[⁰¹²³⁴-⁹]++")

# Spaces that separate groups of digits, also in LaTeX.
_GROUPS = re.compile(r"(?<=\d)(?:[\u00a0\u2007\u2009\u202f]|\\,|\{,\})(?=\d{3}(?!\d))")

_MATHS = re.compile(r"(?<!\\)\$\$?((?:[^$\\\n]|\\.)++)(?<!\\)\$\$?")
_COMMANDS = {"times": "×", "cdot": "×", "pm": "±", "mp": "∓", "sqrt": "√", "percent": "%"} | dict.fromkeys(
    ("lt", "gt", "le", "ge", "leq", "geq"), "<"
)
_MARKUP = re.compile(
    r"""\\++(?:(?P<command>[A-Za-z]++)
              |(?P<symbol>[%$\#&])
              |(?s:.)|\Z)                        # \( \[ \; and similar
        |</?[A-Za-z][^<>\n]{0,40}+>              # tags
        |(?<![\d*])\*\*|\*\*(?![ ]?[-+\d])       # emphasis, not a power
        |__|(?<!\w)_|_(?!\w)|[{}`]
    """,
    re.VERBOSE,
)
_BLANKS = re.compile(r"[^\S\n]++")


def plain(text: str) -> str:
    """Normalise a text to ASCII digits, "-" for any dash, "^3" for superscripts, single blanks, and no markup."""
    text = _GROUPS.sub(",", text)
    if not text.isascii():
        text = _SUPERSCRIPT.sub(lambda digits: "^" + unicodedata.normalize("NFKC", digits[0]), text)
        text = text.translate(_CHARACTERS)
    text = _MATHS.sub(r" \1 ", text)
    text = _MARKUP.sub(lambda part: part["symbol"] or _COMMANDS.get(part["command"] or "", " "), text)
    return _BLANKS.sub(" ", text).strip(" \n*")
