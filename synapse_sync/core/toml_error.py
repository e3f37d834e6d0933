"""Mistakes in TOML: where they are, the line with a caret below it, and the way to write what was meant."""

from __future__ import annotations

import re
import unicodedata

#: Columns of a line that are shown; a longer one is cut around the mistake.
_WIDTH = 96
_CONFLICT = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)
_CONFLICTS = "merge conflict markers"
_CURLY = dict.fromkeys("“”„‟″＂«»", '"') | dict.fromkeys("‘’‚‛′＇‹›`", "'")
#: Signs of a line that may hold a token, so that it must not be printed as it is.
_SECRET = re.compile(
    r"token|secret|passw|api.?key|\bkey\b|auth|credential|bearer|\bhf_|\bghp_|github_pat", re.IGNORECASE
)
_WORDS = {"yes": "true", "on": "true", "no": "false", "off": "false", "true": "true", "false": "false"}
_TWICE = ("Cannot overwrite", "Cannot declare", "Cannot mutate", "Duplicate")
_ESCAPES = ("Invalid hex value", "Unescaped '\\'", "Escaped character")
_NOTHING = {"none", "null", "nil", "undefined"}
_PATH_HINT = "in double quotes `\\` begins an escape; use single quotes or forward slashes"


class TomlError(ValueError):
    """A text that is not valid TOML.

    `what` names the mistake, `hint` the right way to write it. `line` and `column` count from 1, or are None for a
    mistake without a place. `excerpt` is the line with a caret below it, without any token, or empty.
    """

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.line: int | None = None
        self.column: int | None = None
        self.excerpt = ""
        self._conflict = what == _CONFLICTS

    def in_file(self, name: str) -> str:
        """The whole message: file, line, column, what is wrong, and the line itself."""
        if self._conflict:
            return f"{name}:{self.line}: {self.what}"
        where = name if self.line is None else f"{name}:{self.line}:{self.column}"
        return f"{where}: not valid TOML: {self.what}{self.excerpt}"


def explained(text: str, words: str, position: int) -> TomlError:
    """Return the mistake at a position of a text; `words` are those of the reader."""
    if (conflict := _CONFLICT.search(text)) is not None:
        return placed(TomlError(_CONFLICTS, hint="resolve the merge first"), text, conflict.start())
    position = min(position, len(text))
    if words.startswith('Expected "\'"'):  # the reader has searched for the quote up to the end of the text
        end = text.find("\n", text.rfind("'", 0, position))
        position = position if end < 0 else end
    if not text[position:].strip() and words != "Invalid value":  # the reader has searched for the end
        position = len(text[:position].rstrip())
    if words.startswith(_ESCAPES):  # the reader is behind the backslash already
        position = max(text.rfind("\\", 0, position + 1), 0)
    spot = _Spot(text, position)
    what, hint = spot.explain(words)
    if words.startswith(_TWICE):  # the reader stops behind the value
        position += len(spot.line) - len(spot.line.lstrip()) - len(spot.before)
    return placed(TomlError(what, hint=hint), text, position)


def placed(error: TomlError, text: str, position: int) -> TomlError:
    """Return the mistake with its line, its column and an excerpt."""
    spot = _Spot(text, position)
    error.line, error.column = text.count("\n", 0, position) + 1, len(spot.before) + 1
    error.excerpt = "".join(f"\n{line}" for line in spot.excerpt())
    return error


class _Spot:
    """The place of a mistake: its line, and the parts of it before and after."""

    def __init__(self, text: str, position: int) -> None:
        start = text.rfind("\n", 0, position) + 1
        end = text.find("\n", position)
        self.text = text
        self.position = position
        self.line = text[start : len(text) if end < 0 else end].rstrip("\r")
        self.before = text[start:position]
        self.rest = self.line[position - start :]
        self.secret = _SECRET.search(self.line) is not None or _SECRET.search(_table_of(text[:start])) is not None

    # -- the line itself ---------------------------------------------------------------------------

    def excerpt(self) -> tuple[str, ...]:
        """Return the line and the caret; in a value that may be a token, `*` replaces letters and digits."""
        shown = self.line
        if self.secret:
            key, equals, value = shown.partition("=")
            shown = key + equals + re.sub(r"\w", "*", value) if equals else re.sub(r"\w", "*", shown)
        shown = "".join(char if char.isprintable() else " " for char in shown)
        at = len(self.before)
        first = max(0, min(at - _WIDTH // 2, len(shown) - _WIDTH))
        part = shown[first : first + _WIDTH]
        if not part.strip():
            return ()
        return part, " " * sum(_columns(char) for char in part[: at - first]) + "^"

    # -- what is wrong, and what was meant ---------------------------------------------------------

    def explain(self, words: str) -> tuple[str, str]:
        """Return the mistake and the hint, from the words of the reader and the line."""
        rules = (
            self._character,
            self._backslash,
            self._twice,
            self._string,
            self._value,
            self._statement,
            self._end,
        )
        found = next((answer for rule in rules if (answer := rule(words)) is not None), None)
        what, hint = found or (_lower(words), "strings need quotes, and every line is `key = value` or `[table]`")
        return what, hint

    def _as_written(self, line: str) -> str:
        """Return `: ` and a corrected line for a hint; nothing if the line may hold a token."""
        return "" if self.secret else f": `{line.strip()}`"

    def _character(self, words: str) -> tuple[str, str] | None:
        """A character that looks like a plain one, or like none."""
        char = self.rest[:1]
        if char in _CURLY or (words == "Invalid value" and any(c in _CURLY for c in self.rest)):
            plain = "".join(_CURLY.get(c, c) for c in self.line)
            return "curly quotes", f"use straight quotes, `\"` or `'`{self._as_written(plain)}"
        if words.startswith("Illegal character") and char.strip() == "" and char in ("", "\n", "\r"):
            return None
        if char and ((char.isascii() and char.isprintable()) or char in "\t\r\n"):
            return None
        if not char:
            return None
        name = unicodedata.name(char, "").lower()
        called = f"the character U+{ord(char):04X}" + (f" ({name})" if name else "")
        if not char.isprintable() or char.isspace():
            return f"{called}, which cannot be seen", "delete it, or write an ordinary space in its place"
        plain = unicodedata.normalize("NFKC", char)
        if plain.isascii():
            return (
                f"{called} where TOML expects `{plain}`",
                f"write a plain `{plain}`{self._as_written(_plain(self.line))}",
            )
        if words == "Invalid value":
            return None
        key, equals, value = self.line.partition("=")
        written = (
            f'"{key.strip()}" = {value.strip()}' if equals and '"' not in key and not self.secret else '"…" = …'
        )
        return f"{called} outside quotes", f"a name with such letters needs quotes: `{written}`"

    def _backslash(self, words: str) -> tuple[str, str] | None:
        """A Windows path in double quotes."""
        if not words.startswith(_ESCAPES) and not (
            words.startswith(("Unterminated", "Illegal")) and re.search(r'\\"[^"]*$', self.line)
        ):
            return None
        match = re.search(r'"([^"\n]*\\[^"\n]*)"', self.line)
        if match is None or self.secret:
            return "a backslash in double quotes", _PATH_HINT
        return (
            "a backslash in double quotes",
            f"{_PATH_HINT}: `'{match[1]}'` or `\"{match[1].replace(chr(92), '/')}\"`",
        )

    def _twice(self, words: str) -> tuple[str, str] | None:
        """A key or a table that is defined a second time."""
        if not words.startswith(_TWICE):
            return None
        hint = "delete one of the two, or give one another name"
        start = (
            self.line.split("#")[0].strip() if self.line.lstrip().startswith("[") else self.line.partition("=")[0]
        )
        above = self.text[: self.position - len(self.before)]
        header = start.startswith("[")
        if header:
            hint = f"move these lines below the first one; or {hint}"
        pattern = rf"^[ \t]*{re.escape(start.strip())}" + ("" if header else r"[ \t]*=")
        # The same key in another table is another key.
        found = re.compile(pattern, re.MULTILINE).search(above, 0 if header else above.rfind("\n[") + 1)
        where = "" if found is None else f", first on line {above.count(chr(10), 0, found.start()) + 1}"
        return f"`{start.strip()}` is defined twice{where}", hint

    def _string(self, words: str) -> tuple[str, str] | None:
        """A string without its end, or with a quote in its middle."""
        if words.startswith("Illegal character") and self.rest:
            char = self.rest[0]
            return f"the control character U+{ord(char):04X} in a string", "delete it, or write it as an escape"
        if words.startswith(("Unterminated string", "Illegal character", "Expected \"'")):
            return "a string is not closed", "write the missing quote at its end"
        if words.startswith("Expected newline") and self.before.rstrip().endswith("'"):
            return "a `'` inside single quotes", "use double quotes around it"
        if (
            words.startswith("Expected newline")
            and self.before.rstrip().endswith('"')
            and self.rest.rstrip().endswith('"')
        ):
            return 'a `"` inside double quotes', "use single quotes around it, or write a comma between two items"
        return None

    def _value(self, words: str) -> tuple[str, str] | None:
        """A value that is none of TOML's."""
        if words != "Invalid value":
            return None
        value = self.rest.split("#")[0].strip().rstrip(",;")
        if not value:
            return "a value is missing", 'write `key = "value"`'
        if value.lower() in _WORDS:
            return f"`{value}`", f"write `{_WORDS[value.lower()]}`, in lower case and without quotes"
        if value.lower() in _NOTHING:
            return f"TOML has no `{value}`", "delete the line, or write `false`"
        quoted = f"'{value}'" if "\\" in value or '"' in value else f'"{value}"'
        return "text without quotes", f"put quotes around it{self._as_written(f'{self.before}{quoted}')}"

    def _statement(self, words: str) -> tuple[str, str] | None:
        """A line that is neither `key = value` nor `[table]`."""
        start = self.line.lstrip()
        if words == "Invalid statement" and start.startswith(("//", ";", "--", "/*")):
            return "a comment that TOML does not know", "comments begin with `#`"
        if words == "Invalid statement" and start.startswith(("{", "}", "<")):
            return "this is not TOML", "every line is `key = value` or `[table]`; comments begin with `#`"
        if words.startswith("Expected '='"):
            if self.rest.lstrip().startswith(":"):
                return "`:` after a key", "write `=` between key and value, not `:`"
            key = self.line.partition("=")[0].strip()
            if "=" in self.line and not self.secret:
                return f"the name `{key}`", f"{_NAMES}: `{bare_name(key)} = …`"
            return "a line without `=`", "every line is `key = value` or `[table]`; comments begin with `#`"
        if words.startswith(("Expected ']'", "Invalid initial character")) and start.startswith("["):
            name = start.strip("[] \t\r")
            if re.fullmatch(r"[\w.-]+", name, re.ASCII):
                return "a header that is not closed", f"write `[{name}]`"
            shown = ".".join(map(bare_name, name.split(".")))
            return "a header that is not closed, or a name without quotes", f"{_NAMES}: write `[{shown}]`"
        return None

    def _end(self, words: str) -> tuple[str, str] | None:
        """Something after the end of a value."""
        if words.startswith("Unclosed array"):
            return "a list is not closed", "write a comma between two items, and `]` at the end"
        ends = words.startswith("Invalid initial character") and not self.text[self.position :].strip()
        if words.startswith("Unclosed inline table") or ends:
            return "an inline table is not closed", "write `}` at its end, on the same line"
        if not words.startswith("Expected newline"):
            return None
        if self.rest.lstrip()[:1] in (",", ";"):
            return f"`{self.rest.lstrip()[0]}` after a value", "end the line after the value"
        return "something after the end of a value", "write one `key = value` a line, with quotes around text"


#: Quotes would be right TOML, but no name of a manifest contains a space.
_NAMES = "a name has letters, digits, `-` and `_`"


def bare_name(name: str) -> str:
    """The nearest name without spaces and slashes, in quotes where TOML needs them for other signs."""
    joined = re.sub(r"[\s@/\\\"']+", "-", name).strip("-") or "name"
    return joined if re.fullmatch(r"[\w-]+", joined, re.ASCII) else f'"{joined}"'


def _table_of(before: str) -> str:
    """The last header before a place."""
    # Blanks alone: with `\s`, each of many empty lines would be the start of a search to the end.
    headers = re.findall(r"^[ \t]*(\[[^\n]*)", before, re.MULTILINE)
    return headers[-1] if headers else ""


def _plain(line: str) -> str:
    """A line with plain characters for full-width ones."""
    return "".join(p if (p := unicodedata.normalize("NFKC", c)).isascii() else c for c in line)


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]
