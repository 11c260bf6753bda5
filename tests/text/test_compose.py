"""Analyzers of one's own: JSON definitions, and C# classes that only put shipped parts together."""

import json

import pytest

from pynori.errors import CompilationError
from pynori.text.analyzers import Analyzer
from pynori.text.compose import analyzer_from

FOLDING = """
using Lucene.Net.Analysis;
namespace Some.Place
{
    // new NothingFilter(x)
    public class MyAnalyzer : StandardAnalyzer
    {
        public MyAnalyzer() : base(Lucene.Net.Util.Version.LUCENE_30) { }
        public override TokenStream TokenStream(string fieldName, TextReader reader)
        {
            return new ASCIIFoldingFilter(base.TokenStream(fieldName, reader));
        }
    }
}
"""
STEPS = """
public class Stepwise : Analyzer {
    public override TokenStream TokenStream(string fieldName, TextReader reader) {
        TokenStream result = new StandardTokenizer(Lucene.Net.Util.Version.LUCENE_30, reader);
        result = new StandardFilter(result);
        result = new LowerCaseFilter(result);
        result = new StopFilter(true, result, new HashSet<string> { "foo", "bar" });
        return new PorterStemFilter(result);
    }
    private int Unused() { return new Random().Next(); }
}
"""


def words(analyzer: Analyzer, text: str) -> str:
    return " ".join(term for term, _ in analyzer.terms(text))


def test_json_definitions_compose_tokenizer_and_filters() -> None:
    """Steps run in their order, with arguments or without, whatever the case of their names."""
    definition = {
        "Tokenizer": "Whitespace",
        "Filters": [
            "lowercase", "ASCIIFolding", {"type": "Stop", "words": ["foo"]}, {"Type": "length", "Min": 3},
            {"Type": "stem", "Language": "english"},
        ],
    }  # fmt: skip
    analyzer = analyzer_from("own", json.dumps(definition))
    assert words(analyzer, "FOO Rogério of Running") == "rogerio run"
    assert analyzer.terms("foo x running")[0][1] == 0
    assert words(analyzer_from("own", '{"Filters": [{"Type": "edgengram", "Min": 2, "Max": 3}]}'), "abcd") == "ab abc"
    assert words(analyzer_from("own", '{"Filters": [{"Type": "stop"}, "possessive"]}'), "the dragon's") == "dragon"


def test_classes_are_read_for_what_they_put_together() -> None:
    """A class with a base and nested filters, and one with successive steps, give what they would give."""
    assert words(analyzer_from("MyAnalyzer", FOLDING), "The Rogério's") == "rogerio"
    assert words(analyzer_from("Some.Place.MyAnalyzer, Assembly", FOLDING), "Paulo Rogério") == "paulo rogerio"
    assert words(analyzer_from("Stepwise", STEPS), "Foo's running FOO bar") == "run"
    bare = analyzer_from("Mine", "public class Mine : WhitespaceAnalyzer { }")
    assert words(bare, "A b") == "A b"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ('{"Filters": ["sparkle"]}', "no filter 'sparkle'"),
        ('{"Tokenizer": "sparkle"}', "no tokenizer 'sparkle'"),
        ('{"Filters": "lowercase"}', "'Filters' must be a list"),
        ('{"Filters": [{"Type": "stop", "Words": [1]}]}', "list of words"),
        ('{"Filters": [{"Type": "stem", "Language": "klingon"}]}', "no stemmer"),
        ('{"Filters": [{"Type": "ngram", "Min": 9, "Max": 99}]}', "GRAM_SIZE_MAX"),
        ('{"Filters": [7]}', "object was expected"),
        ('{"Filters": ' + json.dumps(["trim"] * 33) + "}", "ANALYZER_FILTERS_MAX"),
        ('{"Filters"', "not valid JSON"),
        ("gibberish", "neither JSON nor a C# class"),
        (FOLDING, "neither JSON nor a C# class with the name 'own'"),
        ("class own : Sparkle {}", "base class 'Sparkle'"),
        (FOLDING.replace("MyAnalyzer", "own").replace("ASCIIFolding", "Sparkle"), "'SparkleFilter' is not"),
        ("x" * 70_000, "ANALYZER_DEFINITION_SIZE_MAX"),
    ],
)
def test_definitions_that_cannot_be_used_say_why(code: str, message: str) -> None:
    """What is not there is refused with its name when the definition is registered."""
    with pytest.raises(CompilationError, match=message):
        analyzer_from("own", code)
