"""Types of the engine's analyzers as indexes take them."""

from typing import final

from pynori_core.index_feed import TextAnalyzer

@final
class NativeAnalyzer(TextAnalyzer):
    """Cuts texts as `analyze.terms` does with the same number. ValueError for a number that is no analyzer."""

    analyzer: int
    def __init__(self, analyzer: int) -> None: ...
