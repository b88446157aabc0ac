"""Caption cleaning as the text-conditional LlamaGen and LaytonGen models were trained with.

The rules come from DeepFloyd IF and PixArt. Here they are tables, applied in order. They were made
for web captions and damage some prompts ("C++" becomes "c"). A model must still see captions as in
its training.
"""

import html
import re
import warnings
from collections.abc import Iterable
from urllib.parse import unquote_plus

__all__ = ["clean_caption"]

_Rule = tuple[re.Pattern[str], str]


def _rules(*rules: tuple[str, str]) -> tuple[_Rule, ...]:
    return tuple((re.compile(pattern), replacement) for pattern, replacement in rules)


def _address(scheme: str) -> str:
    """The head of an address with that scheme, or a domain name with its path."""
    domain = r"[a-z0-9.\-]+\.(?:com|co|ru|net|org|edu|gov|it)[\w/-]*\b/?(?!@)"
    return rf"\b(?:{scheme}:(?:/{{1,3}}|[a-z0-9%])|{domain})"


_FILE_TYPES = "(?:png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4)"
_DASHES = (
    "\u002d\u058a\u05be\u1400\u1806\u2010-\u2015\u2e17\u2e1a\u2e3a\u2e3b\u2e40"
    "\u301c\u3030\u30a0\ufe31\ufe32\ufe58\ufe63\uff0d"
)

_ADDRESSES = _rules((_address("https?"), ""), (_address("www"), ""))

_CHARACTERS = _rules(
    (r"@\w+", ""),  # nicknames
    ("[\u31c0-\u9fff]+", ""),  # CJK ideographs, strokes, enclosed letters; kana and hangul stay
    (f"[{_DASHES}]+", "-"),
    ("[`´«»“”¨]", '"'),
    ("[‘’]", "'"),
    ("&quot;?", ""),
    ("&amp", ""),
    (r"(?:\d{1,3}\.){3}\d{1,3}", " "),  # IP addresses
    (r"\d:\d\d\s+$", ""),  # a time at the end, if white space follows
    (r"\\n", " "),  # a backslash and an n
    (r"#\d{1,3}\b", ""),
    (r"#\d{5,}\b", ""),
    (r"\b\d{6,}\b", ""),
    (rf"\S+\.{_FILE_TYPES}", ""),  # file names
    (r"[\"']{2,}", '"'),
    (r"\.{2,}", " "),
    (r"[#®•©™&@·º½¾¿¡§~()\[\]{}|\\/*]+", " "),
    (r"\s+\.\s+", " "),
)

_WORDS = _rules(
    (r"\b[a-zA-Z]{1,3}\d{3,15}\b", ""),  # jc6640
    (r"\b[a-zA-Z]+\d+[a-zA-Z]+\b", ""),  # jc6640vc
    (r"\b\d+[a-zA-Z]+\d+\b", ""),  # 6640vc231
    (r"(?:worldwide\s+)?(?:free\s+)?shipping", ""),
    (r"(?:free\s)?download(?:\sfree)?", ""),
    (r"\bclick\b\s(?:for|on)\s\w+", ""),
    (rf"\b{_FILE_TYPES}(?:\simages?)?", ""),
    (r"\bpage\s+\d+\b", ""),
    (r"\b\d*[a-zA-Z]+\d+[a-zA-Z]+\d+[a-zA-Z\d]*\b", " "),  # j2d1a2a
    ("\\b\\d+\\.?\\d*[x\u0445×]\\d+\\.?\\d*\\b", ""),  # 1920x1080, also with the Cyrillic letter
    (r"\b\s+:\s+", ": "),
    (r"(\D[,./])\b", r"\1 "),  # a space after punctuation
    (r"\s+", " "),
)

_ENDS = _rules(
    (r"^[\"']([\w\W]+)[\"']$", r"\1"),
    (r"^['_,\-:;]", ""),
    (r"['_,\-:+]$", ""),
    (r"^\.\S+$", ""),
)


def clean_caption(caption: str) -> str:
    """Clean a caption for the text encoder; two passes, as in training.

    Args:
        caption: any text.

    Returns:
        lower-case text, without addresses, markup, file names, ideographs and most punctuation;
        empty if nothing remains.
    """
    return _clean_once(_clean_once(caption))


def _clean_once(caption: str) -> str:
    import ftfy

    text = unquote_plus(caption).strip().lower().replace("<person>", "person")
    text = _apply(_CHARACTERS, _without_markup(_apply(_ADDRESSES, text)))
    if text.count("-") + text.count("_") > 3:
        text = text.replace("-", " ").replace("_", " ")
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return _apply(_ENDS, _apply(_WORDS, text)).strip()


def _apply(rules: Iterable[_Rule], text: str) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def _without_markup(text: str) -> str:
    from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
        return BeautifulSoup(text, "html.parser").text
