"""Tokens to what they say: a parser by operator precedence, with the query clauses of C# on top.

Whatever it does not know is refused where it stands; it never guesses.
"""

from __future__ import annotations

from typing import Final, NoReturn

from pynori.errors import CompilationError
from pynori.limits import LINQ_DEPTH_MAX, LINQ_MEMBERS_MAX
from pynori.linq import ast
from pynori.linq.ast import Clause, Expression, Place
from pynori.linq.functions import CASTS
from pynori.linq.tokens import END, NAME, NUMBER, SYMBOL, TEXT, Token, failure, tokenize

# Binary operators by how tightly they bind; all but ?? group from the left.
PRECEDENCE: Final = {
    "??": 1, "||": 2, "&&": 3, "==": 4, "!=": 4, "<": 5, ">": 5, "<=": 5, ">=": 5, "+": 6, "-": 6, "*": 7, "/": 7,
    "%": 7,
}  # fmt: skip
CAST_TYPES: Final = frozenset((
    *CASTS, "object", "Object", "dynamic", "IEnumerable", "List", "IList", "ICollection", "Dictionary", "IDictionary",
    "HashSet",
))  # fmt: skip
QUERY_END: Final = frozenset(("select", "group", "from", "where", "let", "orderby", "join", "into"))


def parse(text: str, property_name: str) -> Expression:
    """The one expression or query of a definition; a final `;` is allowed. Raises: CompilationError."""
    return _Parser(text, property_name).whole()


class _Parser:
    """Position in the tokens; one method for each form."""

    def __init__(self, text: str, property_name: str) -> None:
        self.text = text
        self.property_name = property_name
        self.tokens = tokenize(text, property_name)
        self.at = 0
        self.depth = 0

    # ---- tokens

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def ahead(self, count: int = 1) -> Token:
        return self.tokens[min(self.at + count, len(self.tokens) - 1)]

    def next(self) -> Token:
        token = self.tokens[self.at]
        if token.kind != END:
            self.at += 1
        return token

    def error(self, message: str, token: Token | None = None) -> CompilationError:
        return failure(self.text, (token or self.token).offset, message, self.property_name)

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        raise self.error(message, token)

    def is_symbol(self, symbol: str, token: Token | None = None) -> bool:
        token = token or self.token
        return token.kind == SYMBOL and token.text == symbol

    def take(self, symbol: str) -> bool:
        if self.is_symbol(symbol):
            self.at += 1
            return True
        return False

    def expect(self, symbol: str) -> None:
        if not self.take(symbol):
            self.fail(f"'{symbol}' is expected, not {self.shown()}")

    def shown(self) -> str:
        return "the end" if self.token.kind == END else f"'{self.token.text}'"

    def name(self) -> str:
        if self.token.kind != NAME:
            self.fail(f"a name is expected, not {self.shown()}")
        return self.next().text

    def is_word(self, word: str) -> bool:
        return self.token.kind == NAME and self.token.text == word

    def take_word(self, word: str) -> bool:
        if self.is_word(word):
            self.at += 1
            return True
        return False

    def place(self, token: Token | None = None) -> Place:
        token = token or self.token
        return Place(token.offset, token.position)

    # ---- the whole

    def whole(self) -> Expression:
        if self.token.kind == END:
            self.fail("the definition is empty")
        made = self.expression()
        self.take(";")
        if self.token.kind != END:
            self.fail(f"{self.shown()} is not expected here")
        return made

    def is_query(self) -> bool:
        return self.is_word("from") and self.ahead().kind == NAME and not self.is_symbol("=>", self.ahead())

    def query(self) -> Expression:
        place = self.place()
        clauses: list[Clause] = []
        while True:
            if len(clauses) > LINQ_MEMBERS_MAX:
                self.fail(f"a query has at most {LINQ_MEMBERS_MAX} clauses")
            start = self.place()
            word = self.name()
            if word == "from":
                clauses.append(self.from_clause(start))
            elif word == "let":
                name = self.name()
                self.expect("=")
                clauses.append(ast.LetClause(name, self.expression(), start))
            elif word == "where":
                clauses.append(ast.Where(self.expression(), start))
            elif word == "group":
                clauses.append(self.group_clause(start))
            elif word == "select":
                value = self.expression()
                if self.is_word("into"):
                    self.fail("'into' after 'select' is not part of the subset")
                return ast.Query(tuple(clauses), value, place)
            else:
                self.at -= 1
                self.fail(
                    f"'{word}' is not part of the subset" if word in QUERY_END else f"'{word}' is not expected here"
                )

    def from_clause(self, start: Place) -> Clause:
        if self.ahead().kind == NAME and self.ahead().text != "in":
            self.fail("variables with types are not part of the subset")
        name = self.name()
        if not self.take_word("in"):
            self.fail(f"'in' is expected, not {self.shown()}")
        return ast.From(name, self.expression(), start)

    def group_clause(self, start: Place) -> Clause:
        element = self.expression()
        if not self.take_word("by"):
            self.fail(f"'by' is expected, not {self.shown()}")
        key = self.expression()
        if not self.take_word("into"):
            self.fail("'group ... by ...' needs 'into' and a name")
        return ast.GroupInto(element, key, self.name(), start)

    # ---- expressions

    def expression(self) -> Expression:
        self.depth += 1
        if self.depth > LINQ_DEPTH_MAX:
            self.fail(f"expressions are nested deeper than {LINQ_DEPTH_MAX} levels")
        made = self.query() if self.is_query() else self.ternary()
        self.depth -= 1
        return made

    def ternary(self) -> Expression:
        lambda_ = self.lambda_expression()
        if lambda_ is not None:
            return lambda_
        test = self.binary(1)
        place = self.place()
        if not self.take("?"):
            return test
        yes = self.expression()
        self.expect(":")
        return ast.Ternary(test, yes, self.expression(), place)

    def binary(self, least: int) -> Expression:
        left = self.unary()
        links = 0
        while True:
            token = self.token
            precedence = PRECEDENCE.get(token.text, 0) if token.kind == SYMBOL else 0
            if self.is_word("is") or self.is_word("as"):
                self.fail(f"'{token.text}' is not part of the subset; use a cast or a comparison")
            if precedence < least:
                return left
            links += 1
            if links > LINQ_MEMBERS_MAX:
                self.fail(f"more than {LINQ_MEMBERS_MAX} operators in a row")
            self.next()
            self.depth += 1
            if self.depth > LINQ_DEPTH_MAX:
                self.fail(f"expressions are nested deeper than {LINQ_DEPTH_MAX} levels")
            right = self.binary(precedence if token.text == "??" else precedence + 1)
            self.depth -= 1
            left = ast.Binary(token.text, left, right, self.place(token))

    def unary(self) -> Expression:
        token = self.token
        if token.kind == SYMBOL and token.text in ("!", "-", "+"):
            self.next()
            return ast.Unary(token.text, self.nested_unary(), self.place(token))
        cast = self.cast_type()
        if cast is not None:
            return ast.CastTo(cast, self.nested_unary(), self.place(token))
        return self.postfix(self.primary())

    def nested_unary(self) -> Expression:
        self.depth += 1
        if self.depth > LINQ_DEPTH_MAX:
            self.fail(f"expressions are nested deeper than {LINQ_DEPTH_MAX} levels")
        made = self.unary()
        self.depth -= 1
        return made

    def postfix(self, made: Expression) -> Expression:
        links = 0
        while True:
            token = self.token
            links += 1
            if links > LINQ_MEMBERS_MAX:
                self.fail(f"more than {LINQ_MEMBERS_MAX} members in a row")
            if self.take(".") or self.take("?."):
                made = ast.Access(made, self.name(), self.place(token))
                self.type_arguments()
            elif self.take("[") or self.take("?["):
                made = ast.Item(made, self.expression(), self.place(token))
                self.expect("]")
            elif self.is_symbol("("):
                if not isinstance(made, ast.Name | ast.Access):
                    self.fail("only a function can be called")
                self.next()
                made = ast.Invocation(made, self.arguments(")"), made.place)
            else:
                return made

    def arguments(self, end: str) -> tuple[Expression, ...]:
        """Expressions with commas up to the closing symbol; a comma before it is allowed in braces."""
        made: list[Expression] = []
        while not self.take(end):
            if made:
                self.expect(",")
                if end == "}" and self.take(end):
                    break
            if len(made) >= LINQ_MEMBERS_MAX:
                self.fail(f"more than {LINQ_MEMBERS_MAX} values in a row")
            if self.ahead().text == ":" and self.token.kind == NAME and self.ahead().kind == SYMBOL:
                self.fail("named arguments are not part of the subset")
            made.append(self.expression())
        return tuple(made)

    def primary(self) -> Expression:
        token = self.next()
        place = self.place(token)
        if token.kind in (NUMBER, TEXT):
            return ast.Constant(token.value, place)
        if token.kind == SYMBOL and token.text == "(":
            made = self.expression()
            self.expect(")")
            return made
        if token.kind == NAME:
            if token.text in ("true", "false"):
                return ast.Constant(token.text == "true", place)
            if token.text == "null":
                return ast.Constant(None, place)
            if token.text == "new":
                return self.new(place)
            if token.text == "typeof":
                self.expect("(")
                name = self.type_name()
                self.expect(")")
                return ast.TypeOf(name, place)
            self.type_arguments()
            return ast.Name(token.text, place)
        self.at -= token.kind != END
        raise self.error(f"an expression is expected, not {self.shown()}")

    # ---- new

    def new(self, place: Place) -> Expression:
        if self.take("{"):
            return self.new_object(place)
        if self.take("["):
            self.expect("]")
            self.expect("{")
            return ast.NewArray(self.arguments("}"), place)
        name = self.type_name()
        if self.take("["):
            self.expect("]")
            self.expect("{")
            return ast.NewArray(self.arguments("}"), place)
        if self.is_symbol("{"):
            self.fail(f"'new {name} {{ }}' is not part of the subset; use 'new {{ }}'")
        self.expect("(")
        return ast.NewInstance(name, self.arguments(")"), place)

    def new_object(self, place: Place) -> Expression:
        members: list[tuple[str, Expression]] = []
        while not self.take("}"):
            if members:
                self.expect(",")
                if self.take("}"):
                    break
            if len(members) >= LINQ_MEMBERS_MAX:
                self.fail(f"an object has at most {LINQ_MEMBERS_MAX} members")
            token = self.token
            if token.kind == NAME and self.is_symbol("=", self.ahead()):
                name = self.name()
                self.expect("=")
                value = self.expression()
            else:
                value = self.expression()
                name = self.implied_name(value, token)
            if any(name == other for other, _ in members):
                self.fail(f"the member '{name}' is there twice", token)
            members.append((name, value))
        return ast.NewObject(tuple(members), place)

    def implied_name(self, value: Expression, token: Token) -> str:
        if isinstance(value, ast.Access | ast.Name):
            return value.name
        raise self.error("this member of 'new { }' needs a name: name = value", token)

    # ---- types, casts, lambdas: what needs a look ahead

    def type_name(self) -> str:
        """A type with its name space, without arguments and `?`."""
        name = self.name()
        while self.is_symbol(".") and self.ahead().kind == NAME:
            self.next()
            name += "." + self.name()
        self.type_arguments()
        self.take("?")
        return name

    def type_end(self, at: int) -> int:
        """Index of the token behind a type that begins at token `at`, or -1 when none does."""
        if self.tokens[at].kind != NAME:
            return -1
        at += 1
        while self.is_symbol(".", self.tokens[at]) and self.tokens[at + 1].kind == NAME:
            at += 2
        if self.is_symbol("<", self.tokens[at]):
            at = self.arguments_end(at)
            if at < 0:
                return -1
        if self.is_symbol("?", self.tokens[at]):
            at += 1
        while self.is_symbol("[", self.tokens[at]) and self.is_symbol("]", self.tokens[at + 1]):
            at += 2
        return at

    def arguments_end(self, at: int) -> int:
        """Index of the token behind `<A, B>`, which may hold such types again; -1 when it is something else."""
        depth = 0
        while True:
            token = self.tokens[at]
            if self.is_symbol("<", token):
                depth += 1
            elif self.is_symbol(">", token):
                depth -= 1
                if depth == 0:
                    return at + 1
            elif token.kind != NAME and not (token.kind == SYMBOL and token.text in (".", ",", "?", "[", "]")):
                return -1
            at += 1

    def type_arguments(self) -> None:
        """Pass over `<A>` of a call such as `Select<A>(`; a comparison stays what it is."""
        if self.is_symbol("<"):
            end = self.arguments_end(self.at)
            if end >= 0 and self.is_symbol("(", self.tokens[end]):
                self.at = end

    def cast_type(self) -> str | None:
        """The type of a cast that begins here, and move behind it."""
        if not self.is_symbol("("):
            return None
        end = self.type_end(self.at + 1)
        if end < 0 or not self.is_symbol(")", self.tokens[end]):
            return None
        name = self.tokens[self.at + 1].text
        last = end - 1
        while self.tokens[last].kind != NAME:
            last -= 1
        known = name in CAST_TYPES or (name == "System" and last > self.at + 1)
        following = self.tokens[end + 1]
        operand = following.kind in (NAME, NUMBER, TEXT) and following.text not in QUERY_END | {"by", "in"}
        if known and not operand:
            operand = following.kind == SYMBOL and following.text in ("(", "!", "-", "+")
        if not operand:
            return None
        self.at = end + 1
        if name == "System":
            return self.tokens[last].text
        return name

    def lambda_expression(self) -> Expression | None:
        """A lambda, if one begins here."""
        start = self.at
        place = self.place()
        names: list[str] = []
        if self.token.kind == NAME and self.is_symbol("=>", self.ahead()):
            names.append(self.name())
        elif self.is_symbol("("):
            self.next()
            while self.token.kind == NAME:
                if self.ahead().kind == NAME:
                    self.next()  # the type of a parameter
                names.append(self.name())
                if not self.take(","):
                    break
            if not self.take(")") or not self.is_symbol("=>"):
                self.at = start
                return None
        else:
            return None
        self.expect("=>")
        if self.is_symbol("{"):
            self.fail("lambdas with statements are not part of the subset")
        return ast.Lambda(tuple(names), self.expression(), place)
