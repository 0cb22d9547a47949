"""How much is left of a span, by the model of its keys and by what was read of it. Pure."""

from __future__ import annotations

from typing import Final

from asyncref.engine.scan.alphabet import Alphabet, common_prefix
from asyncref.engine.scan.outlook import SAME, Outlook, look
from asyncref.engine.scan.span import Span

GUESS: Final = 20.0
"""What a guess counts at most, in multiples of what was found: four letters that nobody saw may hold a quarter of all keys."""
SAMPLED_GUESS: Final = 2.0
"""The same for an estimate, which nothing corrects: a tree of days was reckoned at six times itself."""


def measure(alphabet: Alphabet, span: Span, depth: int, guess: float = GUESS) -> None:
    """Note in a span what is left of it; asked for only when workers are idle.

    A guess counts as well, within bounds: what is there is known after one request, and else is left to one worker.

    Args:
        alphabet: The model.
        span: It.
        depth: How many characters all keys share.
        guess: What a guess counts at most, in multiples of what was found.
    """
    if span.position is not None:
        _advance(alphabet, span, span.position)
        ahead = outlook(alphabet, span, span.position, depth)
        span.sure = ahead.sure
        span.left = ahead.left if ahead.sure else ahead.near + min(ahead.far, guess * ahead.found)


def outlook(alphabet: Alphabet, span: Span, position: str, depth: int) -> Outlook:
    """What lies ahead of a position of a span."""
    return look(
        alphabet,
        stretch=(span.origin, position, max(1, span.stretch)),
        read=(span.base, span.rows),
        last=span.last,
        beyond=span.beyond,
        prefix=depth,
    )


def may_differ(span: Span, depth: int) -> bool:
    """Whether keys that are unlike all of a span so far may follow in it; all keys share `depth` characters."""
    if span.position is None:
        return False
    if span.last is not None:
        depth = common_prefix(span.position, span.last)
    return common_prefix(span.base, span.position) > depth


def _advance(alphabet: Alphabet, span: Span, last: str) -> None:
    """Let the estimate know of the unread pages: the stretch goes on if they are about as dense."""
    if span.unread is None:
        return
    (first, kept), known = span.unread, span.known
    span.unread, span.known = None, last
    span.base = span.base or first
    origin, until, rows = span.heritage or ("", "", 0) if known is None else (span.origin, known, span.stretch)
    near = known is not None or common_prefix(until, first) >= common_prefix(origin, until) - 1
    if origin and near and origin < first < last:
        depth = common_prefix(origin, last)
        before = alphabet.distance(origin, until, depth) / max(1, rows)
        now = alphabet.distance(first if known is None else until, last, depth) / max(1, kept)
        if 0 < now <= before * SAME and before <= now * SAME:
            jumped = alphabet.distance(until, first, depth) / before if known is None else 0.0
            span.origin, span.stretch = origin, rows + round(jumped) + kept
            return
    span.origin, span.stretch = first, kept
