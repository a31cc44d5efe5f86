"""The frame of an HTML page: its head with the policy of what it may load, its style, and text that is only text."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable

from gadkit.words import printable

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5f6368; --paper: #fff; --card: #f4f5f7; --line: #dfe1e5;
  --bar: #4a7fd6; --warn: #8a5a00; --bad: #b3261e; --good: #146c43 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e7e9; --soft: #a0a4ab; --paper: #16181b; --card: #212429;
  --line: #363a41; --bar: #6f9df0; --warn: #f0b95a; --bad: #f28b82; --good: #6fd3a0 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 70rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
p { margin: .3rem 0 }
.whole { white-space: nowrap }
.soft { color: var(--soft) }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: .6rem; margin: 1rem 0 }
.fact { background: var(--card); border-radius: .5rem; padding: .6rem .8rem }
.fact b { display: block; font-size: 1.35rem; font-weight: 600 }
figure { margin: 0; background: var(--card); border-radius: .5rem; overflow: hidden }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
td, th { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td.name { overflow-wrap: anywhere; min-width: 8rem; max-width: 26rem }
td.number { text-align: right; white-space: nowrap; width: 1% }
.bar { display: block; height: .8rem; min-width: 2px; border-radius: 2px; background: var(--bar) }
li { margin: .2rem 0; overflow-wrap: anywhere }
.warn::marker, .warn b { color: var(--warn) }
.bad { color: var(--bad) }
details > summary { cursor: pointer; color: var(--soft) }
code { background: var(--card); border-radius: .3rem; padding: .15rem .4rem; font-size: .9rem; overflow-wrap: anywhere }
"""


def document(
    title: str, body: Iterable[str], *, style: str = "", script: str = "", holds: Iterable[str] = ("img",)
) -> str:
    """A page, whole and alone: a browser loads nothing for it, and runs nothing of it but `script`.

    Args:
        title: Its title, any text.
        body: HTML, piece by piece; whatever is not the page's own stands in it by way of `plain`.
        style: CSS beside what all pages have.
        script: JavaScript, which runs when the page is there. It is no text of others: it stands as it is.
        holds: What is embedded as `data:`, by the names of the policy: `img`, `media`.
    """
    policy = ["default-src 'none'", *(f"{kind}-src data:" for kind in holds), "style-src 'unsafe-inline'"]
    policy += ["base-uri 'none'", "form-action 'none'"]
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
        policy.append(f"script-src 'sha256-{digest}'")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(policy)}">'
        f"<title>{plain(title)}</title><style>{_STYLE}{style}</style></head>\n<body>\n"
        + "\n".join(piece for piece in body if piece)
        + (f"\n<script>{script}</script>" if script else "")
        + "\n</body></html>\n"
    )


def plain(value: object) -> str:
    """Any value as text in HTML, between tags or in a quoted attribute; what does not print is spelled out."""
    return html.escape(printable(str(value)))


def fact_cards(facts: Iterable[tuple[str, str]]) -> str:
    """Cards, one for each value with what it is the value of."""
    cards = "".join(f'<div class="fact"><b>{plain(value)}</b>{plain(name)}</div>' for value, name in facts)
    return f'<div class="facts">{cards}</div>'


def section(title: str, content: str, style: str = "") -> str:
    """A heading with what stands under it; nothing where that is nothing.

    Args:
        title: Any text.
        content: HTML.
        style: A class of the heading.
    """
    named = f' class="{style}"' if style else ""
    return f"<h2{named}>{plain(title)}</h2>{content}" if content else ""
